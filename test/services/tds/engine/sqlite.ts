/** A connection to the database file, with the functions that translated SQL calls. */
import { createHash, randomBytes } from "node:crypto";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { convertValue, keyOf } from "../types/convert.ts";
import {
  DAYS_TO_1900,
  TICKS_PER_DAY,
  TICKS_PER_MINUTE,
  TICKS_PER_SECOND,
  countDays,
  formatDays,
} from "../types/dates.ts";
import { encodeCharacters } from "../types/values.ts";
import {
  SqlError,
  packDecimal,
  packOffset,
  unpackDecimal,
  type Storage,
} from "../types/storage.ts";
import {
  checkDecimal,
  checkRange,
  packMoment,
  unpackMoment,
} from "../types/text.ts";
import {
  formatType,
  isCharacter,
  isDecimal,
  isMoney,
  type SqlType,
} from "../types/types.ts";
import { unpackVariant } from "../types/variant.ts";
import type { Catalogue } from "./catalogue.ts";
import { addCatalogueFunctions } from "./catalogue-functions.ts";
import { findNumberedType } from "./scope.ts";

type Value = SQLOutputValue;

/** Wide numbers come from SQLite as bigint, small ones as number. */
const typeAt = (value: Value) => findNumberedType(Number(value));

/** Some text functions, on code units as the server counts them. */
const texts: Record<string, (...args: string[]) => string | number | bigint> = {
  text_length: (text) => text!.replace(/ +$/, "").length,
  lower_text: (text) => text!.toLowerCase(),
  upper_text: (text) => text!.toUpperCase(),
  reverse_text: (text) => Array.from(text!).reverse().join(""),
  left_text: (text, count) => text!.slice(0, Math.max(0, Number(count))),
  right_text: (text, count) =>
    Number(count) <= 0 ? "" : text!.slice(-Number(count)),
  repeat_text: (text, count) => text!.repeat(Math.max(0, Number(count))),
  space_text: (count) => " ".repeat(Number(count)),
  find_text: (part, whole, from = "1") =>
    whole!.toLowerCase().indexOf(part!.toLowerCase(), Number(from) - 1) + 1,
  substring_text: (text, from, count) => {
    const start = Number(from) - 1;
    return text!.slice(Math.max(0, start), Math.max(0, start + Number(count)));
  },
  quote_name: (name, quote = "[") =>
    quote.startsWith("[") || quote.startsWith("]")
      ? `[${name!.replaceAll("]", "]]")}]`
      : `${quote[0]}${name!.replaceAll(quote[0]!, quote[0]! + quote[0]!)}${quote[0]}`,
};

function addFunctions(db: DatabaseSync): void {
  const pure = { deterministic: true, varargs: true };
  const pureBig = { ...pure, useBigIntArguments: true };
  for (const [name, of] of Object.entries(texts))
    db.function(name, pure, (...args: Value[]) =>
      args.includes(null) ? null : of(...args.map(String)),
    );
  db.function("sort_key", pure, (value: Value, type: Value) =>
    typeof value === "string" ? keyOf(value, typeAt(type)) : value,
  );
  const convert = (value: Value, from: Value, to: Value, style: Value) =>
    convertValue(value, typeAt(from), typeAt(to), Number(style));
  db.function("convert_value", pureBig, convert);
  db.function("store_value", pureBig, (value: Value, from: Value, to: Value) =>
    convertValue(value, typeAt(from), typeAt(to), 0, true),
  );
  db.function("try_convert", pureBig, (...args: Value[]) => {
    try {
      return convert(args[0]!, args[1]!, args[2]!, args[3]!);
    } catch (error) {
      if (error instanceof SqlError) return null;
      throw error;
    }
  });
  db.function(
    "like_text",
    pure,
    (value: Value, pattern: Value, escape: Value) =>
      value === null || pattern === null
        ? null
        : Number(
            makeLike(
              String(pattern),
              escape === null ? "" : String(escape),
            ).test(String(value)),
          ),
  );
  db.function(
    "arithmetic",
    pureBig,
    (sign: Value, a: Value, ta: Value, b: Value, tb: Value, to: Value) =>
      a === null || b === null
        ? null
        : calculate(String(sign), a, typeAt(ta), b, typeAt(tb), typeAt(to)),
  );
  db.function("abs_exact", pure, (value: Value) => {
    if (value === null) return null;
    const number = unpackDecimal(value as Uint8Array);
    return packDecimal(number < 0n ? -number : number);
  });
  db.function("round_number", pure, (value: Value, digits: Value) =>
    value === null
      ? null
      : Number(Number(value).toFixed(Math.max(0, Number(digits ?? 0)))),
  );
  db.function("data_length", pureBig, (value: Value, type: Value) => {
    if (value === null) return null;
    const of = typeAt(type);
    if (isCharacter(of)) return encodeCharacters(String(value), of).length;
    return value instanceof Uint8Array ? value.length : 8;
  });
  db.function("hash_bytes", pure, (algorithm: Value, value: Value) => {
    if (value === null) return null;
    const name = String(algorithm).toLowerCase().replace("sha2_", "sha");
    return createHash(name)
      .update(value as Uint8Array)
      .digest();
  });
  db.function("checksum", pure, (...args: Value[]) =>
    createHash("md5")
      .update(args.map(String).join("\0"))
      .digest()
      .readInt32LE(),
  );
  db.function(
    "is_sampled",
    pure,
    (page: Value, seed: Value, percent: Value) => {
      const hash = createHash("md5")
        .update(`${String(seed)} ${String(page)}`)
        .digest();
      return Number(hash.readUInt32LE() / 2 ** 32 < Number(percent) / 100);
    },
  );
  db.function("variant_property", pure, (value: Value, property: Value) => {
    if (value === null) return null;
    const { type } = unpackVariant(value as Uint8Array);
    if (String(property).toLowerCase() === "basetype") return type.kind;
    return formatType(type);
  });
  db.function("random_number", { varargs: true }, () => Math.random());
  db.function("new_guid", () => randomBytes(16));
  addMoments(db);
  addAggregates(db);
}

function calculate(
  sign: string,
  a: Storage,
  ta: SqlType,
  b: Storage,
  tb: SqlType,
  to: SqlType,
): Storage {
  // both sides exactly, with more digits than any result keeps
  const digits = 38n;
  const read = (value: Storage, type: SqlType): bigint => {
    const scale = isDecimal(type) ? type.scale : isMoney(type) ? 4 : 0;
    const unscaled = isDecimal(type)
      ? unpackDecimal(value as Uint8Array)
      : BigInt(value as bigint);
    return unscaled * 10n ** (digits - BigInt(scale));
  };
  const [left, right] = [read(a, ta), read(b, tb)];
  const unit = 10n ** digits;
  let result: bigint;
  if (sign === "+") result = left + right;
  else if (sign === "-") result = left - right;
  else if (sign === "*") result = (left * right) / unit;
  else {
    if (right === 0n)
      throw new SqlError(8134, "Divide by zero error encountered.");
    result = sign === "/" ? (left * unit) / right : left % right;
  }
  const kept = 10n ** (digits - BigInt(isMoney(to) ? 4 : to.scale));
  const half = result < 0n ? -(kept / 2n) : kept / 2n;
  const unscaled = (result + half) / kept;
  return isMoney(to) ? checkRange(unscaled, to) : checkDecimal(unscaled, to);
}

const escapePattern = (text: string) =>
  text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

/** @see SQL Server docs, "LIKE (Transact-SQL)": `%`, `_`, `[a-z]`, `[^a-z]` */
function makeLike(pattern: string, escape: string): RegExp {
  let source = "";
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at]!;
    const end = pattern.indexOf("]", at + 1);
    if (escape !== "" && character === escape) {
      at += 1;
      source += escapePattern(pattern[at] ?? "");
    } else if (character === "%") source += "[^]*";
    else if (character === "_") source += "[^]";
    else if (character === "[" && end > at) {
      source += pattern.slice(at, end + 1).replaceAll("\\", "\\\\");
      at = end;
    } else source += escapePattern(character);
  }
  return new RegExp(`^${source}$`, "i");
}

const unitTicks: Record<string, bigint> = {
  day: TICKS_PER_DAY,
  dd: TICKS_PER_DAY,
  d: TICKS_PER_DAY,
  dayofyear: TICKS_PER_DAY,
  week: 7n * TICKS_PER_DAY,
  hour: 60n * TICKS_PER_MINUTE,
  hh: 60n * TICKS_PER_MINUTE,
  minute: TICKS_PER_MINUTE,
  mi: TICKS_PER_MINUTE,
  second: TICKS_PER_SECOND,
  ss: TICKS_PER_SECOND,
  s: TICKS_PER_SECOND,
  millisecond: 10_000n,
  ms: 10_000n,
  microsecond: 10n,
  mcs: 10n,
};

const isYear = (part: Value) => String(part).startsWith("y");

function addMoments(db: DatabaseSync): void {
  const now = () => {
    const ms = BigInt(Date.now());
    return ms * 10_000n + BigInt(countDays(1970, 1, 1)!) * TICKS_PER_DAY;
  };
  db.function("now_datetime2", { varargs: true }, now);
  db.function("now_datetimeoffset", { varargs: true }, () =>
    packOffset(now(), 0),
  );
  db.function("now_datetime", { varargs: true }, () => {
    const since = now() - BigInt(DAYS_TO_1900) * TICKS_PER_DAY;
    return (since * 3n) / 100_000n;
  });
  const big = { deterministic: true, useBigIntArguments: true };
  const shift = (value: Value, type: SqlType, ticks: bigint): Storage => {
    const moment = unpackMoment(value!, type);
    const base =
      BigInt(moment.days ?? DAYS_TO_1900) * TICKS_PER_DAY +
      moment.ticks +
      ticks;
    return packMoment(
      {
        days: moment.days === null ? null : Number(base / TICKS_PER_DAY),
        ticks: base % TICKS_PER_DAY,
        offset: moment.offset,
      },
      type,
    );
  };
  db.function(
    "date_add",
    big,
    (part: Value, count: Value, value: Value, type: Value) => {
      if (count === null || value === null) return null;
      const of = typeAt(type);
      const ticks = unitTicks[String(part)];
      if (ticks !== undefined)
        return shift(value, of, BigInt(count as bigint) * ticks);
      const months =
        Number(count) *
        (isYear(part) ? 12 : String(part).startsWith("q") ? 3 : 1);
      const moment = unpackMoment(value, of);
      const [year = 0, month = 1, day = 1] = formatDays(moment.days ?? 0)
        .split("-")
        .map(Number);
      const whole = year * 12 + month - 1 + months;
      const [newYear, newMonth] = [Math.floor(whole / 12), (whole % 12) + 1];
      let days: number | null = null;
      for (let d = day; days === null && d > 27; d -= 1)
        days = countDays(newYear, newMonth, d);
      days ??= countDays(newYear, newMonth, day);
      if (days === null)
        throw new SqlError(
          517,
          "Adding a value to a date column caused an overflow.",
        );
      return packMoment({ ...moment, days }, of);
    },
  );
  db.function("add_days", big, (value: Value, type: Value, days: Value) =>
    value === null || days === null
      ? null
      : shift(
          value,
          typeAt(type),
          BigInt(Math.round(Number(days) * Number(TICKS_PER_DAY))),
        ),
  );
  db.function("date_diff", big, (part: Value, from: Value, to: Value) => {
    if (from === null || to === null) return null;
    const unit = unitTicks[String(part)];
    if (unit !== undefined)
      return BigInt(to as bigint) / unit - BigInt(from as bigint) / unit;
    const count = (value: Value) => {
      const [year = 0, month = 1] = formatDays(
        Number(BigInt(value as bigint) / TICKS_PER_DAY),
      )
        .split("-")
        .map(Number);
      return isYear(part) ? year : year * 12 + month;
    };
    return count(to) - count(from);
  });
  db.function("date_part", big, (part: Value, value: Value, type: Value) => {
    if (value === null) return null;
    const moment = unpackMoment(value, typeAt(type));
    const [year, month, day] = formatDays(moment.days ?? 0)
      .split("-")
      .map(Number);
    const units: Record<string, number> = {
      ...{
        year: year!,
        yy: year!,
        month: month!,
        mm: month!,
        day: day!,
        dd: day!,
      },
      hour: Number(moment.ticks / (60n * TICKS_PER_MINUTE)),
      minute: Number(moment.ticks / TICKS_PER_MINUTE) % 60,
      second: Number(moment.ticks / TICKS_PER_SECOND) % 60,
    };
    return units[String(part)] ?? null;
  });
}

type Pair = [value: Value, key: Value];

/** What a state is kept as between two rows; Node's types know only values of SQLite. */
const asState = (state: object) => state as unknown as Uint8Array;

function addAggregates(db: DatabaseSync): void {
  for (const [name, sign] of [
    ["min_text", -1],
    ["max_text", 1],
  ] as const)
    db.aggregate(name, {
      start: () => asState([null, null]),
      step: (state, value: Value, key: Value) => {
        const [best, bestKey] = state as unknown as Pair;
        const isBetter =
          value !== null &&
          (best === null ||
            compareTexts(String(key), String(bestKey)) * sign > 0);
        return isBetter ? asState([value, key]) : state;
      },
      result: (state) => (state as unknown as Pair)[0],
    });
  for (const name of ["sum_exact", "avg_exact"])
    db.aggregate(name, {
      useBigIntArguments: true,
      start: () => asState(new Total()),
      step: (state, value: Value, from: Value, to: Value) => {
        if (value !== null)
          (state as unknown as Total).add(value, typeAt(from), typeAt(to));
        return state;
      },
      result: (state) =>
        (state as unknown as Total).finish(name === "avg_exact"),
    });
}

/** A sum of exact numbers. */
class Total {
  #sum = 0n;
  #count = 0n;
  #scale = 0;
  #to: SqlType | null = null;

  add(value: Storage, from: SqlType, to: SqlType): void {
    this.#to = to;
    this.#scale = isMoney(from) ? 4 : from.scale;
    this.#count += 1n;
    this.#sum += isDecimal(from)
      ? unpackDecimal(value as Uint8Array)
      : BigInt(value as bigint);
  }

  finish(isAverage: boolean): bigint | Uint8Array | null {
    const to = this.#to;
    if (to === null) return null;
    const shift = (isMoney(to) ? 4 : to.scale) - this.#scale;
    const scaled = this.#sum * 10n ** BigInt(shift);
    const result = isAverage ? scaled / this.#count : scaled;
    return isMoney(to) ? result : packDecimal(result);
  }
}

/** By code points, as SQLite compares. */
function compareTexts(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** @param catalogue what functions about objects look into */
export function openSqlite(file: string, catalogue: Catalogue): DatabaseSync {
  const db = new DatabaseSync(file);
  // nothing outlives the test, so nothing waits for the disk
  db.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 0",
  );
  addFunctions(db);
  addCatalogueFunctions(db, catalogue);
  return db;
}
