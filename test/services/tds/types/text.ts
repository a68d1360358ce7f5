/** Values to and from the text that `CAST(… AS varchar)` with style 121 shows; times keep all declared digits. */
import {
  DAYS_MAX,
  DAYS_TO_1900,
  TICKS_PER_DAY,
  TICKS_PER_MINUTE,
  formatDays,
  formatOffset,
  formatTime,
  parseMoment,
  roundTicks,
  type Moment,
} from "./dates.ts";
import {
  SqlError,
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
import { encodeText } from "./collations.ts";
import { formatTypeName, isWide, type SqlType } from "./types.ts";
import { unpackVariant } from "./variant.ts";

type Present = Exclude<Storage, null>;

const ranges: Partial<Record<string, readonly [bigint, bigint]>> = {
  tinyint: [0n, 255n],
  smallint: [-32_768n, 32_767n],
  int: [-2_147_483_648n, 2_147_483_647n],
  bigint: [-(1n << 63n), (1n << 63n) - 1n],
  money: [-(1n << 63n), (1n << 63n) - 1n],
  smallmoney: [-2_147_483_648n, 2_147_483_647n],
};

function failOverflow(type: SqlType, text: string): never {
  throw new SqlError(
    8115,
    `Arithmetic overflow error converting expression to data type ${formatTypeName(type)}. (${text})`,
  );
}

function failSyntax(type: SqlType, text: string): never {
  throw new SqlError(
    type.kind === "int" ? 245 : 8114,
    `Conversion failed when converting the value '${text}' to data type ${formatTypeName(type)}.`,
  );
}

function failDate(): never {
  throw new SqlError(
    241,
    "Conversion failed when converting date and/or time from character string.",
  );
}

/** @throws SqlError 8115 when an integer is too large for its type */
export function checkRange(value: bigint, type: SqlType): bigint {
  const range = ranges[type.kind];
  if (range !== undefined && (value < range[0] || value > range[1]))
    failOverflow(type, String(value));
  return value;
}

/** The unscaled integer of a decimal text, rounded half away from zero. @returns null when it is none */
export function parseUnscaled(text: string, scale: number): bigint | null {
  const m = /^\s*([+-]?)\$?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?\s*$/.exec(
    text,
  );
  if (m === null || `${m[2]}${m[3] ?? ""}` === "") return null;
  const fraction = m[3] ?? "";
  const digits = BigInt(`${m[2]}${fraction}`);
  const shift = scale + Number(m[4] ?? 0) - fraction.length;
  let size: bigint;
  if (shift >= 0) size = digits * 10n ** BigInt(shift);
  else {
    const unit = 10n ** BigInt(-shift);
    size = (digits + unit / 2n) / unit;
  }
  return m[1] === "-" ? -size : size;
}

/** @throws SqlError 8115 when there are more digits than declared */
export function checkDecimal(unscaled: bigint, type: SqlType): Buffer {
  const size = unscaled < 0n ? -unscaled : unscaled;
  if (size >= 10n ** BigInt(type.precision))
    failOverflow(type, String(unscaled));
  return packDecimal(unscaled);
}

export function formatUnscaled(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(
    scale + 1,
    "0",
  );
  const sign = unscaled < 0n ? "-" : "";
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Cuts or fills a string to its declared length. @throws SqlError 2628 when `strict` and more than blanks is lost */
export function fitText(text: string, type: SqlType, strict: boolean): string {
  const { length } = type;
  if (length <= 0) return packText(text);
  const isFixed = type.kind === "char" || type.kind === "nchar";
  const codePage = type.collation?.codePage ?? "utf-8";
  const measure = (value: string) =>
    isWide(type) ? value.length : encodeText(value, codePage).length;
  // a character is at most four bytes: short texts need not be measured
  if (!isFixed && text.length * 4 <= length) return packText(text);
  let fitting = text;
  while (measure(fitting) > length) fitting = fitting.slice(0, -1);
  if (strict && text.slice(fitting.length).trimEnd() !== "")
    throw new SqlError(
      2628,
      `String or binary data would be truncated. Truncated value: '${fitting}'.`,
    );
  const missing = isFixed ? length - measure(fitting) : 0;
  return packText(fitting + " ".repeat(missing));
}

/** As `fitText`, for bytes. */
export function fitBytes(
  bytes: Uint8Array,
  type: SqlType,
  strict: boolean,
): Uint8Array {
  const { length } = type;
  if (length <= 0 || bytes.length === length) return bytes;
  if (bytes.length > length) {
    if (strict)
      throw new SqlError(2628, "String or binary data would be truncated.");
    return bytes.subarray(0, length);
  }
  if (type.kind !== "binary") return bytes;
  const padded = Buffer.alloc(length);
  padded.set(bytes);
  return padded;
}

const guidPattern =
  /^\s*\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?\s*$/i;

function parseGuid(text: string): Buffer {
  const m = guidPattern.exec(text);
  if (m === null)
    throw new SqlError(
      8169,
      "Conversion failed when converting from a character string to uniqueidentifier.",
    );
  const flip = (hex: string) => Buffer.from(hex, "hex").reverse();
  return packGuid(
    Buffer.concat([
      ...[flip(m[1]!), flip(m[2]!), flip(m[3]!)],
      Buffer.from(`${m[4]}${m[5]}`, "hex"),
    ]),
  );
}

function formatGuid(stored: Uint8Array): string {
  const wire = unpackGuid(stored);
  const flip = (from: number, to: number) =>
    Buffer.from(wire.subarray(from, to)).reverse().toString("hex");
  return `${flip(0, 4)}-${flip(4, 6)}-${flip(6, 8)}-${wire.toString("hex", 8, 10)}-${wire.toString("hex", 10)}`.toUpperCase();
}

/** The parts of a moment as a date or time type keeps them. @throws SqlError 241, 242 when out of range */
export function packMoment(moment: Moment, type: SqlType): Storage {
  const days = moment.days ?? DAYS_TO_1900;
  if (type.kind === "date") return BigInt(days);
  if (type.kind === "time")
    return roundTicks(moment.ticks, type.scale) % TICKS_PER_DAY;
  const ticks = BigInt(days) * TICKS_PER_DAY + moment.ticks;
  const since1900 = BigInt(DAYS_TO_1900);
  let packed: Storage;
  let lastDay = DAYS_MAX;
  let firstDay = 0;
  let day: bigint;
  if (type.kind === "datetime") {
    const parts = (moment.ticks * 3n + 50_000n) / 100_000n;
    packed = (BigInt(days) - since1900) * 25_920_000n + parts;
    // datetime begins with 1753
    firstDay = 639_905;
    day = BigInt(days) + parts / 25_920_000n;
  } else if (type.kind === "smalldatetime") {
    const minutes = (moment.ticks + TICKS_PER_MINUTE / 2n) / TICKS_PER_MINUTE;
    packed = (BigInt(days) - since1900) * 1440n + minutes;
    firstDay = DAYS_TO_1900;
    lastDay = DAYS_TO_1900 + 65_535;
    day = BigInt(days) + minutes / 1440n;
  } else {
    const rounded = roundTicks(ticks, type.scale);
    const minutes = moment.offset ?? 0;
    const utc = rounded - BigInt(minutes) * TICKS_PER_MINUTE;
    day = utc < 0n ? -1n : utc / TICKS_PER_DAY;
    packed = type.kind === "datetime2" ? rounded : packOffset(utc, minutes);
    if (type.kind === "datetime2") day = rounded / TICKS_PER_DAY;
  }
  if (day < BigInt(firstDay) || day > BigInt(lastDay))
    throw new SqlError(
      242,
      `The conversion to a ${type.kind} data type resulted in an out-of-range value.`,
    );
  return packed;
}

/** The moment of a stored date or time, in its own offset. datetime has ticks of 1/300 s, rounded to 100 ns. */
export function unpackMoment(stored: Present, type: SqlType): Moment {
  if (type.kind === "datetimeoffset") {
    const { ticks, minutes } = unpackOffset(stored as Uint8Array);
    const local = ticks + BigInt(minutes) * TICKS_PER_MINUTE;
    return {
      days: Number(local / TICKS_PER_DAY),
      ticks: local % TICKS_PER_DAY,
      offset: minutes,
    };
  }
  const value = BigInt(stored as bigint | number);
  if (type.kind === "date")
    return { days: Number(value), ticks: 0n, offset: null };
  if (type.kind === "time") return { days: null, ticks: value, offset: null };
  if (type.kind === "datetime2")
    return {
      days: Number(value / TICKS_PER_DAY),
      ticks: value % TICKS_PER_DAY,
      offset: null,
    };
  const perDay = type.kind === "datetime" ? 25_920_000n : 1440n;
  // days before 1900 are negative, times of day never
  const part = ((value % perDay) + perDay) % perDay;
  const ticks =
    type.kind === "datetime"
      ? (part * 100_000n + 1n) / 3n
      : part * TICKS_PER_MINUTE;
  const days = Number((value - part) / perDay) + DAYS_TO_1900;
  return { days, ticks, offset: null };
}

/** @throws SqlError when the text is no value of the type; `strict`: also when it is too long for it */
export function parseText(
  text: string,
  type: SqlType,
  strict = false,
): Storage {
  switch (type.kind) {
    case "bit":
      if (/^\s*true\s*$/i.test(text)) return 1n;
      if (/^\s*false\s*$/i.test(text)) return 0n;
      return parseText(text, bigintType) === 0n ? 0n : 1n;
    case "tinyint":
    case "smallint":
    case "int":
    case "bigint": {
      if (text.trim() === "") return 0n;
      if (!/^\s*[+-]?\d+\s*$/.test(text)) failSyntax(type, text);
      return checkRange(BigInt(text.trim().replace(/^\+/, "")), type);
    }
    case "money":
    case "smallmoney": {
      const unscaled = parseUnscaled(text.replaceAll(",", ""), 4);
      return checkRange(unscaled ?? failSyntax(type, text), type);
    }
    case "decimal":
    case "numeric": {
      const unscaled = parseUnscaled(text, type.scale);
      return checkDecimal(unscaled ?? failSyntax(type, text), type);
    }
    case "float":
    case "real": {
      const value = text.trim() === "" ? 0 : Number(text);
      if (!Number.isFinite(value)) failSyntax(type, text);
      return type.kind === "real" ? Math.fround(value) : value;
    }
    case "date":
    case "time":
    case "datetime":
    case "smalldatetime":
    case "datetime2":
    case "datetimeoffset":
      return packMoment(parseMoment(text) ?? failDate(), type);
    case "uniqueidentifier":
      return parseGuid(text);
    case "binary":
    case "varbinary":
    case "image":
    case "rowversion":
    case "udt":
      if (!/^0x([0-9a-f]{2})*$/i.test(text)) failSyntax(type, text);
      return fitBytes(Buffer.from(text.slice(2), "hex"), type, strict);
    case "sql_variant":
      throw new SqlError(529, "sql_variant has no text of its own.");
    default:
      return fitText(text, type, strict);
  }
}

const bigintType = { kind: "bigint" } as SqlType;

export function formatText(stored: Present, type: SqlType): string {
  switch (type.kind) {
    case "money":
    case "smallmoney":
      return formatUnscaled(BigInt(stored as bigint), 4);
    case "decimal":
    case "numeric":
      return formatUnscaled(unpackDecimal(stored as Uint8Array), type.scale);
    case "float":
      return String(Object.is(stored, -0) ? "-0" : Number(stored));
    case "real":
      return formatReal(Number(stored));
    case "date":
    case "time":
    case "datetime":
    case "smalldatetime":
    case "datetime2":
    case "datetimeoffset":
      return formatMoment(unpackMoment(stored, type), type);
    case "uniqueidentifier":
      return formatGuid(stored as Uint8Array);
    case "binary":
    case "varbinary":
    case "image":
    case "rowversion":
    case "udt":
      return `0x${Buffer.from(stored as Uint8Array)
        .toString("hex")
        .toUpperCase()}`;
    case "sql_variant": {
      const inner = unpackVariant(stored as Uint8Array);
      return formatText(inner.value, inner.type);
    }
    default:
      return typeof stored === "string" ? unpackText(stored) : String(stored);
  }
}

/** The shortest text that gives the same 32-bit number. */
function formatReal(value: number): string {
  for (let digits = 1; digits < 9; digits += 1) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value)
      return Object.is(value, -0) ? "-0" : text;
  }
  return String(Number(value.toPrecision(9)));
}

/** @param digits of the fraction; those of the type unless given */
export function formatMoment(
  moment: Moment,
  type: SqlType,
  digits: number = type.kind === "datetime" ? 3 : type.scale,
): string {
  const day = formatDays(moment.days ?? 0);
  if (type.kind === "date") return day;
  let { ticks } = moment;
  // 1/300 s show as .000, .003, .007
  if (type.kind === "datetime" && digits === 3) ticks = roundTicks(ticks, 3);
  const time = formatTime(ticks, digits);
  if (type.kind === "time") return time;
  const offset =
    moment.offset === null ? "" : ` ${formatOffset(moment.offset)}`;
  return `${day} ${time}${offset}`;
}
