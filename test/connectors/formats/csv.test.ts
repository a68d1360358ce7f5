import { gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { createFileFormat } from "../../../connectors/formats/index.ts";
import { readRows } from "../../../connectors/formats/read.ts";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  buildBatch,
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../fixtures/batches.ts";
import { queryDuckDb } from "./duckdb.ts";
import { collect, encodeFile, test } from "./files.ts";
import { kindCases } from "./kinds.ts";

const csv: FormatOptions = {
  format: "csv",
  compression: null,
  plainEncodings: false,
};

function encodeText(
  schema: ReturnType<typeof buildSchema>,
  rows: readonly TestRow[],
): string {
  return encodeFile(schema, csv, [buildBatch(schema, rows)]).toString("utf8");
}

test("every kind has its notation", () => {
  const schema = buildSchema(
    Object.fromEntries(
      Object.entries(kindCases).map(([kind, { type }]) => [kind, type]),
    ),
  );
  const rows: TestRow[] = [
    [
      true,
      -32_768,
      2_147_483_647,
      -(2n ** 63n),
      2n ** 64n - 1n,
      0.1,
      -1e300,
      "-0.0500",
      "-18446744073709551617.0000000001",
      "1.10",
      -1,
      1n,
      -1n,
      1_769_853_600_000_000n,
      1n,
      -1n,
      "c0ffee00-1234-4abc-9def-0123456789ab",
      "plain",
      '{"a": 1}',
      Uint8Array.of(0, 255),
    ],
    Object.keys(kindCases).map(() => null),
  ];
  expect(encodeText(schema, rows).split("\n")).toEqual([
    Object.keys(kindCases).join(","),
    'true,-32768,2147483647,-9223372036854775808,18446744073709551615,0.1,-1e+300,-0.0500,-18446744073709551617.0000000001,1.10,1969-12-31,00:00:00.000001,1969-12-31T23:59:59.999999,2026-01-31T10:00:00.000000Z,00:00:00.000000001,1969-12-31T23:59:59.999999999,c0ffee00-1234-4abc-9def-0123456789ab,plain,"{""a"": 1}",\\x00ff',
    ",".repeat(Object.keys(kindCases).length - 1),
    "",
  ]);
});

test("NULL is empty, empty text is quoted, quotes are doubled", () => {
  const schema = buildSchema({ 'a,"b': "text", "": "text", c: "float64" });
  const rows: TestRow[] = [
    [null, "", NaN],
    ['say "hi"', "a,b", -Infinity],
    ["two\nlines", "cr\r", -0],
    [" space ", "道路", 1e21],
  ];
  expect(encodeText(schema, rows)).toBe(
    '"a,""b","",c\n' +
      ',"",NaN\n' +
      '"say ""hi""","a,b",-Infinity\n' +
      '"two\nlines","cr\r",-0.0\n' +
      " space ,道路,1e+21\n",
  );
});

test("a file without rows is its header", () => {
  const schema = buildSchema({ a: "int32", b: "text" });
  expect(encodeText(schema, [])).toBe("a,b\n");
  expect(encodeFile(schema, csv, []).toString()).toBe("a,b\n");
});

test("snappy is refused", () => {
  const options: FormatOptions = { ...csv, compression: "snappy" };
  expect(() => createFileFormat(buildSchema({ a: "int32" }), options)).toThrow(
    expect.toSatisfy(
      (error) => error instanceof ExtractError && error.code === "USAGE",
    ),
  );
});

test.for([
  { compression: null, extension: ".csv" },
  { compression: "gzip", extension: ".csv.gz" },
  { compression: "zstd", extension: ".csv.zst" },
] as const)("$compression: $extension", ({ compression, extension }) => {
  const format = createFileFormat(buildSchema({ a: "int32" }), {
    ...csv,
    compression,
  });
  expect(format).toMatchObject({ extension, storesMetadata: false });
});

describe("compression", () => {
  // some 4 MiB of text: several blocks
  const schema = buildSchema({ id: "int64", name: "text" });
  const rows = Array.from({ length: 100_000 }, (_, i): TestRow => [
    BigInt(i),
    i % 7 === 0 ? null : `name, ${i} "${"x".repeat(i % 50)}"`,
  ]);
  const batches = buildBatches(schema, rows, 9999);
  const plain = encodeFile(schema, csv, batches);

  test.for([
    { compression: "gzip", decompress: gunzipSync },
    { compression: "zstd", decompress: zstdDecompressSync },
  ] as const)(
    "$compression blocks make one file",
    async ({ compression, decompress }, { files }) => {
      const bytes = encodeFile(schema, { ...csv, compression }, batches);
      expect(bytes.length).toBeLessThan(plain.length / 3);
      expect(Buffer.compare(decompress(bytes), plain)).toBe(0);
      const path = files.writeRows(schema, batches, {
        format: "csv",
        compression,
      });
      expect(
        await queryDuckDb(
          `SELECT count(*), count(name), sum(id), sum(length(name)) FROM read_csv('${path}', header = true)`,
        ),
      ).toEqual(
        await queryDuckDb(
          `SELECT count(*), count(name), sum(id), sum(length(name)) FROM '${files.writeRows(schema, batches)}'`,
        ),
      );
    },
  );

  test.for(["gzip", "zstd"] as const)(
    "an empty %s file reads as no rows",
    async (compression, { files }) => {
      const path = files.writeRows(schema, [], { format: "csv", compression });
      expect(await collect(readRows(path))).toEqual([]);
    },
  );

  test("bytesSoFar grows with what is still held", () => {
    const encoder = createFileFormat(schema, {
      ...csv,
      compression: "zstd",
    }).createEncoder();
    let handedOut = 0;
    let before = encoder.bytesSoFar;
    for (const batch of batches) {
      for (const piece of encoder.encode(batch)) handedOut += piece.length;
      expect(encoder.bytesSoFar).toBeGreaterThanOrEqual(handedOut);
      before = Math.max(before, encoder.bytesSoFar);
    }
    for (const piece of encoder.finish({})) handedOut += piece.length;
    expect(encoder.bytesSoFar).toBe(handedOut);
    expect(before).toBeGreaterThan(handedOut / 2);
  });
});

test("any text comes back, through DuckDB and through our own reader", async ({
  files,
}) => {
  const schema = buildSchema({ a: "text", b: "text", c: "int32" });
  const text = fc.option(
    fc.oneof(
      fc.string({ unit: fc.constantFrom(",", '"', "\n", "\r", "a", " ", "é") }),
      fc.string({ unit: "grapheme" }),
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(text, text, fc.integer()), { minLength: 1 }),
      fc.integer({ min: 1, max: 9 }),
      async (rows, batchRows) => {
        const batches = buildBatches(schema, rows, batchRows);
        const path = files.writeRows(schema, batches, { format: "csv" });
        const own = await collect(readRows(path));
        expect(
          own.map((row) => [row["a"], row["b"], Number(row["c"])]),
        ).toEqual(rows);
        const duck = await queryDuckDb(
          `FROM read_csv('${path}', header = true, delim = ',', quote = '"', escape = '"', new_line = '\\n', auto_detect = false, allow_quoted_nulls = false, columns = {a: 'VARCHAR', b: 'VARCHAR', c: 'INTEGER'})`,
        );
        expect(duck).toEqual(rows);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
