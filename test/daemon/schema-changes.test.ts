import { expect, test } from "vitest";
import {
  compareColumns,
  describeDifference,
  findUntold,
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

test.for([
  { name: "a column without values", added: ["a"], filled: [], untold: [] },
  {
    name: "one that came with values",
    ...{ added: ["a", "b"], filled: ["b", "id"], untold: ["b"] },
  },
  {
    name: "one that may have had another name",
    ...{ added: ["a"], removed: ["b"], filled: [], untold: ["a"] },
  },
  { name: "a column that is gone", removed: ["b"], filled: [], untold: [] },
])("a log does not tell of $name", ({ filled, untold, ...difference }) => {
  expect(
    findUntold({ added: [], removed: [], changed: [], ...difference }, filled),
  ).toEqual(untold);
});

test.for([
  ["integer", "bigint", true],
  ["smallint", "integer", true],
  ["int(11)", "bigint(20)", true],
  ["bigint", "integer", false],
  ["integer", "text", false],
  ["character varying(10)", "character varying(20)", true],
  ["character varying(20)", "character varying(10)", false],
  ["character varying(20)", "text", true],
  ["varchar(20)", "varchar(40)", true],
  ["text", "character varying(20)", false],
  ["numeric(10,2)", "numeric(12,2)", true],
  ["numeric(10,2)", "numeric(12,3)", false],
  ["numeric(10,2)", "numeric", false],
] as const)("%s that became %s keeps its values: %s", ([from, to, keeps]) => {
  const changed = [{ column: "c", from, to }];
  expect(findUntold({ added: [], removed: [], changed }, [])).toEqual(
    keeps ? [] : ["c"],
  );
});
