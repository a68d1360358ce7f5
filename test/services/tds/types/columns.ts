/**
 * Column metadata and rows.
 * @see [MS-TDS] 2.2.5.4 "Data Type Definitions", 2.2.7.4 "COLMETADATA", 2.2.7.17 "NBCROW", 2.2.7.19 "ROW"
 */
import type { ByteSink } from "../wire/sink.ts";
import { tokens } from "../wire/tokens.ts";
import type { Storage } from "./storage.ts";
import {
  describeType,
  isBinary,
  isCharacter,
  isWide,
  type Kind,
  type SqlType,
} from "./types.ts";
import { encodeCharacters, writeBareValue } from "./values.ts";

export interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
  /** Of text, ntext and image: the table, as schema and name. */
  readonly table?: readonly string[];
  readonly identity?: boolean;
}

/** Types of a fixed length, which stand for a column that takes no NULL. */
const fixedTypes: Partial<Record<Kind, number>> = {
  tinyint: 0x30,
  bit: 0x32,
  smallint: 0x34,
  int: 0x38,
  smalldatetime: 0x3a,
  real: 0x3b,
  money: 0x3c,
  datetime: 0x3d,
  float: 0x3e,
  smallmoney: 0x7a,
  bigint: 0x7f,
};

const nullableTypes: Record<Kind, number> = {
  tinyint: 0x26,
  smallint: 0x26,
  int: 0x26,
  bigint: 0x26,
  bit: 0x68,
  real: 0x6d,
  float: 0x6d,
  money: 0x6e,
  smallmoney: 0x6e,
  datetime: 0x6f,
  smalldatetime: 0x6f,
  decimal: 0x6a,
  numeric: 0x6c,
  uniqueidentifier: 0x24,
  date: 0x28,
  time: 0x29,
  datetime2: 0x2a,
  datetimeoffset: 0x2b,
  varbinary: 0xa5,
  varchar: 0xa7,
  binary: 0xad,
  rowversion: 0xad,
  char: 0xaf,
  nvarchar: 0xe7,
  nchar: 0xef,
  text: 0x23,
  image: 0x22,
  ntext: 0x63,
  xml: 0xf1,
  udt: 0xf0,
  sql_variant: 0x62,
};

const MAX_LENGTH = 0xffff;
const VARIANT_BYTES = 8009;
const LONG_BYTES = 0x7fff_ffff;
const ROWVERSION_USER_TYPE = 80;

const isLong = (type: SqlType) =>
  type.kind === "text" || type.kind === "ntext" || type.kind === "image";
/** Partially length-prefixed. */
const isPartial = (type: SqlType) =>
  type.length === -1 || type.kind === "xml" || type.kind === "udt";

/** TYPE_INFO. */
export function writeTypeInfo(
  sink: ByteSink,
  type: SqlType,
  nullable: boolean,
): void {
  const fixed = nullable ? undefined : fixedTypes[type.kind];
  if (fixed !== undefined) {
    sink.u8(fixed);
    return;
  }
  sink.u8(nullableTypes[type.kind]);
  const { maxLength, precision, scale } = describeType(type);
  switch (type.kind) {
    case "date":
      return;
    case "time":
    case "datetime2":
    case "datetimeoffset":
      sink.u8(type.scale);
      return;
    case "decimal":
    case "numeric":
      sink.u8(maxLength).u8(precision).u8(scale);
      return;
    case "xml":
      sink.u8(0); // no schema
      return;
    case "udt":
      sink.u16(MAX_LENGTH).shortText("").shortText("sys");
      sink
        .shortText(type.alias ?? "")
        .longText(`Microsoft.SqlServer.Types.${type.alias}`);
      return;
    case "sql_variant":
      sink.u32(VARIANT_BYTES);
      return;
    default:
  }
  if (isLong(type)) sink.u32(LONG_BYTES);
  else if (isCharacter(type) || isBinary(type))
    sink.u16(isPartial(type) ? MAX_LENGTH : maxLength);
  else sink.u8(maxLength);
  if (isCharacter(type)) sink.raw(type.collation!.wire);
}

const flags = { nullable: 0x01, updatable: 0x08, identity: 0x10 };

export function writeColumns(sink: ByteSink, columns: readonly Column[]): void {
  sink.u8(tokens.colMetadata).u16(columns.length);
  for (const {
    name,
    type,
    nullable,
    table = [],
    identity = false,
  } of columns) {
    sink.u32(type.kind === "rowversion" ? ROWVERSION_USER_TYPE : 0);
    sink.u16(
      (nullable ? flags.nullable : 0) |
        (identity ? flags.identity : flags.updatable),
    );
    writeTypeInfo(sink, type, nullable);
    if (isLong(type)) {
      sink.u8(table.length);
      for (const part of table) sink.longText(part);
    }
    sink.shortText(name);
  }
}

const PARTIAL_NULL = 0xffff_ffff_ffff_ffffn;
const PARTIAL_UNKNOWN = 0xffff_ffff_ffff_fffen;
/** Bytes of one chunk when the whole length is not told. */
const CHUNK_BYTES = 8_000;

export interface RowOptions {
  /** Rows with a NULL travel as NBCROW. */
  readonly nullBitmaps: boolean;
  /** Values of the `max` types do not tell their length. */
  readonly unknownLengths: boolean;
}

function writePartial(
  sink: ByteSink,
  bytes: Uint8Array,
  unknownLength: boolean,
): void {
  sink.u64(unknownLength ? PARTIAL_UNKNOWN : BigInt(bytes.length));
  const step = unknownLength ? CHUNK_BYTES : Math.max(1, bytes.length);
  for (let at = 0; at < bytes.length; at += step) {
    const chunk = bytes.subarray(at, at + step);
    sink.u32(chunk.length).raw(chunk);
  }
  sink.u32(0);
}

/** A text pointer and a timestamp stand in front; no client looks into them. */
const textPointer = Buffer.from("64756d6d792074657874707472000000", "hex");
const textTimestamp = Buffer.from("64756d6d79545300", "hex");

/** One value with its length in front. */
export function writeValue(
  sink: ByteSink,
  stored: Storage,
  type: SqlType,
  nullable: boolean,
  unknownLengths = false,
): void {
  if (!nullable && stored !== null && fixedTypes[type.kind] !== undefined) {
    writeBareValue(sink, stored, type);
    return;
  }
  if (isPartial(type)) {
    if (stored === null) sink.u64(PARTIAL_NULL);
    else writePartial(sink, bytesOf(stored, type), unknownLengths);
    return;
  }
  if (type.kind === "sql_variant") {
    if (stored === null) sink.u32(0);
    else sink.u32((stored as Uint8Array).length).raw(stored as Uint8Array);
    return;
  }
  if (isLong(type)) {
    if (stored === null) {
      sink.u8(0);
      return;
    }
    const bytes = bytesOf(stored, type);
    sink.u8(textPointer.length).raw(textPointer).raw(textTimestamp);
    sink.u32(bytes.length).raw(bytes);
    return;
  }
  if (isCharacter(type) || isBinary(type)) {
    if (stored === null) sink.u16(0xffff);
    else {
      const bytes = bytesOf(stored, type);
      sink.u16(bytes.length).raw(bytes);
    }
    return;
  }
  const lengthAt = sink.reserve(1);
  if (stored !== null) writeBareValue(sink, stored, type);
  sink.bytes[lengthAt] = sink.length - lengthAt - 1;
}

function bytesOf(stored: Exclude<Storage, null>, type: SqlType): Uint8Array {
  return isWide(type) || isCharacter(type) || type.kind === "xml"
    ? encodeCharacters(stored as string, type)
    : (stored as Uint8Array);
}

export function writeRow(
  sink: ByteSink,
  columns: readonly Column[],
  row: readonly Storage[],
  options: RowOptions,
): void {
  const bitmap = options.nullBitmaps && row.includes(null);
  sink.u8(bitmap ? tokens.nbcRow : tokens.row);
  if (bitmap) {
    const at = sink.reserve((columns.length + 7) >> 3);
    sink.bytes.fill(0, at, sink.length);
    row.forEach((value, i) => {
      if (value === null) sink.bytes[at + (i >> 3)]! |= 1 << (i & 7);
    });
  }
  for (let i = 0; i < columns.length; i += 1) {
    const value = row[i]!;
    if (bitmap && value === null) continue;
    const { type, nullable } = columns[i]!;
    writeValue(sink, value, type, nullable, options.unknownLengths);
  }
}
