/** The newest records of a run as JSON lines, numbered as in the run. */

export const RING_LINES_MAX = 50_000;
export const RING_CHARS_MAX = 16 * 1024 * 1024;
/** How many go at once when there are too many: an array is not moved up for each. */
const CUT_LINES = 1_024;

export class LineRing {
  #lines: string[] = [];
  #first = 0;
  #chars = 0;

  /** Number of the oldest that is kept. */
  get first(): number {
    return this.#first;
  }

  /** One past the number of the newest. */
  get end(): number {
    return this.#first + this.#lines.length;
  }

  get chars(): number {
    return this.#chars;
  }

  add(line: string): void {
    this.#lines.push(line);
    this.#chars += line.length;
    if (
      this.#lines.length > RING_LINES_MAX + CUT_LINES ||
      (this.#chars > RING_CHARS_MAX && this.#lines.length > 1)
    )
      this.drop(Math.min(CUT_LINES, this.#lines.length - 1));
  }

  drop(count: number): void {
    for (const line of this.#lines.splice(0, count)) {
      this.#chars -= line.length;
      this.#first += 1;
    }
  }

  slice(from: number, limit: number): string[] {
    const start = Math.max(0, from - this.#first);
    return this.#lines.slice(start, start + limit);
  }
}
