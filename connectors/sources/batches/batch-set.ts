/**
 * The buffers that rows are decoded into: one set is one batch in the making, in the Arrow layout that travels on.
 * All parts of fixed size share one allocation; values of variable width have one growing buffer per column.
 */
import { strict as assert } from "node:assert";
import {
  BATCH_BYTES_MAX,
  BATCH_ROWS_MAX,
  type ColumnBatch,
  type ColumnVector,
} from "../../../proto/columns.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  fixedWidthBytes,
  isVariableWidth,
  type LogicalKind,
} from "../../../proto/schema.ts";

/** First size of a variable-width buffer, in bytes. */
const VALUES_BYTES_MIN = 4 * 1024;
/** A variable-width buffer above this is given up after its batch: it was made for one large row. */
const VALUES_BYTES_KEPT = 2 * BATCH_BYTES_MAX;

/** What the buffers of a column depend on. */
export interface ColumnPlan {
  readonly logical: LogicalKind;
  readonly nullable: boolean;
}

/** One column's buffers and how far they are filled. Decoders write to these fields directly. */
export interface ColumnStore {
  /** All ones at the start of a batch; null where the column cannot hold NULL. */
  readonly validity: Uint8Array | null;
  nullCount: number;
  /** Fixed-width values: the bytes, and the same as 16-bit and 32-bit words. */
  readonly fixed: Uint8Array;
  readonly halves: Int16Array;
  readonly words: Int32Array;
  /** Variable width: rowCount + 1 offsets, the values, and the end of the last value. */
  readonly offsets: Int32Array | null;
  values: Uint8Array;
  valuesView: DataView;
  end: number;
}

export class BatchSet {
  /** Rows that fit. */
  readonly capacity: number;
  readonly columns: readonly ColumnStore[];
  rowCount = 0;
  /** At least the bytes of the batch so far; `measure` makes it exact. */
  bytesBound = 0;
  /** No row more: it must be handed on and reset. */
  isFull = false;
  /** Bytes of one row without its variable-width values, rounded up. */
  readonly rowBytes: number;
  readonly #fields: readonly ColumnPlan[];

  constructor(fields: readonly ColumnPlan[], capacity: number) {
    assert(capacity > 0 && capacity <= BATCH_ROWS_MAX);
    this.#fields = fields;
    this.capacity = capacity;
    this.rowBytes = fixedRowBytes(fields);
    const buffer = new ArrayBuffer(
      fields.reduce((sum, field) => sum + fixedBytes(field, capacity), 0),
    );
    let offset = 0;
    this.columns = fields.map((field) => {
      const store = layStore(buffer, offset, field, capacity);
      offset += fixedBytes(field, capacity);
      return store;
    });
    this.reset();
  }

  /** Makes the set empty for the next batch. */
  reset(): void {
    this.rowCount = 0;
    this.bytesBound = 0;
    this.isFull = false;
    for (const [index, store] of this.columns.entries()) {
      store.validity?.fill(255);
      store.nullCount = 0;
      store.end = 0;
      if (this.#fields[index]?.logical === "boolean") store.fixed.fill(0);
      if (store.offsets !== null) store.offsets[0] = 0;
      if (store.values.length > VALUES_BYTES_KEPT) {
        replaceValues(store, VALUES_BYTES_MIN);
      }
    }
  }

  /** Makes `bytesBound` exact and returns it. */
  measure(): number {
    let bytes = this.rowCount * this.rowBytes;
    for (const store of this.columns) bytes += store.end;
    this.bytesBound = bytes;
    return bytes;
  }

  /** The first `columnCount` columns as a batch that borrows this set's memory until `reset`. */
  toBatch(columnCount: number): ColumnBatch {
    const rowCount = this.rowCount;
    const columns: ColumnVector[] = [];
    for (let index = 0; index < columnCount; index++) {
      const field = this.#fields[index];
      const store = this.columns[index];
      assert(field !== undefined && store !== undefined);
      columns.push(toVector(field, store, rowCount));
    }
    return { rowCount, columns };
  }
}

/** Rows of a batch of these fields: what the batch's bounds allow, and no more than `rowsWanted`. */
export function batchCapacity(
  fields: readonly ColumnPlan[],
  rowsWanted: number,
): number {
  const rowsByBytes = Math.floor(BATCH_BYTES_MAX / fixedRowBytes(fields));
  return Math.max(1, Math.min(BATCH_ROWS_MAX, rowsByBytes, rowsWanted));
}

/**
 * Makes room for `byteCount` bytes behind the column's last value, and returns the buffer.
 * @throws ExtractError SOURCE_ROW_TOO_LARGE where the process has no memory for it
 */
export function growValues(store: ColumnStore, byteCount: number): Uint8Array {
  const needed = store.end + byteCount;
  if (needed > store.values.length) {
    replaceValues(store, Math.max(needed, 2 * store.values.length));
  }
  return store.values;
}

/** Ends a value of variable width where the buffer's bytes end. */
export function endValue({ offsets, end }: ColumnStore, row: number): void {
  if (offsets !== null) offsets[row + 1] = end;
}

/** Marks the row's value as NULL, with zeros or nothing in its place. */
export function writeNull(
  store: ColumnStore,
  logical: LogicalKind,
  row: number,
): void {
  const { validity, offsets, words } = store;
  if (validity !== null)
    validity[row >> 3] = (validity[row >> 3] ?? 0) & ~(1 << (row & 7));
  store.nullCount++;
  if (offsets !== null) {
    offsets[row + 1] = store.end;
    return;
  }
  switch (logical) {
    case "boolean":
      return;
    case "int16":
      store.halves[row] = 0;
      return;
    case "int32":
    case "float32":
    case "date":
      words[row] = 0;
      return;
    case "decimal128":
    case "uuid":
      words.fill(0, 4 * row, 4 * row + 4);
      return;
    default:
      words[2 * row] = 0;
      words[2 * row + 1] = 0;
  }
}

function replaceValues(store: ColumnStore, byteCount: number): void {
  let values: Uint8Array<ArrayBuffer>;
  try {
    values = new Uint8Array(new ArrayBuffer(align(byteCount)));
  } catch (cause) {
    throw new ExtractError(
      "SOURCE_ROW_TOO_LARGE",
      `no memory for a column of ${byteCount} bytes`,
      { bytes: byteCount },
      { cause },
    );
  }
  values.set(store.values.subarray(0, store.end));
  store.values = values;
  store.valuesView = new DataView(values.buffer);
}

function toVector(
  field: ColumnPlan,
  store: ColumnStore,
  rowCount: number,
): ColumnVector {
  const bitmapBytes = Math.ceil(rowCount / 8);
  let validity: Uint8Array | null = null;
  if (store.nullCount > 0 && store.validity !== null) {
    validity = store.validity.subarray(0, bitmapBytes);
    const spareBits = bitmapBytes * 8 - rowCount;
    const last = bitmapBytes - 1;
    validity[last] = (validity[last] ?? 0) & (255 >> spareBits);
  }
  if (store.offsets !== null) {
    return {
      nullCount: store.nullCount,
      validity,
      offsets: store.offsets.subarray(0, rowCount + 1),
      data: store.values.subarray(0, store.end),
    };
  }
  const bytes =
    field.logical === "boolean"
      ? bitmapBytes
      : rowCount * fixedWidthBytes[field.logical];
  return {
    nullCount: store.nullCount,
    validity,
    offsets: null,
    data: store.fixed.subarray(0, bytes),
  };
}

function fixedRowBytes(fields: readonly ColumnPlan[]): number {
  let bits = 0;
  for (const field of fields) {
    bits += isVariableWidth(field.logical)
      ? 32
      : field.logical === "boolean"
        ? 1
        : fixedWidthBytes[field.logical] * 8;
    if (field.nullable) bits += 1;
  }
  return Math.ceil(bits / 8);
}

function fixedBytes(field: ColumnPlan, capacity: number): number {
  const validity = field.nullable ? bitmapSize(capacity) : 0;
  return validity + dataSize(field, capacity);
}

function dataSize(field: ColumnPlan, capacity: number): number {
  if (isVariableWidth(field.logical)) return align(4 * (capacity + 1));
  if (field.logical === "boolean") return bitmapSize(capacity);
  return align(fixedWidthBytes[field.logical] * capacity);
}

function bitmapSize(rows: number): number {
  return align(Math.ceil(rows / 8));
}

function align(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function layStore(
  buffer: ArrayBuffer,
  offset: number,
  field: ColumnPlan,
  capacity: number,
): ColumnStore {
  const validityBytes = field.nullable ? bitmapSize(capacity) : 0;
  const dataOffset = offset + validityBytes;
  const size = dataSize(field, capacity);
  const isVariable = isVariableWidth(field.logical);
  const values = isVariable
    ? new Uint8Array(new ArrayBuffer(VALUES_BYTES_MIN))
    : new Uint8Array(0);
  return {
    validity: field.nullable
      ? new Uint8Array(buffer, offset, validityBytes)
      : null,
    nullCount: 0,
    fixed: new Uint8Array(buffer, dataOffset, size),
    halves: new Int16Array(buffer, dataOffset, size / 2),
    words: new Int32Array(buffer, dataOffset, size / 4),
    offsets: isVariable
      ? new Int32Array(buffer, dataOffset, capacity + 1)
      : null,
    values,
    valuesView: new DataView(values.buffer),
    end: 0,
  };
}
