import { mkdtempSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type {
  CompressionName,
  FormatName,
} from "../../connectors/formats/format.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  fromParquet,
  parseExactly,
  quoteText,
  readBack,
  type NotedRows,
  type Notation,
} from "../fixtures/read-back.ts";
import {
  makeEveryType,
  prepareCases,
  sessionSettings,
} from "../fixtures/every-type.ts";
import {
  truthOf,
  typeSetUp,
  unrepresentable,
  type TypeCase,
} from "../fixtures/postgres-types.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../fixtures/postgres.ts";
import { runCommand, runSync } from "../fixtures/run-sync.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-types-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const variants: readonly {
  readonly format: FormatName;
  readonly compression: CompressionName;
  readonly plain?: true;
}[] = [
  { format: "parquet", compression: "zstd" },
  { format: "parquet", compression: "snappy" },
  { format: "parquet", compression: "gzip" },
  { format: "parquet", compression: "none" },
  { format: "parquet", compression: "zstd", plain: true },
  { format: "parquet", compression: "none", plain: true },
  { format: "csv", compression: "none" },
  { format: "csv", compression: "gzip" },
  { format: "csv", compression: "zstd" },
  { format: "jsonl", compression: "none" },
  { format: "jsonl", compression: "gzip" },
  { format: "jsonl", compression: "zstd" },
];

const floatKinds: readonly string[] = ["float32", "float64"];

/** Brings the server's text to the notation in which the format's value was read back. */
function noteTruth(
  { kind }: TypeCase,
  text: string | null,
  format: FormatName,
): Notation {
  if (text === null) return null;
  if (floatKinds.includes(kind)) return noteFloat(kind, text);
  if (format !== "jsonl") return text;
  switch (kind) {
    case "boolean":
      return text === "true";
    case "int16":
    case "int32":
    case "int64":
    case "decimal64":
    case "decimal128":
      return { number: text };
    case "decimalText":
      return text === "NaN" ? text : { number: text };
    case "json":
      return parseExactly(text);
    case "binary":
      return Buffer.from(text.slice(2), "hex").toString("base64");
    default:
      return text;
  }
}

/** Floats are compared as numbers, since each side has a shortest text of its own for them. */
function noteFloat(kind: string, text: string): string {
  const value = Number(text);
  const nearest = kind === "float32" ? Math.fround(value) : value;
  return Object.is(nearest, -0) ? "-0" : String(nearest);
}

function noteFound({ kind }: TypeCase, found: Notation): Notation {
  if (found === null || !floatKinds.includes(kind)) return found;
  const text =
    typeof found === "string" ? found : (found as { number: string }).number;
  return noteFloat(kind, text);
}

test("every type comes out of every format as the server says it is", async ({
  pg,
}) => {
  const cases = await prepareCases(pg);
  await makeEveryType(pg, cases);
  await pg.query(sessionSettings);
  for (const { format, compression, plain } of variants) {
    const name = `${format}-${compression}${plain ? "-plain" : ""}`;
    const folder = join(root, name);
    const run = await runSync(
      ...[pg.url, folder, "--table", "every_type"],
      ...["--format", format, "--compression", compression],
      ...(plain ? ["--plain-encodings"] : []),
    );
    expect(run.exitCode, `${name}: ${run.stderr}`).toBe(0);
    const rows = await readBack(
      run.stream("every_type").folder,
      format,
      compression,
      cases.length + 1,
    );
    const columns = cases.map(
      (one, i) => `${truthOf(one, `c${i}`, format === "parquet")} AS c${i}`,
    );
    const truth = await pg.query<Record<string, string | null>>(
      `SELECT ${columns.join(", ")} FROM every_type ORDER BY n`,
    );
    expect(rows, name).toHaveLength(truth.length);
    const byType = (note: (one: TypeCase, i: number) => readonly Notation[]) =>
      Object.fromEntries(cases.map((one, i) => [one.type, note(one, i)]));
    expect(
      byType((one, i) => rows.map((row) => noteFound(one, row[i + 1] ?? null))),
      name,
    ).toEqual(
      byType((one, i) =>
        truth.map((row) => noteTruth(one, row[`c${i}`] ?? null, format)),
      ),
    );
  }
});

describe("values outside their logical type", () => {
  const tables = unrepresentable.map((one, i) => ({ ...one, name: `u${i}` }));

  async function makeTables(pg: PostgresFixture): Promise<void> {
    await pg.query(typeSetUp);
    await pg.query("CREATE TABLE good AS SELECT 1 AS n");
    for (const { name, type, value } of tables) {
      await pg.query(`CREATE TABLE ${name} (n int PRIMARY KEY, v ${type} NOT NULL);
        INSERT INTO ${name} SELECT 1, CASE '${type}' WHEN 'numeric(10,2)' THEN '1' WHEN 'numeric(30,2)' THEN '1' ELSE '2020-01-01' END::${type};
        INSERT INTO ${name} VALUES (2, '${value}')`);
    }
  }

  test("fail their tables by column and leave nothing of them; the others are committed", async ({
    pg,
  }) => {
    await makeTables(pg);
    const folder = join(root, "refused");
    const run = await runSync(pg.url, folder);
    expect(run.exitCode, run.stderr).toBe(4);
    expect(run.summary.state).toBe("partlyFailed");
    for (const { name, reason } of tables) {
      const stream = run.stream(name);
      expect(stream.state).toBe("failed");
      expect(stream.error, name).toMatchObject({
        code: "SOURCE_VALUE_UNREPRESENTABLE",
        details: { column: "v" },
      });
      expect(run.stderr).toContain(`public.${name}`);
      expect(stream.error?.message, name).toContain(reason);
      expect(await listFiles(join(folder, "public", name))).toEqual([]);
    }
    expect(run.stream("good").state).toBe("committed");
    expect(await readNumbers(run.stream("good").folder)).toEqual([["1"]]);
  });

  test("become NULL under `--unrepresentable null`, and each is counted", async ({
    pg,
  }) => {
    await makeTables(pg);
    const folder = join(root, "nulled");
    const run = await runCommand([
      "sync",
      pg.url,
      folder,
      "--unrepresentable",
      "null",
    ]);
    expect(run.exitCode, run.stderr).toBe(0);
    for (const { name } of tables) {
      expect(run.stdout).toContain(
        `note: public.${name}.v: 1 value could not be represented and became NULL`,
      );
      const rows = await readNumbers(join(folder, "public", name));
      expect(
        rows.map(([n, v]) => [n, v === null]),
        name,
      ).toEqual([
        ["1", false],
        ["2", true],
      ]);
    }
    expect(run.stdout).not.toContain("public.good.");
  });
});

/** Names of files below a folder that is there or not. */
async function listFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.includes(".")).sort();
}

function readNumbers(folder: string): Promise<NotedRows> {
  return readBack(folder, "parquet", "zstd", 0);
}

describe("tables at the edges", () => {
  const oddNames = [
    "we\"ird. Tä/ble\\ '%$*?[x]{namespace}",
    "UPPER",
    "upper",
    "..",
    ".",
    ".hidden",
    "_underscored",
    "a/b",
    "a%2Fb",
    "select",
    "new\nline",
    "🐢".repeat(15),
    "ż".repeat(31),
    "con.parquet",
    " ",
  ];
  const oddColumns = [
    "n",
    "a b",
    'q"uote',
    "n'quote",
    "UPPER",
    "upper",
    "ünï 🐢",
    "select",
    "comma,semi;",
    "new\nline",
    "dot.ted",
    "{brace}",
    "back\\slash",
    "$1",
    "ctid ",
    "x".repeat(63),
  ];
  const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

  test.for(["parquet", "csv", "jsonl"] as const)(
    "odd names of schemas, tables and columns come through to %s, none over another",
    async (format, { pg }) => {
      for (const schema of ["public", "Odd/sch ema", ".."]) {
        await pg.query(`CREATE SCHEMA IF NOT EXISTS ${quote(schema)}`);
        for (const [i, name] of oddNames.entries()) {
          const columns = oddColumns.map((column, j) =>
            j === 0
              ? `${quote(column)} int PRIMARY KEY`
              : `${quote(column)} text`,
          );
          await pg.query(
            `CREATE TABLE ${quote(schema)}.${quote(name)} (${columns.join(", ")});
            INSERT INTO ${quote(schema)}.${quote(name)} VALUES (${i}, ${oddColumns
              .slice(1)
              .map((_, j) => `'${schema} ${i} ${j}'`)
              .join(", ")})`,
          );
        }
      }
      const folder = join(root, `odd-${format}`);
      const run = await runSync(
        ...[pg.url, folder, "--format", format, "--compression", "none"],
        ...["--partition-by", "key"],
      );
      expect(run.exitCode, run.stderr).toBe(0);
      expect(run.summary.streams).toHaveLength(3 * oddNames.length);
      for (const { namespace, name, folder: own } of run.summary.streams) {
        expect(own.startsWith(`${folder}/`), own).toBe(true);
        const rows = await readBack(own, format, "none", oddColumns.length);
        const i = oddNames.indexOf(name);
        const texts = oddColumns
          .slice(1)
          .map((_, j) => `${namespace} ${i} ${j}`);
        const number = format === "jsonl" ? { number: String(i) } : String(i);
        expect(rows, `${namespace}.${name}`).toEqual([[number, ...texts]]);
      }
      const folders = run.summary.streams.map((stream) => stream.folder);
      expect(new Set(folders).size).toBe(folders.length);
      if (format !== "parquet") return;
      const described = await queryDuckDb(
        `SELECT name FROM parquet_schema(${quoteText(`${run.stream("public.select").folder}/**/*.parquet`)}) OFFSET 1`,
      );
      expect(described.map(([name]) => name)).toEqual(oddColumns);
    },
  );

  test("a thousand columns, a row of 20 MB, no rows, no columns, generated and dropped columns", async ({
    pg,
  }) => {
    const wide = Array.from({ length: 1_000 }, (_, i) => i);
    await pg.query(`
      CREATE TABLE wide (${wide.map((i) => (i % 3 === 0 ? `c${i} int` : i % 3 === 1 ? `c${i} text` : `c${i} numeric(10,2) NOT NULL`)).join(", ")});
      INSERT INTO wide SELECT ${wide.map((i) => (i % 7 === 0 && i % 3 !== 2 ? "NULL" : `n * ${i}`)).join(", ")} FROM generate_series(1, 50) AS n;
      CREATE TABLE big (n int PRIMARY KEY, t text, b bytea);
      INSERT INTO big VALUES (1, 'small', '\\x00'), (2, repeat('żółw 🐢 ', 1500000), NULL), (3, NULL, convert_to(repeat('0123456789', 2000000), 'UTF8')), (4, '', '');
      CREATE TABLE empty (n int PRIMARY KEY, t text NOT NULL, d numeric(30,2));
      CREATE TABLE columnless ();
      CREATE TABLE generated (n int PRIMARY KEY, gone int, twice int GENERATED ALWAYS AS (n * 2) STORED, id bigint GENERATED ALWAYS AS IDENTITY, late text DEFAULT 'd');
      INSERT INTO generated (n, gone) VALUES (1, 1), (2, 2);
      ALTER TABLE generated DROP COLUMN gone, ADD COLUMN added text DEFAULT 'new';
      CREATE TABLE nothing_but_null (a int, b text, c timestamptz, d bytea, e numeric(5,2), f bool);
      INSERT INTO nothing_but_null SELECT FROM generate_series(1, 20000)`);
    const folder = join(root, "edges");
    const run = await runSync(pg.url, folder);
    expect(run.exitCode, run.stderr).toBe(4);
    expect(run.stream("columnless").error).toMatchObject({
      code: "SOURCE_QUERY_FAILED",
      message: "public.columnless has no columns",
    });
    const committed = run.summary.streams.filter(
      ({ state }) => state === "committed",
    );
    expect(committed.map(({ name, rows }) => [name, rows])).toEqual([
      ["big", 4],
      ["empty", 0],
      ["generated", 2],
      ["nothing_but_null", 20_000],
      ["wide", 50],
    ]);
    const from = (table: string) => fromParquet(run.stream(table).folder);
    expect(
      await queryDuckDb(
        `SELECT n, md5(t), md5(b), length(t), octet_length(b) FROM ${from("big")} ORDER BY n`,
      ),
    ).toEqual(
      (
        await pg.query(
          `SELECT n, md5(t), md5(b) AS m, length(t)::text, length(b)::text AS o FROM big ORDER BY n`,
        )
      ).map((row: Record<string, unknown>) =>
        Object.values(row).map((v, i) =>
          i > 2 && v !== null ? BigInt(v as string) : v,
        ),
      ),
    );
    expect(await queryDuckDb(`FROM ${from("generated")} ORDER BY n`)).toEqual([
      [1, 2, 1n, "d", "new"],
      [2, 4, 2n, "d", "new"],
    ]);
    const [nulls] = await queryDuckDb(
      `SELECT count(*), count(a), count(b), count(c), count(d), count(e), count(f) FROM ${from("nothing_but_null")}`,
    );
    expect(nulls).toEqual([20_000n, 0n, 0n, 0n, 0n, 0n, 0n]);
    // a file without rows still says what its columns are
    const described = await queryDuckDb(`DESCRIBE FROM ${from("empty")}`);
    expect(described.map(([name, type]) => [name, type])).toEqual([
      ["n", "INTEGER"],
      ["t", "VARCHAR"],
      ["d", "DECIMAL(30,2)"],
    ]);
    const rows = await readNumbers(run.stream("wide").folder);
    const truth = await pg.query<Record<string, string | null>>(
      `SELECT ${wide.map((i) => `c${i}::text`).join(", ")} FROM wide ORDER BY c3`,
    );
    expect(sortTexts(rows)).toEqual(
      sortTexts(truth.map((row) => Object.values(row))),
    );
  });
});

function sortTexts(rows: NotedRows): string[] {
  return rows.map((row) => JSON.stringify(row)).sort();
}
