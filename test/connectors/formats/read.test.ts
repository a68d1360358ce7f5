/** `millrace cat` and the footers that recovery trusts: exact values, and clear words for files that are broken. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { describe, expect } from "vitest";
import {
  readParquetMetadata,
  readRows,
} from "../../../connectors/formats/read.ts";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../fixtures/batches.ts";
import { queryDuckDb } from "./duckdb.ts";
import { collect, test } from "./files.ts";
import { kindCases } from "./kinds.ts";

test.for<{ kind: LogicalKind; value: TestValue; read: unknown }>([
  { kind: "boolean", value: true, read: true },
  { kind: "int16", value: -32_768, read: -32_768 },
  { kind: "int64", value: 2n ** 63n - 1n, read: 2n ** 63n - 1n },
  { kind: "uint64", value: 2n ** 64n - 1n, read: 2n ** 64n - 1n },
  { kind: "float32", value: -0, read: -0 },
  { kind: "float64", value: NaN, read: NaN },
  { kind: "decimal64", value: "-0.0001", read: "-0.0001" },
  {
    kind: "decimal128",
    value: `-${"9".repeat(28)}.9999999999`,
    read: `-${"9".repeat(28)}.9999999999`,
  },
  { kind: "decimalText", value: "1.10", read: "1.10" },
  { kind: "date", value: -2_147_483_648, read: "-5877641-06-23" },
  { kind: "time", value: 1n, read: "00:00:00.000001" },
  { kind: "timeNs", value: 1n, read: "00:00:00.000000001" },
  {
    kind: "timestamp",
    value: -(2n ** 63n),
    read: "-290308-12-21T19:59:05.224192",
  },
  { kind: "timestamptz", value: -1n, read: "1969-12-31T23:59:59.999999Z" },
  { kind: "timestampNs", value: -1n, read: "1969-12-31T23:59:59.999999999" },
  {
    kind: "uuid",
    value: "c0ffee00-1234-4abc-9def-0123456789ab",
    read: "c0ffee00-1234-4abc-9def-0123456789ab",
  },
  { kind: "text", value: "", read: "" },
  { kind: "json", value: '{"a": 1}', read: '{"a": 1}' },
  { kind: "binary", value: Uint8Array.of(0, 255), read: "\\x00ff" },
  { kind: "binary", value: null, read: null },
])(
  "Parquet: $kind $value is read as $read",
  async ({ kind, value, read }, { files }) => {
    const schema = buildSchema({ value: kindCases[kind].type });
    const path = files.writeRows(schema, buildBatches(schema, [[value]], 1));
    expect(await collect(readRows(path))).toEqual([{ value: read }]);
  },
);

test("JSONL: numbers keep their digits", async ({ files }) => {
  const path = join(files.folder, "numbers.jsonl");
  writeFileSync(
    path,
    '{"a":9007199254740993,"b":1.10,"c":-0,"d":1.5,"e":[18446744073709551615,-1458531502836105500]}\n{"a":1}',
  );
  expect(await collect(readRows(path))).toEqual([
    {
      a: 9_007_199_254_740_993n,
      b: "1.10",
      c: -0,
      d: 1.5,
      e: [2n ** 64n - 1n, -1_458_531_502_836_105_500n],
    },
    { a: 1 },
  ]);
});

describe.for<Partial<FormatOptions>>([
  { format: "parquet" },
  { format: "csv" },
  { format: "csv", compression: "gzip" },
  { format: "jsonl", compression: "zstd" },
])("$format $compression", (options) => {
  test.for([0, 1, 16_385, 20_000, 99_999])(
    "a limit of %d rows",
    async (limit, { files }) => {
      const schema = buildSchema({ id: "int32", name: "text" });
      const rows = Array.from({ length: 20_000 }, (_, i): TestRow => [
        i,
        `name ${i}`,
      ]);
      const path = files.writeRows(
        schema,
        buildBatches(schema, rows, 5000),
        options,
      );
      let count = 0;
      for await (const row of readRows(path, { limit })) {
        if (Number(row["id"]) !== count || row["name"] !== `name ${count}`)
          expect(row).toEqual({ id: count, name: `name ${count}` });
        count++;
      }
      expect(count).toBe(Math.min(limit, 20_000));
    },
  );
});

test("files of other writers are read as well", async ({ files }) => {
  const path = join(files.folder, "duckdb.parquet");
  await queryDuckDb(`
    COPY (SELECT 12.34::DECIMAL(4, 2) AS a, DATE '2000-02-29' AS b, 255::UTINYINT AS c, [1, 2] AS d,
                 4000000000::UINTEGER AS e, TIMESTAMP_MS '2001-02-03 04:05:06.007' AS f FROM range(3000))
    TO '${path}' (FORMAT parquet, COMPRESSION gzip)`);
  const rows = await collect(readRows(path));
  expect(rows).toHaveLength(3000);
  expect(rows[2999]).toMatchObject({
    a: "12.34",
    b: "2000-02-29",
    c: 255,
    d: [1, 2],
    e: 4_000_000_000,
  });
  expect(String(rows[0]!["f"])).toContain("2001-02-03T04:05:06.007");
});

describe("the footer", () => {
  const schema = buildSchema({ id: "int64", at: "timestamptz" }, ["id"]);
  const rows = Array.from({ length: 100 }, (_, i): TestRow => [
    BigInt(i),
    null,
  ]);

  test("tells rows, metadata and columns", async ({ files }) => {
    const metadata = { position: '{"after":["ü"]}' };
    const batches = buildBatches(schema, rows, 50);
    const path = files.writeRows(schema, batches, {}, metadata);
    expect(await readParquetMetadata(path)).toEqual({
      rows: 100,
      metadata,
      columns: [
        { name: "id", type: "INT64", logicalType: null, nullable: false },
        { name: "at", type: "INT64", logicalType: "TIMESTAMP", nullable: true },
      ],
    });
  });

  test.for([
    { name: "an empty file", change: () => Buffer.alloc(0) },
    { name: "text", change: () => Buffer.from("id,name\n1,one\n") },
    {
      name: "a file cut short",
      change: (bytes: Buffer) => bytes.subarray(0, -1),
    },
    {
      name: "a length beyond the file",
      change: (bytes: Buffer) => {
        bytes.writeUInt32LE(bytes.length, bytes.length - 8);
        return bytes;
      },
    },
    {
      name: "a length beyond reason",
      change: (bytes: Buffer) => {
        bytes.writeUInt32LE(0xffffffff, bytes.length - 8);
        return bytes;
      },
    },
    {
      name: "noise in the footer",
      change: (bytes: Buffer) =>
        bytes.fill(0xff, bytes.length - 300, bytes.length - 8),
    },
  ])("$name is refused by name", async ({ change }, { files }) => {
    const path = files.writeRows(schema, buildBatches(schema, rows, 50));
    writeFileSync(path, change(readFileSync(path)));
    await expect(readParquetMetadata(path)).rejects.toMatchObject({
      name: "ExtractError",
      code: "DESTINATION_FAILED",
      message: expect.stringContaining(path),
    });
    await expect(collect(readRows(path))).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
    });
  });

  test("any changed byte of the pages or the footer is an error or other rows, never a hang", async ({
    files,
  }) => {
    const path = files.writeRows(schema, buildBatches(schema, rows, 50));
    const whole = readFileSync(path);
    for (let at = 4; at < whole.length; at += 3) {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 0x55;
      writeFileSync(path, bytes);
      try {
        await collect(readRows(path, { limit: 200 }));
      } catch (error) {
        expect(error).toMatchObject({ code: "DESTINATION_FAILED" });
      }
    }
  });
});

test("a second zstd frame is refused, not left out", async ({ files }) => {
  const path = join(files.folder, "two.jsonl.zst");
  const frames = ['{"a":1}\n', '{"a":2}\n'].map((text) =>
    zstdCompressSync(Buffer.from(text)),
  );
  writeFileSync(path, Buffer.concat(frames));
  await expect(collect(readRows(path))).rejects.toMatchObject({
    code: "DESTINATION_FAILED",
  });
});

test.for([
  { name: "missing.parquet", text: null, code: "USAGE" },
  { name: "missing.csv", text: null, code: "USAGE" },
  { name: "table.txt", text: "a\n", code: "USAGE" },
  {
    name: "broken.jsonl",
    text: '{"a":1}\n{"a":\n',
    code: "DESTINATION_FAILED",
  },
  { name: "array.jsonl", text: "[1]\n", code: "DESTINATION_FAILED" },
  { name: "open.csv", text: 'a\n"x\n', code: "DESTINATION_FAILED" },
  { name: "wide.csv", text: "a,b\n1,2,3\n", code: "DESTINATION_FAILED" },
  { name: "quote.csv", text: 'a,b\n"x"y,"z"\n', code: "DESTINATION_FAILED" },
  { name: "plain.csv.gz", text: "a\n1\n", code: "DESTINATION_FAILED" },
  { name: "plain.jsonl.zst", text: "{}\n", code: "DESTINATION_FAILED" },
])("$name is refused with $code", async ({ name, text, code }, { files }) => {
  const path = join(files.folder, name);
  if (text !== null) writeFileSync(path, text);
  await expect(collect(readRows(path))).rejects.toMatchObject({
    name: "ExtractError",
    code,
  });
});
