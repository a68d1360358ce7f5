import { gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { expect } from "vitest";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import { createFileFormat } from "../../../connectors/formats/index.ts";
import { readRows } from "../../../connectors/formats/read.ts";
import {
  buildBatch,
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../fixtures/batches.ts";
import { readByDuckDb } from "./duckdb.ts";
import { collect, encodeFile, test } from "./files.ts";
import { kindCases } from "./kinds.ts";

const jsonl: FormatOptions = {
  format: "jsonl",
  compression: null,
  plainEncodings: false,
};

function encodeText(
  schema: ReturnType<typeof buildSchema>,
  rows: readonly TestRow[],
): string {
  return encodeFile(schema, jsonl, [buildBatch(schema, rows)]).toString("utf8");
}

test.for([
  { kind: "boolean", value: false, json: "false" },
  { kind: "int16", value: -5, json: "-5" },
  { kind: "int64", value: 2n ** 63n - 1n, json: "9223372036854775807" },
  { kind: "uint64", value: 2n ** 64n - 1n, json: "18446744073709551615" },
  { kind: "float32", value: Math.fround(0.1), json: "0.1" },
  { kind: "float64", value: -0, json: "-0.0" },
  { kind: "float64", value: NaN, json: '"NaN"' },
  { kind: "float64", value: Infinity, json: '"Infinity"' },
  { kind: "float32", value: -Infinity, json: '"-Infinity"' },
  { kind: "decimal64", value: "-0.0500", json: "-0.0500" },
  {
    kind: "decimal128",
    value: "12345678901234567890.1000000000",
    json: "12345678901234567890.1000000000",
  },
  { kind: "decimalText", value: "-1.50", json: "-1.50" },
  { kind: "decimalText", value: "1.5e-7", json: "1.5e-7" },
  { kind: "decimalText", value: "NaN", json: '"NaN"' },
  { kind: "decimalText", value: "007", json: '"007"' },
  { kind: "decimalText", value: "1.", json: '"1."' },
  { kind: "decimalText", value: "-", json: '"-"' },
  { kind: "date", value: -1, json: '"1969-12-31"' },
  { kind: "time", value: 1n, json: '"00:00:00.000001"' },
  { kind: "timestamp", value: 0n, json: '"1970-01-01T00:00:00.000000"' },
  {
    kind: "timestamptz",
    value: 1_769_853_600_000_000n,
    json: '"2026-01-31T10:00:00.000000Z"',
  },
  { kind: "timestampNs", value: 1n, json: '"1970-01-01T00:00:00.000000001"' },
  {
    kind: "uuid",
    value: "c0ffee00-1234-4abc-9def-0123456789ab",
    json: '"c0ffee00-1234-4abc-9def-0123456789ab"',
  },
  {
    kind: "text",
    value: '"\\/\b\f\n\r\t\u0000\u001f\u007f é 🛣',
    json: '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u007f é 🛣"',
  },
  { kind: "text", value: "", json: '""' },
  { kind: "json", value: '{"a":\n [1,\r\n 2]}', json: '{"a":  [1,   2]}' },
  { kind: "json", value: "", json: "null" },
  { kind: "binary", value: Uint8Array.of(), json: '""' },
  { kind: "binary", value: Uint8Array.of(255), json: '"/w=="' },
  { kind: "binary", value: Uint8Array.of(0, 16), json: '"ABA="' },
  { kind: "binary", value: Uint8Array.of(0, 16, 131), json: '"ABCD"' },
  { kind: "text", value: null, json: "null" },
] as const)("$kind $value is $json", ({ kind, value, json }) => {
  const schema = buildSchema({ value: kindCases[kind].type });
  expect(encodeText(schema, [[value]])).toBe(`{"value":${json}}\n`);
});

test("names are escaped, and a table without columns has empty objects", () => {
  expect(
    encodeText(buildSchema({ 'a"b': "int32", é: "text" }), [[1, null]]),
  ).toBe('{"a\\"b":1,"é":null}\n');
  expect(encodeText(buildSchema({}), [[], []])).toBe("{}\n{}\n");
});

test("a text of control characters has six times its bytes", () => {
  const schema = buildSchema({ value: "text" });
  const value = "\u0001".repeat(100_000);
  const line = encodeText(schema, [["before"], [value], ["behind"]]);
  expect(line).toBe(
    `{"value":"before"}\n{"value":"${"\\u0001".repeat(100_000)}"}\n{"value":"behind"}\n`,
  );
});

test.for([
  {
    compression: null,
    extension: ".jsonl",
    decompress: (bytes: Buffer) => bytes,
  },
  { compression: "gzip", extension: ".jsonl.gz", decompress: gunzipSync },
  {
    compression: "zstd",
    extension: ".jsonl.zst",
    decompress: zstdDecompressSync,
  },
] as const)(
  "$compression: $extension, block by block",
  async ({ compression, extension, decompress }, { files }) => {
    const schema = buildSchema({ id: "int64", name: "text" });
    const rows = Array.from({ length: 60_000 }, (_, i): TestRow => [
      BigInt(i),
      `name ${i}`,
    ]);
    const batches = buildBatches(schema, rows, 7000);
    const options = { format: "jsonl", compression } as const;
    expect(createFileFormat(schema, { ...jsonl, ...options }).extension).toBe(
      extension,
    );
    const bytes = encodeFile(schema, { ...jsonl, ...options }, batches);
    const lines = decompress(bytes).toString("utf8").split("\n");
    expect(lines).toHaveLength(60_001);
    expect(lines[59_999]).toBe('{"id":59999,"name":"name 59999"}');
    const path = files.writeRows(schema, batches, options);
    let count = 0;
    for await (const row of readRows(path))
      expect(row["id"] === count++).toBe(true);
    expect(count).toBe(60_000);
  },
);

test("any row comes back, through DuckDB and through our own reader", async ({
  files,
}) => {
  const kinds = ["text", "int64", "decimal128", "float64", "uuid"] as const;
  const schema = buildSchema(
    Object.fromEntries(kinds.map((kind) => [kind, kindCases[kind].type])),
  );
  const row = fc.tuple(
    ...kinds.map((kind) =>
      fc.option(
        kind === "float64"
          ? fc.double({ noNaN: true, noDefaultInfinity: true })
          : kindCases[kind].arbitrary,
      ),
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 30 }),
      async (rows) => {
        const path = files.writeRows(schema, buildBatches(schema, rows, 11), {
          format: "jsonl",
        });
        const duck = await readByDuckDb(
          `read_json('${path}', format = 'newline_delimited', columns = {text: 'VARCHAR', int64: 'BIGINT', decimal128: 'VARCHAR', float64: 'DOUBLE', uuid: 'UUID'})`,
        );
        const withoutDecimals = (row: TestRow): TestRow => row.toSpliced(2, 1);
        expect(duck.map(withoutDecimals)).toEqual(rows.map(withoutDecimals));
        const own = await collect(readRows(path));
        expect(own.map((found) => found["text"])).toEqual(
          rows.map((r) => r[0]),
        );
        expect(
          own.map((found) =>
            found["int64"] === null ? null : BigInt(found["int64"] as number),
          ),
        ).toEqual(rows.map((r) => r[1]));
        expect(own.map((found) => Number(found["decimal128"]))).toEqual(
          rows.map((r) => Number(r[2])),
        );
        expect(
          own.map((found) =>
            found["float64"] === null ? null : Number(found["float64"]),
          ),
        ).toEqual(rows.map((r) => r[3]));
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
