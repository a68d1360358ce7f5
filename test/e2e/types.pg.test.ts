import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type {
  CompressionName,
  FormatName,
} from "../../connectors/formats/format.ts";
import { parseExactly, readBack, type Notation } from "../fixtures/read-back.ts";
import {
  truthOf,
  typeCases,
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
import { runSync } from "../fixtures/run-sync.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-types-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** As the reader's own session. */
const sessionSettings =
  "SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 3";

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

/** The cases whose types this server has, once their extensions are there. */
async function prepareCases(pg: PostgresFixture): Promise<TypeCase[]> {
  const missing = new Set<string>();
  for (const { needs } of typeCases) {
    if (needs === undefined) continue;
    await pg
      .query(
        `DO $$ BEGIN
          IF EXISTS (SELECT FROM pg_available_extensions WHERE name = '${needs}')
          THEN CREATE EXTENSION IF NOT EXISTS ${needs}; END IF;
        END $$; SELECT NULL::${needs}; SELECT '<a/>'::${needs} WHERE '${needs}' = 'xml'`,
      )
      .catch(() => missing.add(needs));
  }
  return typeCases.filter(({ needs }) => !missing.has(needs ?? ""));
}

/** One column for each case and one row for each value, the first row all NULL; as many rows as the longest case has. */
async function makeEveryType(
  pg: PostgresFixture,
  cases: readonly TypeCase[],
): Promise<void> {
  const columns = cases.map(({ type }, i) => `c${i} ${type}`);
  await pg.query(
    `CREATE TABLE every_type (n int PRIMARY KEY, ${columns.join(", ")})`,
  );
  const valuesMax = Math.max(...cases.map(({ values }) => values.length));
  const casts = cases.map(({ type }, i) => `$${i + 2}::text::${type}`);
  for (let n = 0; n <= valuesMax; n++) {
    await pg.query(`INSERT INTO every_type VALUES ($1, ${casts.join(", ")})`, [
      n,
      ...cases.map(({ values }) => values[n - 1] ?? null),
    ]);
  }
}

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
  await pg.query(typeSetUp);
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
