/** The text of a `sql_variant`, whose every value names its own type. Such columns are rare: this is not made for speed. */
import {
  formatClock,
  formatDate,
  formatDecimal,
} from "../../batches/read-value.ts";
import { ExtractError } from "../../../../proto/error.ts";
import { refuseLength, type DecodePlan, type FieldPlan } from "./plan.ts";
import { formatGuid } from "../value-text.ts";

/** Types of a variant. @see MS-TDS 2.2.5.5.4, "Sql_variant Values" */
const types = {
  guid: 0x24,
  bit: 0x32,
  tinyint: 0x30,
  smallint: 0x34,
  int: 0x38,
  bigint: 0x7f,
  smalldatetime: 0x3a,
  real: 0x3b,
  money: 0x3c,
  datetime: 0x3d,
  float: 0x3e,
  smallmoney: 0x7a,
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
} as const;

const DATE_DAYS_BEFORE_1970 = 719_162;
const DATETIME_DAYS_BEFORE_1970 = 25_567;

/**
 * Text that tells the value exactly, as the server's own conversion would print it: dates in ISO 8601, binary as
 * hexadecimal digits behind 0x, numbers with all their digits.
 * Shape: type, number of property bytes, properties, value.
 */
export function describeVariant(
  plan: DecodePlan,
  field: FieldPlan,
  bytes: Uint8Array,
): string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const refuse = (): never => refuseLength(plan, field, bytes.length);
  if (view.length < 2) return refuse();
  const type = view.readUInt8(0);
  const propertyBytes = view.readUInt8(1);
  if (view.length < 2 + propertyBytes) return refuse();
  const properties = view.subarray(2, 2 + propertyBytes);
  const value = view.subarray(2 + propertyBytes);
  try {
    return describe(type, properties, value);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ExtractError(
      "SOURCE_PROTOCOL_VIOLATION",
      `${plan.table}.${field.name}: a variant of type ${type} with ${value.length} bytes that it cannot have`,
      { table: plan.table, column: field.name },
      { cause },
    );
  }
}

/** @throws RangeError for bytes that a type cannot have */
function describe(type: number, properties: Buffer, value: Buffer): string {
  switch (type) {
    case types.bit:
      return value.readUInt8(0) === 0 ? "0" : "1";
    case types.tinyint:
      return String(value.readUInt8(0));
    case types.smallint:
      return String(value.readInt16LE(0));
    case types.int:
      return String(value.readInt32LE(0));
    case types.bigint:
      return String(value.readBigInt64LE(0));
    case types.real:
      return shortestFloat32(value.readFloatLE(0));
    case types.float:
      return String(value.readDoubleLE(0));
    case types.smallmoney:
      return formatDecimal(BigInt(value.readInt32LE(0)), 4);
    case types.money:
      return formatDecimal(
        (BigInt(value.readInt32LE(0)) << 32n) | BigInt(value.readUInt32LE(4)),
        4,
      );
    case types.guid:
      return formatGuid(swapGuid(value));
    case types.smalldatetime:
      return `${formatDate(value.readUInt16LE(0) - DATETIME_DAYS_BEFORE_1970)} ${formatClock(BigInt(value.readUInt16LE(2)) * 60n, 0)}`;
    case types.datetime: {
      const ms = Math.round((value.readUInt32LE(4) * 10) / 3);
      return `${formatDate(value.readInt32LE(0) - DATETIME_DAYS_BEFORE_1970)} ${formatClock(BigInt(ms), 3)}`;
    }
    case types.date:
      return readDate(value, 0);
    case types.time: {
      const scale = properties.readUInt8(0);
      return formatClock(readUnits(value, value.length), scale);
    }
    case types.datetime2: {
      const scale = properties.readUInt8(0);
      const time = formatClock(readUnits(value, value.length - 3), scale);
      return `${readDate(value, value.length - 3)} ${time}`;
    }
    case types.datetimeoffset: {
      const scale = properties.readUInt8(0);
      const time = formatClock(readUnits(value, value.length - 5), scale);
      return `${readDate(value, value.length - 5)} ${time} +00:00`;
    }
    case types.decimal:
    case types.numeric: {
      const scale = properties.readUInt8(1);
      let magnitude = 0n;
      for (let i = value.length - 1; i > 0; i--) {
        magnitude = (magnitude << 8n) | BigInt(value.readUInt8(i));
      }
      return formatDecimal(
        value.readUInt8(0) === 0 ? -magnitude : magnitude,
        scale,
      );
    }
    case types.binary:
    case types.varbinary:
      return `0x${value.toString("hex").toUpperCase()}`;
    case types.nchar:
    case types.nvarchar:
      return value.toString("utf16le");
    case types.char:
    case types.varchar:
      return decodeChars(properties, value);
    default:
      throw new RangeError(`type ${type}`);
  }
}

/** The shortest digits that give the same 32 bits back. */
function shortestFloat32(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(value);
}

/** Bytes in the collation of the value; ASCII in all of them. @see MS-TDS 2.2.5.1.2, "Collation Rule Definition" */
function decodeChars(properties: Buffer, value: Buffer): string {
  const flags = properties.readUInt32LE(2);
  const isUtf8 = (flags & 0x0400_0000) !== 0;
  if (isUtf8) return value.toString("utf8");
  if (value.every((byte) => byte < 0x80)) return value.toString("latin1");
  const language = flags & 0xffff;
  const label = labelOfLanguage.get(language & 0x3ff) ?? "windows-1252";
  return new TextDecoder(label).decode(value);
}

/** Code pages by primary language. @see MS-LCID */
const labelOfLanguage: ReadonlyMap<number, string> = new Map([
  [0x01, "windows-1256"],
  [0x02, "windows-1251"],
  [0x05, "windows-1250"],
  [0x08, "windows-1253"],
  [0x0d, "windows-1255"],
  [0x0e, "windows-1250"],
  [0x11, "shift_jis"],
  [0x12, "euc-kr"],
  [0x15, "windows-1250"],
  [0x18, "windows-1250"],
  [0x19, "windows-1251"],
  [0x1a, "windows-1250"],
  [0x1b, "windows-1250"],
  [0x1c, "windows-1250"],
  [0x1e, "windows-874"],
  [0x1f, "windows-1254"],
  [0x22, "windows-1251"],
  [0x24, "windows-1250"],
  [0x25, "windows-1257"],
  [0x26, "windows-1257"],
  [0x27, "windows-1257"],
  [0x2a, "windows-1258"],
  [0x2f, "windows-1251"],
  [0x04, "gbk"],
]);

function readDate(value: Buffer, offset: number): string {
  return formatDate(value.readUIntLE(offset, 3) - DATE_DAYS_BEFORE_1970);
}

function readUnits(value: Buffer, length: number): bigint {
  return BigInt(value.readUIntLE(0, length));
}

function swapGuid(value: Buffer): Uint8Array {
  if (value.length !== 16) throw new RangeError("a GUID has 16 bytes");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (i) => value[i] ?? 0);
}
