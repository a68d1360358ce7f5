/** Any rows, cut into any batches, come back: through DuckDB, and through our own reader. */
import { rmSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { readRows } from "../../../../connectors/formats/read.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { readByDuckDb } from "../duckdb.ts";
import { collect, test } from "../files.ts";
import { kindCases } from "../kinds.ts";

const kinds = Object.keys(kindCases) as LogicalKind[];

/** Values of a kind: all different, few different, or ascending; with more or fewer nulls. */
function columnArbitrary(kind: LogicalKind, rows: number) {
  const { arbitrary, edges } = kindCases[kind];
  const values = fc.oneof(
    fc.array(arbitrary, { minLength: rows, maxLength: rows }),
    fc.array(fc.constantFrom(...edges), { minLength: rows, maxLength: rows }),
    fc
      .array(arbitrary, { minLength: rows, maxLength: rows })
      .map((array) => array.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))),
  );
  return fc
    .tuple(
      values,
      fc.constantFrom(0, 0, 0.1, 0.9),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
    )
    .map(([array, nulls, draws]) =>
      array.map((value) => (draws.next().value! < nulls ? null : value)),
    );
}

const files = fc
  .tuple(
    fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 0, max: 200 }),
    fc.integer({ min: 1, max: 200 }),
    fc.constantFrom("zstd", "snappy", "gzip", "none"),
    fc.boolean(),
  )
  .chain(([columnKinds, rows, batchRows, compression, plainEncodings]) =>
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
        options: { compression, plainEncodings },
      })),
  );

test("any rows come back from DuckDB", async ({ files: { writeRows } }) => {
  await fc.assert(
    fc.asyncProperty(files, async ({ schema, rows, batchRows, options }) => {
      const path = writeRows(
        schema,
        buildBatches(schema, rows, batchRows),
        options,
      );
      expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
      rmSync(path);
    }),
    { numRuns: 120 },
  );
}, 60_000);

test("our own reader and DuckDB print the same", async ({
  files: { writeRows },
}) => {
  await fc.assert(
    fc.asyncProperty(files, async ({ schema, rows, batchRows, options }) => {
      const path = writeRows(
        schema,
        buildBatches(schema, rows, batchRows),
        options,
      );
      const own = await collect(readRows(path));
      const other = await readByDuckDb(`'${path}'`);
      expect(own).toHaveLength(other.length);
      schema.columns.forEach(({ name, type }, column) => {
        const isPlain = /^(boolean|int|float|decimal|text|json|uuid|uint)/.test(
          type.kind,
        );
        if (!isPlain) return;
        expect(own.map((row) => row[name])).toEqual(
          other.map((row) => row[column]),
        );
      });
      rmSync(path);
    }),
    { numRuns: 60 },
  );
}, 60_000);
