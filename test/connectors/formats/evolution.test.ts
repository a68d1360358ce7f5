/** Files of syncs between which a table's columns changed, read together: none is in the way of another. */
import avro from "avsc";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../fixtures/batches.ts";
import { queryDuckDb } from "./duckdb.ts";
import { test, type FilesFixture } from "./files.ts";

/** A column less, one more, one that became NOT NULL, and the others wider. */
const before = buildSchema({
  id: "int16",
  dropped: "text",
  count: "int32",
  price: { kind: "decimal64", precision: 9, scale: 2 },
  total: { kind: "decimal64", precision: 18, scale: 2 },
  ratio: "float32",
  name: "text",
});
const after = buildSchema(
  {
    added: "timestamptz",
    id: "int32",
    count: "int64",
    price: { kind: "decimal64", precision: 18, scale: 2 },
    total: { kind: "decimal128", precision: 38, scale: 2 },
    ratio: "float64",
    name: "text",
    "new one": "uuid",
  },
  ["name"],
);
const earlier: TestRow[] = [
  [1, "gone", 10, "-1.25", "9.99", 0.5, "one"],
  [2, null, null, null, null, null, null],
];
const later: TestRow[] = [
  [
    1_769_853_600_000_000n,
    3_000_000,
    2n ** 40n,
    "123456789012.50",
    "1234567890123456789012.75",
    0.1,
    "three",
    "c0ffee00-1234-4abc-9def-0123456789ab",
  ],
];

/** What both together are, in the order of `id`. */
const together = [
  [1, 10n, "-1.25", "9.99", 0.5, "one", null, null, "gone"],
  [2, null, null, null, null, null, null, null, null],
  [
    3_000_000,
    2n ** 40n,
    "123456789012.50",
    "1234567890123456789012.75",
    0.1,
    "three",
    1_769_853_600_000n,
    "c0ffee00-1234-4abc-9def-0123456789ab",
    null,
  ],
];

const columns = `id::INTEGER, count::BIGINT, price::DECIMAL(18, 2)::VARCHAR, total::DECIMAL(38, 2)::VARCHAR,
  ratio::DOUBLE, name, epoch_ms(added::TIMESTAMP)::BIGINT, "new one"::VARCHAR, dropped`;

function writeBoth(
  { writeRows }: FilesFixture,
  options: Partial<FormatOptions>,
): readonly string[] {
  const write = (schema: StreamSchema, rows: readonly TestRow[]) =>
    writeRows(schema, buildBatches(schema, rows, 10), options);
  return [write(before, earlier), write(after, later)];
}

describe.for([
  {
    format: "parquet",
    read: (glob: string) => `read_parquet('${glob}', union_by_name = true)`,
  },
  {
    // what decimals a CSV has only its reader can say: of the numbers it finds it makes doubles
    format: "csv",
    read: (glob: string) =>
      `read_csv('${glob}', union_by_name = true, all_varchar = true)`,
  },
  {
    format: "jsonl",
    read: (glob: string) =>
      `read_json('${glob}', format = 'newline_delimited', columns = {id: 'INTEGER', count: 'BIGINT',
        price: 'DECIMAL(18, 2)', total: 'VARCHAR', ratio: 'DOUBLE', name: 'VARCHAR',
        added: 'TIMESTAMP', "new one": 'UUID', dropped: 'VARCHAR'})`,
  },
] as const)("$format", ({ format, read }) => {
  // the digits are in the file, but DuckDB reads JSON's numbers as doubles
  const expected =
    format === "jsonl"
      ? together.map((row) =>
          row.with(3, row[3] === null ? null : expect.any(String)),
        )
      : together;

  test("DuckDB reads files of before and after together", async ({ files }) => {
    writeBoth(files, { format });
    const glob = join(files.folder, `*.${format}`);
    expect(
      await queryDuckDb(
        `SELECT ${columns} FROM ${read(glob)} ORDER BY id::INTEGER`,
      ),
    ).toEqual(expected);
  });
});

test("Parquet: DuckDB finds the wider types by itself", async ({ files }) => {
  writeBoth(files, {});
  const glob = join(files.folder, "*.parquet");
  const described = await queryDuckDb(
    `SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet('${glob}', union_by_name = true))`,
  );
  expect(Object.fromEntries(described)).toEqual({
    id: "INTEGER",
    count: "BIGINT",
    price: "DECIMAL(18,2)",
    total: "DECIMAL(38,2)",
    ratio: "DOUBLE",
    name: "VARCHAR",
    added: "TIMESTAMP WITH TIME ZONE",
    "new one": "UUID",
    dropped: "VARCHAR",
  });
});

interface AvroSchema {
  readonly fields: { name: string; type: unknown; default?: unknown }[];
}

/** Schema and rows of a file of one block that is not compressed. */
function readAvro(path: string): { schema: AvroSchema; rows: Buffer } {
  const bytes = readFileSync(path);
  const codec = bytes.indexOf("avro.codec");
  // the length of the codec's key stands between
  const schema = bytes.subarray(bytes.indexOf('{"type":"record"'), codec - 1);
  // behind the codec's name: the map's end, the sync marker, the numbers of rows and bytes
  const rows = bytes.subarray(bytes.indexOf("null", codec) + 4 + 1 + 16 + 2);
  return { schema: JSON.parse(schema.toString("utf8")) as AvroSchema, rows };
}

test("Avro: a reader with the later schema reads files of before, by the specification's rules", ({
  files,
}) => {
  const [old, { schema }] = writeBoth(files, {
    format: "avro",
    compression: "none",
  }).map(readAvro) as [
    ReturnType<typeof readAvro>,
    ReturnType<typeof readAvro>,
  ];
  const writer = avro.Type.forSchema(old.schema as never);
  const read = () => {
    const reader = avro.Type.forSchema(schema as never);
    const resolver = reader.createResolver(writer);
    const rows: Record<string, unknown>[] = [];
    let offset = 0;
    for (let row = 0; row < earlier.length; row++) {
      const decoded = reader.decode(old.rows, offset, resolver) as {
        value: object;
        offset: number;
      };
      rows.push({ ...decoded.value });
      offset = decoded.offset;
    }
    return rows;
  };
  // the one change that no format can hide: NULLs of before in a column that has none now
  expect(read).toThrow(/cannot read|no matching|invalid/);
  const name = schema.fields.find((field) => field.name === "name")!;
  name.type = ["null", "string"];
  expect(read()).toEqual([
    {
      added: null,
      id: 1,
      count: 10,
      price: Buffer.from([0x83]),
      total: Buffer.from([0x03, 0xe7]),
      ratio: 0.5,
      name: "one",
      new_x20_one: null,
    },
    Object.fromEntries(
      schema.fields.map((field) => [
        field.name,
        field.name === "id" ? 2 : null,
      ]),
    ),
  ]);
});
