/** What goes into an Avro file comes out of avsc and of our own reader, value by value. */
import { rmSync } from "node:fs";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { readRows } from "../../../../connectors/formats/read.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { collect, encodeFile, parquetOptions, test } from "../files.ts";
import { kindCases } from "../kinds.ts";
import { readByAvsc } from "./avsc.ts";

const options = { ...parquetOptions, format: "avro" } as const;
const kinds = Object.keys(kindCases) as LogicalKind[];
const compressions = ["none", "gzip", "snappy", "zstd"] as const;

/** Which rows are null. */
const nullPatterns = {
  none: () => false,
  all: () => true,
  mixed: (row: number) => row % 3 === 1,
  "all but the last": (row: number) => row % 13 !== 12,
} as const;

describe.for(kinds)("%s", (kind) => {
  const { type, edges } = kindCases[kind];

  test.for(Object.entries(nullPatterns))(
    "nulls: %s",
    async ([, isNull], { files }) => {
      const schema = buildSchema({ value: type });
      const rows = Array.from({ length: 40 }, (_, row): TestRow => [
        isNull(row) ? null : edges[row % edges.length]!,
      ]);
      const batches = buildBatches(schema, rows, 7);
      expect(
        await readByAvsc(encodeFile(schema, options, batches), schema),
      ).toEqual(rows);
      const path = files.writeRows(schema, batches, { format: "avro" });
      expect(await collect(readRows(path))).toHaveLength(40);
    },
  );

  test("a column that is not nullable, over several steps", async () => {
    const schema = buildSchema({ value: type }, ["value"]);
    const rows = Array.from({ length: 600 }, (_, row): TestRow => [
      edges[row % edges.length]!,
    ]);
    const bytes = encodeFile(schema, options, buildBatches(schema, rows, 599));
    expect(await readByAvsc(bytes, schema)).toEqual(rows);
  });

  test("our own reader prints what it prints of Parquet", async ({ files }) => {
    const schema = buildSchema({ value: type });
    const batches = buildBatches(
      schema,
      [...edges, null].map((value) => [value]),
      5,
    );
    const [avro, parquet] = await Promise.all(
      (["avro", "parquet"] as const).map((format) =>
        collect(readRows(files.writeRows(schema, batches, { format }))),
      ),
    );
    // Parquet gives every int64 as a bigint; a uint64 is a decimal without digits behind the point
    const plain = (rows: typeof avro) =>
      rows!.map(({ value }) =>
        typeof value === "bigint" || kind === "uint64"
          ? String(value)
          : kind === "int64"
            ? String(value)
            : value,
      );
    expect(plain(avro)).toEqual(plain(parquet));
  });
});

function columnArbitrary(kind: LogicalKind, rows: number) {
  const { arbitrary, edges } = kindCases[kind];
  const value = fc.oneof(arbitrary, fc.constantFrom(...edges));
  return fc.array(fc.option(value, { freq: 5 }), {
    minLength: rows,
    maxLength: rows,
  });
}

test("any rows, cut into any batches, come back with every codec", async ({
  files,
}) => {
  const tables = fc
    .tuple(
      fc.array(fc.constantFrom(...kinds), { maxLength: 4 }),
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 1, max: 300 }),
      fc.constantFrom(...compressions),
    )
    .chain(([columnKinds, rows, batchRows, compression]) =>
      fc
        .tuple(...columnKinds.map((kind) => columnArbitrary(kind, rows)))
        .map((columns) => ({
          schema: buildSchema(
            Object.fromEntries(
              columnKinds.map((kind, i) => [`c${i}`, kindCases[kind].type]),
            ),
          ),
          rows: Array.from({ length: rows }, (_, row): TestRow =>
            columns.map((column) => column[row]!),
          ),
          batchRows,
          compression,
        })),
    );
  await fc.assert(
    fc.asyncProperty(
      tables,
      async ({ schema, rows, batchRows, compression }) => {
        const batches = buildBatches(schema, rows, batchRows);
        const bytes = encodeFile(schema, { ...options, compression }, batches);
        expect(await readByAvsc(bytes, schema)).toEqual(rows);
        const path = files.writeRows(schema, batches, {
          format: "avro",
          compression,
        });
        expect(await collect(readRows(path))).toHaveLength(rows.length);
        rmSync(path);
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
