/** What each kind of column becomes in JavaScript, to its last digit. */
import { expect, test } from "vitest";
import { RowBatch } from "../../library/batch.ts";
import type { Column, Table, TableRow, Value } from "../../library/types.ts";
import { ExtractError } from "../../proto/error.ts";
import type { LogicalKind, LogicalType } from "../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../fixtures/batches.ts";

function makeBatch(
  columns: Readonly<Record<string, LogicalKind | LogicalType>>,
  rows: readonly TestRow[],
  json: "text" | "parse" = "text",
) {
  const schema = buildSchema(columns);
  const table: Table = {
    ...{ namespace: "public", name: "rows", key: [], rowsEstimated: null },
    columns: schema.columns.map(
      ({ name, type, nullable, sourceType }): Column => ({
        ...{ name, kind: type.kind, nullable, sourceType },
        precision: type.precision ?? null,
        scale: type.scale ?? null,
      }),
    ),
  };
  return new RowBatch<TableRow>(table, buildBatch(schema, rows), json);
}

const DAY_US = 86_400_000_000n;

test.for<{
  type: LogicalKind | LogicalType;
  values: readonly (readonly [TestValue, Value])[];
}>([
  {
    type: "boolean",
    values: [
      [true, true],
      [false, false],
    ],
  },
  {
    type: "int16",
    values: [
      [-32768, -32768],
      [32767, 32767],
    ],
  },
  {
    type: "int32",
    values: [
      [-2147483648, -2147483648],
      [7, 7],
    ],
  },
  {
    type: "int64",
    values: [
      [-(2n ** 63n), -(2n ** 63n)],
      [2n ** 53n + 1n, 2n ** 53n + 1n],
    ],
  },
  { type: "uint64", values: [[2n ** 64n - 1n, 2n ** 64n - 1n]] },
  { type: "float32", values: [[0.5, 0.5]] },
  {
    type: "float64",
    values: [
      [0.1, 0.1],
      [-Infinity, -Infinity],
    ],
  },
  {
    type: { kind: "decimal64", precision: 18, scale: 2 },
    values: [
      ["-0.05", "-0.05"],
      ["9999999999999999.99", "9999999999999999.99"],
    ],
  },
  {
    type: { kind: "decimal128", precision: 38, scale: 10 },
    values: [
      [
        "-9999999999999999999999999999.9999999999",
        "-9999999999999999999999999999.9999999999",
      ],
      ["0.0000000001", "0.0000000001"],
    ],
  },
  {
    type: "decimalText",
    values: [["-1.50", "-1.50"]],
  },
  {
    type: "date",
    values: [
      [0, "1970-01-01"],
      [-719162, "0001-01-01"],
      [2932896, "9999-12-31"],
    ],
  },
  { type: "time", values: [[1n, "00:00:00.000001"]] },
  { type: "timeNs", values: [[86_399_999_999_999n, "23:59:59.999999999"]] },
  {
    type: "timestamp",
    values: [
      [-1n, "1969-12-31T23:59:59.999999"],
      [DAY_US, "1970-01-02T00:00:00.000000"],
    ],
  },
  { type: "timestamptz", values: [[1n, "1970-01-01T00:00:00.000001Z"]] },
  { type: "timestampNs", values: [[-1n, "1969-12-31T23:59:59.999999999"]] },
  {
    type: "uuid",
    values: [
      [
        "00112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff",
      ],
    ],
  },
  {
    type: "text",
    values: [
      ["", ""],
      ["żółw 🐢", "żółw 🐢"],
    ],
  },
  { type: "json", values: [['{"a": 1.0}', '{"a": 1.0}']] },
  {
    type: "binary",
    values: [[Uint8Array.of(0, 255), Uint8Array.of(0, 255)]],
  },
])("$type", ({ type, values }) => {
  const rows = [...values.map(([value]) => [value]), [null]];
  const batch = makeBatch({ v: type }, rows);
  const expected = [...values.map(([, value]) => value), null];
  expect([...batch.rows()].map((row) => row["v"])).toEqual(expected);
  expect(expected.map((_, row) => batch.value(row, "v"))).toEqual(expected);
  // without a NULL there is no bitmap
  const whole = makeBatch({ v: type }, rows.slice(0, -1));
  expect([...whole.rows()].map((row) => row["v"])).toEqual(
    expected.slice(0, -1),
  );
});

test("JSON is parsed where it is asked for", () => {
  const batch = makeBatch({ v: "json" }, [['{"a": [1, null]}']], "parse");
  expect([...batch.rows()]).toEqual([{ v: { a: [1, null] } }]);
});

test("a column may be called like what every object has", () => {
  const batch = makeBatch({ toString: "int32", valueOf: "text" } as never, [
    [1, "c"],
  ]);
  expect([...batch.rows()]).toEqual([{ toString: 1, valueOf: "c" }]);
  const columns = Object.fromEntries([["__proto__", "int32" as const]]);
  const [row] = makeBatch(columns, [[5]]).rows();
  expect(Object.entries(row ?? {})).toEqual([["__proto__", 5]]);
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
});

test("what is asked for and is not there is said", () => {
  const batch = makeBatch({ a: "int32" }, [[1]]);
  expect(() => batch.value(0, "b")).toThrow(/no column b/);
  for (const row of [-1, 1, 0.5])
    expect(() => batch.value(row, "a")).toThrow(ExtractError);
});

test("a batch lives until the next is asked for, its copy for ever", () => {
  const batch = makeBatch({ a: "int32", b: "text" }, [
    [1, "x"],
    [2, null],
  ]);
  const rows = batch.rows();
  expect(rows.next().value).toEqual({ a: 1, b: "x" });
  const copy = batch.copy();
  for (const { data } of batch.columns) data.fill(0);
  batch.free();
  expect(() => batch.columns).toThrow(/lives until the next/);
  expect(() => batch.value(0, "a")).toThrow(/keep a copy/);
  expect(() => rows.next()).toThrow(/keep a copy/);
  expect([...copy.rows()]).toEqual([
    { a: 1, b: "x" },
    { a: 2, b: null },
  ]);
});
