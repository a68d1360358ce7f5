/** Cuts a stream of bytes into lines, each with a bound, copying only what a chunk has cut in two. */
import { ExtractError } from "../../../../proto/error.ts";

const LINE_FEED = 0x0a;

export class LineCutter {
  readonly #lineBytesMax: number;
  /** Of a line whose end has not come. */
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes of a line whose end has not come. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /**
   * The lines that end in this chunk, without their line feeds.
   * @throws ExtractError SOURCE_ROW_TOO_LARGE as soon as a line is longer than it may be
   */
  *cut(chunk: Buffer): Generator<Buffer> {
    let start = 0;
    for (
      let end = chunk.indexOf(LINE_FEED);
      end >= 0;
      end = chunk.indexOf(LINE_FEED, start)
    ) {
      yield this.#join(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  #keep(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#lineBytesMax) {
      throw new ExtractError(
        "SOURCE_ROW_TOO_LARGE",
        `a change has more than ${this.#lineBytesMax} bytes`,
        { bytesMax: this.#lineBytesMax },
      );
    }
    this.#pieces.push(piece);
  }

  #join(last: Buffer): Buffer {
    if (this.#pieces.length === 0 && last.length <= this.#lineBytesMax)
      return last;
    this.#keep(last);
    const line = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    return line;
  }
}
