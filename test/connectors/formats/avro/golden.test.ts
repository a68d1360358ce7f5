/**
 * The bytes of a small file of every kind, not compressed, but for the sync marker, which is random: a change of the
 * format is seen, and meant. When it is meant: check the new file with other readers, then write `makeFile()` to
 * `golden.avro`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { encodeFile, parquetOptions } from "../files.ts";
import { kindCases } from "../kinds.ts";
import { readByAvsc } from "./avsc.ts";

const golden = join(import.meta.dirname, "golden.avro");
const SYNC_BYTES = 16;

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
  const file = encodeFile(
    schema,
    { ...parquetOptions, format: "avro", compression: "none" },
    buildBatches(schema, rows, 17),
  );
  // one block: the marker stands behind the header and at the end
  const sync = Buffer.from(file.subarray(-SYNC_BYTES));
  for (let at = file.indexOf(sync); at !== -1; at = file.indexOf(sync, at + 1))
    file.fill(0, at, at + SYNC_BYTES);
  return file;
}

test("equal rows give the golden file, byte for byte but for the sync marker", () => {
  expect(Buffer.compare(makeFile(), readFileSync(golden))).toBe(0);
});

test("the golden file has the rows", async () => {
  expect(await readByAvsc(readFileSync(golden), schema)).toEqual(rows);
});
