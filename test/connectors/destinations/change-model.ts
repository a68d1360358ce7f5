/**
 * Random histories of a table, as its log tells them, and what the table holds after each transaction: the model that
 * copies and change logs are compared with. Keys are unique at every moment, as a database sees to it.
 */
import type { StreamSchema } from "../../../proto/schema.ts";
import { buildSchema, type TestRow } from "../../fixtures/batches.ts";

/** Key of two columns, one that is always sent, and two that may be left out. */
export const changeSchema: StreamSchema = {
  ...buildSchema(
    {
      id: "int32",
      site: "text",
      amount: "int64",
      note: "text",
      body: "text",
      _op: "text",
      _position: "text",
      _ts: "timestamptz",
      _deleted: "boolean",
      _unchanged: "text",
      _old_key: "text",
    },
    ["_op", "_position", "_deleted", "_unchanged"],
  ),
  name: "orders",
  key: ["id", "site"],
};

export type TableRow = readonly [
  id: number,
  site: string,
  amount: bigint | null,
  note: string | null,
  body: string | null,
];

export interface Change {
  readonly position: string;
  readonly row: TestRow;
}

export interface Transaction {
  readonly changes: readonly Change[];
  /** Behind its last change. */
  readonly end: string;
  /** The table behind it, by key. */
  readonly after: ReadonlyMap<string, TableRow>;
  /** Rows that were deleted and did not come back, as they were. */
  readonly deletedAfter: ReadonlyMap<string, TableRow>;
}

export interface History {
  readonly snapshot: readonly Change[];
  readonly before: ReadonlyMap<string, TableRow>;
  readonly transactions: readonly Transaction[];
}

export type Random = () => number;

/** Mulberry32: numbers in [0, 1). */
export function seedRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

export function describePosition(commit: number, event: number): string {
  const place = commit.toString(16).padStart(20, "0");
  return `00000001-${place}-${String(event).padStart(10, "0")}`;
}

const ids = [1, 2, 3, 4, 5, 6] as const;
const sites = ["a", "ü'\"b"] as const;
/** The snapshot's place; some transactions of the log have lower ones, as where a commit waits for a standby. */
const SNAPSHOT_COMMIT = 100;
const EVENT_LAST = 9_999_999_999;
const COMMITTED_US = 1_700_000_000_000_000n;

const keyOf = (row: readonly [number, string, ...unknown[]]): string =>
  JSON.stringify([row[0], row[1]]);

export function makeHistory(random: Random, transactionCount: number): History {
  let counter = 0;
  const value = (): string | null =>
    random() < 0.2 ? null : `value ${(counter += 1)}`;
  const amount = (): bigint | null =>
    random() < 0.2 ? null : BigInt((counter += 1));
  const table = new Map<string, TableRow>();
  const deleted = new Map<string, TableRow>();
  const freeKeys = (): (readonly [number, string])[] =>
    ids
      .flatMap((id) => sites.map((site) => [id, site] as const))
      .filter((key) => !table.has(keyOf(key)));
  const insert = (): TableRow | null => {
    const free = freeKeys();
    if (free.length === 0) return null;
    return [...pick(random, free), amount(), value(), value()];
  };
  for (let i = 0; i < 5; i++) {
    const row = insert();
    if (row) table.set(keyOf(row), row);
  }
  const before = new Map(table);
  const snapshot = [...table.values()].map((row) =>
    toChange("r", row, describePosition(SNAPSHOT_COMMIT, 0), [], null),
  );
  const transactions: Transaction[] = [];
  let commit = SNAPSHOT_COMMIT - Math.floor(random() * 10);
  for (let i = 0; i < transactionCount; i++) {
    commit += 1 + Math.floor(random() * 3);
    const changes: Change[] = [];
    let event = 0;
    const tell = (
      operation: string,
      row: TableRow | null,
      unsent: readonly string[] = [],
      old: TableRow | null = null,
    ): void => {
      event += 1 + Math.floor(random() * 2);
      const position = describePosition(commit, event);
      changes.push(toChange(operation, row, position, unsent, old));
    };
    const put = (row: TableRow): void => {
      table.set(keyOf(row), row);
      deleted.delete(keyOf(row));
    };
    const remove = (row: TableRow): void => {
      table.delete(keyOf(row));
      deleted.set(keyOf(row), row);
    };
    /** Values of some columns, and which of those that stayed were not sent. */
    const change = (row: TableRow): [TableRow, string[]] => {
      const [id, site, , oldNote, oldBody] = row;
      const note = random() < 0.5 ? value() : oldNote;
      const body = random() < 0.3 ? value() : oldBody;
      const unsent = [
        ...(note === oldNote && random() < 0.5 ? ["note"] : []),
        ...(body === oldBody && random() < 0.7 ? ["body"] : []),
      ];
      return [[id, site, amount(), note, body], unsent];
    };
    const moveTo = (row: TableRow, key: readonly [number, string]): void => {
      const [changed, unsent] = change(row);
      const [, , ...values] = changed;
      const moved: TableRow = [key[0], key[1], ...values];
      tell("d", row);
      remove(row);
      tell(pick(random, ["c", "u"]), moved, unsent, row);
      put(moved);
    };
    const steps = 1 + Math.floor(random() * 5);
    for (let step = 0; step < steps; step++) {
      const rows = [...table.values()];
      const what = random();
      if (rows.length === 0 || what < 0.2) {
        const row = insert();
        if (!row) continue;
        tell("c", row);
        put(row);
      } else if (what < 0.5) {
        const [row, unsent] = change(pick(random, rows));
        tell("u", row, unsent);
        put(row);
      } else if (what < 0.65) {
        const row = pick(random, rows);
        tell("d", row);
        remove(row);
      } else if (what < 0.85) {
        const free = freeKeys();
        if (free.length > 0) moveTo(pick(random, rows), pick(random, free));
      } else if (what < 0.96) {
        // two rows swap their keys by way of a third one
        const [a, b] = [pick(random, rows), pick(random, rows)];
        const free = freeKeys();
        if (a === b || free.length === 0) continue;
        const aside = pick(random, free);
        moveTo(a, aside);
        moveTo(b, [a[0], a[1]]);
        const waiting = table.get(keyOf(aside));
        if (waiting) moveTo(waiting, [b[0], b[1]]);
      } else {
        tell("t", null);
        for (const row of rows) remove(row);
      }
    }
    if (changes.length === 0) continue;
    transactions.push({
      changes,
      end: describePosition(commit, EVENT_LAST),
      after: new Map(table),
      deletedAfter: new Map(deleted),
    });
  }
  return { snapshot, before, transactions };
}

function toChange(
  operation: string,
  row: TableRow | null,
  position: string,
  unsent: readonly string[],
  old: TableRow | null,
): Change {
  const [id, site, amount, note, body] = row ?? [null, null, null, null, null];
  const isDeletion = operation === "d" || operation === "t";
  const sent = (name: string, value: string | null): string | null =>
    operation === "d" || unsent.includes(name) ? null : value;
  return {
    position,
    row: [
      id,
      site,
      operation === "d" ? null : amount,
      sent("note", note),
      sent("body", body),
      operation,
      position,
      COMMITTED_US,
      isDeletion,
      JSON.stringify(unsent),
      old && JSON.stringify([String(old[0]), old[1]]),
    ],
  };
}

export function sortRows(rows: Iterable<TableRow>): TableRow[] {
  return [...rows].toSorted(
    (a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : Number(a[1] > b[1])),
  );
}
