/** Writes one column's values as text, row by row. */
import type { ColumnVector } from "../../../proto/columns.ts";

/** The byte around values that are not numbers: a double quote, or none. */
export type Quote = 34 | null;

export abstract class ValueWriter {
  /** Bytes that any value takes at most; for variable width, what comes on top of `bound`. */
  abstract readonly bytesMax: number;
  validity: Uint8Array | null = null;

  /** Lays the writer over a batch's column; the vector is borrowed until the next call. */
  bind(vector: ColumnVector, rowCount: number): void {
    this.validity = vector.nullCount > 0 ? vector.validity : null;
    this.bindData(vector, rowCount);
  }

  /** Forgets the batch, so that its memory is not held. */
  abstract unbind(): void;

  /** Writes the present value of `row` at `at`, where there is room for it; returns the place behind it. */
  abstract write(row: number, out: Uint8Array, at: number): number;

  /** Bytes that the values of `[from, end)` take at most beyond `bytesMax` for each. */
  bound(_from: number, _end: number): number {
    return 0;
  }

  protected abstract bindData(vector: ColumnVector, rowCount: number): void;
}

const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);
const NO_OFFSETS = new Int32Array(1);

/** For the kinds with offsets. */
export abstract class BytesWriter extends ValueWriter {
  protected bytes: Uint8Array = NO_BYTES;
  protected offsets: Int32Array = NO_OFFSETS;

  unbind(): void {
    this.bytes = NO_BYTES;
    this.offsets = NO_OFFSETS;
    this.validity = null;
  }

  protected bindData(vector: ColumnVector): void {
    this.bytes = vector.data;
    this.offsets = vector.offsets!;
  }
}

/** Fixed-width values as 32-bit words, `width` for each. */
export abstract class WordsWriter extends ValueWriter {
  protected words: Int32Array = NO_WORDS;
  readonly #width: number;

  constructor(width: number) {
    super();
    this.#width = width;
  }

  unbind(): void {
    this.words = NO_WORDS;
    this.validity = null;
  }

  protected bindData(vector: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = vector.data;
    this.words = new Int32Array(buffer, byteOffset, rowCount * this.#width);
  }
}
