/** The file around the values: schema, names, codecs, blocks, and what is refused. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect } from "vitest";
import {
  encodeName,
  encodeTypeName,
} from "../../../../connectors/formats/avro/names.ts";
import { createFileFormat } from "../../../../connectors/formats/index.ts";
import { readRows } from "../../../../connectors/formats/read.ts";
import { BATCH_ROWS_MAX, type ColumnBatch } from "../../../../proto/columns.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import {
  buildBatch,
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { collect, encodeFile, parquetOptions, test } from "../files.ts";
import { kindCases } from "../kinds.ts";
import { decodeByAvsc, readByAvsc } from "./avsc.ts";

const options = { ...parquetOptions, format: "avro" } as const;

test("each logical type has the type that the specification gives it", async () => {
  const schema = buildSchema(
    Object.fromEntries(
      Object.entries(kindCases).map(([kind, { type }]) => [kind, type]),
    ),
    Object.keys(kindCases),
  );
  const described = (await decodeByAvsc(encodeFile(schema, options, [])))
    .schema;
  expect(described).toMatchObject({ name: "rows", namespace: "public" });
  const decimal = (precision: number, scale = 0) => ({
    type: "bytes",
    logicalType: "decimal",
    precision,
    scale,
  });
  const annotated = (type: string, logicalType: string, more = {}) => ({
    type,
    logicalType,
    ...more,
  });
  expect(
    Object.fromEntries(described.fields.map(({ name, type }) => [name, type])),
  ).toEqual({
    boolean: "boolean",
    int16: "int",
    int32: "int",
    int64: "long",
    uint64: decimal(20),
    float32: "float",
    float64: "double",
    decimal64: decimal(18, 4),
    decimal128: decimal(38, 10),
    decimalText: "string",
    date: annotated("int", "date"),
    time: annotated("long", "time-micros"),
    timestamp: annotated("long", "local-timestamp-micros"),
    timestamptz: annotated("long", "timestamp-micros", {
      "adjust-to-utc": true,
    }),
    timeNs: "string",
    timestampNs: annotated("long", "local-timestamp-nanos"),
    uuid: annotated("string", "uuid"),
    text: "string",
    json: "string",
    binary: "bytes",
  });
});

test("a nullable column is a union with null as its default", async () => {
  const schema = buildSchema({ a: "int32", b: "int32" }, ["b"]);
  const { fields } = (await decodeByAvsc(encodeFile(schema, options, [])))
    .schema;
  expect(fields).toEqual([
    { name: "a", sourceType: "int32", type: ["null", "int"], default: null },
    { name: "b", sourceType: "int32", type: "int" },
  ]);
});

test.for([
  { precision: 1, scale: 0, max: "9" },
  { precision: 2, scale: 2, max: "0.99" },
  { precision: 3, scale: 0, max: "999" },
  { precision: 9, scale: 9, max: "0.999999999" },
  { precision: 15, scale: 2, max: "9999999999999.99" },
] as const)(
  "decimal($precision, $scale) holds its extremes",
  async ({ max, ...type }) => {
    for (const kind of ["decimal64", "decimal128"] as const) {
      const schema = buildSchema({ value: { kind, ...type } });
      const rows = [[max], [`-${max}`], ["0"], ["1"], ["-1"]].map(
        ([text = ""]) => [
          type.scale > 0 && text.length < 3
            ? `${text}.${"0".repeat(type.scale)}`
            : text,
        ],
      );
      const bytes = encodeFile(schema, options, [buildBatch(schema, rows)]);
      expect(await readByAvsc(bytes, schema)).toEqual(rows);
    }
  },
);

test("a null in a column that is not nullable, or a null count that differs, is an assertion", () => {
  const nullable = buildSchema({ value: "int32" });
  const required = buildSchema({ value: "int32" }, ["value"]);
  const batch = buildBatch(nullable, [[1], [null]]);
  expect(() => encodeFile(required, options, [batch])).toThrow(/null/);
  const [column] = batch.columns;
  const wrong: ColumnBatch = {
    ...batch,
    columns: [{ ...column!, nullCount: 2 }],
  };
  expect(() => encodeFile(nullable, options, [wrong])).toThrow(/null/);
});

test("a decimal takes no more bytes than it needs", () => {
  const schema = buildSchema(
    { value: { kind: "decimal64", precision: 18, scale: 0 } },
    ["value"],
  );
  const lengthOf = (value: string) =>
    listBlocks(
      encodeFile(schema, { ...options, compression: "none" }, [
        buildBatch(schema, [[value]]),
      ]),
    )[0]!.bytes - 1;
  const values = ["0", "127", "128", "-128", "-129", "32767", "32768"];
  expect(values.map(lengthOf)).toEqual([1, 1, 2, 1, 2, 2, 3]);
});

describe("names", () => {
  test.for([
    { text: "plain_Name1", name: "plain_Name1" },
    { text: "order date", name: "order_x20_date" },
    { text: "straße", name: "stra_xdf_e" },
    { text: "1st", name: "_x31_st" },
    { text: "", name: "_x_" },
    { text: "_x20_", name: "_x5f_x20_" },
    { text: "pos_x", name: "pos_x" },
    { text: "🛣", name: "_x1f6e3_" },
  ])("$text becomes $name", ({ text, name }) => {
    expect(encodeName(text)).toBe(name);
  });

  test("valid, and different for different texts", () => {
    const odd = fc.string({
      unit: fc.constantFrom("_", "x", "4", "f", "é", " ", "A", "\u0004", "🛣"),
      maxLength: 8,
    });
    const text = fc.oneof(odd, fc.string({ unit: "binary" }));
    fc.assert(
      fc.property(text, text, (a, b) => {
        for (const encode of [encodeName, encodeTypeName]) {
          expect(encode(a)).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/);
          expect(encode(a) === encode(b)).toBe(a === b);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("of columns, tables and schemas that Avro does not allow come back from the file", async ({
    files,
  }) => {
    const schema: StreamSchema = {
      ...buildSchema({
        "order date": "int32",
        "1st": { kind: "decimal64", precision: 5, scale: 1 },
        record: { kind: "decimal64", precision: 5, scale: 1 },
        straße: "text",
      }),
      namespace: "my schema",
      name: "int",
    };
    const rows: TestRow[] = [[1, "2.5", "-0.1", "x"]];
    const batches = buildBatches(schema, rows, 1);
    const bytes = encodeFile(schema, options, batches);
    expect(await readByAvsc(bytes, schema)).toEqual(rows);
    expect((await decodeByAvsc(bytes)).schema).toMatchObject({
      name: "_x69_nt",
      namespace: "my_x20_schema",
      sourceName: "int",
    });
    const path = files.writeRows(schema, batches, { format: "avro" });
    expect(await collect(readRows(path))).toEqual([
      { "order date": 1, "1st": "2.5", record: "-0.1", straße: "x" },
    ]);
  });

  test("a stream without a schema above it has no namespace", async () => {
    const schema = { ...buildSchema({ a: "uint64" }), namespace: "" };
    const bytes = encodeFile(schema, options, [buildBatch(schema, [[5n]])]);
    expect((await decodeByAvsc(bytes)).schema.namespace).toBeUndefined();
    expect(await readByAvsc(bytes, schema)).toEqual([[5n]]);
  });
});

describe.for(["none", "gzip", "snappy", "zstd", null] as const)(
  "compression %s",
  (compression) => {
    const schema = buildSchema({ id: "int64", name: "text" });
    const rows = Array.from({ length: 30_000 }, (_, i): TestRow => [
      BigInt(i),
      i % 7 === 0 ? null : `name ${i} ${"x".repeat(i % 50)}`,
    ]);
    const codec = {
      none: "null",
      gzip: "deflate",
      snappy: "snappy",
      zstd: "zstandard",
    }[compression ?? "gzip"];

    test(`is the codec ${codec}; rows come back`, async ({ files }) => {
      const batches = buildBatches(schema, rows, BATCH_ROWS_MAX);
      const bytes = encodeFile(schema, { ...options, compression }, batches);
      expect(bytes.subarray(0, 4096).toString("latin1")).toContain(
        `avro.codec${String.fromCharCode(codec.length * 2)}${codec}`,
      );
      expect(await readByAvsc(bytes, schema)).toEqual(rows);
      const path = files.writeRows(schema, batches, {
        format: "avro",
        compression,
      });
      let id = 0;
      for await (const row of readRows(path)) {
        if (row["id"] !== id || row["name"] !== rows[id]![1])
          expect(row).toEqual({ id, name: rows[id]![1] });
        id++;
      }
      expect(id).toBe(rows.length);
    });

    test("an empty file has its schema and no rows", async ({ files }) => {
      const bytes = encodeFile(schema, { ...options, compression }, []);
      const { rows: none, schema: described } = await decodeByAvsc(bytes);
      expect(none).toEqual([]);
      expect(described.fields.map(({ name }) => name)).toEqual(["id", "name"]);
      const path = files.writeRows(schema, [], { format: "avro", compression });
      expect(await collect(readRows(path))).toEqual([]);
    });

    test("bytesSoFar grows with what is still held, and ends at the file's size", () => {
      const encoder = createFileFormat(schema, {
        ...options,
        compression,
      }).createEncoder();
      let handedOut = 0;
      for (const batch of buildBatches(schema, rows, 1000)) {
        for (const piece of encoder.encode(batch)) handedOut += piece.length;
        expect(encoder.bytesSoFar).toBeGreaterThanOrEqual(handedOut);
      }
      for (const piece of encoder.finish({})) handedOut += piece.length;
      expect(encoder.bytesSoFar).toBe(handedOut);
    });
  },
);

/** Rows and bytes of each block of a file that is not compressed. */
function listBlocks(bytes: Buffer): { rows: number; bytes: number }[] {
  let at = 4;
  const readLong = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
  };
  for (let pairs = readLong(); pairs > 0; pairs--)
    for (let text = 0; text < 2; text++) {
      const length = readLong();
      at += length;
    }
  at += 1 + 16;
  const blocks: { rows: number; bytes: number }[] = [];
  while (at < bytes.length) {
    const block = { rows: readLong(), bytes: readLong() };
    blocks.push(block);
    at += block.bytes + 16;
  }
  return blocks;
}

test("a block ends with the row that reaches 256 KiB", async () => {
  const schema = buildSchema({ value: "text" });
  const rows = Array.from({ length: 1000 }, (_, i): TestRow => [
    "x".repeat(i === 500 ? 3_000_000 : 1000),
  ]);
  const bytes = encodeFile(
    schema,
    { ...options, compression: "none" },
    buildBatches(schema, rows, 300),
  );
  const blocks = listBlocks(bytes);
  expect(blocks.reduce((sum, block) => sum + block.rows, 0)).toBe(1000);
  for (const block of blocks.slice(0, -1)) {
    expect(block.bytes).toBeGreaterThanOrEqual(256 * 1024);
    // the last row, of about 1 kB or 3 MB, is what may go beyond
    expect(block.bytes).toBeLessThan(256 * 1024 + 3_000_100);
    if (block.rows > 250) expect(block.bytes).toBeLessThan(258 * 1024);
  }
  expect(await readByAvsc(bytes, schema)).toEqual(rows);
});

test("rows without columns are counted, in blocks of 65,536", async () => {
  const schema = buildSchema({});
  const bytes = encodeFile(schema, { ...options, compression: "none" }, [
    { rowCount: 16_384, columns: [] },
    ...Array.from({ length: 4 }, () => ({ rowCount: 16_384, columns: [] })),
  ]);
  expect(listBlocks(bytes)).toEqual([
    { rows: 65_536, bytes: 0 },
    { rows: 16_384, bytes: 0 },
  ]);
});

test("files that are written in turns do not disturb each other", async () => {
  const schema = buildSchema({ id: "int32", text: "text" });
  const rowsOf = (file: number) =>
    Array.from({ length: 5000 }, (_, i): TestRow => [
      i,
      `file ${file} row ${i}`,
    ]);
  const format = createFileFormat(schema, { ...options, compression: "zstd" });
  const files = [0, 1, 2].map((file) => ({
    encoder: format.createEncoder(),
    batches: buildBatches(schema, rowsOf(file), 700),
    pieces: [] as Uint8Array[],
  }));
  for (let i = 0; i < files[0]!.batches.length; i++)
    for (const { encoder, batches, pieces } of files)
      for (const piece of encoder.encode(batches[i]!))
        pieces.push(piece.slice());
  for (const [file, { encoder, pieces }] of files.entries()) {
    for (const piece of encoder.finish({})) pieces.push(piece.slice());
    const bytes = Buffer.concat(pieces);
    expect(await readByAvsc(bytes, schema)).toEqual(rowsOf(file));
  }
});

describe("broken files", () => {
  const schema = buildSchema({ id: "int64", at: "timestamptz", name: "text" });
  const rows = Array.from({ length: 100 }, (_, i): TestRow => [
    BigInt(i),
    i % 2 === 0 ? null : BigInt(i),
    "name",
  ]);

  test.for([
    { name: "an empty file", change: () => Buffer.alloc(0) },
    { name: "text", change: () => Buffer.from("id,name\n1,one\n") },
    { name: "a file cut short", change: (b: Buffer) => b.subarray(0, -1) },
    { name: "a header cut short", change: (b: Buffer) => b.subarray(0, 60) },
    {
      name: "another sync marker",
      change: (b: Buffer) => b.fill(0, b.length - 16),
    },
  ])("$name is refused by name", async ({ change }, { files }) => {
    const path = files.writeRows(schema, buildBatches(schema, rows, 50), {
      format: "avro",
    });
    writeFileSync(path, change(readFileSync(path)));
    await expect(collect(readRows(path))).rejects.toMatchObject({
      name: "ExtractError",
      code: "DESTINATION_FAILED",
      message: expect.stringContaining(path),
    });
  });

  test.for(["none", "snappy", "gzip", "zstd"] as const)(
    "%s: any changed byte is an error or other rows, never a hang",
    async (compression, { files }) => {
      const path = files.writeRows(schema, buildBatches(schema, rows, 50), {
        format: "avro",
        compression,
      });
      const whole = readFileSync(path);
      for (let at = 0; at < whole.length; at += 3) {
        const bytes = Buffer.from(whole);
        bytes[at]! ^= 0x55;
        writeFileSync(path, bytes);
        try {
          await collect(readRows(path, { limit: 200 }));
        } catch (error) {
          expect(error).toMatchObject({ code: "DESTINATION_FAILED" });
        }
      }
    },
  );

  test("a length beyond reason is not believed", async ({ files }) => {
    const path = join(files.folder, "long.avro");
    const whole = encodeFile(schema, { ...options, compression: "none" }, []);
    // one row in 2^40 bytes
    const block = Buffer.from([2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
    writeFileSync(path, Buffer.concat([whole, block]));
    await expect(collect(readRows(path))).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
    });
  });
});

test("files of other writers are read as well", async ({ files }) => {
  const { default: avro } = await import("avsc");
  const type = avro.Type.forSchema({
    type: "record",
    name: "Order",
    fields: [
      {
        name: "state",
        type: { type: "enum", name: "State", symbols: ["A", "B"] },
      },
      { name: "items", type: { type: "array", items: ["null", "string"] } },
      { name: "tags", type: { type: "map", values: "int" } },
      { name: "next", type: ["null", "Order"] },
      { name: "again", type: "State" },
      { name: "hash", type: { type: "bytes" } },
    ],
  });
  const path = join(files.folder, "other.avro");
  const order = {
    state: "B",
    items: ["a", null],
    tags: { x: 1, y: -2 },
    again: "A",
    hash: Buffer.from([0xff, 0x38]),
  };
  const encoder = avro.createFileEncoder(path, type, { codec: "deflate" });
  encoder.write({ ...order, next: { ...order, next: null } } as never);
  encoder.end();
  await new Promise((resolve) => encoder.on("finish", resolve));
  const read = { ...order, items: ["a", null], hash: "\\xff38" };
  await expect
    .poll(async () => collect(readRows(path)))
    .toEqual([{ ...read, next: { ...read, next: null } }]);
});
