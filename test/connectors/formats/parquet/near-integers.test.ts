/** Integers near each other take short cuts by their low 32 bits: wherever they lie, the values come back. */
import { expect } from "vitest";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { queryDuckDb, readByDuckDb } from "../duckdb.ts";
import { test } from "../files.ts";

const PAGE_ROWS = 1000;
const PAGES = 6;

/** A number in [0, below) without a pattern that differences would show. */
function scramble(i: number, below: number): number {
  const mixed = Math.imul(i + 1, 0x9e3779b1);
  return (Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 8) % below;
}

const patterns = {
  // the dictionary's table
  few: { step: (i: number) => scramble(i, 40) - 20, uses: "RLE_DICTIONARY" },
  // each page elsewhere: beside the table of the first one
  "few, moving": {
    step: (i: number) =>
      scramble(i, 40) + Math.floor(i / PAGE_ROWS) * 100_000 - 200_000,
    uses: "RLE_DICTIONARY",
  },
  rising: {
    step: (i: number) => i * 9 + scramble(i, 9) - 27_000,
    uses: "DELTA_BINARY_PACKED",
  },
  falling: {
    step: (i: number) => 27_000 - i * 9 - scramble(i, 9),
    uses: "DELTA_BINARY_PACKED",
  },
} as const;

/** Where the low or the high 32 bits change their sign or wrap, and beyond what doubles hold. */
const middles = [
  0n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n,
  -(2n ** 32n),
  5n * 2n ** 40n + 7n,
  2n ** 52n,
  2n ** 53n,
  2n ** 63n - 400_000n,
];

test.for(
  Object.entries(patterns).flatMap(([name, pattern]) =>
    middles.flatMap((middle) =>
      (["int64", "uint64", "int32"] as const)
        .filter(
          (kind) =>
            (kind === "int64" || middle > 400_000n || kind === "int32") &&
            (kind !== "int32" || middle === 0n),
        )
        .map((kind) => ({ name, kind, middle, ...pattern })),
    ),
  ),
)(
  "$name $kind around $middle",
  async ({ kind, middle, step, uses }, { files }) => {
    const schema = buildSchema({ value: kind });
    const rows = Array.from({ length: PAGE_ROWS * PAGES }, (_, i): TestRow => {
      if (i % 11 === 5) return [null];
      return kind === "int32" ? [step(i)] : [middle + BigInt(step(i))];
    });
    const path = files.writeRows(schema, buildBatches(schema, rows, PAGE_ROWS));
    expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
    if (middle < 2n ** 52n) {
      const [used] = await queryDuckDb(
        `SELECT encodings FROM parquet_metadata('${path}')`,
      );
      expect(String(used![0])).toContain(uses);
    }
  },
);

test.for([
  { span: 2n ** 31n - 1n },
  { span: 2n ** 31n },
  { span: 2n ** 32n - 1n },
  { span: 2n ** 32n },
])("differences of $span and back", async ({ span }, { files }) => {
  const schema = buildSchema({ value: "int64" });
  for (const from of [-span, -1n, 0n, 2n ** 40n]) {
    const rows = Array.from({ length: 300 }, (_, i): TestRow => [
      i % 3 === 0 ? from : i % 3 === 1 ? from + span : from + BigInt(i),
    ]);
    const path = files.writeRows(schema, buildBatches(schema, rows, 130));
    expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
  }
});
