/**
 * A column's values as bytes, one at a time: what is hashed, encrypted and masked. Text, json, decimals kept as text and
 * binary are as they lie; all else is the text that CSV files have (`connectors/formats/README.md`).
 */
import type { ColumnVector } from "../../proto/columns.ts";
import { isVariableWidth, type LogicalType } from "../../proto/schema.ts";
import { createScalarWriter } from "../formats/text/scalar-writers.ts";
import type { ValueWriter } from "../formats/text/value-writer.ts";

/** The longest of the fixed-width kinds, a decimal128, has 42 characters. */
const SCALAR_BYTES_MAX = 64;
const NO_BYTES = new Uint8Array(0);
const NO_OFFSETS = new Int32Array(1);

export class ValueBytes {
  /** Where the value lies that was located last: from `start` to `end`. */
  bytes: Uint8Array = NO_BYTES;
  start = 0;
  end = 0;
  readonly #writer: ValueWriter | null;
  readonly #scratch = new Uint8Array(SCALAR_BYTES_MAX);
  #offsets: Int32Array = NO_OFFSETS;
  #validity: Uint8Array | null = null;

  constructor(type: LogicalType) {
    this.#writer = isVariableWidth(type.kind)
      ? null
      : createScalarWriter(type, null);
  }

  /** Lays it over a batch's column, which is borrowed until `unbind`. */
  bind(vector: ColumnVector, rowCount: number): void {
    this.#validity = vector.nullCount > 0 ? vector.validity : null;
    if (this.#writer !== null) {
      this.#writer.bind(vector, rowCount);
      this.bytes = this.#scratch;
      this.start = 0;
    } else {
      this.bytes = vector.data;
      this.#offsets = vector.offsets!;
    }
  }

  unbind(): void {
    this.#writer?.unbind();
    this.bytes = NO_BYTES;
    this.#offsets = NO_OFFSETS;
    this.#validity = null;
  }

  /** False for NULL; else `bytes`, `start` and `end` say where the value is, until the next call. */
  locate(row: number): boolean {
    const validity = this.#validity;
    if (validity !== null && (validity[row >>> 3]! & (1 << (row & 7))) === 0)
      return false;
    if (this.#writer !== null)
      this.end = this.#writer.write(row, this.#scratch, 0);
    else {
      this.start = this.#offsets[row]!;
      this.end = this.#offsets[row + 1]!;
    }
    return true;
  }
}
