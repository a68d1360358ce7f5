/**
 * Bytes from a peer cut into messages: lines, or protobuf messages behind their length. Each is bounded before anything
 * is kept of it, and only what two chunks share is copied.
 */
import { ExtractError } from "../../proto/error.ts";

const LINE_FEED = 0x0a;
/** Bytes of a length: 5 × 7 bits hold 32. */
const LENGTH_BYTES_MAX = 5;
/** A line that ends too early is told with its length only. */
const noBytes = Buffer.alloc(0);

/** Cuts a stream into messages. Nothing that it gives out may be kept: it lies in the chunk. */
export interface MessageCutter {
  /** The messages that end in this chunk. @throws ExtractError CONNECTOR_MESSAGE_INVALID when one is too long */
  cut(chunk: Buffer): Generator<Buffer>;
  /** The stream has ended. @throws ExtractError CONNECTOR_MESSAGE_INVALID inside of a message */
  end(): void;
}

/** Pieces of a message whose end has not come. */
class Pieces {
  readonly #bytesMax: number;
  readonly #what: string;
  #pieces: Buffer[] = [];
  bytes = 0;

  constructor(bytesMax: number, what: string) {
    this.#bytesMax = bytesMax;
    this.#what = what;
  }

  check(bytes: number): void {
    if (bytes <= this.#bytesMax) return;
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      `a ${this.#what} of the connector is longer than the ${this.#bytesMax} bytes that it may have`,
      { bytesMax: this.#bytesMax },
    );
  }

  keep(piece: Buffer): void {
    this.bytes += piece.length;
    this.check(this.bytes);
    // its chunk may be used again
    this.#pieces.push(Buffer.from(piece));
  }

  join(last: Buffer): Buffer {
    if (this.#pieces.length === 0) {
      this.check(last.length);
      return last;
    }
    this.bytes += last.length;
    this.check(this.bytes);
    const whole = Buffer.concat([...this.#pieces, last], this.bytes);
    this.#pieces = [];
    this.bytes = 0;
    return whole;
  }

  end(): void {
    if (this.bytes === 0) return;
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      `the connector's output ends inside of a ${this.#what}, behind ${this.bytes} bytes of it`,
      { bytes: this.bytes },
    );
  }
}

/** JSON lines. A line feed that is missing at the very end is no fault of a line that is whole JSON: `rest` has it. */
export class MessageLines implements MessageCutter {
  readonly #pieces: Pieces;

  constructor(lineBytesMax: number) {
    this.#pieces = new Pieces(lineBytesMax, "line");
  }

  *cut(chunk: Buffer): Generator<Buffer> {
    let start = 0;
    for (
      let end = chunk.indexOf(LINE_FEED);
      end >= 0;
      end = chunk.indexOf(LINE_FEED, start)
    ) {
      yield this.#pieces.join(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#pieces.keep(chunk.subarray(start));
  }

  /** What stands behind the last line feed. */
  rest(): Buffer {
    return this.#pieces.bytes === 0 ? noBytes : this.#pieces.join(noBytes);
  }

  end(): void {
    this.#pieces.end();
  }
}

/** Protobuf messages, each behind its length as a varint of 32 bits. */
export class DelimitedMessages implements MessageCutter {
  readonly #pieces: Pieces;
  readonly #bytesMax: number;
  /** Of the length that is being read. */
  #lengthBytes = 0;
  #length = 0;
  /** Bytes of the message that is being read; null: its length is. */
  #wanted: number | null = null;

  constructor(messageBytesMax: number) {
    this.#bytesMax = messageBytesMax;
    this.#pieces = new Pieces(messageBytesMax, "message");
  }

  *cut(chunk: Buffer): Generator<Buffer> {
    let start = 0;
    for (;;) {
      if (this.#wanted === null) {
        start = this.#readLength(chunk, start);
        if (this.#wanted === null) return;
      }
      const missing: number = this.#wanted - this.#pieces.bytes;
      if (chunk.length - start < missing) {
        if (start < chunk.length) this.#pieces.keep(chunk.subarray(start));
        return;
      }
      const end: number = start + missing;
      this.#wanted = null;
      yield this.#pieces.join(chunk.subarray(start, end));
      start = end;
    }
  }

  /** @returns the place behind what was read of it */
  #readLength(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const byte = chunk[at++] ?? 0;
      // a shift would lose the sign of the fifth byte
      this.#length += (byte & 0x7f) * 2 ** (7 * this.#lengthBytes);
      this.#lengthBytes++;
      if (byte < 0x80) {
        this.#pieces.check(this.#length);
        this.#wanted = this.#length;
        this.#length = 0;
        this.#lengthBytes = 0;
        return at;
      }
      if (this.#lengthBytes === LENGTH_BYTES_MAX)
        throw new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          "the connector sends no length where a message begins",
          { bytesMax: this.#bytesMax },
        );
    }
    return at;
  }

  end(): void {
    this.#pieces.end();
    if (this.#wanted === null && this.#lengthBytes === 0) return;
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      "the connector's output ends inside of a message",
      { wanted: this.#wanted },
    );
  }
}
