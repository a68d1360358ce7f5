/** Bounds in the footer and the page index: right for every kind, and safe for readers that skip by them. */
import { readFileSync } from "node:fs";
import {
  parquetMetadata,
  parquetReadObjects,
  readColumnIndex,
  readOffsetIndex,
} from "hyparquet";
import { crc32, zstdDecompressSync } from "node:zlib";
import { describe, expect } from "vitest";
import { BOUND_BYTES_MAX } from "../../../../connectors/formats/parquet/bounds.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../../fixtures/batches.ts";
import { queryDuckDb, queryOne } from "../duckdb.ts";
import { test } from "../files.ts";
import { kindCases } from "../kinds.ts";

interface Statistics {
  readonly min: unknown;
  readonly max: unknown;
  readonly nulls: unknown;
  readonly minExact: unknown;
  readonly maxExact: unknown;
}

async function readStatistics(path: string): Promise<Statistics[]> {
  const rows = await queryDuckDb(
    `SELECT stats_min_value, stats_max_value, stats_null_count, min_is_exact, max_is_exact
     FROM parquet_metadata('${path}') ORDER BY row_group_id`,
  );
  return rows.map(([min, max, nulls, minExact, maxExact]) => ({
    min,
    max,
    nulls,
    minExact,
    maxExact,
  }));
}

const exact = { minExact: true, maxExact: true };

test.for<{
  kind: LogicalKind;
  values: Exclude<TestValue, null>[];
  min: string;
  max: string;
}>([
  { kind: "boolean", values: [true, false], min: "false", max: "true" },
  { kind: "boolean", values: [true, true], min: "true", max: "true" },
  { kind: "int16", values: [5, -32_768, 7], min: "-32768", max: "7" },
  { kind: "int32", values: [-1, 2, 1], min: "-1", max: "2" },
  {
    kind: "int64",
    values: [2n ** 53n + 1n, 2n ** 53n, -(2n ** 63n)],
    min: "-9223372036854775808",
    max: "9007199254740993",
  },
  {
    kind: "int64",
    values: [-1n, 4_294_967_295n],
    min: "-1",
    max: "4294967295",
  },
  {
    kind: "uint64",
    values: [2n ** 64n - 1n, 3n, 2n ** 63n],
    min: "3",
    max: "18446744073709551615",
  },
  { kind: "float64", values: [-1.5, 3, 2], min: "-1.5", max: "3.0" },
  { kind: "float64", values: [0, -0], min: "-0.0", max: "0.0" },
  { kind: "float64", values: [-0, -0], min: "-0.0", max: "0.0" },
  { kind: "float32", values: [0.5, -0.25], min: "-0.25", max: "0.5" },
  {
    kind: "decimal64",
    values: ["-0.0001", "0.0001", "3.0000"],
    min: "-0.0001",
    max: "3.0000",
  },
  {
    kind: "decimal128",
    values: [
      "-18446744073709551617.0000000000",
      "0.0000000001",
      "-5.0000000000",
    ],
    min: "-18446744073709551617.0000000000",
    max: "0.0000000001",
  },
  { kind: "date", values: [0, -1, 365], min: "1969-12-31", max: "1971-01-01" },
  { kind: "text", values: ["b", "a", "", "ä"], min: "", max: "ä" },
  {
    kind: "uuid",
    values: [
      "80000000-0000-0000-0000-000000000000",
      "7fffffff-0000-0000-0000-000000000000",
    ],
    min: "7fffffff-0000-0000-0000-000000000000",
    max: "80000000-0000-0000-0000-000000000000",
  },
  {
    kind: "timestamp",
    values: [-1n, 0n],
    min: "1969-12-31 23:59:59.999999",
    max: "1970-01-01 00:00:00",
  },
])("$kind from $min to $max", async ({ kind, values, min, max }, { files }) => {
  const schema = buildSchema({ value: kindCases[kind].type });
  const rows = [null, ...values].map((value): TestRow => [value]);
  const path = files.writeRows(schema, buildBatches(schema, rows, 2));
  expect(await readStatistics(path)).toEqual([
    { min, max, nulls: 1n, ...exact },
  ]);
});

test.for<{ name: string; kind: LogicalKind; values: TestValue[] }>([
  { name: "nulls alone", kind: "int32", values: [null, null] },
  { name: "a NaN among them", kind: "float64", values: [1, NaN, 2] },
  { name: "a NaN on one page", kind: "float32", values: [1, 1, 1, NaN] },
  {
    name: "bytes that cannot be raised",
    kind: "binary",
    values: [new Uint8Array(BOUND_BYTES_MAX + 1).fill(255)],
  },
])("no bounds for $name", async ({ kind, values }, { files }) => {
  const schema = buildSchema({ value: kind });
  const rows = values.map((value): TestRow => [value]);
  const path = files.writeRows(schema, buildBatches(schema, rows, 2));
  expect(await readStatistics(path)).toMatchObject([{ min: null, max: null }]);
});

test.for([
  {
    name: "ASCII",
    value: "z".repeat(100),
    min: "z".repeat(64),
    max: `${"z".repeat(63)}{`,
  },
  {
    name: "a character across the cut",
    value: `${"z".repeat(62)}道道`,
    min: "z".repeat(62),
    max: `${"z".repeat(61)}{`,
  },
  {
    name: "the last character there is",
    value: "a" + "\u{10ffff}".repeat(20),
    min: "a" + "\u{10ffff}".repeat(15),
    max: "b",
  },
  {
    name: "the last one before the surrogates",
    value: "\ud7ff".repeat(40),
    min: "\ud7ff".repeat(21),
    max: "\ud7ff".repeat(20) + "\ue000",
  },
])("long text is cut: $name", async ({ value, min, max }, { files }) => {
  const schema = buildSchema({ value: "text" });
  const path = files.writeRows(
    schema,
    buildBatches(schema, [[value], [value]], 1),
  );
  expect(await readStatistics(path)).toEqual([
    { min, max, nulls: 0n, minExact: false, maxExact: false },
  ]);
  expect(
    await queryOne(`SELECT count(*) FROM '${path}' WHERE value = '${value}'`),
  ).toBe(2n);
});

describe.for(Object.keys(kindCases) as LogicalKind[])("%s", (kind) => {
  test("skipping by bounds finds the rows that a full scan finds", async ({
    files,
  }) => {
    const { type, edges } = kindCases[kind];
    const schema = buildSchema({ row: "int32", value: type });
    // each page holds one value, so that bounds are narrow
    const rows = edges.flatMap((edge, i) =>
      Array.from({ length: 20 }, (_, row): TestRow => [
        i * 20 + row,
        row === 0 ? null : edge,
      ]),
    );
    const path = files.writeRows(schema, buildBatches(schema, rows, 20));
    for (let i = 0; i < edges.length; i++) {
      // the value comes from the file itself, and `materialized` hides the file's bounds from the other count
      const [counts] = await queryDuckDb(`
        WITH wanted AS MATERIALIZED (SELECT value FROM '${path}' WHERE row = ${i * 20 + 1}),
             copied AS MATERIALIZED (FROM '${path}')
        SELECT (SELECT count(*) FROM '${path}' WHERE value = (FROM wanted)),
               (SELECT count(*) FROM copied WHERE value = (FROM wanted)),
               (SELECT count(*) FROM '${path}' WHERE value >= (FROM wanted)),
               (SELECT count(*) FROM copied WHERE value >= (FROM wanted)),
               (SELECT count(*) FROM '${path}' WHERE value < (FROM wanted)),
               (SELECT count(*) FROM copied WHERE value < (FROM wanted))`);
      const [equal, equalCopied, above, aboveCopied, below, belowCopied] =
        counts!;
      expect([equal, above, below]).toEqual([
        equalCopied,
        aboveCopied,
        belowCopied,
      ]);
      expect(equal).toBeGreaterThanOrEqual(19n);
    }
  });
});

test("a constant predicate skips row groups and loses no row", async ({
  files,
}) => {
  const schema = buildSchema({ id: "int64", name: "text" });
  const rows = Array.from({ length: 300_000 }, (_, i): TestRow => [
    BigInt(i),
    `name ${String(i).padStart(7, "0")}`,
  ]);
  const path = files.writeRows(schema, buildBatches(schema, rows, 16_384));
  for (const predicate of [
    "id BETWEEN 262000 AND 262999",
    "name BETWEEN 'name 0262000' AND 'name 0262999'",
  ])
    expect(
      await queryOne(`SELECT count(*) FROM '${path}' WHERE ${predicate}`),
    ).toBe(1000n);
  expect(
    await queryDuckDb(
      `SELECT min(id), max(id), min(name), max(name) FROM '${path}'`,
    ),
  ).toEqual([[0n, 299_999n, "name 0000000", "name 0299999"]]);
});

test("the page index names each page, its bounds and its nulls", async ({
  files,
}) => {
  const schema = buildSchema({ id: "int32", text: "text" });
  const rows = Array.from({ length: 90 }, (_, i): TestRow => [
    i < 30 ? null : i,
    i % 2 === 0 ? null : `t${i % 7}`,
  ]);
  const path = files.writeRows(schema, buildBatches(schema, rows, 30));
  const bytes = new Uint8Array(readFileSync(path));
  const metadata = parquetMetadata(bytes);
  const chunk = metadata.row_groups[0]!.columns[0]!;
  const at = (
    offset: bigint | undefined,
  ): { view: DataView; offset: number } => ({
    view: new DataView(bytes.buffer),
    offset: Number(offset),
  });
  const index = readColumnIndex(
    at(chunk.column_index_offset),
    metadata.schema[1]!,
  );
  expect(index).toMatchObject({
    null_pages: [true, false, false],
    boundary_order: "ASCENDING",
    null_counts: [30n, 0n, 0n],
  });
  expect(index.min_values.slice(1)).toEqual([30, 60]);
  expect(index.max_values.slice(1)).toEqual([59, 89]);
  const { page_locations: pages } = readOffsetIndex(
    at(chunk.offset_index_offset),
  );
  expect(pages.map((page) => page.first_row_index)).toEqual([0n, 30n, 60n]);
  const found = await parquetReadObjects({
    file: {
      byteLength: bytes.length,
      slice: (start, end) => bytes.slice(start, end).buffer,
    },
    filter: { id: { $gte: 58, $lt: 62 } },
    usePageIndex: true,
    compressors: { ZSTD: (page) => zstdDecompressSync(page) },
  });
  expect(found.map((row) => row["id"])).toEqual([58, 59, 60, 61]);
});

test("each page carries the CRC-32 of its compressed bytes", ({ files }) => {
  const schema = buildSchema({ text: "text" });
  const rows = Array.from({ length: 90 }, (_, i): TestRow => [`t${i * 7919}`]);
  const path = files.writeRows(schema, buildBatches(schema, rows, 30));
  const bytes = readFileSync(path);
  const { offset_index_offset } = parquetMetadata(new Uint8Array(bytes))
    .row_groups[0]!.columns[0]!;
  const { page_locations: pages } = readOffsetIndex({
    view: new DataView(new Uint8Array(bytes).buffer),
    offset: Number(offset_index_offset),
  });
  expect(pages).toHaveLength(3);
  for (const page of pages) {
    let at = Number(page.offset);
    // the header's first four fields: type, size, compressed size, CRC; each one byte of field and a zigzag varint
    const fields = Array.from({ length: 4 }, () => {
      expect(bytes[at++]).toBe(0x15);
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = bytes[at++]!;
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      return Number((value >> 1n) ^ -(value & 1n));
    });
    const end = Number(page.offset) + page.compressed_page_size;
    const compressed = bytes.subarray(end - fields[2]!, end);
    expect(fields[3]).toBe(crc32(compressed) | 0);
    expect(zstdDecompressSync(compressed)).toHaveLength(fields[1]!);
  }
});
