/**
 * The bytes of a small file of every kind, not compressed: a change of the format is seen, and meant.
 * When it is meant: check the new file with other readers, then write `makeFile()` to `golden.parquet`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { TestRow } from "../../../fixtures/batches.ts";
import { buildBatches, buildSchema } from "../../../fixtures/batches.ts";
import { readByDuckDb } from "../duckdb.ts";
import { encodeFile, parquetOptions } from "../files.ts";
import { kindCases } from "../kinds.ts";

const golden = join(import.meta.dirname, "golden.parquet");

const schema = buildSchema(
  Object.fromEntries(
    Object.entries(kindCases).map(([kind, { type }]) => [kind, type]),
  ),
);

/** Short values only, so that the file stays small. */
const rows = Array.from({ length: 30 }, (_, row): TestRow =>
  Object.values(kindCases).map(({ edges }, column) =>
    (row + column) % 7 === 0 ? null : edges[row % Math.min(edges.length, 3)]!,
  ),
);

function makeFile(): Buffer {
  return encodeFile(
    schema,
    { ...parquetOptions, compression: "none" },
    buildBatches(schema, rows, 17),
    { key: "value" },
  );
}

test("equal rows give the golden file, byte for byte", () => {
  expect(Buffer.compare(makeFile(), readFileSync(golden))).toBe(0);
});

test("the golden file has the rows", async () => {
  expect(await readByDuckDb(`'${golden}'`)).toEqual(rows);
});
