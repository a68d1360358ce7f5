/** Lines out of the chunks of a stream. Only what chunks have cut in two is copied, and it is bounded before it is kept. */
const LINE_FEED = 0x0a;

/** What has come of a message whose end has not. */
export class Pieces {
  readonly #bytesMax: number;
  readonly #refuse: (bytesMax: number) => Error;
  #pieces: Buffer[] = [];
  bytes = 0;

  /** @param refuse what is thrown for a message that is longer than it may be */
  constructor(bytesMax: number, refuse: (bytesMax: number) => Error) {
    this.#bytesMax = bytesMax;
    this.#refuse = refuse;
  }

  check(bytes: number): void {
    if (bytes > this.#bytesMax) throw this.#refuse(this.#bytesMax);
  }

  keep(piece: Buffer): void {
    this.bytes += piece.length;
    this.check(this.bytes);
    // its chunk may be used again
    this.#pieces.push(Buffer.from(piece));
  }

  /** The whole message; it lies in its chunk where that has all of it. */
  join(last: Buffer): Buffer {
    this.bytes += last.length;
    this.check(this.bytes);
    const whole =
      this.#pieces.length === 0
        ? last
        : Buffer.concat([...this.#pieces, last], this.bytes);
    this.#pieces = [];
    this.bytes = 0;
    return whole;
  }
}

/** The lines that end in this chunk, without their line feeds. @throws what the pieces refuse a longer one by */
export function* cutLines(chunk: Buffer, pieces: Pieces): Generator<Buffer> {
  let start = 0;
  for (
    let end = chunk.indexOf(LINE_FEED);
    end >= 0;
    end = chunk.indexOf(LINE_FEED, start)
  ) {
    yield pieces.join(chunk.subarray(start, end));
    start = end + 1;
  }
  if (start < chunk.length) pieces.keep(chunk.subarray(start));
}
