/**
 * Types and values of a client's parameters.
 * @see [MS-TDS] 2.2.5.4 "Data Type Definitions", 2.2.5.5 "Data Type Dependent Data Streams"
 */
import type { Cursor } from "../wire/cursor.ts";
import { readCollation } from "./collations.ts";
import type { Storage } from "./storage.ts";
import { declareType, makeType, type Kind, type SqlType } from "./types.ts";
import { readBareValue } from "./values.ts";

const MAX_LENGTH = 0xffff;
/** A value in pieces may be at most this long. */
const VALUE_BYTES_MAX = 1 << 30;

const byLength: Record<number, Record<number, Kind>> = {
  0x26: { 1: "tinyint", 2: "smallint", 4: "int", 8: "bigint" },
  0x68: { 1: "bit" },
  0x6d: { 4: "real", 8: "float" },
  0x6e: { 4: "smallmoney", 8: "money" },
  0x6f: { 4: "smalldatetime", 8: "datetime" },
};

const fixed: Record<number, Kind> = {
  0x30: "tinyint",
  0x32: "bit",
  0x34: "smallint",
  0x38: "int",
  0x3a: "smalldatetime",
  0x3b: "real",
  0x3c: "money",
  0x3d: "datetime",
  0x3e: "float",
  0x7a: "smallmoney",
  0x7f: "bigint",
};

const scaled: Record<number, Kind> = {
  0x29: "time",
  0x2a: "datetime2",
  0x2b: "datetimeoffset",
};

const sized: Record<number, Kind> = {
  0xa5: "varbinary",
  0xa7: "varchar",
  0xad: "binary",
  0xaf: "char",
  0xe7: "nvarchar",
  0xef: "nchar",
};

const long: Record<number, Kind> = {
  0x23: "text",
  0x22: "image",
  0x63: "ntext",
};

export interface ParameterType {
  readonly type: SqlType;
  /** Values have no length in front. */
  readonly isBare: boolean;
}

/** @throws RangeError for a type that no parameter has */
export function readParameterType(cursor: Cursor): ParameterType {
  const code = cursor.u8();
  const given = (type: SqlType): ParameterType => ({ type, isBare: false });
  if (code === 0x1f) return given(makeType("nvarchar", { length: 1 }));
  const ofFixed = fixed[code];
  if (ofFixed !== undefined) return { type: makeType(ofFixed), isBare: true };
  const lengths = byLength[code];
  if (lengths !== undefined) {
    const kind = lengths[cursor.u8()];
    if (kind === undefined) throw new RangeError(`no length of type ${code}`);
    return given(makeType(kind));
  }
  if (code === 0x28) return given(makeType("date"));
  const ofScale = scaled[code];
  if (ofScale !== undefined)
    return given(makeType(ofScale, { scale: cursor.u8() }));
  const ofSize = sized[code];
  if (ofSize !== undefined) {
    const bytes = cursor.u16();
    const isText = code !== 0xa5 && code !== 0xad;
    const collation = isText ? readCollation(cursor.take(5)) : null;
    const units = code === 0xe7 || code === 0xef ? bytes / 2 : bytes;
    const length = bytes === MAX_LENGTH ? -1 : Math.max(1, units);
    return given(makeType(ofSize, { length, collation }));
  }
  const ofLong = long[code];
  if (ofLong !== undefined) {
    cursor.u32();
    const collation = code === 0x22 ? null : readCollation(cursor.take(5));
    return given(makeType(ofLong, { collation }));
  }
  switch (code) {
    case 0x24:
      cursor.u8();
      return given(makeType("uniqueidentifier"));
    case 0x6a:
    case 0x6c: {
      cursor.u8();
      const kind = code === 0x6a ? "decimal" : "numeric";
      const precision = cursor.u8();
      return given(makeType(kind, { precision, scale: cursor.u8() }));
    }
    case 0x62:
      cursor.u32();
      return given(makeType("sql_variant"));
    case 0xf1:
      if (cursor.u8() !== 0) {
        cursor.shortText();
        cursor.shortText();
        cursor.longText();
      }
      return given(declareType("xml", []));
    default:
      throw new RangeError(`a parameter of type 0x${code.toString(16)}`);
  }
}

function readPartial(cursor: Cursor): Buffer | null {
  const whole = cursor.u64();
  if (whole === 0xffff_ffff_ffff_ffffn) return null;
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const length = cursor.u32();
    if (length === 0) return Buffer.concat(chunks);
    total += length;
    if (total > VALUE_BYTES_MAX)
      throw new RangeError(`a value above ${VALUE_BYTES_MAX} bytes`);
    chunks.push(cursor.take(length));
  }
}

export function readParameterValue(
  cursor: Cursor,
  { type, isBare }: ParameterType,
): Storage {
  const read = (bytes: Buffer | null) =>
    bytes === null ? null : readBareValue(bytes, type);
  if (isBare) {
    const widths: Partial<Record<Kind, number>> = {
      ...{ tinyint: 1, bit: 1, smallint: 2, int: 4, smalldatetime: 4 },
      ...{ real: 4, smallmoney: 4 },
    };
    return read(cursor.take(widths[type.kind] ?? 8));
  }
  if (type.length === -1 || type.kind === "xml")
    return read(readPartial(cursor));
  if (["text", "ntext", "image", "sql_variant"].includes(type.kind)) {
    const length = cursor.i32();
    return length === -1 || (length === 0 && type.kind === "sql_variant")
      ? null
      : read(cursor.take(length));
  }
  if (type.length !== 0) {
    const length = cursor.u16();
    return length === MAX_LENGTH ? null : read(cursor.take(length));
  }
  const length = cursor.u8();
  return length === 0 ? null : read(cursor.take(length));
}
