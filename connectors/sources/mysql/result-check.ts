/** Whether the columns of a result are those that the decoder was made for. */
import type { SelectedField } from "./read-query.ts";
import type { ResultField } from "./wire/packets.ts";

/** Numbers of types in column definitions. @see MySQL source, include/field_types.h */
const types = {
  decimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  varchar: 15,
  bit: 16,
  vector: 242,
  json: 245,
  newdecimal: 246,
  enum: 247,
  set: 248,
  tinyBlob: 249,
  mediumBlob: 250,
  longBlob: 251,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const;

const stringTypes: ReadonlySet<number> = new Set([
  types.varchar,
  types.vector,
  types.json,
  types.enum,
  types.set,
  types.tinyBlob,
  types.mediumBlob,
  types.longBlob,
  types.blob,
  types.varString,
  types.string,
]);
const decimalTypes: ReadonlySet<number> = new Set([
  types.decimal,
  types.newdecimal,
]);

/** Number of the collation of bytes that are no text. */
const BINARY = 63;

/** Types in which text and bytes are told apart by the collation; documents are said to be binary by some servers. */
const collatedTypes = new Set([
  "char",
  "varchar",
  "tinytext",
  "text",
  "mediumtext",
  "longtext",
  "binary",
  "varbinary",
  "tinyblob",
  "blob",
  "mediumblob",
  "longblob",
]);

/** Whether values of the result's column lie on the wire, and mean, what the field's kind says. */
export function isExpected(field: SelectedField, found: ResultField): boolean {
  const { type, isUnsigned } = found;
  switch (field.kind) {
    case "bool8":
    case "int8":
      return type === types.tiny && !isUnsigned;
    case "uint8":
      return type === types.tiny && isUnsigned;
    case "int16":
      return (type === types.short && !isUnsigned) || type === types.year;
    case "uint16":
      return type === types.short && isUnsigned;
    case "bits32":
      if (field.logical === "float32") return type === types.float;
      return type === types.int24 || (type === types.long && !isUnsigned);
    case "uint32":
      return type === types.long && isUnsigned;
    case "bits64":
      if (field.logical === "float64") return type === types.double;
      return (
        type === types.longlong && isUnsigned === (field.logical === "uint64")
      );
    case "bool":
    case "bits":
      return type === types.bit;
    case "decimal64":
    case "decimal128":
      return decimalTypes.has(type) && found.decimals === field.scale;
    case "date":
      return type === types.date;
    case "datetime":
      return (
        type ===
        (field.logical === "timestamp" ? types.datetime : types.timestamp)
      );
    case "time":
      return type === types.time;
    case "uuid":
      return (
        type === types.string &&
        (found.extendedType === "" || found.extendedType === "uuid")
      );
    case "geometry":
      return type === types.geometry;
    case "bytes":
      return isExpectedString(field, found);
  }
}

function isExpectedString(field: SelectedField, found: ResultField): boolean {
  if (field.logical === "decimalText") return decimalTypes.has(found.type);
  if (!stringTypes.has(found.type)) return false;
  const dataType = field.column?.dataType;
  if (dataType === undefined || !collatedTypes.has(dataType)) return true;
  return (found.charset === BINARY) === (field.logical === "binary");
}
