/**
 * Conversions between types, as CAST and CONVERT make them.
 * @see SQL Server docs, "CAST and CONVERT (Transact-SQL)": styles, and the table of conversions
 */
import { decodeText, encodeText, sortKey } from "./collations.ts";
import { formatDays } from "./dates.ts";
import {
  SqlError,
  unpackDecimal,
  unpackText,
  type Storage,
} from "./storage.ts";
import {
  checkDecimal,
  checkRange,
  fitBytes,
  fitText,
  formatMoment,
  formatText,
  formatUnscaled,
  packMoment,
  parseText,
  parseUnscaled,
  unpackMoment,
} from "./text.ts";
import {
  isBinary,
  isCharacter,
  isDecimal,
  isFloat,
  isInteger,
  isMoney,
  isTemporal,
  isWide,
  type SqlType,
} from "./types.ts";
import { packVariant, unpackVariant } from "./variant.ts";
import { readBareValue, writeBareValue } from "./values.ts";
import { ByteSink } from "../wire/sink.ts";

type Present = Exclude<Storage, null>;

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** Style 0 and 100, the default: `Jan 31 2020 12:05PM`. */
function formatShortMoment(stored: Present, type: SqlType): string {
  const moment = unpackMoment(stored, type);
  const [year, month, day] = formatDays(moment.days ?? 0).split("-");
  const minutes = Number(moment.ticks / 600_000_000n);
  const hour = Math.trunc(minutes / 60);
  const clock = `${String(hour % 12 || 12).padStart(2)}:${String(minutes % 60).padStart(2, "0")}${hour < 12 ? "AM" : "PM"}`;
  return `${months[Number(month) - 1]} ${String(Number(day)).padStart(2)} ${year} ${clock}`;
}

function formatStyled(stored: Present, type: SqlType, style: number): string {
  if (isTemporal(type)) {
    const isOld = type.kind === "datetime" || type.kind === "smalldatetime";
    if (isOld && (style === 0 || style === 100))
      return formatShortMoment(stored, type);
    const moment = unpackMoment(stored, type);
    const digits = type.kind === "smalldatetime" && style !== 0 ? 3 : undefined;
    if (style === 126 || style === 127) {
      let text = formatMoment(moment, type, digits).replace(" ", "T");
      // style 126 leaves a fraction of zero out
      if (isOld) text = text.replace(/\.000$/, "");
      return text.replace(/ ([+-]\d\d:\d\d)$/, "$1");
    }
    if (style === 112) return formatDays(moment.days ?? 0).replaceAll("-", "");
    if (style === 120) return formatMoment(moment, type, 0);
    return formatMoment(moment, type, digits);
  }
  if (isFloat(type)) {
    const value = Number(stored);
    if (style === 3)
      // 17 digits, which give the same number again; 9 for real
      return value
        .toExponential(type.kind === "real" ? 8 : 16)
        .replace(
          /e([+-])(\d+)$/,
          (_, sign: string, digits: string) =>
            `e${sign}${digits.padStart(3, "0")}`,
        );
    if (style === 1 || style === 2)
      return value
        .toExponential(style === 1 ? 7 : 15)
        .replace(
          /e([+-])(\d+)$/,
          (_, sign: string, digits: string) =>
            `e${sign}${digits.padStart(3, "0")}`,
        );
    return String(Number(value.toPrecision(6)));
  }
  if (isMoney(type) && style === 0)
    return formatUnscaled(
      (BigInt(stored as bigint) +
        (BigInt(stored as bigint) < 0n ? -50n : 50n)) /
        100n,
      2,
    );
  return formatText(stored, type);
}

const scratch = new ByteSink();

function toBytes(stored: Present, type: SqlType): Buffer {
  if (stored instanceof Uint8Array && isBinary(type))
    return Buffer.from(stored);
  scratch.clear();
  writeBareValue(scratch, stored, type);
  const bytes = scratch.take();
  // numbers become binary with the high byte first
  return isInteger(type) || isMoney(type) ? bytes.reverse() : bytes;
}

function fromBytes(bytes: Buffer, to: SqlType): Present {
  if (isCharacter(to)) {
    const text = isWide(to)
      ? bytes.toString("utf16le")
      : decodeText(bytes, to.collation!.codePage);
    return fitText(text, to, false);
  }
  if (isInteger(to)) {
    const width = { bigint: 8, int: 4, smallint: 2 }[to.kind as "int"] ?? 1;
    const padded = Buffer.concat([Buffer.alloc(width), bytes]).subarray(-width);
    return readBareValue(padded.reverse(), to);
  }
  return readBareValue(bytes, to);
}

/** Number types: the exact value times 10^scale. */
function toUnscaled(stored: Present, from: SqlType): [bigint, number] {
  if (isDecimal(from)) return [unpackDecimal(stored as Uint8Array), from.scale];
  if (isMoney(from)) return [BigInt(stored as bigint), 4];
  if (isInteger(from)) return [BigInt(stored as bigint), 0];
  throw new SqlError(206, `Operand type clash: ${from.kind} is no number`);
}

function fromUnscaled(unscaled: bigint, scale: number, to: SqlType): Present {
  const wanted = isDecimal(to) ? to.scale : isMoney(to) ? 4 : 0;
  let value = unscaled;
  if (wanted >= scale) value *= 10n ** BigInt(wanted - scale);
  else {
    const unit = 10n ** BigInt(scale - wanted);
    // an integer is cut, a decimal is rounded
    const half = isInteger(to) ? 0n : unit / 2n;
    value = value < 0n ? -((-value + half) / unit) : (value + half) / unit;
  }
  if (to.kind === "bit") return value === 0n && unscaled === 0n ? 0n : 1n;
  return isDecimal(to) ? checkDecimal(value, to) : checkRange(value, to);
}

/** @throws SqlError when there is no such conversion, or the value does not fit */
export function convertValue(
  stored: Storage,
  from: SqlType,
  to: SqlType,
  style = 0,
  strict = false,
): Storage {
  if (stored === null || from === to) return stored;
  if (to.kind === "sql_variant")
    return from.kind === "sql_variant" ? stored : packVariant(stored, from);
  if (from.kind === "sql_variant") {
    const inner = unpackVariant(stored as Uint8Array);
    return convertValue(inner.value, inner.type, to, style, strict);
  }
  if (isCharacter(to) || to.kind === "xml") {
    if (isCharacter(from) || from.kind === "xml")
      return fitText(recode(unpackText(stored as string), to), to, strict);
    if (isBinary(from)) {
      if (style === 1 || style === 2) {
        const hex = formatText(stored, from);
        return fitText(style === 1 ? hex : hex.slice(2), to, strict);
      }
      return fromBytes(toBytes(stored, from), to);
    }
    return fitText(formatStyled(stored, from, style), to, strict);
  }
  if (isBinary(to)) {
    if (isCharacter(from)) {
      const text = unpackText(stored as string);
      if (style === 1 || style === 2)
        return parseText(style === 1 ? text : `0x${text}`, to, strict);
      const bytes = isWide(from)
        ? Buffer.from(text, "utf16le")
        : encodeText(text, from.collation!.codePage);
      return fitBytes(bytes, to, strict);
    }
    const bytes = toBytes(stored, from);
    // numbers are cut and filled at the left
    const isNumber = isInteger(from) || isMoney(from);
    if (isNumber && to.length > 0 && bytes.length > to.length)
      return bytes.subarray(-to.length);
    if (isNumber && to.kind === "binary")
      return Buffer.concat([Buffer.alloc(to.length), bytes]).subarray(
        -to.length,
      );
    return fitBytes(bytes, to, strict);
  }
  if (isBinary(from)) return fromBytes(Buffer.from(stored as Uint8Array), to);
  if (isCharacter(from) || from.kind === "xml")
    return parseText(unpackText(stored as string), to, strict);
  if (isTemporal(from) && isTemporal(to))
    return packMoment(unpackMoment(stored, from), to);
  if (isFloat(to)) {
    const value = isFloat(from)
      ? Number(stored)
      : Number(formatText(stored, from));
    return to.kind === "real" ? Math.fround(value) : value;
  }
  if (isFloat(from)) {
    const value = Number(stored);
    if (to.kind === "bit") return value === 0 ? 0n : 1n;
    if (isInteger(to)) return checkRange(BigInt(Math.trunc(value)), to);
    const scale = isMoney(to) ? 4 : to.scale;
    const unscaled = parseUnscaled(String(value), scale)!;
    return isMoney(to) ? checkRange(unscaled, to) : checkDecimal(unscaled, to);
  }
  if (isInteger(from) || isDecimal(from) || isMoney(from)) {
    if (isInteger(to) || isDecimal(to) || isMoney(to))
      return fromUnscaled(...toUnscaled(stored, from), to);
    if (to.kind === "datetime" && isInteger(from))
      return BigInt(stored as bigint) * 25_920_000n;
  }
  throw new SqlError(
    206,
    `Operand type clash: ${from.kind} is incompatible with ${to.kind}`,
    16,
    2,
  );
}

/** Characters that the other code page lacks are lost. */
function recode(text: string, to: SqlType): string {
  if (isWide(to) || to.kind === "xml") return text;
  const { codePage } = to.collation!;
  return codePage === "utf-8"
    ? text
    : decodeText(encodeText(text, codePage), codePage);
}

/** True when a stored value of the one is also the stored value of the other. */
export function sharesStorage(from: SqlType, to: SqlType): boolean {
  if (from === to) return true;
  if (isInteger(from) && isInteger(to))
    return integerWidth(from) <= integerWidth(to);
  if (isMoney(from) && isMoney(to)) return to.kind === "money";
  if (isDecimal(from) && isDecimal(to))
    return from.scale === to.scale && from.precision <= to.precision;
  if (from.kind === "real" && to.kind === "float") return true;
  if (isCharacter(from) && (isCharacter(to) || to.kind === "xml")) {
    if (to.kind === "char" || to.kind === "nchar") return false;
    // to a narrow type characters may be lost
    if (!isWide(to) && to.collation !== from.collation && to.kind !== "xml")
      return false;
    if (!isWide(to) && isWide(from)) return false;
    return to.length <= 0 || (from.length > 0 && from.length <= to.length);
  }
  if (isBinary(from) && isBinary(to))
    return (
      to.kind !== "binary" &&
      (to.length <= 0 || (from.length > 0 && from.length <= to.length))
    );
  return (
    from.kind === to.kind &&
    ["time", "datetime2", "datetimeoffset"].includes(from.kind) &&
    from.scale <= to.scale
  );
}

function integerWidth(type: SqlType): number {
  return { bit: 0, tinyint: 1, smallint: 2, int: 4, bigint: 8 }[
    type.kind as "int"
  ];
}

/** What a stored value is compared by. */
export function keyOf(stored: Storage, type: SqlType): Storage {
  if (stored === null) return null;
  if (type.alias === "sysname") return stored;
  if (isCharacter(type)) return sortKey(stored as string, type.collation!);
  if (type.kind === "datetimeoffset")
    return (stored as Uint8Array).subarray(0, 8);
  return stored;
}
