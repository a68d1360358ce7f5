/**
 * sql_variant: a base type with its properties, and a value without a length.
 * @see [MS-TDS] 2.2.5.5.4 "SQL_VARIANT Values"
 */
import { ByteSink } from "../wire/sink.ts";
import { Cursor } from "../wire/cursor.ts";
import { readCollation } from "./collations.ts";
import { SqlError, type Storage } from "./storage.ts";
import {
  isCharacter,
  isDecimal,
  isWide,
  makeType,
  type Kind,
  type SqlType,
} from "./types.ts";
import { readBareValue, writeBareValue } from "./values.ts";

const baseTypes: Partial<Record<Kind, number>> = {
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
  uniqueidentifier: 0x24,
  date: 0x28,
  time: 0x29,
  datetime2: 0x2a,
  datetimeoffset: 0x2b,
  decimal: 0x6a,
  numeric: 0x6c,
  varbinary: 0xa5,
  varchar: 0xa7,
  binary: 0xad,
  char: 0xaf,
  nvarchar: 0xe7,
  nchar: 0xef,
};

const scratch = new ByteSink();

/** @throws SqlError 206 for a type that cannot be in a sql_variant */
export function packVariant(
  stored: Exclude<Storage, null>,
  type: SqlType,
): Buffer {
  const base = baseTypes[type.kind];
  if (base === undefined || type.length === -1)
    throw new SqlError(
      206,
      `Operand type clash: ${type.kind} is incompatible with sql_variant`,
    );
  scratch.clear();
  scratch.u8(base);
  if (isDecimal(type)) scratch.u8(2).u8(type.precision).u8(type.scale);
  else if (isCharacter(type))
    scratch
      .u8(7)
      .raw(type.collation!.wire)
      .u16(type.length * (isWide(type) ? 2 : 1));
  else if (type.kind === "varbinary" || type.kind === "binary")
    scratch.u8(2).u16(type.length);
  else if (["time", "datetime2", "datetimeoffset"].includes(type.kind))
    scratch.u8(1).u8(type.scale);
  else scratch.u8(0);
  writeBareValue(scratch, stored, type);
  return scratch.take();
}

export function unpackVariant(bytes: Uint8Array): {
  type: SqlType;
  value: Exclude<Storage, null>;
} {
  const cursor = new Cursor(Buffer.from(bytes));
  const base = cursor.u8();
  const kind = (Object.keys(baseTypes) as Kind[]).find(
    (name) => baseTypes[name] === base,
  );
  if (kind === undefined) throw new SqlError(206, `base type ${base}`);
  const properties = new Cursor(cursor.take(cursor.u8()));
  let type = makeType(kind);
  if (isDecimal(type))
    type = makeType(kind, {
      precision: properties.u8(),
      scale: properties.u8(),
    });
  else if (isCharacter(type)) {
    const collation = readCollation(properties.take(5));
    const length = properties.u16() / (isWide(type) ? 2 : 1);
    type = makeType(kind, { length, collation });
  } else if (kind === "varbinary" || kind === "binary")
    type = makeType(kind, { length: properties.u16() });
  else if (properties.left > 0)
    type = makeType(kind, { scale: properties.u8() });
  return { type, value: readBareValue(cursor.take(cursor.left), type) };
}
