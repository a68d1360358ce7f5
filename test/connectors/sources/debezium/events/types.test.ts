import { expect, test } from "vitest";
import { resolveValue } from "../../../../../connectors/sources/debezium/events/types.ts";
import type { LogicalType } from "../../../../../proto/schema.ts";

const resolve = (kind: LogicalType["kind"], declared: string) =>
  resolveValue(
    { connector: "postgresql", timePrecision: "microseconds" },
    {
      ...{ name: "c", nullable: true, sourceType: declared },
      type: { kind } as LogicalType,
    },
    declared,
  );

test.each([
  ["json", "record", "without the names of their parts"],
  ["json", "record[]", "without the names of their parts"],
  ["json", "cast[]", "by a cast of their type"],
  ["json", "interval[]", "in another style"],
  ["text", "money", "currency format"],
  ["text", "time with time zone", "drops its zone"],
] as const)(
  "of Postgres, %s made of %s is not what the log has",
  (kind, declared, words) => {
    expect(resolve(kind, declared)).toContain(words);
  },
);

test("hstore and arrays of text are read from the log", () => {
  expect(resolve("text", "hstore")).toMatchObject({ kind: "text" });
  expect(resolve("json", "text[]")).toMatchObject({ kind: "array" });
});
