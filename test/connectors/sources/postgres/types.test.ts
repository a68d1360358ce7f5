import { describe, expect, test } from "vitest";
import type { SourceColumn } from "../../../../connectors/sources/postgres/stream.ts";
import {
  columnSchema,
  quoteIdentifier,
  quoteLiteral,
  resolveColumn,
} from "../../../../connectors/sources/postgres/types.ts";

function column(changes: Partial<SourceColumn>): SourceColumn {
  return {
    name: "c",
    typeOid: 25,
    baseTypeOid: 25,
    typeModifier: -1,
    typeKind: "b",
    typeCategory: "S",
    declaredType: "text",
    notNull: false,
    ...changes,
  };
}

/** The modifier of numeric(precision, scale) as the server packs it since version 15. */
function numericModifier(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + 4;
}

test.for([
  { precision: 1, scale: 0, kind: "decimal64", digits: 1, places: 0 },
  { precision: 18, scale: 18, kind: "decimal64", digits: 18, places: 18 },
  { precision: 19, scale: 2, kind: "decimal128", digits: 19, places: 2 },
  { precision: 38, scale: 0, kind: "decimal128", digits: 38, places: 0 },
  { precision: 3, scale: -2, kind: "decimal64", digits: 5, places: 0 },
  { precision: 18, scale: -1, kind: "decimal128", digits: 19, places: 0 },
  { precision: 2, scale: 5, kind: "decimal64", digits: 5, places: 5 },
])(
  "numeric($precision,$scale) is $kind of $digits digits",
  ({ precision, scale, kind, digits, places }) => {
    const typeModifier = numericModifier(precision, scale);
    const resolved = resolveColumn(column({ baseTypeOid: 1700, typeModifier }));
    expect(resolved.type).toEqual({ kind, precision: digits, scale: places });
    expect(resolved.wire).toEqual({ format: 0, kind, resultOid: 1700 });
  },
);

test.for([
  { name: "without a modifier", typeModifier: -1 },
  { name: "of 39 digits", typeModifier: numericModifier(39, 0) },
  { name: "of 1,000 digits", typeModifier: numericModifier(1000, 1000) },
  { name: "that rounds to 10^30", typeModifier: numericModifier(10, -30) },
])("numeric $name is text of exact digits", ({ typeModifier }) => {
  expect(
    resolveColumn(column({ baseTypeOid: 1700, typeModifier })).type,
  ).toEqual({ kind: "decimalText" });
});

test("arrays and composite types are made JSON by the server", () => {
  for (const changes of [
    { typeCategory: "A", baseTypeOid: 1007 },
    { typeKind: "c", typeCategory: "C", baseTypeOid: 99_999 },
  ]) {
    const resolved = resolveColumn(column(changes));
    expect(resolved.type).toEqual({ kind: "json" });
    expect(resolved.selectExpression('"c"')).toBe('pg_catalog.to_json("c")');
  }
});

test("a type that nobody knows is text as it prints", () => {
  const resolved = resolveColumn(
    column({ baseTypeOid: 123_456, typeCategory: "U" }),
  );
  expect(resolved.type).toEqual({ kind: "text" });
  expect(resolved.wire).toEqual({
    format: 0,
    kind: "bytes",
    resultOid: 123_456,
  });
});

describe("nullability", () => {
  const date = column({ baseTypeOid: 1082, notNull: true });

  test("follows the declaration", () => {
    expect(columnSchema(date).nullable).toBe(false);
    expect(columnSchema({ ...date, notNull: false }).nullable).toBe(true);
  });

  test("gives way to the policy where values may be replaced by NULL", () => {
    expect(columnSchema(date, "null").nullable).toBe(true);
    expect(columnSchema(column({ notNull: true }), "null").nullable).toBe(
      false,
    );
  });
});

test("names and literals survive quoting", () => {
  expect(quoteIdentifier('a"b')).toBe('"a""b"');
  expect(quoteLiteral("it's")).toBe("'it''s'");
  expect(quoteLiteral("a\\b")).toBe(" E'a\\\\b'");
});
