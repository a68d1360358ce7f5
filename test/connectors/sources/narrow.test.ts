import { expect, test } from "vitest";
import { mssqlDriver } from "../../../connectors/sources/mssql/driver.ts";
import { mysqlDriver } from "../../../connectors/sources/mysql/driver.ts";
import { joinPredicates } from "../../../connectors/sources/narrow.ts";
import { postgresDriver } from "../../../connectors/sources/postgres/driver.ts";
import type { DiscoveredStream } from "../../../connectors/sources/source.ts";
import type { RangeFilter } from "../../../proto/control.ts";
import type { LogicalKind } from "../../../proto/schema.ts";

const column = (name: string, kind: LogicalKind) => ({
  name,
  type: { kind },
  nullable: true,
});

const orders = {
  schema: {
    number: 1,
    namespace: "public",
    name: "orders",
    columns: [
      column("id", "int64"),
      column("name", "text"),
      column("day", "date"),
      column("at", "timestamp"),
      column("blob", "binary"),
    ],
  },
  allColumnNames: ["id", "name", "day", "at", "blob"],
} as unknown as DiscoveredStream;

const range = (over: Partial<RangeFilter> = {}): RangeFilter => ({
  stream: "orders",
  column: "id",
  from: "1",
  to: "9",
  bounds: "[)",
  ...over,
});

const drivers = {
  postgres: postgresDriver,
  mysql: mysqlDriver,
  mssql: mssqlDriver,
};
type Name = keyof typeof drivers;

test.for([
  { of: "postgres", given: range(), sql: `("id" >= '1' AND "id" < '9')` },
  { of: "mysql", given: range(), sql: "(`id` >= 1 AND `id` < 9)" },
  { of: "mssql", given: range(), sql: "([id] >= 1 AND [id] < 9)" },
  {
    of: "postgres",
    given: range({ from: null, bounds: "(]" }),
    sql: `("id" <= '9')`,
  },
  {
    of: "postgres",
    given: range({ column: "name", from: "O'Neil \\' OR 1", to: null }),
    sql: `("name" >=  E'O''Neil \\\\'' OR 1')`,
  },
  {
    of: "mysql",
    given: range({ column: "name", from: "O'Neil \\' OR 1", to: null }),
    sql: "(`name` >= 'O''Neil \\\\'' OR 1')",
  },
  {
    of: "mssql",
    given: range({ column: "name", from: "O'Neil", to: null }),
    sql: "([name] >= N'O''Neil')",
  },
  {
    of: "mssql",
    given: range({ column: "at", from: "2024-01-31T10:00:00", to: null }),
    sql: "([at] >= CONVERT(datetime2(7), N'2024-01-31 10:00:00', 121))",
  },
  {
    of: "mssql",
    given: range({ column: "day", from: "2024-01-31", to: null }),
    sql: "([day] >= CONVERT(date, N'2024-01-31', 23))",
  },
] satisfies { of: Name; given: RangeFilter; sql: string }[])(
  "$of writes $sql",
  ({ of, given, sql }) => {
    expect(drivers[of as Name].narrow(orders, [given])).toBe(sql);
  },
);

test("ranges of one stream are joined by OR, and those of others leave it alone", () => {
  const { narrow } = postgresDriver;
  expect(narrow(orders, [range(), range({ from: "20", to: "30" })])).toBe(
    `("id" >= '1' AND "id" < '9') OR ("id" >= '20' AND "id" < '30')`,
  );
  expect(narrow(orders, [range({ stream: "other" })])).toBeNull();
});

test.for([
  { of: "mysql", given: range({ from: "1 OR 1=1" }) },
  { of: "mysql", given: range({ from: "abc" }) },
  { of: "mssql", given: range({ from: "1); DROP TABLE orders; --" }) },
  { of: "mssql", given: range({ column: "day", from: "31.01.2024" }) },
  { of: "mysql", given: range({ column: "blob" }) },
] satisfies { of: Name; given: RangeFilter }[])(
  "$of refuses $given.from for $given.column",
  ({ of, given }) => {
    expect(() => drivers[of as Name].narrow(orders, [given])).toThrow(
      expect.objectContaining({ code: "TRIGGER_INVALID" }),
    );
  },
);

test.for(["postgres", "mysql", "mssql"] as const)(
  "%s knows no column that the table has not",
  (of) => {
    expect(() =>
      drivers[of].narrow(orders, [range({ column: 'idd" OR true --' })]),
    ).toThrow(expect.objectContaining({ code: "SOURCE_COLUMN_NOT_FOUND" }));
  },
);

test("the user's predicate keeps its comment to itself", () => {
  expect(joinPredicates("a > 1 -- all", "b")).toBe("(a > 1 -- all\n) AND (b)");
  expect(joinPredicates(null, "b")).toBe("b");
  expect(joinPredicates("a", null)).toBe("a");
});
