/** Dates, times and timestamps of events into column buffers. */
import { readSmallInteger } from "../../../json/numbers.ts";
import { token } from "../../../json/tape.ts";
import { misfit, readToken, type WriteValue } from "./value-context.ts";

/** 0001-01-01 and 5874897-12-31, the last date of Postgres, in days from 1970. */
export const DATE_MIN = -719_162;
export const DATE_MAX = 2_145_042_905;
/** What Debezium makes of the dates `infinity` and `-infinity`: 2^31 - 1 and -2^31 days from 2000, as 32 bits. */
const DATE_INFINITY = -2_147_472_692;
const DATE_MINUS_INFINITY = -2_147_472_691;
/** The same of timestamps, in µs: the driver's milliseconds of them. */
const US_INFINITY = 9_223_372_036_825_200_000n;
const US_MINUS_INFINITY = -9_223_372_036_832_400_000n;
const US_MAX = 2n ** 63n - 1n;
/** 0001-01-01 00:00 in µs from 1970. */
const US_MIN = -62_135_596_800_000_000n;
/** High halves between which every timestamp can be represented. */
export const US_HIGH_MIN = Number(US_MIN >> 32n) + 1;
export const US_HIGH_MAX = Number(US_INFINITY >> 32n) - 1;
const SECONDS_MIN = -62_135_596_800;
/** The last whole second of which int64 holds every µs, and every ns. */
const SECONDS_MAX_US = 9_223_372_036_853;
const SECONDS_MAX_NS = 9_223_372_035;

export const writeDate: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const days =
    words[at] === token.integer
      ? readSmallInteger(bytes, words[at + 1] ?? 0, words[at + 2] ?? 0)
      : NaN;
  if (days !== days) throw misfit(column, bytes, words, at);
  if (days < DATE_MIN || days > DATE_MAX) {
    const word =
      days === DATE_INFINITY
        ? "infinity"
        : days === DATE_MINUS_INFINITY
          ? "-infinity"
          : "";
    if (word !== "") return context.refuseValue(column, store, row, word, word);
    const reason =
      days < 0 ? "before year 1" : "after the last date of its type";
    return context.refuseValue(
      column,
      store,
      row,
      `day ${days} from 1970-01-01`,
      reason,
    );
  }
  store.words[row] = days;
  return true;
};

export const writeTimestamp: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const start = words[at + 1] ?? 0;
  const end = words[at + 2] ?? 0;
  const integer = context.integer;
  if (words[at] !== token.integer || !integer.read(bytes, start, end, false))
    throw misfit(column, bytes, words, at);
  const isNs = column.logical === "timestampNs";
  if (column.unitsPerSecond === 1_000) {
    const ms = readSmallInteger(bytes, start, end);
    const isWithin = isNs
      ? Math.abs(ms) <= SECONDS_MAX_NS * 1_000
      : ms <= SECONDS_MAX_US * 1_000;
    if (!isWithin) throw misfit(column, bytes, words, at);
    integer.setProduct(ms, isNs ? 1_000_000 : 1_000, 0);
  } else if ((column.unitsPerSecond === 1_000_000_000) !== isNs)
    throw misfit(column, bytes, words, at);
  if (!isNs && (integer.high <= US_HIGH_MIN || integer.high >= US_HIGH_MAX)) {
    const us = integer.toBigInt();
    const word =
      us === US_INFINITY
        ? "infinity"
        : us === US_MINUS_INFINITY
          ? "-infinity"
          : "";
    if (word !== "") return context.refuseValue(column, store, row, word, word);
    if (us < US_MIN)
      return context.refuseValue(
        column,
        store,
        row,
        `${us} µs from 1970-01-01`,
        "before year 1",
      );
    if (us === US_MAX)
      return context.refuseValue(
        column,
        store,
        row,
        `${us} µs from 1970-01-01`,
        "after the last µs of an int64",
      );
  }
  return context.writeInteger(store, row);
};

export const writeInstant: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const start = words[at + 1] ?? 0;
  const end = words[at + 2] ?? 0;
  const clock = context.clock;
  if (words[at] !== token.text) throw misfit(column, bytes, words, at);
  if (!clock.readInstant(bytes, start, end)) {
    const text = readToken(bytes, words, at);
    if (text !== "infinity" && text !== "-infinity")
      throw misfit(column, bytes, words, at);
    return context.refuseValue(column, store, row, text, text);
  }
  const { seconds, nanoseconds } = clock;
  const isNs = column.logical === "timestampNs";
  if (context.isBinlog && seconds === 0 && nanoseconds === 0) {
    return context.refuseValue(
      column,
      store,
      row,
      "0000-00-00 00:00:00",
      "the zero date",
    );
  }
  const text = (): string => readToken(bytes, words, at);
  if (isNs) {
    if (Math.abs(seconds) > SECONDS_MAX_NS)
      return context.refuseValue(
        column,
        store,
        row,
        text(),
        "outside of 1677 to 2262",
      );
    context.integer.setProduct(seconds, 1_000_000_000, nanoseconds);
    return context.writeInteger(store, row);
  }
  if (seconds < SECONDS_MIN)
    return context.refuseValue(column, store, row, text(), "before year 1");
  if (seconds > SECONDS_MAX_US)
    return context.refuseValue(
      column,
      store,
      row,
      text(),
      "after the last µs of an int64",
    );
  if (nanoseconds % 1_000 !== 0) throw misfit(column, bytes, words, at);
  context.integer.setProduct(seconds, 1_000_000, nanoseconds / 1_000);
  return context.writeInteger(store, row);
};

/** A time of day as text, or as ms, µs or ns. */
export const writeTime: WriteValue = (
  context,
  column,
  store,
  row,
  bytes,
  words,
  at,
) => {
  const start = words[at + 1] ?? 0;
  const end = words[at + 2] ?? 0;
  const unit = column.logical === "timeNs" ? 1_000_000_000 : 1_000_000;
  let value = NaN;
  if (words[at] === token.integer) {
    value =
      readSmallInteger(bytes, start, end) * (unit / column.unitsPerSecond);
  } else if (
    words[at] === token.text &&
    context.clock.readClock(bytes, start, end) === end
  ) {
    value =
      context.clock.seconds * unit +
      context.clock.nanoseconds / (1_000_000_000 / unit);
  }
  if (!Number.isInteger(value) || value < 0 || value > 86_400 * unit)
    throw misfit(column, bytes, words, at);
  context.integer.set(value);
  return context.writeInteger(store, row);
};
