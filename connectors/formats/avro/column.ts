/**
 * Writes one column into rows, several rows at a time: each value goes to where its row has got to. So the loops run
 * down one column with one kind of value, as the buffers lie, though the file has row behind row.
 */
import assert from "node:assert/strict";
import type { ColumnVector } from "../../../proto/columns.ts";

/** Index 1 of the union, the branch behind null, as a zigzag varint. */
const BRANCH_VALUE = 2;

export abstract class AvroColumn {
  /** Bytes of any present value, where all have the same number; else 0, and `addValueSizes` tells. */
  abstract readonly fixedBytes: number;
  /** Null while no value of the batch is. */
  protected validity: Uint8Array | null = null;
  readonly #nullable: boolean;
  #nullsExpected = 0;
  #nullsWritten = 0;

  constructor(nullable: boolean) {
    this.#nullable = nullable;
  }

  /** Lays the column over a batch; the vector is borrowed until `unbind`. */
  bind(vector: ColumnVector, rowCount: number): void {
    assert(this.#nullable || vector.nullCount === 0, "nulls where none may be");
    this.validity = vector.nullCount > 0 ? vector.validity : null;
    this.#nullsExpected = vector.nullCount;
    this.#nullsWritten = 0;
    this.bindData(vector, rowCount);
  }

  /** Forgets the batch, so that its memory is not held. */
  unbind(): void {
    this.validity = null;
    this.releaseData();
    assert.equal(
      this.#nullsWritten,
      this.#nullsExpected,
      "nulls of the bitmap",
    );
  }

  /** Bytes that every row of the batch has of this column; `addSizes` adds the others. */
  get bytesOfEachRow(): number {
    const branch = this.#nullable ? 1 : 0;
    return this.validity === null ? branch + this.fixedBytes : branch;
  }

  /** Adds to `sizes`, from its front, what each of the rows takes beyond `bytesOfEachRow`. */
  addSizes(from: number, end: number, sizes: Int32Array): void {
    const bytes = this.fixedBytes;
    if (bytes === 0) return this.addValueSizes(from, end, sizes);
    const validity = this.validity;
    if (validity === null) return;
    for (let row = from; row < end; row++)
      if ((validity[row >>> 3]! & (1 << (row & 7))) !== 0)
        sizes[row - from]! += bytes;
  }

  /** Writes each row's value at its cursor and moves the cursor behind it. There is room. */
  write(
    from: number,
    end: number,
    out: Uint8Array,
    view: DataView,
    cursors: Int32Array,
  ): void {
    if (this.#nullable) this.#writeBranches(from, end, out, cursors);
    this.writeValues(from, end, out, view, cursors);
  }

  #writeBranches(
    from: number,
    end: number,
    out: Uint8Array,
    cursors: Int32Array,
  ): void {
    const validity = this.validity;
    if (validity === null) {
      for (let i = 0; i < end - from; i++) out[cursors[i]!++] = BRANCH_VALUE;
      return;
    }
    let present = 0;
    for (let row = from; row < end; row++) {
      const bit = (validity[row >>> 3]! >>> (row & 7)) & 1;
      out[cursors[row - from]!++] = bit * BRANCH_VALUE;
      present += bit;
    }
    this.#nullsWritten += end - from - present;
  }

  protected abstract bindData(vector: ColumnVector, rowCount: number): void;
  protected abstract releaseData(): void;
  protected abstract writeValues(
    from: number,
    end: number,
    out: Uint8Array,
    view: DataView,
    cursors: Int32Array,
  ): void;

  protected addValueSizes(
    _from: number,
    _end: number,
    _sizes: Int32Array,
  ): void {
    assert.fail("a column whose values have one size");
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Int32Array(0);
const NO_OFFSETS = new Int32Array(1);

/** Values as bytes. */
export abstract class DataColumn extends AvroColumn {
  protected data: Uint8Array = NO_BYTES;

  protected bindData(vector: ColumnVector, _rowCount: number): void {
    this.data = vector.data;
  }

  protected releaseData(): void {
    this.data = NO_BYTES;
  }
}

/** Values as 32-bit words. */
export abstract class WordsColumn extends AvroColumn {
  protected words: Int32Array = NO_WORDS;
  readonly #wordsEach: number;

  constructor(nullable: boolean, wordsEach: number) {
    super(nullable);
    this.#wordsEach = wordsEach;
  }

  protected bindData({ data }: ColumnVector, rowCount: number): void {
    const { buffer, byteOffset } = data;
    this.words = new Int32Array(buffer, byteOffset, rowCount * this.#wordsEach);
  }

  protected releaseData(): void {
    this.words = NO_WORDS;
  }
}

/** Values with offsets. */
export abstract class OffsetsColumn extends AvroColumn {
  protected data: Uint8Array = NO_BYTES;
  protected offsets: Int32Array = NO_OFFSETS;

  protected bindData({ data, offsets }: ColumnVector): void {
    this.data = data;
    this.offsets = offsets!;
  }

  protected releaseData(): void {
    this.data = NO_BYTES;
    this.offsets = NO_OFFSETS;
  }
}
