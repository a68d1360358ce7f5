/**
 * What each logical type becomes in Parquet.
 * @see Parquet "LogicalTypes.md" and parquet.thrift, SchemaElement
 */
import assert from "node:assert/strict";
import type { ColumnSchema, LogicalType } from "../../../proto/schema.ts";
import { BooleanValues } from "./boolean-values.ts";
import { ByteArrayValues } from "./byte-array-values.ts";
import { Fixed16Values } from "./fixed16-values.ts";
import { FloatValues } from "./float-values.ts";
import { Int32Values, Int64Values } from "./integer-values.ts";
import type { ThriftWriter } from "./thrift.ts";
import type { PageValues, Scratch } from "./values.ts";

export const physicalType = {
  boolean: 0,
  int32: 1,
  int64: 2,
  float: 4,
  double: 5,
  byteArray: 6,
  fixedLenByteArray: 7,
} as const;

/** The older annotation, for readers that do not know the newer. */
const convertedType = {
  utf8: 0,
  decimal: 5,
  date: 6,
  timestampMicros: 10,
  uint64: 14,
  int16: 16,
  json: 19,
} as const;

/** Field ids of the LogicalType union. */
const logicalField = {
  string: 1,
  decimal: 5,
  date: 6,
  time: 7,
  timestamp: 8,
  integer: 10,
  json: 12,
  uuid: 14,
} as const;

/** Field ids of the TimeUnit union. */
const timeUnit = { micros: 2, nanos: 3 } as const;

type Physical = (typeof physicalType)[keyof typeof physicalType];

export function physicalTypeOf(type: LogicalType): Physical {
  switch (type.kind) {
    case "boolean":
      return physicalType.boolean;
    case "int16":
    case "int32":
    case "date":
      return physicalType.int32;
    case "int64":
    case "uint64":
    case "decimal64":
    case "time":
    case "timestamp":
    case "timestamptz":
    case "timeNs":
    case "timestampNs":
      return physicalType.int64;
    case "float32":
      return physicalType.float;
    case "float64":
      return physicalType.double;
    case "decimal128":
    case "uuid":
      return physicalType.fixedLenByteArray;
    case "decimalText":
    case "text":
    case "json":
    case "binary":
      return physicalType.byteArray;
  }
}

export function createPageValues(
  type: LogicalType,
  scratch: Scratch,
  plainEncodings: boolean,
): PageValues {
  switch (physicalTypeOf(type)) {
    case physicalType.boolean:
      return new BooleanValues();
    case physicalType.int32:
      return new Int32Values(type.kind === "int16", scratch, plainEncodings);
    case physicalType.int64:
      return new Int64Values(type.kind === "uint64", scratch, plainEncodings);
    case physicalType.float:
    case physicalType.double:
      return new FloatValues(type.kind === "float64", scratch);
    case physicalType.fixedLenByteArray:
      return new Fixed16Values(type.kind === "decimal128", scratch);
    case physicalType.byteArray:
      return new ByteArrayValues(
        type.kind !== "binary",
        scratch,
        plainEncodings,
      );
  }
}

export function writeSchemaElement(
  thrift: ThriftWriter,
  column: ColumnSchema,
): void {
  const physical = physicalTypeOf(column.type);
  thrift.beginStruct();
  thrift.writeI32(1, physical);
  if (physical === physicalType.fixedLenByteArray) thrift.writeI32(2, 16);
  thrift.writeI32(3, column.nullable ? 1 : 0);
  thrift.writeString(4, column.name);
  writeAnnotation(thrift, column.type);
  thrift.endStruct();
}

/** Fields 6 (converted type), 7 and 8 (scale and precision) and 10 (logical type). */
function writeAnnotation(thrift: ThriftWriter, type: LogicalType): void {
  switch (type.kind) {
    case "int16":
      thrift.writeI32(6, convertedType.int16);
      writeInteger(thrift, 16, true);
      break;
    case "uint64":
      thrift.writeI32(6, convertedType.uint64);
      writeInteger(thrift, 64, false);
      break;
    case "decimal64":
    case "decimal128":
      writeDecimal(thrift, type);
      break;
    case "decimalText":
    case "text":
      thrift.writeI32(6, convertedType.utf8);
      writeEmpty(thrift, logicalField.string);
      break;
    case "json":
      thrift.writeI32(6, convertedType.json);
      writeEmpty(thrift, logicalField.json);
      break;
    case "date":
      thrift.writeI32(6, convertedType.date);
      writeEmpty(thrift, logicalField.date);
      break;
    case "uuid":
      writeEmpty(thrift, logicalField.uuid);
      break;
    // the older annotations of time and timestamp mean UTC, so only timestamptz has one
    case "time":
      writeTime(thrift, logicalField.time, false, timeUnit.micros);
      break;
    case "timeNs":
      writeTime(thrift, logicalField.time, false, timeUnit.nanos);
      break;
    case "timestamp":
      writeTime(thrift, logicalField.timestamp, false, timeUnit.micros);
      break;
    case "timestampNs":
      writeTime(thrift, logicalField.timestamp, false, timeUnit.nanos);
      break;
    case "timestamptz":
      thrift.writeI32(6, convertedType.timestampMicros);
      writeTime(thrift, logicalField.timestamp, true, timeUnit.micros);
      break;
    case "boolean":
    case "int32":
    case "int64":
    case "float32":
    case "float64":
    case "binary":
      break;
  }
}

function writeEmpty(thrift: ThriftWriter, field: number): void {
  thrift.beginStruct(10);
  thrift.beginStruct(field);
  thrift.endStruct();
  thrift.endStruct();
}

function writeInteger(
  thrift: ThriftWriter,
  bits: number,
  isSigned: boolean,
): void {
  thrift.beginStruct(10);
  thrift.beginStruct(logicalField.integer);
  thrift.writeByte(1, bits);
  thrift.writeBool(2, isSigned);
  thrift.endStruct();
  thrift.endStruct();
}

function writeDecimal(thrift: ThriftWriter, type: LogicalType): void {
  const { precision, scale } = type;
  assert(
    precision !== undefined && scale !== undefined,
    "a decimal has precision and scale",
  );
  thrift.writeI32(6, convertedType.decimal);
  thrift.writeI32(7, scale);
  thrift.writeI32(8, precision);
  thrift.beginStruct(10);
  thrift.beginStruct(logicalField.decimal);
  thrift.writeI32(1, scale);
  thrift.writeI32(2, precision);
  thrift.endStruct();
  thrift.endStruct();
}

function writeTime(
  thrift: ThriftWriter,
  field: number,
  isUtc: boolean,
  unit: number,
): void {
  thrift.beginStruct(10);
  thrift.beginStruct(field);
  thrift.writeBool(1, isUtc);
  thrift.beginStruct(2);
  thrift.beginStruct(unit);
  thrift.endStruct();
  thrift.endStruct();
  thrift.endStruct();
  thrift.endStruct();
}
