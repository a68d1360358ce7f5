/** Values out of column buffers, as JavaScript has them; `types.ts` says which kind becomes what. */
import type { ColumnVector } from "../proto/columns.ts";
import type { LogicalType } from "../proto/schema.ts";
import {
  formatClock,
  formatDate,
  formatDecimal,
  formatMoment,
  formatUuid,
  isSet,
} from "../connectors/sources/batches/read-value.ts";
import type { Value } from "./types.ts";

export type ReadValue = (row: number) => Value;

const UUID_BYTES = 16;
const WIDE_BYTES = 16;

/** For one batch; NULL is read as null. */
export function readColumn(
  type: LogicalType,
  column: ColumnVector,
  json: "text" | "parse",
): ReadValue {
  const read = readPresent(type, column, json);
  const { validity } = column;
  if (validity === null) return read;
  return (row) => (isSet(validity, row) ? read(row) : null);
}

function readPresent(
  { kind, scale = 0 }: LogicalType,
  { data, offsets }: ColumnVector,
  json: "text" | "parse",
): ReadValue {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const int64 = (row: number): bigint => view.getBigInt64(8 * row, true);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const begin = (row: number): number => offsets?.[row] ?? 0;
  const text = (row: number): string =>
    bytes.toString("utf8", begin(row), begin(row + 1));
  const moment = (row: number, digits: number): string =>
    formatMoment(int64(row), digits).replace(" ", "T");
  switch (kind) {
    case "boolean":
      return (row) => isSet(data, row);
    case "int16":
      return (row) => view.getInt16(2 * row, true);
    case "int32":
      return (row) => view.getInt32(4 * row, true);
    case "int64":
      return int64;
    case "uint64":
      return (row) => view.getBigUint64(8 * row, true);
    case "float32":
      return (row) => view.getFloat32(4 * row, true);
    case "float64":
      return (row) => view.getFloat64(8 * row, true);
    case "decimal64":
      return (row) => formatDecimal(int64(row), scale);
    case "decimal128":
      return (row) => {
        const low = view.getBigUint64(WIDE_BYTES * row, true);
        const high = view.getBigInt64(WIDE_BYTES * row + 8, true);
        return formatDecimal((high << 64n) | low, scale);
      };
    case "date":
      return (row) => formatDate(view.getInt32(4 * row, true));
    case "time":
      return (row) => formatClock(int64(row), 6);
    case "timeNs":
      return (row) => formatClock(int64(row), 9);
    case "timestamp":
      return (row) => moment(row, 6);
    case "timestamptz":
      return (row) => `${moment(row, 6)}Z`;
    case "timestampNs":
      return (row) => moment(row, 9);
    case "uuid":
      return (row) =>
        formatUuid(bytes.subarray(UUID_BYTES * row, UUID_BYTES * (row + 1)));
    case "json":
      if (json === "parse") return (row) => JSON.parse(text(row)) as Value;
      return text;
    case "text":
    case "decimalText":
      return text;
    case "binary":
      return (row) => data.slice(begin(row), begin(row + 1));
  }
}
