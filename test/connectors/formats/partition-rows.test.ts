/** Rows into folders: every row once, in order, in the folder of its value. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkPartitionColumns,
  parsePartitionColumn,
  PARTITION_VALUES_MAX,
  RowPartitioner,
  type PartitionColumn,
} from "../../../connectors/formats/partition-rows.ts";
import { gatherRows } from "../../../connectors/formats/gather-rows.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import { readBatch } from "../../fixtures/batch-rows.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../fixtures/batches.ts";
import { kindCases } from "./kinds.ts";

const kinds = Object.keys(kindCases) as LogicalKind[];
const everyKind = buildSchema(
  Object.fromEntries(kinds.map((kind) => [kind, kindCases[kind].type])),
);

function split(
  schema: ReturnType<typeof buildSchema>,
  rows: readonly TestRow[],
  by: readonly string[],
): { folder: string; rows: TestRow[] }[] {
  const columns = by.map(parsePartitionColumn);
  const parts = new RowPartitioner(schema, columns).split(
    buildBatch(schema, rows),
  );
  return [...parts].map(({ folder, batch }) => ({
    folder,
    rows: readBatch(schema, batch),
  }));
}

test.for<{
  kind: LogicalKind;
  unit?: string;
  value: TestValue;
  folder: string;
}>([
  { kind: "text", value: "de", folder: "c=de" },
  { kind: "text", value: "", folder: "c=" },
  { kind: "text", value: null, folder: "c=__HIVE_DEFAULT_PARTITION__" },
  {
    kind: "text",
    value: "__HIVE_DEFAULT_PARTITION__",
    folder: "c=%5F_HIVE_DEFAULT_PARTITION__",
  },
  { kind: "text", value: "a/b=c%d", folder: "c=a%2Fb%3Dc%25d" },
  { kind: "text", value: "..", folder: "c=.." },
  { kind: "text", value: "\u0000\n\u007f", folder: "c=%00%0A%7F" },
  {
    kind: "text",
    value: `"#'*:?\\{[]^`,
    folder: "c=%22%23%27%2A%3A%3F%5C%7B%5B%5D%5E",
  },
  { kind: "text", value: "straße 🛣", folder: "c=straße 🛣" },
  { kind: "boolean", value: true, folder: "c=true" },
  { kind: "int16", value: -3, folder: "c=-3" },
  { kind: "int64", value: -(2n ** 63n), folder: "c=-9223372036854775808" },
  { kind: "uint64", value: 2n ** 64n - 1n, folder: "c=18446744073709551615" },
  {
    kind: "uuid",
    value: "c0ffee00-1234-4abc-9def-0123456789ab",
    folder: "c=c0ffee00-1234-4abc-9def-0123456789ab",
  },
  { kind: "date", value: -1, folder: "c=1969-12-31" },
  { kind: "date", unit: "year", value: -1, folder: "c_year=1969" },
  { kind: "date", unit: "month", value: 59, folder: "c_month=1970-03" },
  { kind: "date", unit: "day", value: 0, folder: "c_day=1970-01-01" },
  { kind: "date", unit: "year", value: 2_932_897, folder: "c_year=10000" },
  {
    kind: "timestamp",
    unit: "hour",
    value: -1n,
    folder: "c_hour=1969-12-31-23",
  },
  {
    kind: "timestamptz",
    unit: "day",
    value: 1_769_853_600_000_000n,
    folder: "c_day=2026-01-31",
  },
  {
    kind: "timestampNs",
    unit: "hour",
    value: -1n,
    folder: "c_hour=1969-12-31-23",
  },
  {
    kind: "timestamp",
    unit: "month",
    value: -(2n ** 63n),
    folder: "c_month=-290308-12",
  },
  {
    kind: "timestamp",
    unit: "month",
    value: null,
    folder: "c_month=__HIVE_DEFAULT_PARTITION__",
  },
])("$kind $unit $value lies in $folder", ({ kind, unit, value, folder }) => {
  const schema = buildSchema({ c: kind });
  const by = unit === undefined ? "c" : `c:${unit}`;
  expect(split(schema, [[value]], [by])).toEqual([{ folder, rows: [[value]] }]);
});

test("two columns are two folders, in the order they are named", () => {
  const schema = buildSchema({ id: "int32", at: "date", "c d": "text" });
  const rows: TestRow[] = [
    [1, 0, "x"],
    [2, 1, "x"],
    [3, 0, "x"],
    [4, 0, null],
  ];
  expect(split(schema, rows, ["c d", "at:day"])).toEqual([
    { folder: "c d=x/at_day=1970-01-01", rows: [rows[0], rows[2]] },
    { folder: "c d=x/at_day=1970-01-02", rows: [rows[1]] },
    {
      folder: "c d=__HIVE_DEFAULT_PARTITION__/at_day=1970-01-01",
      rows: [rows[3]],
    },
  ]);
});

test("a batch of one value is given back as it is", () => {
  const schema = buildSchema({ a: "text" });
  const batch = buildBatch(schema, [["x"], ["x"]]);
  const partitioner = new RowPartitioner(schema, [{ column: "a", unit: null }]);
  expect([...partitioner.split(batch)][0]!.batch).toBe(batch);
});

test("more values than are parted at a time come in stretches, whose rows keep their order", () => {
  const schema = buildSchema({ id: "int32", at: "int32" });
  const partitioner = new RowPartitioner(schema, [
    { column: "id", unit: null },
  ]);
  const values = PARTITION_VALUES_MAX * 2 + 1;
  // each value twice, half of the batch apart
  const rows = Array.from({ length: 2 * values }, (_, at): TestRow => [
    at % values,
    at,
  ]);
  const found = new Map<string, unknown[]>();
  for (const { folder, batch } of partitioner.split(buildBatch(schema, rows))) {
    const known = found.get(folder) ?? [];
    found.set(folder, [
      ...known,
      ...readBatch(schema, batch).map(([, at]) => at),
    ]);
  }
  expect(found.size).toBe(values);
  for (let value = 0; value < values; value += 1)
    expect(found.get(`id=${value}`)).toEqual([value, value + values]);
  // and it can be used again, also where somebody left before the end
  partitioner.split(buildBatch(schema, rows)).next();
  expect([
    ...partitioner.split(buildBatch(schema, rows.slice(0, 2))),
  ]).toHaveLength(2);
});

/** Rows of every kind, few of them different. */
const rowsOfEveryKind = fc.array(
  fc.tuple(
    ...kinds.map((kind) =>
      fc.option(fc.constantFrom(...kindCases[kind].edges), { freq: 3 }),
    ),
  ),
  { minLength: 1, maxLength: 100 },
);

const partitionColumns = fc.uniqueArray(
  fc.constantFrom(
    "boolean",
    "int16",
    "int32",
    "int64",
    "uint64",
    "date",
    "uuid",
    "text",
    "date:year",
    "date:month",
    "timestamp:year",
    "timestamptz:hour",
    "timestampNs:day",
  ),
  { minLength: 1, maxLength: 3 },
);

test("the parts together are the batch: each row once, in order, beside its equals", () => {
  // a long text is no folder's name
  const short = (row: TestRow) =>
    row.map((value, i) =>
      kinds[i] === "text" && typeof value === "string"
        ? value.slice(0, 5)
        : value,
    );
  fc.assert(
    fc.property(rowsOfEveryKind, partitionColumns, (drawn, by) => {
      const rows = drawn.map(short);
      const parts = split(everyKind, rows, by);
      const folders = parts.map(({ folder }) => folder);
      expect(new Set(folders).size).toBe(folders.length);
      // a part of one row alone lies in the same folder
      const placed = rows.map((row) => split(everyKind, [row], by)[0]!.folder);
      expect(parts).toEqual(
        [...new Set(placed)].map((folder) => ({
          folder,
          rows: rows.filter((_, i) => placed[i] === folder),
        })),
      );
    }),
    { numRuns: 60 },
  );
});

test("gathering takes any rows in any order, of every kind", () => {
  fc.assert(
    fc.property(
      rowsOfEveryKind,
      fc.array(fc.nat()),
      fc.boolean(),
      (rows, drawn, sorted) => {
        const chosen = drawn.map((index) => index % rows.length);
        if (sorted) chosen.sort((a, b) => a - b);
        const gathered = gatherRows(
          buildBatch(everyKind, rows),
          kinds,
          Int32Array.from(chosen),
        );
        expect(readBatch(everyKind, gathered)).toEqual(
          chosen.map((index) => rows[index]),
        );
      },
    ),
    { numRuns: 60 },
  );
});

describe("what cannot be", () => {
  const schema = buildSchema({
    id: "int32",
    country: "text",
    created: "timestamptz",
    created_day: "text",
    born: "date",
    price: "float64",
  });

  test.for<{ by: string[]; fault: RegExp }>([
    { by: ["coutry"], fault: /no column coutry; did you mean country\?/ },
    { by: ["created"], fault: /created is a timestamptz.*created:day/ },
    { by: ["created:day"], fault: /folders called created_day, as a column/ },
    { by: ["born:hour"], fault: /born is a date, which has no hour/ },
    { by: ["country:day"], fault: /country is a text, which has no day/ },
    { by: ["price"], fault: /price is a float64/ },
    { by: ["country", "country"], fault: /country is named twice/ },
    { by: Array.from({ length: 9 }, () => "id"), fault: /9 columns/ },
  ])("$by", ({ by, fault }) => {
    const faults = checkPartitionColumns(schema, by.map(parsePartitionColumn));
    expect(faults.join("\n")).toMatch(fault);
  });

  test("all faults are told at once", () => {
    const by = ["coutry", "price", "born:hour"].map(parsePartitionColumn);
    expect(checkPartitionColumns(schema, by)).toHaveLength(3);
  });

  test("what can be used has no faults", () => {
    const by = ["country", "created:month", "born"].map(parsePartitionColumn);
    expect(checkPartitionColumns(schema, by)).toEqual([]);
  });

  test("a colon may belong to the name", () => {
    expect(parsePartitionColumn("a:b")).toEqual({ column: "a:b", unit: null });
    expect(parsePartitionColumn("a:b:hour")).toEqual({
      column: "a:b",
      unit: "hour",
    });
  });

  test("a value that is too long for a folder's name", () => {
    const batch = buildBatch(schema, [[1, "/".repeat(80)]]);
    const column: PartitionColumn = { column: "country", unit: null };
    const parts = new RowPartitioner(schema, [column]).split(batch);
    expect(() => parts.next()).toThrow(
      expect.objectContaining({ code: "USAGE" }),
    );
  });
});
