/** A row of 16 MiB and more, whose packets are put together behind the place of one header. */
import { ExtractError } from "../../../../proto/error.ts";
import { HEADER_BYTES } from "./packets.ts";

export class LargeRow {
  /** Bytes of the payload so far. */
  length = 0;
  buffer: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));

  /**
   * Makes room for a packet's payload; the caller has bounded the row.
   * @throws ExtractError SOURCE_ROW_TOO_LARGE where the process has no memory for it
   */
  reserve(byteCount: number): void {
    const needed = HEADER_BYTES + this.length + byteCount;
    if (needed <= this.buffer.length) return;
    let grown: Buffer<ArrayBuffer>;
    try {
      grown = Buffer.from(
        new ArrayBuffer(Math.max(needed, 2 * this.buffer.length)),
      );
    } catch (cause) {
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `no memory for a row of ${needed} bytes`,
        { bytes: needed },
        { cause },
      );
    }
    this.buffer.copy(grown, 0, 0, HEADER_BYTES + this.length);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }

  append(source: Buffer, start: number, end: number): void {
    source.copy(this.buffer, HEADER_BYTES + this.length, start, end);
    this.length += end - start;
  }
}
