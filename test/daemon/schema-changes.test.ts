import { expect, test } from "vitest";
import {
  compareColumns,
  describeDifference,
  refuseDifference,
  type SchemaPolicy,
} from "../../daemon/schema-changes.ts";
import type { ColumnSchema } from "../../proto/schema.ts";

const column = (
  name: string,
  sourceType = "integer",
  nullable = true,
): ColumnSchema => ({
  name,
  sourceType,
  nullable,
  type: { kind: sourceType === "integer" ? "int32" : "int64" },
});
const table = (...columns: ColumnSchema[]) => ({ columns });

test("columns that come, go and change are named, each in words", () => {
  const difference = compareColumns(
    table(column("id"), column("old"), column("amount")),
    table(column("amount", "bigint"), column("new"), column("id")),
  );
  expect(difference).toEqual({
    added: ["new"],
    removed: ["old"],
    changed: [{ column: "amount", from: "integer", to: "bigint" }],
  });
  expect(difference && describeDifference(difference)).toBe(
    "new: new; gone: old; amount: integer became bigint",
  );
});

test("another order, and NOT NULL that went, change nothing for a reader", () => {
  expect(
    compareColumns(
      table(column("a", "integer", false), column("b")),
      table(column("b"), column("a")),
    ),
  ).toBeNull();
});

test("a decimal's digits are its type", () => {
  const decimal = (precision: number): ColumnSchema => ({
    ...column("d", "numeric"),
    type: { kind: "decimal64", precision, scale: 2 },
  });
  expect(
    compareColumns(table(decimal(8)), table(decimal(10)))?.changed,
  ).toHaveLength(1);
});

const grown = { added: ["a"], removed: [], changed: [] };
const shrunk = { added: [], removed: ["a"], changed: [] };

test.for<{ policy: SchemaPolicy; grown: boolean; shrunk: boolean }>([
  { policy: "propagate", grown: true, shrunk: true },
  { policy: "ignore", grown: true, shrunk: true },
  { policy: "new-columns-only", grown: true, shrunk: false },
  { policy: "pause", grown: false, shrunk: false },
])("what $policy lets through", ({ policy, ...allowed }) => {
  expect(refuseDifference(policy, grown) === null).toBe(allowed.grown);
  expect(refuseDifference(policy, shrunk) === null).toBe(allowed.shrunk);
});
