/**
 * The parts of `tedious` that a bulk read stands on beyond what it documents. `tedious` makes an object for every value
 * of a row and a number of every decimal; here its rows are decoded elsewhere, and everything else of the protocol
 * (login, TLS, packets, errors, attention) stays its own.
 */
import type { EventEmitter } from "node:events";
import { createRequire } from "node:module";

/** The message that answers a request: the payloads of its packets, in order. */
export type AnswerMessage = AsyncIterable<Uint8Array>;

/** What the driver does with the tokens of an answer. */
export interface TokenHandler {
  readonly request?: unknown;
  readonly attentionReceived?: boolean;
}

/** Reads a message's tokens into a handler; emits `end`, or `error`. */
export interface TokenStream extends EventEmitter {
  pause(): void;
  resume(): void;
}

/** `tedious` 20: a method of each connection makes the reader of each message. */
export interface HookedConnection {
  createTokenStreamParser(
    message: AnswerMessage,
    handler: TokenHandler,
  ): TokenStream;
}

/** A token as the driver parses it; `handlerName` is the method of the handler that takes it. */
export interface DriverToken {
  readonly handlerName: string;
}

/** The driver's parser of tokens, one at a time. */
export interface DriverParser {
  buffer: Buffer;
  position: number;
  colMetadata: readonly DriverColumn[];
  tokenReader: object | undefined;
  /** Undefined: a token that nobody is told of. Throws NotEnoughDataError where the token is not all there. */
  readToken(): DriverToken | undefined;
}

/** A column of COLMETADATA. */
export interface DriverColumn {
  readonly colName: string;
  readonly type: { readonly id: number; readonly name: string };
  readonly dataLength: number | undefined;
  readonly precision: number | undefined;
  readonly scale: number | undefined;
}

export interface DriverParts {
  readonly Parser: new (options: object) => DriverParser;
  readonly NotEnoughDataError: new (byteCount: number) => {
    readonly byteCount: number;
  };
}

/**
 * The driver's inner parts, or null where this version of it has others: rows are then taken from its events
 * (`row-events.ts`).
 */
export function loadDriverParts(): DriverParts | null {
  const require = createRequire(import.meta.url);
  try {
    const Parser = require("tedious/lib/token/stream-parser") as unknown;
    const helpers = require("tedious/lib/token/helpers") as Record<
      string,
      unknown
    >;
    const { NotEnoughDataError } = helpers;
    if (!isParser(Parser) || typeof NotEnoughDataError !== "function") {
      return null;
    }
    return {
      Parser,
      NotEnoughDataError:
        NotEnoughDataError as DriverParts["NotEnoughDataError"],
    };
  } catch {
    return null;
  }
}

function isParser(value: unknown): value is DriverParts["Parser"] {
  if (typeof value !== "function") return false;
  const prototype = value.prototype as Partial<DriverParser> | undefined;
  if (typeof prototype?.readToken !== "function") return false;
  const parser = new (value as DriverParts["Parser"])({});
  return (
    Buffer.isBuffer(parser.buffer) &&
    parser.position === 0 &&
    Array.isArray(parser.colMetadata)
  );
}

/** Whether a connection lets its reader of messages be replaced. */
export function isHookable(
  connection: object,
): connection is HookedConnection & object {
  return (
    "createTokenStreamParser" in connection &&
    typeof connection.createTokenStreamParser === "function"
  );
}
