/** Integers near each other take short cuts by their low 32 bits: wherever they lie, the values come back. */
import { expect } from "vitest";
import { ByteSink } from "../../../../connectors/formats/byte-sink.ts";
import {
  appendDeltaBinary,
  appendDeltaNarrow,
} from "../../../../connectors/formats/parquet/delta-binary.ts";
import { createPageValues } from "../../../../connectors/formats/parquet/schema.ts";
import { Scratch } from "../../../../connectors/formats/parquet/values.ts";
import {
  buildBatches,
  buildSchema,
  buildVector,
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

test("values whose low 32 bits are the same are not taken for each other", async ({
  files,
}) => {
  const schema = buildSchema({ value: "int64" });
  for (const middle of [0n, -(2n ** 33n) + 100n]) {
    // every second page has the values of the one before it, and 2^32 more
    const rows = Array.from({ length: PAGE_ROWS * PAGES }, (_, i): TestRow => [
      middle +
        BigInt(scramble(i % PAGE_ROWS, 40)) +
        BigInt(Math.floor(i / PAGE_ROWS) % 2) * 2n ** 32n,
    ]);
    const path = files.writeRows(schema, buildBatches(schema, rows, PAGE_ROWS));
    expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
  }
});

test.for([
  { span: 100n },
  { span: 2n ** 31n - 1n },
  { span: 2n ** 31n },
  { span: 2n ** 32n - 1n },
])("differences up to $span are those of the numbers", ({ span }) => {
  for (const from of [-span, -1n, 0n, 2n ** 40n, 2n ** 51n]) {
    // 1, 129 and 161 values end a block or a miniblock; 200 leave one that is padded
    for (const count of [1, 129, 161, 200]) {
      const numbers = Array.from({ length: count }, (_, i) =>
        i % 3 === 0 ? from : i % 3 === 1 ? from + span : from + BigInt(i % 50),
      );
      const values = createPageValues({ kind: "int64" }, new Scratch(), false);
      const { data } = buildVector({ kind: "int64" }, numbers);
      const written = new ByteSink(64);
      const wanted = new ByteSink(64);
      values.load({ data, offsets: null, validity: null, nullCount: 0 }, count);
      const isDone = values.encode("delta", written);
      const doubles = Float64Array.from(numbers, Number);
      expect(isDone).toBe(appendDeltaBinary(wanted, doubles, count));
      expect(written.written()).toEqual(wanted.written());
    }
  }
});

test("what was encoded before leaves no trace in the padding", () => {
  const encode = (values: Int32Array): Uint8Array => {
    const sink = new ByteSink(64);
    appendDeltaNarrow(sink, values, values.length, values[0]!);
    return sink.written();
  };
  const few = Int32Array.of(5, 9, 2, 7);
  const first = encode(few);
  encode(Int32Array.from({ length: 300 }, (_, i) => scramble(i, 1e6)));
  expect(encode(few)).toEqual(first);
});
