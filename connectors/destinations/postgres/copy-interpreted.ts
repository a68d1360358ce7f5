/** The encoder in readable form: one closure per column. For wide tables, and where no code may be generated. */
import type { ColumnBatch, ColumnVector } from "../../../proto/columns.ts";
import {
  DATE_MAX,
  DATE_MIN,
  EPOCH_DAYS,
  EPOCH_US_HIGH,
  EPOCH_US_LOW,
  fixedRowBytes,
  isVariable,
  refuseTime,
  TIMESTAMP_HIGH_MIN,
  wordsOf,
  writeBytes,
  writeCut,
  writeTimestampText,
  writeTimeText,
  type CopyEncoder,
  type CopyPlan,
} from "./copy-plan.ts";
import type { CopyBuffer } from "./copy-buffer.ts";
import {
  refuseNumeric,
  writeNumeric128,
  writeNumeric64,
  writeNumericText,
} from "./numeric.ts";

const TWO_POW_32 = 4294967296;

/** Writes the value of a row at `at`, length word and all, and returns the place behind. */
type WriteValue = (
  out: Uint8Array,
  view: DataView,
  at: number,
  row: number,
) => number;

export function createInterpretedEncoder(plan: CopyPlan): CopyEncoder {
  const { columns, withOrder } = plan;
  const fixed = fixedRowBytes(plan);
  const variable = [...columns.keys()].filter((i) =>
    isVariable(columns[i]?.copyKind ?? "bytes"),
  );
  return {
    encode(buffer, batch, from, rowsMax, bytesMax) {
      const writers = columns.map((_, i) =>
        withNulls(columnOf(batch, i), createWriter(plan, i, batch)),
      );
      const end = Math.min(batch.rowCount, from + rowsMax - buffer.rows);
      let row = from;
      for (; row < end; row++) {
        let bytes = fixed;
        for (const i of variable) {
          const offsets = columnOf(batch, i).offsets;
          bytes += (offsets?.[row + 1] ?? 0) - (offsets?.[row] ?? 0);
        }
        if (buffer.at + bytes > bytesMax && buffer.rows > 0) break;
        buffer.openRow(bytes);
        const { out, view } = buffer;
        let { at } = buffer;
        view.setInt16(at, columns.length + (withOrder ? 1 : 0));
        at += 2;
        for (const write of writers) at = write(out, view, at, row);
        if (withOrder) at = writeOrder(buffer, at);
        buffer.at = at;
        buffer.rows += 1;
      }
      return row;
    },
  };
}

function writeOrder(buffer: CopyBuffer, at: number): number {
  const { view, sequence } = buffer;
  view.setInt32(at, 8);
  view.setInt32(at + 4, Math.floor(sequence / TWO_POW_32));
  view.setInt32(at + 8, sequence | 0);
  buffer.sequence += 1;
  return at + 12;
}

function columnOf(batch: ColumnBatch, i: number): ColumnVector {
  const column = batch.columns[i];
  if (!column) throw new RangeError(`no column ${i} in the batch`);
  return column;
}

function withNulls(column: ColumnVector, write: WriteValue): WriteValue {
  const { validity } = column;
  if (column.nullCount === 0 || validity === null) return write;
  return (out, view, at, row) => {
    if (((validity[row >> 3] ?? 0) & (1 << (row & 7))) !== 0)
      return write(out, view, at, row);
    view.setInt32(at, -1);
    return at + 4;
  };
}

function createWriter(
  plan: CopyPlan,
  i: number,
  batch: ColumnBatch,
): WriteValue {
  const column = columnOf(batch, i);
  const { data } = column;
  const target = plan.columns[i];
  if (!target) throw new RangeError(`no column ${i} in the plan`);
  const { scale } = target;
  const offsets = column.offsets ?? new Int32Array(0);
  const words = isVariable(target.copyKind)
    ? new Int32Array(0)
    : wordsOf(column);
  const low = (row: number): number => words[2 * row] ?? 0;
  const high = (row: number): number => words[2 * row + 1] ?? 0;
  const from = (row: number): number => offsets[row] ?? 0;
  switch (target.copyKind) {
    case "bool":
      return (out, view, at, row) => {
        view.setInt32(at, 1);
        out[at + 4] = ((data[row >> 3] ?? 0) >> (row & 7)) & 1;
        return at + 5;
      };
    case "int16": {
      const values = new DataView(data.buffer, data.byteOffset);
      return (_, view, at, row) => {
        view.setInt32(at, 2);
        view.setInt16(at + 4, values.getInt16(2 * row, true));
        return at + 6;
      };
    }
    case "bits32":
      return (_, view, at, row) => writeWord(view, at, words[row] ?? 0);
    case "bits64":
      return (_, view, at, row) => writeHalves(view, at, low(row), high(row));
    case "bits128":
      return (out, view, at, row) =>
        writeBytes(out, view, at, data, 16 * row, 16 * row + 16);
    case "date":
      return (_, view, at, row) => {
        const days = (words[row] ?? 0) - EPOCH_DAYS;
        if (days < DATE_MIN || days > DATE_MAX) refuseTime(plan, i);
        return writeWord(view, at, days);
      };
    case "timestamp":
      return (_, view, at, row) => {
        if (high(row) < TIMESTAMP_HIGH_MIN) refuseTime(plan, i);
        const borrow = low(row) >>> 0 < EPOCH_US_LOW >>> 0 ? 1 : 0;
        return writeHalves(
          view,
          at,
          low(row) - EPOCH_US_LOW,
          high(row) - EPOCH_US_HIGH - borrow,
        );
      };
    case "uint64":
      return (_, view, at, row) =>
        writeNumeric64(view, at, low(row), high(row) >>> 0, 0, true);
    case "decimal64":
      return (_, view, at, row) =>
        writeNumeric64(view, at, low(row), high(row), scale, false);
    case "decimal128":
      return (_, view, at, row) =>
        writeNumeric128(view, at, words, 4 * row, scale);
    case "decimalText":
      return (_, view, at, row) => {
        const end = writeNumericText(view, at, data, from(row), from(row + 1));
        if (end < 0)
          refuseNumeric(
            plan.table,
            target.name,
            data,
            from(row),
            from(row + 1),
          );
        return end;
      };
    case "bytes":
      return (out, view, at, row) =>
        writeBytes(out, view, at, data, from(row), from(row + 1));
    case "jsonb":
      return (out, view, at, row) => {
        const end = writeBytes(
          out,
          view,
          at + 1,
          data,
          from(row),
          from(row + 1),
        );
        view.setInt32(at, end - at - 4);
        out[at + 4] = 1;
        return end;
      };
    case "timeText":
      return (out, view, at, row) =>
        writeTimeText(out, view, at, low(row), high(row));
    case "timestampText":
      return (out, view, at, row) =>
        writeTimestampText(out, view, at, low(row), high(row));
    case "timeCut":
      return (_, view, at, row) =>
        writeCut(view, at, low(row), high(row), 0, 0);
    case "timestampCut":
      return (_, view, at, row) =>
        writeCut(view, at, low(row), high(row), EPOCH_US_HIGH, EPOCH_US_LOW);
  }
}

function writeWord(view: DataView, at: number, word: number): number {
  view.setInt32(at, 4);
  view.setInt32(at + 4, word);
  return at + 8;
}

function writeHalves(
  view: DataView,
  at: number,
  low: number,
  high: number,
): number {
  view.setInt32(at, 8);
  view.setInt32(at + 4, high);
  view.setInt32(at + 8, low);
  return at + 12;
}
