/** What goes into a Parquet file comes out of DuckDB, value by value. */
import { describe, expect } from "vitest";
import type { LogicalKind } from "../../../../proto/schema.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../../fixtures/batches.ts";
import { readByDuckDb } from "../duckdb.ts";
import { test } from "../files.ts";
import { kindCases } from "../kinds.ts";

const kinds = Object.keys(kindCases) as LogicalKind[];

/** Which rows are null. */
const nullPatterns = {
  none: () => false,
  all: () => true,
  mixed: (row: number) => row % 3 === 1,
  "all but the last": (row: number) => row % 13 !== 12,
} as const;

function makeRows(
  edges: readonly TestValue[],
  count: number,
  isNull: (row: number) => boolean,
): TestRow[] {
  return Array.from({ length: count }, (_, row) => [
    isNull(row) ? null : edges[row % edges.length]!,
  ]);
}

describe.for(kinds)("%s", (kind) => {
  const { type, edges } = kindCases[kind];

  test.for(
    Object.entries(nullPatterns).flatMap(([pattern, isNull]) =>
      // 13: one page that ends within a byte of the bitmap; 8: exactly one byte; 40 in pages of 8 and of 7
      [
        { rows: 13, batchRows: 13 },
        { rows: 8, batchRows: 8 },
        { rows: 40, batchRows: 7 },
        { rows: 1, batchRows: 1 },
      ].map((sizes) => ({ pattern, isNull, ...sizes })),
    ),
  )(
    "nulls: $pattern; $rows rows in batches of $batchRows",
    async ({ isNull, rows, batchRows }, { files }) => {
      const schema = buildSchema({ value: type });
      const expected = makeRows(edges, rows, isNull);
      const path = files.writeRows(
        schema,
        buildBatches(schema, expected, batchRows),
      );
      expect(await readByDuckDb(`'${path}'`)).toEqual(expected);
    },
  );

  test.for([false, true])(
    "a column that is not nullable; plain encodings: %s",
    async (plainEncodings, { files }) => {
      const schema = buildSchema({ value: type }, ["value"]);
      const expected = makeRows(edges, 300, () => false);
      const path = files.writeRows(schema, buildBatches(schema, expected, 99), {
        plainEncodings,
      });
      expect(await readByDuckDb(`'${path}'`)).toEqual(expected);
    },
  );
});
