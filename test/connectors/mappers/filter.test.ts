/** Which rows pass: the loops down columns agree with a model that looks at one row at a time. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatDate } from "../../../connectors/formats/readers/value-text.ts";
import { parseFilter } from "../../../connectors/mappers/filter/parse.ts";
import type { LogicalKind, LogicalType } from "../../../proto/schema.ts";
import {
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../fixtures/batches.ts";
import { kindCases } from "../formats/kinds.ts";
import { listFaults, runStep } from "./rows.ts";

function passes(
  type: LogicalKind | LogicalType,
  filter: string,
  value: TestValue,
): boolean {
  return runStep(buildSchema({ c: type }), { filter }, [[value]]).length === 1;
}

const money: LogicalType = { kind: "decimal64", precision: 10, scale: 2 };
const wide: LogicalType = { kind: "decimal128", precision: 38, scale: 2 };

test.for<{
  type: LogicalKind | LogicalType;
  value: TestValue;
  yes: string[];
  no: string[];
}>([
  {
    type: "int32",
    value: 5,
    yes: [
      "c = 5",
      "c=5.0",
      "c > 4.5",
      "c <> 6",
      "c in (1, 5)",
      "C IS NOT NULL",
    ],
    no: ["c = 5.5", "c < 5", "c not in (5)", "c is null", "c != 5"],
  },
  {
    type: "int64",
    value: 2n ** 53n + 1n,
    yes: ["c = 9007199254740993", "c > 9007199254740992.5", "c < 1e30"],
    no: ["c = 9007199254740992", "c < -1e30", "c >= 9007199254740993.000001"],
  },
  {
    type: "int64",
    value: -1n,
    yes: ["c > -2", "c < 0", "c > -1.5", "c < -0.5"],
    no: ["c > 4294967295"],
  },
  {
    type: "uint64",
    value: 2n ** 64n - 1n,
    yes: ["c = 18446744073709551615", "c > -1", "c < 18446744073709551616"],
    no: ["c = -1", "c < 9223372036854775808"],
  },
  {
    type: money,
    value: "-1.50",
    yes: ["c = -1.5", "c < -1.499", "c > -1.505", "c = -15e-1"],
    no: ["c = -1.505", "c = 1.5", "c > 0"],
  },
  {
    type: wide,
    value: "-18446744073709551617.25",
    yes: ["c = -18446744073709551617.25", "c < -18446744073709551617.2"],
    no: ["c > -18446744073709551617.251e0 and c = 0"],
  },
  {
    type: "decimalText",
    value: "-0012.3400",
    yes: ["c = -12.34", "c < -12.339", "c > -1.3e1", "c <= -1234e-2"],
    no: ["c = 12.34", "c < -12.341", "c > 0"],
  },
  {
    type: "decimalText",
    value: "NaN",
    yes: ["c <> 0", "not (c > 0)"],
    no: ["c = 0", "c > 0", "c < 0"],
  },
  {
    type: "decimalText",
    value: "0",
    yes: ["c = 0.00", "c = -0", "c < 0.1", "c > -0.1"],
    no: ["c > 0"],
  },
  {
    type: "float32",
    value: Math.fround(0.1),
    yes: ["c = 0.1", "c > 0", "c < 1e300"],
    no: ["c <> 0.1"],
  },
  {
    type: "float64",
    value: NaN,
    yes: ["c <> 1", "not (c > 1)", "c is not null"],
    no: ["c = 1", "c > 1", "c < 1"],
  },
  {
    type: "boolean",
    value: false,
    yes: ["c = false", "c <> TRUE", "c < true"],
    no: ["c = true"],
  },
  {
    type: "date",
    value: 20_484,
    yes: ["c = '2026-01-31'", "c > '2025-12-31'"],
    no: ["c < '2026-01-31'"],
  },
  {
    type: "timestamp",
    value: 1_769_853_600_000_000n,
    yes: [
      "c = '2026-01-31T10:00:00'",
      "c = '2026-01-31 10:00'",
      "c > '2026-01-31'",
      "c < '2026-01-31T10:00:00.0000001'",
    ],
    no: ["c > '2026-01-31T10:00:00.000000'"],
  },
  {
    type: "timestamptz",
    value: 1_769_853_600_000_000n,
    yes: [
      "c = '2026-01-31T10:00:00Z'",
      "c = '2026-01-31T12:00:00+02:00'",
      "c = '2026-01-31 06:30:00.0-0330'",
    ],
    no: ["c <> '2026-01-31T11:00:00+01:00'"],
  },
  {
    type: "timestampNs",
    value: 1n,
    yes: ["c = '1970-01-01T00:00:00.000000001'"],
    no: ["c = '1970-01-01'"],
  },
  {
    type: "time",
    value: 36_000_000_001n,
    yes: ["c > '10:00'", "c = '10:00:00.000001'"],
    no: ["c = '10:00:00'"],
  },
  { type: "timeNs", value: 1n, yes: ["c = '00:00:00.000000001'"], no: [] },
  {
    type: "uuid",
    value: "c0ffee00-1234-4abc-9def-0123456789ab",
    yes: ["c = 'C0FFEE00-1234-4abc-9def-0123456789ab'"],
    no: ["c < '00000000-0000-0000-0000-000000000000'"],
  },
  {
    type: "text",
    value: "it's",
    yes: ["c = 'it''s'", "c > 'it'", "c < 'j'", "c in ('a', 'it''s')"],
    no: ["c = ''", "c <> 'it''s'", "c = 'IT''S'"],
  },
  {
    type: "binary",
    value: Uint8Array.of(0xc0, 0xff),
    yes: ["c = '\\xC0ff'", "c > '\\xc0'"],
    no: ["c = '\\x'"],
  },
  { type: "json", value: "null", yes: ["c is not null"], no: ["c is null"] },
])("$type $value", ({ type, value, yes, no }) => {
  for (const filter of yes)
    expect(passes(type, filter.replace("C IS", "c IS"), value), filter).toBe(
      true,
    );
  for (const filter of no)
    expect(passes(type, filter, value), filter).toBe(false);
});

test("NULL is neither true nor false, and only what is true passes", () => {
  const filters = {
    "c = 1": false,
    "c <> 1": false,
    "not c = 1": false,
    "c in (1, 2)": false,
    "c not in (1, 2)": false,
    "c is null": true,
    "c = 1 or c is null": true,
    "c = 1 and c is null": false,
    "not (c = 1 and d = 1)": true,
    "not (c = 1 or d = 1)": false,
    "c = 1 or d = 2": true,
  };
  const schema = buildSchema({ c: "int32", d: "int32" });
  for (const [filter, isKept] of Object.entries(filters))
    expect(runStep(schema, { filter }, [[null, 2]]), filter).toHaveLength(
      isKept ? 1 : 0,
    );
});

test("AND binds more tightly than OR, NOT than both", () => {
  expect(parseFilter('a = 1 or b = 2 AND not "c d" = 3')).toEqual({
    kind: "or",
    parts: [
      parseFilter("a = 1"),
      {
        kind: "and",
        parts: [
          parseFilter("b = 2"),
          { kind: "not", part: parseFilter('"c d"=3') },
        ],
      },
    ],
  });
});

describe("refused", () => {
  const schema = buildSchema({
    id: "int32",
    state: "text",
    at: "timestamptz",
    local: "timestamp",
    born: "date",
    doc: "json",
    "odd name": "int32",
  });

  test.for<{ filter: string; reason: RegExp }>([
    { filter: "stat = 'x'", reason: /no column stat; did you mean state\?/ },
    { filter: "State = 'x'", reason: /did you mean state/ },
    { filter: "state = 5", reason: /state is compared with text, in single/ },
    { filter: 'state = "x"', reason: /a number, a 'text'.*character 9/ },
    { filter: "id = 'x'", reason: /id is compared with a number/ },
    { filter: "id = null", reason: /IS NULL/ },
    { filter: "id = 1e999", reason: /out of reach/ },
    { filter: "at > '2026-01-31'", reason: /has to say its zone/ },
    { filter: "local > '2026-01-31T00:00Z'", reason: /has no time zone/ },
    { filter: "born = '2026-02-30'", reason: /no date such as/ },
    { filter: "doc = '{}'", reason: /JSON, of which only IS NULL/ },
    { filter: "id", reason: /a comparison, IN or IS NULL.*the end/ },
    { filter: "id = 1 id = 2", reason: /AND, OR or the end/ },
    { filter: "(id = 1", reason: /\) is expected/ },
    { filter: "id in ()", reason: /a number/ },
    { filter: "id = 1; drop table x", reason: /cannot be read at character 7/ },
    { filter: "state = 'x", reason: /the quote at character 9 is not closed/ },
    { filter: "id = 12abc", reason: /cannot be read at character 6/ },
    { filter: "1 = 1", reason: /a column is expected at character 1/ },
    { filter: "lower(state) = 'x'", reason: /a comparison.*"\("/ },
    {
      filter: `${"(".repeat(100)}id = 1${")".repeat(100)}`,
      reason: /more than 64 deep/,
    },
    {
      filter: `id in (${Array.from({ length: 1001 }, (_, i) => i).join()})`,
      reason: /more than 1000 values/,
    },
  ])("$filter", ({ filter, reason }) => {
    expect(listFaults(schema, [{ filter }]).join("\n")).toMatch(reason);
  });

  test("all faults of all steps are told at once", () => {
    const filter = "idd = 1 and stat = 2 and (at > 'x' or id = 'y')";
    expect(listFaults(schema, [{ filter }, { filter: "nix" }])).toHaveLength(5);
  });
});

const filterKinds = [
  "boolean",
  "int16",
  "int32",
  "int64",
  "uint64",
  "float32",
  "float64",
  "decimal64",
  "decimal128",
  "decimalText",
  "date",
  "uuid",
  "text",
  "binary",
] as const satisfies readonly LogicalKind[];
type FilterKind = (typeof filterKinds)[number];

const schema = buildSchema(
  Object.fromEntries(filterKinds.map((kind) => [kind, kindCases[kind].type])),
);

/** How a person writes the value. */
function writeLiteral(
  kind: FilterKind,
  value: Exclude<TestValue, null>,
): string {
  switch (kind) {
    case "date":
      return `'${formatDate(value as number)}'`;
    case "uuid":
    case "text":
      return `'${String(value).replaceAll("'", "''")}'`;
    case "binary":
      return `'\\x${Buffer.from(value as Uint8Array).toString("hex")}'`;
    default:
      return String(value);
  }
}

/** -1, 0, 1, or null for a NaN. */
function compareValues(
  kind: FilterKind,
  a: Exclude<TestValue, null>,
  b: Exclude<TestValue, null>,
): number | null {
  if (kind === "text" || kind === "binary")
    return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string));
  if (kind.startsWith("decimal")) {
    const scaled = (text: TestValue) => {
      const [whole = "", fraction = ""] = String(text).split(".");
      return BigInt(whole + fraction.padEnd(60, "0"));
    };
    return compareValues("int64", scaled(a), scaled(b));
  }
  return a < b ? -1 : a > b ? 1 : a === b ? 0 : null;
}

/** True, false, or null where SQL knows neither. */
type Model = (row: TestRow) => boolean | null;

interface Condition {
  readonly text: string;
  readonly model: Model;
}

const operators: Readonly<Record<string, (order: number | null) => boolean>> = {
  "=": (order) => order === 0,
  "<>": (order) => order !== 0,
  "<": (order) => order === -1,
  "<=": (order) => order === -1 || order === 0,
  ">": (order) => order === 1,
  ">=": (order) => order === 1 || order === 0,
};

const testCondition = fc.constantFrom(...filterKinds).chain((kind) => {
  const column = filterKinds.indexOf(kind);
  const { edges, arbitrary } = kindCases[kind];
  const literal = fc
    .oneof(fc.constantFrom(...edges), arbitrary)
    .filter((value) => typeof value !== "number" || Number.isFinite(value));
  return fc.oneof(
    fc
      .tuple(fc.constantFrom(...Object.keys(operators)), literal)
      .map(([operator, value]): Condition => ({
        text: `${kind} ${operator} ${writeLiteral(kind, value)}`,
        model: (row) =>
          row[column] === null
            ? null
            : operators[operator]!(compareValues(kind, row[column]!, value)),
      })),
    fc
      .tuple(fc.array(literal, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([values, isNegated]): Condition => ({
        text: `${kind}${isNegated ? " NOT" : ""} in (${values.map((value) => writeLiteral(kind, value)).join(", ")})`,
        model: (row) =>
          row[column] === null
            ? null
            : values.some(
                (value) => compareValues(kind, row[column]!, value) === 0,
              ) !== isNegated,
      })),
    fc.boolean().map((isNegated): Condition => ({
      text: `${kind} is ${isNegated ? "not " : ""}null`,
      model: (row) => (row[column] === null) !== isNegated,
    })),
  );
});

const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3 },
    testCondition,
    tie("condition").map(({ text, model }) => ({
      text: `not (${text})`,
      model: (row: TestRow) => {
        const known = model(row);
        return known === null ? null : !known;
      },
    })),
    fc
      .tuple(tie("condition"), tie("condition"), fc.boolean())
      .map(([a, b, isAnd]) => ({
        text: `(${a.text}) ${isAnd ? "and" : "or"} (${b.text})`,
        model: (row: TestRow) => {
          const both = [a.model(row), b.model(row)];
          if (both.includes(!isAnd)) return !isAnd;
          return both.includes(null) ? null : isAnd;
        },
      })),
  ),
}));

const row = fc.tuple(
  ...filterKinds.map((kind) =>
    fc.option(
      fc.oneof(
        fc.constantFrom(...kindCases[kind].edges),
        kindCases[kind].arbitrary,
      ),
      { freq: 4 },
    ),
  ),
);

test("any filter lets the rows pass that the model lets pass, in their order", () => {
  fc.assert(
    fc.property(
      condition,
      fc.array(row, { minLength: 1, maxLength: 40 }),
      ({ text, model }, rows) => {
        expect(runStep(schema, { filter: text }, rows)).toEqual(
          rows.filter((one) => model(one) === true),
        );
      },
    ),
    { numRuns: 400 },
  );
}, 30_000);
