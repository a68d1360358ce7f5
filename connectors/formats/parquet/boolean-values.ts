/** Values of boolean columns: PLAIN is a bitmap, LSB first, as the column vector's. */
import type { ColumnVector } from "../../../proto/columns.ts";
import type { Bounds } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { compactBits } from "./compaction.ts";
import { exactBounds } from "./integer-values.ts";
import type { PageValues, ValueEncoding } from "./values.ts";

export class BooleanValues implements PageValues {
  readonly candidates: readonly ValueEncoding[] = ["plain"];
  readonly sortOrder = "bytes";
  readonly dictionaryEntries = 0;
  readonly dictionaryBytes = 0;
  readonly dictionaryHeldBytes = 0;
  #bits: Uint8Array = new Uint8Array(0);
  #count = 0;

  load(vector: ColumnVector, rowCount: number): number {
    const bytes = (rowCount + 7) >>> 3;
    if (this.#bits.length < bytes) this.#bits = new Uint8Array(bytes);
    if (vector.nullCount > 0) {
      this.#count = compactBits(
        vector.data,
        vector.validity!,
        rowCount,
        this.#bits,
      );
    } else {
      this.#bits.set(vector.data.subarray(0, bytes));
      // the bits behind the last row are nobody's
      if ((rowCount & 7) !== 0)
        this.#bits[bytes - 1]! &= (1 << (rowCount & 7)) - 1;
      this.#count = rowCount;
    }
    return this.#count;
  }

  encode(_encoding: ValueEncoding, sink: ByteSink): boolean {
    sink.append(this.#bits.subarray(0, (this.#count + 7) >>> 3));
    return true;
  }

  computeBounds(): Bounds {
    let trueCount = 0;
    for (let i = 0; i < this.#count; i += 8) {
      for (let bits = this.#bits[i >>> 3]!; bits !== 0; bits &= bits - 1)
        trueCount++;
    }
    return exactBounds(
      Uint8Array.of(trueCount === this.#count ? 1 : 0),
      Uint8Array.of(trueCount > 0 ? 1 : 0),
    );
  }

  appendDictionary(): void {}

  resetDictionary(): void {}
}
