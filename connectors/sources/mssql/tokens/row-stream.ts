/**
 * Reads the answer to a bulk read: row tokens go to a consumer as bytes, all other tokens to the driver's own parser
 * and handler. It stands where the driver's reader of tokens would, so requests end and are cancelled as ever.
 */
import { EventEmitter } from "node:events";
import { ExtractError } from "../../../../proto/error.ts";
import { NBC_ROW, ROW } from "../decode/decoder.ts";
import type {
  AnswerMessage,
  DriverColumn,
  DriverParser,
  DriverParts,
  DriverToken,
  TokenHandler,
  TokenStream,
} from "./driver-parts.ts";
import { TokenWindow } from "./window.ts";

/** Longest token that is no row: COLMETADATA of 4,096 columns with names of 128 characters. */
const TOKEN_BYTES_MAX = 4 * 1024 * 1024;

/** Takes the rows of an answer. */
export interface RowConsumer {
  /** Before the first row. May throw. */
  describe(columns: readonly DriverColumn[]): void;
  /**
   * Takes whole rows from `window.start` on, tells the window what it took, and returns why it took no more:
   * `more` bytes are needed, another `token` comes, or it is `stalled` until `RowStream.wake`. May throw.
   */
  takeRows(window: TokenWindow): "more" | "token" | "stalled";
  /** Bytes from `window.start` on without which `takeRows` would take nothing. */
  readonly rowBytesWanted: number;
  /** What failed here, a throw of the above included. What is left of the answer is thrown away. */
  failed(error: unknown): void;
}

export class RowStream extends EventEmitter implements TokenStream {
  readonly #parts: DriverParts;
  readonly #parser: DriverParser;
  readonly #handler: TokenHandler;
  readonly #consumer: RowConsumer;
  readonly #window = new TokenWindow();
  #isDraining = false;
  #isPaused = false;
  #wake: (() => void) | null = null;

  constructor(
    parts: DriverParts,
    options: object,
    message: AnswerMessage,
    handler: TokenHandler,
    consumer: RowConsumer,
  ) {
    super();
    this.#parts = parts;
    this.#parser = new parts.Parser(options);
    this.#handler = handler;
    this.#consumer = consumer;
    this.#run(message).then(
      () => process.nextTick(() => this.emit("end")),
      (error: unknown) => process.nextTick(() => this.emit("error", error)),
    );
  }

  /** By the driver's request. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.wake();
  }

  /** The consumer can take more. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** No token is looked at any more; the message is read to its end. */
  drain(): void {
    this.#isDraining = true;
    this.wake();
  }

  async #run(message: AnswerMessage): Promise<void> {
    // by hand: leaving a `for await` early would destroy the message and with it the connection's order
    const chunks = message[Symbol.asyncIterator]();
    for (;;) {
      const next = await chunks.next();
      if (next.done) break;
      if (this.#isDraining) continue;
      this.#window.append(next.value);
      await this.#takeTokens();
    }
    if (!this.#isDraining && this.#window.start < this.#window.end) {
      this.#fail(violation("an answer that ends inside of a token"));
    }
  }

  async #takeTokens(): Promise<void> {
    const window = this.#window;
    while (!this.#isDraining && window.start < window.end) {
      if (this.#isPaused) {
        await this.#waitForWake();
        continue;
      }
      let outcome: "more" | "token" | "stalled";
      try {
        outcome = this.#takeSome();
      } catch (error) {
        this.#fail(error);
        return;
      }
      if (outcome === "more") return;
      if (outcome === "stalled") await this.#waitForWake();
    }
  }

  #takeSome(): "more" | "token" | "stalled" {
    const window = this.#window;
    const token = window.buffer[window.start];
    if (token !== ROW && token !== NBC_ROW) return this.#takeToken();
    const have = window.end - window.start;
    if (have < this.#consumer.rowBytesWanted) return "more";
    const outcome = this.#consumer.takeRows(window);
    if (outcome === "more" && window.start < window.end) {
      window.expect(this.#consumer.rowBytesWanted);
    }
    return outcome;
  }

  /** One token by the driver's parser, which is given what there is and asked again where that is not all of it. */
  #takeToken(): "more" | "token" {
    const window = this.#window;
    const parser = this.#parser;
    parser.buffer = window.buffer.subarray(window.start, window.end);
    parser.position = 0;
    parser.tokenReader = undefined;
    let token: DriverToken | undefined;
    try {
      token = parser.readToken();
    } catch (error) {
      if (!(error instanceof this.#parts.NotEnoughDataError)) throw error;
      if (window.end - window.start > TOKEN_BYTES_MAX) {
        throw violation(`a token of more than ${TOKEN_BYTES_MAX} bytes`);
      }
      return "more";
    }
    window.consumed(window.start + parser.position);
    if (token === undefined) return "token";
    const take = (
      this.#handler as unknown as Record<string, (token: DriverToken) => void>
    )[token.handlerName];
    take?.call(this.#handler, token);
    if (token.handlerName === "onColMetadata") {
      this.#consumer.describe(parser.colMetadata);
    }
    return "token";
  }

  #waitForWake(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #fail(error: unknown): void {
    this.#isDraining = true;
    this.#consumer.failed(error);
  }
}

function violation(what: string): ExtractError {
  return new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `the server sent ${what}`,
    {},
  );
}
