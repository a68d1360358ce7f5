/** Codecs, encodings, row groups and the footer, as DuckDB sees them. */
import { isDeepStrictEqual } from "node:util";
import { describe, expect } from "vitest";
import { createFileFormat } from "../../../../connectors/formats/index.ts";
import { ROW_GROUP_ROWS } from "../../../../connectors/formats/parquet/column-chunk.ts";
import { DICTIONARY_ENTRIES_MAX } from "../../../../connectors/formats/parquet/fixed-dictionary.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import {
  buildBatch,
  buildBatches,
  buildSchema,
  buildVector,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { queryDuckDb, queryOne, readByDuckDb } from "../duckdb.ts";
import { encodeFile, parquetOptions, test } from "../files.ts";
import { kindCases } from "../kinds.ts";

const everyKind = buildSchema(
  Object.fromEntries(
    Object.entries(kindCases).map(([kind, { type }]) => [kind, type]),
  ),
);

/** Rows of all kinds, some values null. */
function makeRows(count: number): TestRow[] {
  return Array.from({ length: count }, (_, row) =>
    Object.values(kindCases).map(({ edges }, column) =>
      (row + column) % 5 === 0 ? null : edges[row % edges.length]!,
    ),
  );
}

/** The encodings of a column's chunks, each chunk's in alphabetical order. */
async function readEncodings(path: string, column: string): Promise<string[]> {
  const rows = await queryDuckDb(
    `SELECT encodings FROM parquet_metadata('${path}') WHERE path_in_schema = '${column}' ORDER BY row_group_id`,
  );
  return rows.map(([encodings]) =>
    (encodings as string).split(", ").sort().join(" "),
  );
}

describe.for(["zstd", "gzip", "snappy", "none"] as const)(
  "%s",
  (compression) => {
    test.for([false, true])(
      "every kind at once; plain encodings: %s",
      async (plainEncodings, { files }) => {
        const rows = makeRows(2500);
        const path = files.writeRows(
          everyKind,
          buildBatches(everyKind, rows, 999),
          { compression, plainEncodings },
        );
        expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
        const codecs = await queryDuckDb(
          `SELECT DISTINCT compression FROM parquet_metadata('${path}')`,
        );
        expect(codecs).toEqual([
          [compression === "none" ? "UNCOMPRESSED" : compression.toUpperCase()],
        ]);
      },
    );
  },
);

test("a file without rows has its columns", async ({ files }) => {
  for (const batches of [[], [buildBatch(everyKind, [])]]) {
    const path = files.writeRows(everyKind, batches);
    expect(await readByDuckDb(`'${path}'`)).toEqual([]);
    const columns = await queryDuckDb(`DESCRIBE FROM '${path}'`);
    expect(columns.map(([name]) => name)).toEqual(Object.keys(kindCases));
  }
});

test("each kind becomes its DuckDB type", async ({ files }) => {
  const path = files.writeRows(everyKind, []);
  const columns = await queryDuckDb(`DESCRIBE FROM '${path}'`);
  expect(
    Object.fromEntries(columns.map(([name, type]) => [name, type])),
  ).toEqual({
    boolean: "BOOLEAN",
    int16: "SMALLINT",
    int32: "INTEGER",
    int64: "BIGINT",
    uint64: "UBIGINT",
    float32: "FLOAT",
    float64: "DOUBLE",
    decimal64: "DECIMAL(18,4)",
    decimal128: "DECIMAL(38,10)",
    decimalText: "VARCHAR",
    date: "DATE",
    time: "TIME",
    timestamp: "TIMESTAMP",
    timestamptz: "TIMESTAMP WITH TIME ZONE",
    timeNs: "TIME_NS",
    timestampNs: "TIMESTAMP_NS",
    uuid: "UUID",
    text: "VARCHAR",
    json: "JSON",
    binary: "BLOB",
  });
});

test("nullable columns are OPTIONAL and the others REQUIRED", async ({
  files,
}) => {
  const schema = buildSchema({ a: "int32", b: "int32" }, ["a"]);
  const path = files.writeRows(schema, []);
  expect(
    await queryDuckDb(
      `SELECT name, repetition_type FROM parquet_schema('${path}') WHERE type IS NOT NULL`,
    ),
  ).toEqual([
    ["a", "REQUIRED"],
    ["b", "OPTIONAL"],
  ]);
});

test("a null in a column that is not nullable is refused", () => {
  const schema = buildSchema({ a: "int32" }, ["a"]);
  const batch = buildBatch(schema, [[null]]);
  expect(() => encodeFile(schema, parquetOptions, [batch])).toThrow(
    /column a is declared not nullable/,
  );
});

test("a null count that differs from the bitmap is refused", () => {
  const schema = buildSchema({ a: "int32" });
  const [vector] = buildBatch(schema, [[1], [null], [3]]).columns;
  const batch = { rowCount: 3, columns: [{ ...vector!, nullCount: 2 }] };
  expect(() => encodeFile(schema, parquetOptions, [batch])).toThrow(
    /null count differs/,
  );
});

test("row groups end at their row count, wherever batches are cut", async ({
  files,
}) => {
  const schema = buildSchema({ id: "int64" }, ["id"]);
  const path = files.writeRows(schema, makeIds(schema, 600_000, 16_384));
  const groups = await queryDuckDb(
    `SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('${path}') ORDER BY 1`,
  );
  expect(groups.map(([, rows]) => Number(rows))).toEqual([
    ROW_GROUP_ROWS,
    ROW_GROUP_ROWS,
    600_000 - 2 * ROW_GROUP_ROWS,
  ]);
  expect(
    await queryDuckDb(
      `SELECT count(*), count(DISTINCT id), sum(id) FROM '${path}'`,
    ),
  ).toEqual([[600_000n, 600_000n, 179_999_700_000n]]);
});

test.for([
  // the bound of 64 MiB as written is met with the eighth batch, that of 256 MiB before compression with the 32nd
  { compression: "none", batches: 9, groups: [8, 1] },
  { compression: "zstd", batches: 33, groups: [32, 1] },
] as const)(
  "a row group also ends at its bytes: $compression",
  async ({ compression, batches, groups }, { files }) => {
    const schema = buildSchema({ value: "binary" }, ["value"]);
    const batch = buildBatch(schema, [[new Uint8Array(8 * 1024 * 1024)]]);
    const path = files.writeRows(schema, Array(batches).fill(batch), {
      compression,
    });
    const rows = await queryDuckDb(
      `SELECT row_group_num_rows FROM parquet_metadata('${path}') ORDER BY row_group_id`,
    );
    expect(rows.map(([count]) => Number(count))).toEqual(groups);
  },
);

describe("encodings follow the data", () => {
  const count = 40_000;

  test.for([
    {
      name: "ascending keys",
      kind: "int64" as const,
      value: (i: number) => BigInt(i) * 3n,
      encodings: "DELTA_BINARY_PACKED RLE",
      plain: "PLAIN RLE",
    },
    {
      name: "few different integers",
      kind: "int64" as const,
      value: (i: number) => BigInt((i * 7919) % 50) * 10n ** 14n,
      encodings: "PLAIN RLE RLE_DICTIONARY",
      plain: "PLAIN RLE RLE_DICTIONARY",
    },
    {
      name: "integers over the whole range",
      kind: "int64" as const,
      value: (i: number) => BigInt.asIntN(64, BigInt(i) * 0x9e3779b97f4a7c15n),
      encodings: "PLAIN RLE",
      plain: "PLAIN RLE",
    },
    {
      name: "few different texts",
      kind: "text" as const,
      value: (i: number) => `state ${i % 60}`,
      encodings: "PLAIN RLE RLE_DICTIONARY",
      plain: "PLAIN RLE RLE_DICTIONARY",
    },
    {
      name: "different texts",
      kind: "text" as const,
      value: (i: number) => `name ${i * 7919}`,
      encodings: "DELTA_LENGTH_BYTE_ARRAY RLE",
      plain: "PLAIN RLE",
    },
    {
      name: "few different doubles",
      kind: "float64" as const,
      value: (i: number) => (i % 11) / 7,
      encodings: "PLAIN RLE RLE_DICTIONARY",
      plain: "PLAIN RLE RLE_DICTIONARY",
    },
  ])("$name", async ({ kind, value, encodings, plain }, { files }) => {
    const schema = buildSchema({ value: kind }, ["value"]);
    const rows = Array.from({ length: count }, (_, i): TestRow => [value(i)]);
    const batches = buildBatches(schema, rows, 16_384);
    const path = files.writeRows(schema, batches);
    expect(await readEncodings(path, "value")).toEqual([encodings]);
    await expectRows(path, rows);
    const plainPath = files.writeRows(schema, batches, {
      plainEncodings: true,
    });
    expect(await readEncodings(plainPath, "value")).toEqual([plain]);
    await expectRows(plainPath, rows);
  });
});

describe("a dictionary that grows too large is given up within the row group", () => {
  const pageRows = 16_384;

  test.for([
    { kind: "int32" as const, value: (n: number) => n * 60_013 },
    { kind: "float64" as const, value: (n: number) => n / 3 },
    { kind: "text" as const, value: (n: number) => `value ${n}` },
    {
      kind: "uuid" as const,
      value: (n: number) =>
        `${(n >>> 0).toString(16).padStart(8, "0")}-0000-4000-8000-000000000000`,
    },
  ])("$kind", async ({ kind, value }, { files }) => {
    const schema = buildSchema({ value: kind });
    const scramble = (i: number): number => {
      const mixed = Math.imul(i ^ 0x5bd1e995, 0x9e3779b1);
      return (Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 8) % 100;
    };
    // two pages of 100 values, then more new values than a dictionary may have, then 100 values again
    const pages = [
      scramble,
      scramble,
      (i: number) => i,
      (i: number) => DICTIONARY_ENTRIES_MAX + i,
      scramble,
    ];
    const rows = pages.flatMap((page) =>
      Array.from({ length: pageRows }, (_, i): TestRow => [
        i % 10 === 9 ? null : value(page(i)),
      ]),
    );
    const path = files.writeRows(schema, buildBatches(schema, rows, pageRows));
    await expectRows(path, rows);
    const [encodings] = await readEncodings(path, "value");
    expect(encodings).toContain("RLE_DICTIONARY");
    expect(
      await queryOne(
        `SELECT stats_distinct_count FROM parquet_metadata('${path}')`,
      ),
    ).toBeNull();
  });
});

test("bytes in the slots of nulls do not reach the file", async ({ files }) => {
  const schema = buildSchema({ value: "text" });
  const full = buildVector({ kind: "text" }, ["one", "gone", "", "two"]);
  const batch: ColumnBatch = {
    rowCount: 4,
    columns: [{ ...full, nullCount: 1, validity: Uint8Array.of(0b1101) }],
  };
  for (const plainEncodings of [false, true]) {
    const path = files.writeRows(schema, [batch], {
      plainEncodings,
      compression: "none",
    });
    expect(await readByDuckDb(`'${path}'`)).toEqual([
      ["one"],
      [null],
      [""],
      ["two"],
    ]);
    expect(
      encodeFile(schema, { ...parquetOptions, compression: "none" }, [
        batch,
      ]).includes("gone"),
    ).toBe(false);
  }
});

test("key-value metadata is in the footer", async ({ files }) => {
  const schema = buildSchema({ a: "int32" });
  const metadata = { "millrace.checkpoint": '{"a":"ü"}', empty: "" };
  const path = files.writeRows(schema, [], {}, metadata);
  const rows = await queryDuckDb(
    `SELECT decode(key), decode(value) FROM parquet_kv_metadata('${path}')`,
  );
  expect(Object.fromEntries(rows)).toEqual(metadata);
});

test("bytesSoFar counts what is handed out and what is still held", () => {
  const schema = buildSchema({ value: "float64" }, ["value"]);
  const encoder = createFileFormat(schema, {
    ...parquetOptions,
    compression: "none",
  }).createEncoder();
  const random = buildBatch(
    schema,
    Array.from({ length: 10_000 }, (_, i): TestRow => [Math.sin(i)]),
  );
  let handedOut = 0;
  let before = encoder.bytesSoFar;
  for (let i = 0; i < 30; i++) {
    for (const piece of encoder.encode(random)) handedOut += piece.length;
    expect(encoder.bytesSoFar).toBeGreaterThan(before + 79_000);
    expect(encoder.bytesSoFar).toBeGreaterThanOrEqual(handedOut);
    before = encoder.bytesSoFar;
  }
  for (const piece of encoder.finish({})) handedOut += piece.length;
  expect(encoder.bytesSoFar).toBe(handedOut);
  // the footer alone was not foreseen
  expect(handedOut - before).toBeLessThan(4096);
});

/** For many rows: `toEqual` takes seconds for them. */
async function expectRows(
  path: string,
  rows: readonly TestRow[],
): Promise<void> {
  const found = await readByDuckDb(`'${path}'`);
  const differs = found.findIndex((row, i) => !isDeepStrictEqual(row, rows[i]));
  expect(found[differs]).toEqual(rows[differs]);
  expect(found.length).toBe(rows.length);
}

function* makeIds(
  schema: StreamSchema,
  rows: number,
  batchRows: number,
): Generator<ColumnBatch> {
  for (let from = 0; from < rows; from += batchRows) {
    const count = Math.min(batchRows, rows - from);
    yield buildBatch(
      schema,
      Array.from({ length: count }, (_, i): TestRow => [BigInt(from + i)]),
    );
  }
}
