/** Reads a socket of column batches: envelopes, and behind those of batches their column buffers. */
import { BUFFER_ALIGNMENT } from "../../transport/frames.ts";
import { ExtractError } from "../../proto/error.ts";

/** An envelope beside a batch's buffers: a schema, a state, a header. */
const ENVELOPE_BYTES_MAX = 64 * 1024 * 1024;
/** A length has 32 bits. */
const LENGTH_BYTES_MAX = 5;

export class ColumnarReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #onChunk: () => void;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Used again for each body: the one before has been handed on when the next is asked for. */
  #body = new Uint8Array(new ArrayBuffer(BUFFER_ALIGNMENT));

  /** @param onChunk called when something has come */
  constructor(stream: AsyncIterable<Buffer>, onChunk: () => void) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#onChunk = onChunk;
  }

  /** Borrowed until the next call. Null: the socket has ended, between two envelopes. */
  async readEnvelope(): Promise<Uint8Array | null> {
    let length = 0;
    for (let count = 0; ; count++) {
      const byte = await this.#readByte();
      if (byte === null) {
        if (count === 0) return null;
        throw cutOff();
      }
      if (count === LENGTH_BYTES_MAX)
        throw new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          "the connector sends no length where an envelope begins",
        );
      length += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < 0x80) break;
    }
    if (length > ENVELOPE_BYTES_MAX)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `an envelope of the connector has ${length} bytes, and ${ENVELOPE_BYTES_MAX} are allowed`,
      );
    const envelope = new Uint8Array(length);
    await this.#fill(envelope);
    return envelope;
  }

  /** At an address that typed arrays can be laid over. Borrowed until the next call. */
  async readBody(byteCount: number, byteCountMax: number): Promise<Uint8Array> {
    if (byteCount > byteCountMax)
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `a batch of ${byteCount} bytes comes, and ${byteCountMax} are allowed`,
        { bytes: byteCount },
      );
    if (byteCount > this.#body.byteLength)
      this.#body = new Uint8Array(new ArrayBuffer(byteCount));
    const body = this.#body.subarray(0, byteCount);
    await this.#fill(body);
    return body;
  }

  async #readByte(): Promise<number | null> {
    while (this.#at >= this.#chunk.length)
      if (!(await this.#next())) return null;
    return this.#chunk[this.#at++] ?? null;
  }

  async #fill(target: Uint8Array): Promise<void> {
    let done = 0;
    while (done < target.length) {
      if (this.#at >= this.#chunk.length) {
        if (!(await this.#next())) throw cutOff();
        continue;
      }
      const piece = this.#chunk.subarray(
        this.#at,
        this.#at + target.length - done,
      );
      target.set(piece, done);
      done += piece.length;
      this.#at += piece.length;
    }
  }

  async #next(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done) return false;
    this.#onChunk();
    this.#chunk = next.value;
    this.#at = 0;
    return true;
  }
}

function cutOff(): ExtractError {
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    "the connector's output ends inside of an envelope",
  );
}
