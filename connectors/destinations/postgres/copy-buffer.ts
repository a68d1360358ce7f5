/**
 * The bytes of one binary COPY, framed as CopyData messages while rows are written into it.
 * @see Postgres manual, "COPY", Binary Format; "Message Formats", CopyData and CopyDone
 */
import { ExtractError } from "../../../proto/error.ts";

/** A CopyData message ends with the row that takes it here, so that the server works while the next is on its way. */
export const MESSAGE_BYTES = 256 * 1024;
/** First size of a buffer; it grows to what a batch wants. */
const BYTES_LEAST = 16 * 1024;
/** A buffer above this many times its limit was made for one large row, and is let go. */
const KEPT_FACTOR = 2;
/** Bytes of one message. @see Postgres source, PQ_LARGE_MESSAGE_LIMIT: 1 GiB less one byte */
const ROW_BYTES_MAX = 1024 * 1024 * 1024 - 64;

/** "PGCOPY\n\377\r\n\0", no flags, no extension. */
const signature = Buffer.from("5047434f50590aff0d0a000000000000000000", "hex");
const MESSAGE_HEADER_BYTES = 5;
const COPY_DATA = 0x64; // 'd'
const COPY_DONE = 0x63; // 'c'
/** File trailer, CopyDone, and the header of a message that a row may begin. */
const END_BYTES = 2 + 5 + MESSAGE_HEADER_BYTES;

/** Rows as a server reads them. Encoders write to `out`, `view` and `at` directly. */
export class CopyBuffer {
  out: Uint8Array;
  view: DataView;
  /** Where the next row begins. */
  at = 0;
  rows = 0;
  /** For staging with an order column: the number of the next row. */
  sequence = 0;
  /** Where the open message begins. */
  #messageAt = 0;

  constructor() {
    this.out = new Uint8Array(BYTES_LEAST);
    this.view = new DataView(this.out.buffer);
    this.reset();
  }

  /** Bytes of the rows with their framing. */
  get bytes(): number {
    return this.rows === 0 ? 0 : this.at;
  }

  reset(): void {
    this.at = MESSAGE_HEADER_BYTES;
    this.#messageAt = 0;
    this.out[0] = COPY_DATA;
    this.out.set(signature, this.at);
    this.at += signature.length;
    this.rows = 0;
  }

  /** Lets go of memory that one large row has taken. */
  shrink(bytesMax: number): void {
    if (this.out.length <= Math.max(BYTES_LEAST, KEPT_FACTOR * bytesMax))
      return;
    this.out = new Uint8Array(BYTES_LEAST);
    this.view = new DataView(this.out.buffer);
    this.reset();
  }

  /**
   * Makes room for a row of at most `bytes` at `at`, in a new message when the open one is long enough. `out`, `view`
   * and `at` may be others afterwards.
   * @throws ExtractError DESTINATION_VALUE_REFUSED for a row that no message can hold
   */
  openRow(bytes: number): void {
    const needed = this.at + bytes + END_BYTES;
    if (needed > this.out.length) this.#grow(needed, bytes);
    if (this.at - this.#messageAt >= MESSAGE_BYTES) this.#openMessage();
  }

  /** Ends the COPY. @returns the messages, borrowed until `reset` */
  finish(): Uint8Array {
    this.view.setInt16(this.at, -1);
    this.at += 2;
    this.#closeMessage();
    this.out[this.at] = COPY_DONE;
    this.view.setInt32(this.at + 1, 4);
    this.at += 5;
    return this.out.subarray(0, this.at);
  }

  #openMessage(): void {
    this.#closeMessage();
    this.#messageAt = this.at;
    this.out[this.at] = COPY_DATA;
    this.at += MESSAGE_HEADER_BYTES;
  }

  #closeMessage(): void {
    this.view.setInt32(this.#messageAt + 1, this.at - this.#messageAt - 1);
  }

  #grow(needed: number, rowBytes: number): void {
    if (rowBytes > ROW_BYTES_MAX) {
      throw new ExtractError(
        "DESTINATION_VALUE_REFUSED",
        `a row of ${rowBytes} bytes is more than Postgres takes at once`,
        { bytes: rowBytes },
      );
    }
    const grown = new Uint8Array(Math.max(needed, 2 * this.out.length));
    grown.set(this.out.subarray(0, this.at));
    this.out = grown;
    this.view = new DataView(grown.buffer);
  }
}
