/** Writers of dates and times. */
import {
  DATE_CHARS_MAX,
  TIMESTAMP_CHARS_MAX,
  writeDate,
  writeTime,
  writeTimestamp,
} from "./calendar.ts";
import { TWO_POW_32 } from "./digits.ts";
import { WordsWriter, type Quote } from "./value-writer.ts";

const LETTER_Z = 90;

export class DateWriter extends WordsWriter {
  readonly bytesMax = DATE_CHARS_MAX + 2;
  readonly #quote: Quote;

  constructor(quote: Quote) {
    super(1);
    this.#quote = quote;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const days = this.words[row]!;
    if (this.#quote === null) return writeDate(out, at, days);
    out[at] = this.#quote;
    const end = writeDate(out, at + 1, days);
    out[end] = this.#quote;
    return end + 1;
  }
}

export class TimeWriter extends WordsWriter {
  readonly bytesMax = 20;
  readonly #unitsPerSecond: number;
  readonly #quote: Quote;

  constructor(unitsPerSecond: number, quote: Quote) {
    super(2);
    this.#unitsPerSecond = unitsPerSecond;
    this.#quote = quote;
  }

  write(row: number, out: Uint8Array, at: number): number {
    const value =
      this.words[row * 2 + 1]! * TWO_POW_32 + (this.words[row * 2]! >>> 0);
    if (this.#quote === null)
      return writeTime(out, at, value, this.#unitsPerSecond);
    out[at] = this.#quote;
    const end = writeTime(out, at + 1, value, this.#unitsPerSecond);
    out[end] = this.#quote;
    return end + 1;
  }
}

export class TimestampWriter extends WordsWriter {
  readonly bytesMax = TIMESTAMP_CHARS_MAX + 2;
  readonly #unitsPerSecond: number;
  readonly #isUtc: boolean;
  readonly #quote: Quote;

  constructor(unitsPerSecond: number, isUtc: boolean, quote: Quote) {
    super(2);
    this.#unitsPerSecond = unitsPerSecond;
    this.#isUtc = isUtc;
    this.#quote = quote;
  }

  write(row: number, out: Uint8Array, at: number): number {
    let end = at;
    if (this.#quote !== null) out[end++] = this.#quote;
    const low = this.words[row * 2]!;
    const high = this.words[row * 2 + 1]!;
    end = writeTimestamp(out, end, low, high, this.#unitsPerSecond);
    if (this.#isUtc) out[end++] = LETTER_Z;
    if (this.#quote !== null) out[end++] = this.#quote;
    return end;
  }
}
