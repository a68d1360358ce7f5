/**
 * Finds keys of a table by index dives: the first and the last of a range, and one near its middle. Every key that comes
 * out is one that the server has.
 */
import assert from "node:assert/strict";
import {
  betweenBytes,
  betweenDecimals,
  betweenIntegers,
  betweenTexts,
} from "../../../partitioning/between.ts";
import { equalKeys } from "../../../partitioning/quantiles.ts";
import type { KeyTuple } from "../../../proto/partition.ts";
import type { LeafRelation } from "../source.ts";
import { estimateRows } from "./explain.ts";
import {
  compareKey,
  keyLiteral,
  keyText,
  quoteIdentifier,
  quoteLiteral,
  quoteRelation,
  type Queryable,
} from "./sql.ts";
import type { MysqlStream } from "./stream.ts";
import { betweenTimes } from "./times.ts";

/** Guesses at one column before the next one is tried: each that fails halves what is left. */
const GUESSES_MAX = 8;

/** Characters that the server is asked to order for one text type. */
const ALPHABET_MAX = 500;

const printable = Array.from({ length: 95 }, (_, i) =>
  String.fromCharCode(32 + i),
);

/** A half-open range of keys; `after` is a place in it behind which is looked, null for all of it. */
export interface KeyRange {
  readonly start: KeyTuple | null;
  readonly end: KeyTuple | null;
  readonly after?: KeyTuple | null;
}

type ValueKind =
  | "integer"
  | "decimal"
  | "float"
  | "time"
  | "bytes"
  | "uuid"
  | "text";

function kindOf(type: string): ValueKind {
  if (/^(?:(?:tiny|small|medium|big)?int|bit|year)\b/i.test(type))
    return "integer";
  if (/^decimal\b/i.test(type)) return "decimal";
  if (/^(?:float|double)\b/i.test(type)) return "float";
  if (/^(?:date|datetime|timestamp|time)\b/i.test(type)) return "time";
  if (/^(?:(?:var)?binary|(?:tiny|medium|long)?blob)\b/i.test(type))
    return "bytes";
  return /^uuid\b/i.test(type) ? "uuid" : "text";
}

export class KeyFinder {
  readonly #connection: Queryable;
  readonly #from: string;
  readonly #columns: readonly string[];
  readonly #types: readonly string[];
  /** By text type: characters in the order of its collation, equal ones together. */
  readonly #alphabets = new Map<string, readonly (readonly string[])[]>();
  /** Keys that cut a range: each is the first one of the part behind it. */
  readonly #cuts = new Set<string>();
  /** Last keys of ranges by the text of their ends: a part behind a cut ends as the whole did. */
  readonly #lasts = new Map<string, KeyTuple>();

  constructor(connection: Queryable, stream: MysqlStream, leaf: LeafRelation) {
    assert(stream.key !== null, "keys of a stream that has one");
    this.#connection = connection;
    this.#from = `${quoteRelation(leaf)} AS t FORCE INDEX (${quoteIdentifier(stream.key.name)})`;
    this.#columns = stream.key.columns.map(({ name }) => quoteIdentifier(name));
    this.#types = stream.key.columns.map(({ type }) => type);
  }

  first(range: KeyRange): Promise<KeyTuple | null> {
    return this.#findEnd(this.#toConditions(range), "ASC");
  }

  last(range: KeyRange): Promise<KeyTuple | null> {
    return this.#findEnd(this.#toConditions(range), "DESC");
  }

  /** Rows of a range by the server's index statistics. */
  estimate(range: KeyRange): Promise<number> {
    return estimateRows(
      this.#connection,
      `SELECT ${this.#columns.join(", ")} FROM ${this.#from}${where(this.#toConditions(range))}`,
    );
  }

  /**
   * A key of the range that is not its first one, near the middle between its smallest and its largest; null where
   * none was found.
   */
  async middle(range: KeyRange): Promise<KeyTuple | null> {
    const key = await this.#findMiddle(range);
    if (key !== null) this.#cuts.add(JSON.stringify(key));
    return key;
  }

  async #findMiddle(range: KeyRange): Promise<KeyTuple | null> {
    const conditions = this.#toConditions(range);
    const first = await this.#findFirst(range, conditions);
    let last = first && (await this.#findLast(range, conditions));
    for (let column = 0; column < this.#columns.length; column++) {
      if (first === null || last === null || equalKeys(first, last))
        return null;
      if (first[column] === last[column]) continue;
      const key = await this.#search(conditions, column, first, last);
      if (key !== null) return key;
      // nothing lies between: go on among the keys that begin as the first one does
      const same = first
        .slice(0, column + 1)
        .map((text, i) => this.#equals(i, text));
      last = await this.#findEnd([...conditions, ...same], "DESC");
    }
    return null;
  }

  /** Spares the question where the range begins with a key that was found here. */
  async #findFirst(
    { start, after }: KeyRange,
    conditions: readonly string[],
  ): Promise<KeyTuple | null> {
    // the text of a float may lie above the float
    const isExact = !this.#types.some((type) => kindOf(type) === "float");
    const isKnown = start !== null && this.#cuts.has(JSON.stringify(start));
    if (isKnown && isExact && !after) return start;
    return this.#findEnd(conditions, "ASC");
  }

  /** Spares the question where the range is what a cut has left of one that was asked about. */
  async #findLast(
    { start, end, after }: KeyRange,
    conditions: readonly string[],
  ): Promise<KeyTuple | null> {
    const name = JSON.stringify(end);
    const isRest = start !== null && this.#cuts.has(JSON.stringify(start));
    const known = isRest && !after ? this.#lasts.get(name) : undefined;
    if (known !== undefined) return known;
    const last = await this.#findEnd(conditions, "DESC");
    if (last !== null) this.#lasts.set(name, last);
    return last;
  }

  /** Guesses values of one column between those of two keys which have the columns before it in common. */
  async #search(
    conditions: readonly string[],
    column: number,
    first: KeyTuple,
    last: KeyTuple,
  ): Promise<KeyTuple | null> {
    const type = this.#types[column] ?? "";
    let [low, high] = [first[column] ?? "", last[column] ?? ""];
    for (let guess = 0; guess < GUESSES_MAX; guess++) {
      const value = await this.#guess(type, low, high, guess);
      if (value === null) return null;
      const place = [...first.slice(0, column), value];
      const key = {
        columns: this.#columns.slice(0, column + 1),
        types: this.#types.slice(0, column + 1),
      };
      const found = await this.#findEnd(
        [...conditions, compareKey(key, ">=", place)],
        "ASC",
      );
      if (found !== null && !equalKeys(found, first)) return found;
      if (value === low && value === high) return null;
      if (found === null) high = value;
      else low = value;
    }
    return null;
  }

  async #guess(
    type: string,
    low: string,
    high: string,
    guess: number,
  ): Promise<string | null> {
    switch (kindOf(type)) {
      case "integer":
        return betweenIntegers(BigInt(low), BigInt(high)).toString();
      case "decimal":
        return betweenDecimals(low, high);
      case "float": {
        const value = Number(low) / 2 + Number(high) / 2;
        return Number.isFinite(value) ? String(value) : null;
      }
      case "time":
        return betweenTimes(low, high);
      case "bytes":
        return betweenBytes(low, high);
      case "uuid":
        return betweenUuids(low, high, guess);
      case "text":
        return betweenTexts(
          low,
          high,
          await this.#readAlphabet(type, low + high),
        );
    }
  }

  /** The printable ASCII characters and those of `text`, as the server orders them. */
  async #readAlphabet(
    type: string,
    text: string,
  ): Promise<readonly (readonly string[])[]> {
    const known = this.#alphabets.get(type) ?? [];
    const before = known.flat();
    const wanted = new Set(before.length > 0 ? before : printable);
    for (const character of Array.from(text)) {
      if (wanted.size < ALPHABET_MAX) wanted.add(character);
    }
    if (wanted.size === before.length) return known;
    const characters = [...wanted];
    const [, charset, collation] =
      /CHARACTER SET (\w+) COLLATE (\w+)$/i.exec(type) ?? [];
    const parts = characters.map((character, n) => {
      const literal = quoteLiteral(character);
      const value =
        charset === undefined
          ? literal
          : `CONVERT(${literal} USING ${charset}) COLLATE ${collation}`;
      return `SELECT ${n} AS n, ${value} AS c`;
    });
    const rows = await this.#connection.query<{
      n: number | string;
      weight: string;
    }>(
      `SELECT n, HEX(WEIGHT_STRING(c)) AS weight
      FROM (${parts.join(" UNION ALL ")}) AS characters ORDER BY c, n`,
    );
    const alphabet = [
      ...Map.groupBy(rows, ({ weight }) => weight).values(),
    ].map((equals) => equals.map(({ n }) => characters[Number(n)] ?? ""));
    this.#alphabets.set(type, alphabet);
    return alphabet;
  }

  #equals(column: number, text: string): string {
    return `${this.#columns[column]} = ${keyLiteral(this.#types[column] ?? "", text)}`;
  }

  #toConditions({ start, end, after }: KeyRange): string[] {
    const key = { columns: this.#columns, types: this.#types };
    const conditions: string[] = [];
    if (after) conditions.push(compareKey(key, ">", after));
    else if (start !== null) conditions.push(compareKey(key, ">=", start));
    if (end !== null) conditions.push(compareKey(key, "<", end));
    return conditions;
  }

  async #findEnd(
    conditions: readonly string[],
    direction: "ASC" | "DESC",
  ): Promise<KeyTuple | null> {
    const list = this.#columns.map(
      (column, i) => `${keyText(column, this.#types[i] ?? "")} AS k${i}`,
    );
    // a bare name could mean the text
    const order = this.#columns.map((column) => `t.${column} ${direction}`);
    const [row] = await this.#connection.query<Record<string, string>>(
      `SELECT ${list.join(", ")} FROM ${this.#from}${where(conditions)}
      ORDER BY ${order.join(", ")} LIMIT 1`,
    );
    if (row === undefined) return null;
    return this.#columns.map((_, i) => {
      const text = row[`k${i}`];
      assert(typeof text === "string", "a key's column without a text");
      return text;
    });
  }
}

function where(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
}

const uuidGroups = /^(.{8})-(.{4})-(.{4})-(.{4})-(.{12})$/;

/**
 * MariaDB orders most UUIDs by their last group first; which of both ways a table's follow is found out by trying.
 * @see MariaDB documentation, "UUID Data Type"
 */
function betweenUuids(low: string, high: string, guess: number): string | null {
  const isSwapped = guess % 2 === 0;
  const order = (text: string): string | null => {
    const groups = uuidGroups.exec(text)?.slice(1);
    if (groups === undefined) return null;
    return (isSwapped ? groups.reverse() : groups).join("");
  };
  const [a, b] = [order(low), order(high)];
  if (a === null || b === null) return null;
  const [from, to] = a < b ? [a, b] : [b, a];
  const hex = betweenBytes(from, to).slice(0, 32);
  return isSwapped
    ? hex.replace(/^(.{12})(.{4})(.{4})(.{4})(.{8})$/, "$5-$4-$3-$2-$1")
    : hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
