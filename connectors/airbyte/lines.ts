/**
 * Bytes from a peer cut into messages: lines, or protobuf messages behind their length. Each is bounded before anything
 * is kept of it, and only what two chunks share is copied.
 */
import { ExtractError } from "../../proto/error.ts";
import { cutLines, Pieces } from "../json/lines.ts";

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

type Unit = "line" | "message";

function createPieces(bytesMax: number, unit: Unit): Pieces {
  return new Pieces(
    bytesMax,
    () =>
      new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a ${unit} of the connector is longer than the ${bytesMax} bytes that it may have`,
        { bytesMax },
      ),
  );
}

/** @throws ExtractError CONNECTOR_MESSAGE_INVALID where something is left */
function refuseRest({ bytes }: Pieces, unit: Unit): void {
  if (bytes === 0) return;
  throw new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    `the connector's output ends inside of a ${unit}, behind ${bytes} bytes of it`,
    { bytes },
  );
}

/** JSON lines. A line feed that is missing at the very end is no fault of a line that is whole JSON: `rest` has it. */
export class MessageLines implements MessageCutter {
  readonly #pieces: Pieces;

  constructor(lineBytesMax: number) {
    this.#pieces = createPieces(lineBytesMax, "line");
  }

  cut(chunk: Buffer): Generator<Buffer> {
    return cutLines(chunk, this.#pieces);
  }

  /** What stands behind the last line feed. */
  rest(): Buffer {
    return this.#pieces.bytes === 0 ? noBytes : this.#pieces.join(noBytes);
  }

  end(): void {
    refuseRest(this.#pieces, "line");
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
    this.#pieces = createPieces(messageBytesMax, "message");
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
    refuseRest(this.#pieces, "message");
    if (this.#wanted === null && this.#lengthBytes === 0) return;
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      "the connector's output ends inside of a message",
      { wanted: this.#wanted },
    );
  }
}
