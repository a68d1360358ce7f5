/** The engine's lines, each with a bound. */
import { cutLines, Pieces } from "../../../json/lines.ts";
import { refuseChange } from "./protocol.ts";

export class LineCutter {
  readonly #pieces: Pieces;

  constructor(lineBytesMax: number) {
    this.#pieces = new Pieces(lineBytesMax, refuseChange);
  }

  /** Bytes of a line whose end has not come. */
  get pendingBytes(): number {
    return this.#pieces.bytes;
  }

  /**
   * The lines that end in this chunk, without their line feeds.
   * @throws ExtractError SOURCE_ROW_TOO_LARGE as soon as a line is longer than it may be
   */
  cut(chunk: Buffer): Generator<Buffer> {
    return cutLines(chunk, this.#pieces);
  }
}
