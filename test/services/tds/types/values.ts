/**
 * Values as they travel, without the length in front.
 * @see [MS-TDS] 2.2.5.5 "Data Type Dependent Data Streams"
 */
import type { ByteSink } from "../wire/sink.ts";
import { decodeText, encodeText } from "./collations.ts";
import { TICKS_PER_DAY } from "./dates.ts";
import {
  packDecimal,
  packGuid,
  packOffset,
  packText,
  unpackDecimal,
  unpackGuid,
  unpackOffset,
  unpackText,
  type Storage,
} from "./storage.ts";
import {
  countDecimalBytes,
  countTimeBytes,
  isCharacter,
  isWide,
  type SqlType,
} from "./types.ts";

type Present = Exclude<Storage, null>;

function writeLittle(sink: ByteSink, value: bigint, bytes: number): void {
  const at = sink.reserve(bytes);
  let rest = value;
  for (let i = 0; i < bytes; i += 1) {
    sink.bytes[at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function writeDayTime(sink: ByteSink, ticks: bigint, scale: number): void {
  writeTime(sink, ticks % TICKS_PER_DAY, scale);
  const at = sink.reserve(3);
  sink.bytes.writeUIntLE(Number(ticks / TICKS_PER_DAY), at, 3);
}

function writeTime(sink: ByteSink, ticks: bigint, scale: number): void {
  const units = Number(ticks / 10n ** BigInt(7 - scale));
  const bytes = countTimeBytes(scale);
  const at = sink.reserve(bytes);
  sink.bytes.writeUIntLE(units, at, bytes);
}

/** The bytes of a string, as they travel. */
export function encodeCharacters(stored: string, type: SqlType): Buffer {
  const text = unpackText(stored);
  if (isWide(type) || type.kind === "xml") return Buffer.from(text, "utf16le");
  return encodeText(text, type.collation!.codePage);
}

export function writeBareValue(
  sink: ByteSink,
  stored: Present,
  type: SqlType,
): void {
  switch (type.kind) {
    case "bit":
    case "tinyint":
      sink.u8(Number(stored));
      return;
    case "smallint":
      sink.i16(Number(stored));
      return;
    case "int":
    case "smallmoney":
      sink.i32(Number(stored));
      return;
    case "bigint":
      sink.i64(BigInt(stored as bigint));
      return;
    case "money": {
      const value = BigInt.asUintN(64, BigInt(stored as bigint));
      sink.u32(Number(value >> 32n)).u32(Number(value & 0xffff_ffffn));
      return;
    }
    case "real":
      sink.f32(Number(stored));
      return;
    case "float":
      sink.f64(Number(stored));
      return;
    case "decimal":
    case "numeric": {
      const value = unpackDecimal(stored as Uint8Array);
      sink.u8(value < 0n ? 0 : 1);
      const bytes = countDecimalBytes(type.precision);
      writeLittle(sink, value < 0n ? -value : value, bytes);
      return;
    }
    case "date":
      writeLittle(sink, BigInt(stored as bigint), 3);
      return;
    case "time":
      writeTime(sink, BigInt(stored as bigint), type.scale);
      return;
    case "datetime2":
      writeDayTime(sink, BigInt(stored as bigint), type.scale);
      return;
    case "datetimeoffset": {
      const { ticks, minutes } = unpackOffset(stored as Uint8Array);
      writeDayTime(sink, ticks, type.scale);
      sink.i16(minutes);
      return;
    }
    case "datetime": {
      const value = Number(stored);
      const days = Math.floor(value / 25_920_000);
      sink.i32(days).u32(value - days * 25_920_000);
      return;
    }
    case "smalldatetime": {
      const value = Number(stored);
      sink.u16(Math.trunc(value / 1440)).u16(value % 1440);
      return;
    }
    case "uniqueidentifier":
      sink.raw(unpackGuid(stored as Uint8Array));
      return;
    default:
      sink.raw(
        isCharacter(type) || type.kind === "xml"
          ? encodeCharacters(stored as string, type)
          : (stored as Uint8Array),
      );
  }
}

function readLittle(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i -= 1)
    value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

/** @throws RangeError when there are too few bytes */
export function readBareValue(bytes: Buffer, type: SqlType): Present {
  const readTime = (end: number) =>
    readLittle(bytes.subarray(0, end)) * 10n ** BigInt(7 - type.scale);
  switch (type.kind) {
    case "bit":
    case "tinyint":
      return BigInt(bytes.readUInt8());
    case "smallint":
      return BigInt(bytes.readInt16LE());
    case "int":
    case "smallmoney":
      return BigInt(bytes.readInt32LE());
    case "bigint":
      return bytes.readBigInt64LE();
    case "money":
      return (
        (BigInt(bytes.readInt32LE()) << 32n) | BigInt(bytes.readUInt32LE(4))
      );
    case "real":
      return bytes.readFloatLE();
    case "float":
      return bytes.readDoubleLE();
    case "decimal":
    case "numeric": {
      const size = readLittle(bytes.subarray(1));
      return packDecimal(bytes[0] === 0 ? -size : size);
    }
    case "date":
      return BigInt(bytes.readUIntLE(0, 3));
    case "time":
      return readTime(bytes.length);
    case "datetime2":
    case "datetimeoffset": {
      const end = countTimeBytes(type.scale);
      const days = BigInt(bytes.readUIntLE(end, 3));
      const ticks = days * TICKS_PER_DAY + readTime(end);
      return type.kind === "datetime2"
        ? ticks
        : packOffset(ticks, bytes.readInt16LE(end + 3));
    }
    case "datetime":
      return (
        BigInt(bytes.readInt32LE()) * 25_920_000n +
        BigInt(bytes.readUInt32LE(4))
      );
    case "smalldatetime":
      return BigInt(bytes.readUInt16LE() * 1440 + bytes.readUInt16LE(2));
    case "uniqueidentifier":
      return packGuid(bytes);
    default:
      if (isWide(type) || type.kind === "xml")
        return packText(bytes.toString("utf16le"));
      if (isCharacter(type))
        return packText(decodeText(bytes, type.collation!.codePage));
      return Buffer.from(bytes);
  }
}
