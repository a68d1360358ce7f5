import { describe, expect, test } from "vitest";

import {
  compareShape,
  holdsType,
  type FoundColumn,
} from "../../../../connectors/destinations/postgres/shape.ts";
import type { TargetColumn } from "../../../../connectors/destinations/postgres/types.ts";

describe("a type holds every value of another", () => {
  test.for([
    ["bigint", "integer", true],
    ["integer", "bigint", false],
    ["numeric", "bigint", true],
    ["numeric(20,0)", "bigint", true],
    ["numeric(18,0)", "bigint", false],
    ["numeric(21,2)", "bigint", true],
    ["numeric(20,2)", "bigint", false],
    ["bigint", "numeric(3,0)", false],
    ["double precision", "integer", true],
    ["double precision", "bigint", false],
    ["real", "smallint", true],
    ["real", "integer", false],
    ["double precision", "real", true],
    ["real", "double precision", false],
    ["numeric", "double precision", false],
    ["numeric", "numeric(38,10)", true],
    ["numeric(38,10)", "numeric", false],
    ["numeric(12,4)", "numeric(10,2)", true],
    ["numeric(12,4)", "numeric(11,2)", false],
    ["numeric(12,2)", "numeric(10,3)", false],
    ["numeric(5,-2)", "smallint", false],
    ["text", "character varying(5)", true],
    ["character varying", "text", true],
    ["character varying(6)", "character varying(5)", true],
    ["character varying(5)", "text", false],
    ["text", "character(5)", false],
    ["text", "integer", false],
    ["timestamp without time zone", "date", false],
    ["jsonb", "json", false],
    ["uuid", "uuid", true],
  ] as const)("%s holds %s: %s", ([to, from, holds]) => {
    expect(holdsType(to, from)).toBe(holds);
  });
});

describe("a table and a stream's columns", () => {
  const column = (
    name: string,
    type: string,
    nullable = true,
  ): TargetColumn => ({
    name,
    type,
    nullable,
    copyKind: "bytes",
    logical: "text",
    scale: 0,
  });
  const found = (
    name: string,
    type: string,
    more: Partial<FoundColumn> = {},
  ): FoundColumn => ({
    name,
    type,
    notNull: false,
    filled: false,
    generated: false,
    pinned: false,
    ...more,
  });

  test("what appeared is added without NOT NULL, what became wider is altered, what is gone stays", () => {
    const comparison = compareShape(
      [column("a", "bigint", false), column('b"', "text", false)],
      [found("a", "integer"), found("gone", "text")],
      true,
    );
    expect(comparison).toEqual({
      alterations: ['ALTER COLUMN "a" TYPE bigint', 'ADD COLUMN "b""" text'],
      faults: [],
    });
  });

  test("where nothing may be altered, both are faults", () => {
    const { alterations, faults } = compareShape(
      [column("a", "bigint"), column("b", "text")],
      [found("a", "integer")],
      false,
    );
    expect(alterations).toEqual([]);
    expect(faults).toEqual(["a is integer instead of bigint", "no column b"]);
  });

  test("what cannot be put right is a fault that names both types", () => {
    const { faults } = compareShape(
      [
        column("a", "integer"),
        column("b", "text"),
        column("c", "bigint"),
        column("d", "text"),
      ],
      [
        found("a", "text"),
        found("b", "text", { notNull: true }),
        found("c", "integer", { pinned: true }),
        found("d", "text", { generated: true }),
        found("gone", "text", { notNull: true }),
        found("counted", "integer", { notNull: true, filled: true }),
      ],
      true,
    );
    expect(faults).toEqual([
      "a is text instead of integer",
      "b takes no NULL",
      "c is integer instead of bigint, and cannot be altered, since other things depend on it",
      "d is generated",
      "gone wants a value, which the source has none for",
    ]);
  });

  test("a stream that became narrower fits as it is", () => {
    expect(
      compareShape(
        [column("a", "smallint"), column("b", "numeric(4,1)")],
        [found("a", "bigint"), found("b", "numeric(10,2)")],
        true,
      ),
    ).toEqual({ alterations: [], faults: [] });
  });
});
