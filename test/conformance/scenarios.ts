/**
 * The scenarios that every source and every destination passes: each fills a database of its own, runs the real command
 * line into an empty place, and compares what another reader finds there with what was put in.
 */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import type {
  DestinationDriver,
  OpenDestination,
  OpenSource,
  SourceDriver,
} from "./drivers.ts";
import {
  normalise,
  type Cell,
  type Column,
  type NeutralColumn,
  type Row,
  type Table,
} from "./model.ts";
import { sync, syncUntilKilled, type FinishedRun } from "./runs.ts";
import {
  addColumn,
  createTable,
  insertRows,
  multiplyRows,
  type Workplace,
} from "./tables.ts";

export interface Bench extends Workplace {
  readonly driver: SourceDriver;
  readonly source: OpenSource;
  readonly target: DestinationDriver;
  readonly destination: OpenDestination;
  /** The scenario's own size instead of the reduced one. */
  readonly isFullSize: boolean;
}

export interface Scenario {
  readonly title: string;
  /** What a heavy one is at its full size, and in short runs. */
  readonly sizes?: { readonly full: string; readonly reduced: string };
  /** What it shows depends on how rows are written. */
  readonly isOfFormat?: boolean;
  readonly run: (bench: Bench) => Promise<void>;
}

// --- tables ---

const people: Table = {
  name: "people",
  columns: [
    { name: "id", kind: "int32", required: true },
    { name: "number", kind: "int64" },
    { name: "name", kind: "text" },
    { name: "price", kind: "decimal64", precision: 12, scale: 2 },
    { name: "changed", kind: "timestamp" },
    { name: "active", kind: "boolean" },
    { name: "raw", kind: "binary" },
    { name: "version", kind: "int64", required: true },
  ],
  primaryKey: ["id"],
};

/** A row of `people`; each column but the key is NULL now and then. */
function person(id: number, version = id): Row {
  const cells: Cell[] = [
    String(9_007_199_254_740_993n * BigInt(id % 1_000)),
    `näme ${id} 'of "${"x".repeat(id % 40)}`,
    `${id % 2 === 0 ? "-" : ""}${id}.${String(id % 100).padStart(2, "0")}`,
    `2024-02-29T${String(id % 24).padStart(2, "0")}:00:00.${String(id).padStart(6, "0")}`,
    String(id % 3 === 0),
    Buffer.from(`raw ${id}`).toString("hex"),
  ];
  return [
    String(id),
    ...cells.map((cell, i) => (id % 11 === i + 1 ? null : cell)),
    String(version),
  ];
}

function numbered<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i + 1));
}

async function fill(bench: Bench, table: Table, rows: readonly Row[]) {
  await createTable(bench, table);
  await insertRows(bench, table, rows);
}

// --- what has arrived ---

interface Found {
  readonly names: readonly string[] | null;
  readonly rows: readonly Row[];
}

function placeOf({ source }: Bench, run: FinishedRun, name: string) {
  const stream = run.streams.get(name);
  if (!stream) return expect.fail(`the run tells nothing of ${name}`);
  return { namespace: source.namespace, name, folder: stream.folder };
}

async function readTable(
  bench: Bench,
  run: FinishedRun,
  name: string,
  columns: readonly Column[],
): Promise<Found> {
  const rows: Row[] = [];
  const place = placeOf(bench, run, name);
  const names = await bench.destination.read(place, columns, (row) => {
    rows.push(row);
  });
  return { names, rows };
}

/** Rows as text, in one order. */
function sorted(rows: readonly Row[]): string[] {
  return rows.map((row) => JSON.stringify(row)).toSorted();
}

/** The destination holds exactly these rows, each as often as it is here. */
async function expectRows(
  bench: Bench,
  run: FinishedRun,
  table: { readonly name: string; readonly columns: readonly Column[] },
  rows: readonly Row[],
): Promise<void> {
  const found = await readTable(bench, run, table.name, table.columns);
  if (found.names !== null)
    expect(found.names).toEqual(table.columns.map(({ name }) => name));
  expect(sorted(found.rows)).toEqual(sorted(rows));
}

// --- scenarios ---

async function runTypes(bench: Bench): Promise<void> {
  const { driver, source, target } = bench;
  const { typeCases, typeSetUp = [], quoteName } = driver;
  for (const statement of typeSetUp) await source.exec(statement);
  const columns: Column[] = [
    { name: "id", kind: "int32", required: true },
    ...typeCases.map(({ sql: _, values: __, ...type }, i) => ({
      ...type,
      name: `c${i}`,
    })),
  ];
  const declared = typeCases.map(
    ({ sql }, i) => `${quoteName(`c${i}`)} ${sql}`,
  );
  await source.exec(
    `CREATE TABLE ${quoteName("types")} (${quoteName("id")} int NOT NULL PRIMARY KEY, ${declared.join(", ")})`,
  );
  // the first row has no value at all
  const count = Math.max(...typeCases.map(({ values }) => values.length)) + 1;
  const rows: Row[] = [];
  for (let id = 0; id < count; id++) {
    const values = typeCases.map(({ values: all }) => all[id - 1]);
    const literals = values.map((value) => value?.[0] ?? "NULL");
    await source.exec(
      `INSERT INTO ${quoteName("types")} VALUES (${[id, ...literals].join(", ")})`,
    );
    rows.push([
      String(id),
      ...values.map((value, i) => {
        const type = typeCases[i];
        if (!value || !type) return null;
        const cell = normalise(type, value[1]);
        return target.adapt ? target.adapt(type, cell) : cell;
      }),
    ]);
  }
  const run = await sync(bench);
  const found = await readTable(bench, run, "types", columns);
  // by type, so that a difference names it
  for (const [i, column] of columns.entries()) {
    const pick = (list: readonly Row[]) =>
      list
        .toSorted((a, b) => Number(a[0]) - Number(b[0]))
        .map((row) => row[i] ?? null);
    expect(pick(found.rows), typeCases[i - 1]?.sql ?? column.name).toEqual(
      pick(rows),
    );
  }
}

async function runEmpty(bench: Bench): Promise<void> {
  await createTable(bench, people);
  const run = await sync(bench);
  await expectRows(bench, run, people, []);
}

async function runOneRow(bench: Bench): Promise<void> {
  const rows = [person(1)];
  await fill(bench, people, rows);
  await expectRows(bench, await sync(bench), people, rows);
}

const WIDE_COLUMNS = 1_000;
const wideKinds = ["int32", "int64", "boolean", "int32"] as const;

async function runWide(bench: Bench): Promise<void> {
  const columns = numbered(WIDE_COLUMNS, (i): NeutralColumn =>
    i === 1
      ? { name: "id", kind: "int32", required: true }
      : { name: `column_${i}`, kind: wideKinds[i % 4] ?? "int32" },
  );
  const table: Table = { name: "wide", columns, primaryKey: ["id"] };
  const rows = numbered(20, (id): Row =>
    columns.map(({ kind }, i) => {
      if (i === 0) return String(id);
      if ((i + id) % 7 === 0) return null;
      return kind === "boolean" ? String((i + id) % 2 === 0) : String(i * id);
    }),
  );
  await fill(bench, table, rows);
  await expectRows(bench, await sync(bench), table, rows);
}

const MEGABYTE = 1_000_000;
const LARGE_FULL = 100;
const LARGE_REDUCED = 2;

/** A prime length: a value that is cut and joined wrongly differs. */
const textPattern = "0123456789abc";
const bytesPattern = Buffer.from("ABCDEFGHIJKLM").toString("hex");

async function runLargeValues(bench: Bench): Promise<void> {
  const { driver, source, isFullSize } = bench;
  const megabytes = isFullSize ? LARGE_FULL : LARGE_REDUCED;
  const count = Math.ceil((megabytes * MEGABYTE) / textPattern.length);
  const body = { name: "body", kind: "text" } as const;
  const raw = { name: "raw", kind: "binary" } as const;
  const table: Table = {
    name: "documents",
    columns: [{ name: "id", kind: "int32", required: true }, body, raw],
    primaryKey: ["id"],
  };
  await createTable(bench, table);
  const texts = [driver.repeat(body, textPattern, count), "NULL"];
  const bytes = ["NULL", driver.repeat(raw, bytesPattern, count)];
  for (const i of [0, 1])
    await source.exec(
      `INSERT INTO ${driver.quoteName(table.name)} VALUES (${i + 1}, ${texts[i]}, ${bytes[i]})`,
    );
  const run = await sync(bench);
  const { rows } = await readTable(bench, run, table.name, table.columns);
  const hash = (cell: Cell | undefined) =>
    cell === null || cell === undefined
      ? null
      : createHash("sha256").update(cell).digest("hex");
  const seen = rows.map(([id, text, hex]) => [id, hash(text), hash(hex)]);
  expect(seen.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
    ["1", hash(textPattern.repeat(count)), null],
    ["2", null, hash(bytesPattern.repeat(count))],
  ]);
}

const NARROW_FULL = 3_000_000;
const NARROW_REDUCED = 30_000;
const NARROW_BASE = 500;
const NARROW_STEP = 7;

async function runNarrow(bench: Bench): Promise<void> {
  const count = bench.isFullSize ? NARROW_FULL : NARROW_REDUCED;
  const table: Table = {
    name: "events",
    columns: [
      { name: "id", kind: "int32", required: true },
      { name: "number", kind: "int64", required: true },
      { name: "label", kind: "text" },
    ],
    primaryKey: ["id"],
  };
  const label = (id: number): Cell =>
    id % 13 === 0 ? null : `label ${id % NARROW_BASE}`;
  await fill(
    bench,
    table,
    numbered(NARROW_BASE, (id) => [
      String(id),
      String(id * NARROW_STEP),
      label(id),
    ]),
  );
  await multiplyRows(bench, table, NARROW_BASE, count, {
    number: NARROW_STEP,
  });
  const parts = bench.isFullSize ? [] : ["--partition-size", "64KiB"];
  const run = await sync(bench, ...parts);
  const seen = new Uint8Array(count + 1);
  let wrong = 0;
  const place = placeOf(bench, run, table.name);
  await bench.destination.read(place, table.columns, ([id, number, text]) => {
    const n = Number(id);
    const base = ((n - 1) % NARROW_BASE) + 1;
    if (
      !(n >= 1 && n <= count) ||
      Number(number) !== n * NARROW_STEP ||
      text !== label(base)
    )
      wrong += 1;
    else seen[n]! += 1;
  });
  const once = seen.reduce((sum, times) => sum + Number(times === 1), 0);
  expect({ wrong, once }).toEqual({ wrong: 0, once: count });
}

const TABLES_FULL = 5_000;
const TABLES_REDUCED = 60;

async function runManyTables(bench: Bench): Promise<void> {
  const count = bench.isFullSize ? TABLES_FULL : TABLES_REDUCED;
  const tables = numbered(count, (i): Table => ({
    name: `small_${i}`,
    columns: [{ name: "id", kind: "int32", required: true }],
    primaryKey: ["id"],
  }));
  const rowsOf = (i: number): Row[] => [[String(i)], [String(i + count)]];
  for (const [i, table] of tables.entries())
    await fill(bench, table, rowsOf(i));
  const run = await sync(bench);
  expect(run.streams.size).toBe(count);
  for (const [i, table] of tables.entries())
    await expectRows(bench, run, table, rowsOf(i));
}

async function runUnicodeNames(bench: Bench): Promise<void> {
  const columns = [
    "größe",
    "名前",
    "with space",
    'quo"te',
    "it's",
    "back`tick",
    "brack]et",
    "dot.ted",
    "select",
    "100%",
  ].map((name): NeutralColumn => ({ name, kind: "text" }));
  const names = ["Straße 日本", `o'brien "x"`, "Ünï.cödé %41", "a/b\\c"];
  const tables = names.map((name): Table => ({
    name,
    columns: [{ name: "ключ", kind: "int32", required: true }, ...columns],
    primaryKey: ["ключ"],
  }));
  const rows = numbered(3, (id): Row => [
    String(id),
    ...columns.map(({ name }) => `${name} ${id} 🐢`),
  ]);
  for (const table of tables) await fill(bench, table, rows);
  const run = await sync(bench);
  for (const table of tables) await expectRows(bench, run, table, rows);
}

async function runNullableKey(bench: Bench): Promise<void> {
  const table: Table = {
    name: "keyed",
    columns: [
      { name: "id", kind: "int32", required: true },
      { name: "code", kind: "int64" },
      { name: "name", kind: "text" },
    ],
    nullableKey: ["code"],
  };
  const COUNT = 4_000;
  const rows = numbered(COUNT, (id): Row => [
    String(id),
    id % 5 === 0 ? null : String(id * 3),
    `name ${id}`,
  ]);
  await fill(bench, table, rows);
  const run = await sync(bench, "--partition-size", "8KiB");
  await expectRows(bench, run, table, rows);
}

async function runSchemaChange(bench: Bench): Promise<void> {
  const before = numbered(50, (id) => person(id));
  await fill(bench, people, before);
  const first = await sync(bench);
  await expectRows(bench, first, people, before);
  const changed = await addColumn(bench, people, {
    name: "added",
    kind: "text",
  });
  const added = numbered(10, (i): Row => [...person(50 + i), `added ${i}`]);
  await insertRows(bench, changed, added);
  const now = [...before.map((row): Row => [...row, null]), ...added];
  await expectRows(bench, await sync(bench), changed, now);
}

async function runSchemaChangeAppended(bench: Bench): Promise<void> {
  const table: Table = { name: people.name, columns: people.columns };
  const before = numbered(50, (id) => person(id));
  await fill(bench, table, before);
  const append = ["--mode", "append"];
  await sync(bench, ...append);
  const column: NeutralColumn = { name: "added", kind: "text" };
  const changed = await addColumn(bench, table, column);
  const added = numbered(10, (i): Row => [...person(50 + i), `added ${i}`]);
  await insertRows(bench, changed, added);
  const once = before.map((row): Row => [...row, null]);
  const run = await sync(bench, ...append);
  await expectRows(bench, run, changed, [...once, ...once, ...added]);
}

const KILL_ATTEMPTS_MAX = 3;

async function runKill(bench: Bench): Promise<void> {
  const table: Table = {
    name: "orders",
    columns: [
      { name: "id", kind: "int32", required: true },
      { name: "number", kind: "int64", required: true },
      { name: "payload", kind: "text" },
    ],
    primaryKey: ["id"],
  };
  const BASE = 1_000;
  const row = (id: number): Row => [
    String(id),
    String(id * 2),
    `${((id - 1) % BASE) + 1} of ${"payload ".repeat(80)}`,
  ];
  await fill(bench, table, numbered(BASE, row));
  const options = [
    ...["--channels", "1", "--readers", "1", "--checkpoint-every", "50ms"],
    ...["--partition-size", "1MiB"],
  ];
  let count = BASE;
  let durable: number | null = null;
  for (let turn = 1; durable === null; turn++) {
    if (turn > KILL_ATTEMPTS_MAX)
      return expect.fail(`${count} rows were copied before a kill could come`);
    // what was copied meanwhile is replaced by the run that is killed
    const more = turn === 1 ? 40_000 : count * 2;
    await multiplyRows(bench, table, count, more, { number: 2 });
    count = more;
    durable = await syncUntilKilled(bench, ...options);
  }
  const run = await sync(bench, ...options);
  const started = run.events.find(({ type }) => type === "run.started");
  const kept = started?.type === "run.started" && started.resumed?.rowsKept;
  expect(kept).toBeGreaterThanOrEqual(durable);
  await expectRows(bench, run, table, numbered(count, row));
}

async function runIncremental(bench: Bench): Promise<void> {
  const options = [
    ...["--mode", "incremental", "--cursor", "version", "--cursor-lag", "0s"],
  ];
  const before = numbered(300, (id) => person(id));
  await fill(bench, people, before);
  await expectRows(bench, await sync(bench, ...options), people, before);
  const added = numbered(30, (i) => person(300 + i));
  await insertRows(bench, people, added);
  const all = [...before, ...added];
  const second = await sync(bench, ...options);
  expect(second.streams.get(people.name)?.rows).toBe(added.length);
  await expectRows(bench, second, people, all);
  const third = await sync(bench, ...options);
  await expectRows(bench, third, people, all);
}

/** Changes the 100 rows of `people`: one is gone, one is another, one is new. */
async function changePeople({ driver, source }: Bench): Promise<Row[]> {
  const { quoteName } = driver;
  const table = quoteName(people.name);
  const id = quoteName("id");
  await source.exec(`DELETE FROM ${table} WHERE ${id} = 3`);
  await source.exec(
    `UPDATE ${table} SET ${quoteName("name")} = 'changed', ${quoteName("version")} = 1000 WHERE ${id} = 7`,
  );
  return numbered(100, (i) => person(i))
    .filter(([number]) => number !== "3")
    .map((row) =>
      row[0] === "7"
        ? row.map((cell, i) => (i === 2 ? "changed" : i === 7 ? "1000" : cell))
        : row,
    );
}

async function runOverwrite(bench: Bench): Promise<void> {
  await fill(
    bench,
    people,
    numbered(100, (id) => person(id)),
  );
  await sync(bench);
  const rows = await changePeople(bench);
  await expectRows(bench, await sync(bench), people, rows);
}

async function runAppend(bench: Bench): Promise<void> {
  // without a key: in a database the second copy of a row would break it
  const table: Table = { name: people.name, columns: people.columns };
  const rows = numbered(100, (id) => person(id));
  await fill(bench, table, rows);
  const append = ["--mode", "append"];
  await expectRows(bench, await sync(bench, ...append), table, rows);
  const second = await sync(bench, ...append);
  await expectRows(bench, second, table, [...rows, ...rows]);
}

async function runDedupe(bench: Bench): Promise<void> {
  const options = [
    ...["--mode", "dedupe", "--cursor", "version", "--cursor-lag", "0s"],
  ];
  const before = numbered(100, (id) => person(id));
  await fill(bench, people, before);
  await expectRows(bench, await sync(bench, ...options), people, before);
  // a row that is gone is not seen by a cursor
  const gone = before.filter(([id]) => id === "3");
  const now = [...(await changePeople(bench)), ...gone];
  await expectRows(bench, await sync(bench, ...options), people, now);
}

export const scenarios = {
  types: { title: "types with edge values", isOfFormat: true, run: runTypes },
  empty: { title: "empty table", isOfFormat: true, run: runEmpty },
  oneRow: { title: "one row", isOfFormat: true, run: runOneRow },
  wide: { title: "1,000 columns", isOfFormat: true, run: runWide },
  largeValues: {
    title: "large values",
    isOfFormat: true,
    sizes: { full: "100 MB", reduced: "2 MB" },
    run: runLargeValues,
  },
  narrow: {
    title: "many narrow rows",
    sizes: { full: "3 M", reduced: "30,000" },
    run: runNarrow,
  },
  manyTables: {
    title: "many tables",
    sizes: { full: "5,000", reduced: "60" },
    run: runManyTables,
  },
  unicodeNames: {
    title: "unicode names",
    isOfFormat: true,
    run: runUnicodeNames,
  },
  nullableKey: { title: "nullable key", run: runNullableKey },
  schemaChange: {
    title: "schema change between runs, overwritten",
    run: runSchemaChange,
  },
  schemaChangeAppended: {
    title: "schema change between runs, appended",
    isOfFormat: true,
    run: runSchemaChangeAppended,
  },
  kill: { title: "kill and resume", run: runKill },
  incremental: { title: "incremental", run: runIncremental },
  overwrite: { title: "overwrite", run: runOverwrite },
  append: { title: "append", run: runAppend },
  dedupe: { title: "incremental with merge on the key", run: runDedupe },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof scenarios;
export const scenarioNames = Object.keys(scenarios) as ScenarioName[];
