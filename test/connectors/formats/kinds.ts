/** Every logical kind with the values at its edges, and arbitrary values of it. */
import fc from "fast-check";
import type { LogicalKind, LogicalType } from "../../../proto/schema.ts";
import type { TestValue } from "../../fixtures/batches.ts";
import { formatDecimal } from "../../../connectors/formats/text/digits.ts";

export interface KindCase {
  readonly type: LogicalType;
  /** Within what DuckDB holds as an ordinary value: its infinities are the extremes of date and timestamp. */
  readonly edges: readonly Exclude<TestValue, null>[];
  readonly arbitrary: fc.Arbitrary<Exclude<TestValue, null>>;
}

const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;
/** 294247-01-10T04:00:54.775806, the last that DuckDB has. */
const timestampMax = int64Max - 1n;
/** 290309-12-22 BC, the first that DuckDB has. */
const timestampMin = -9_223_372_022_400_000_000n;
const digits18 = "9".repeat(18);
const digits38 = "9".repeat(38);
const longText = "straße/道路/🛣 ".repeat(400);

const text = fc.string({ unit: "grapheme", maxLength: 40 });

export const kindCases: Readonly<Record<LogicalKind, KindCase>> = {
  boolean: {
    type: { kind: "boolean" },
    edges: [true, false],
    arbitrary: fc.boolean(),
  },
  int16: {
    type: { kind: "int16" },
    edges: [0, -1, 1, -32_768, 32_767],
    arbitrary: fc.integer({ min: -32_768, max: 32_767 }),
  },
  int32: {
    type: { kind: "int32" },
    edges: [0, -1, 1, -2_147_483_648, 2_147_483_647],
    arbitrary: fc.integer(),
  },
  int64: {
    type: { kind: "int64" },
    edges: [0n, -1n, 1n, int64Min, int64Max, 2n ** 53n + 1n, -(2n ** 53n) - 1n],
    arbitrary: fc.bigInt({ min: int64Min, max: int64Max }),
  },
  uint64: {
    type: { kind: "uint64" },
    edges: [0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 53n],
    arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  },
  float32: {
    type: { kind: "float32" },
    edges: [0, -0, 1.5, -Infinity, Infinity, NaN, 2 ** -149, -(2 ** 127)],
    arbitrary: fc.float(),
  },
  float64: {
    type: { kind: "float64" },
    edges: [0, -0, 0.1, -Infinity, Infinity, NaN, 5e-324, -1.797e308],
    arbitrary: fc.double(),
  },
  decimal64: {
    type: { kind: "decimal64", precision: 18, scale: 4 },
    edges: [
      "0.0000",
      "-0.0001",
      "12.3400",
      `${digits18.slice(4)}.9999`,
      `-${digits18.slice(4)}.9999`,
    ],
    arbitrary: decimal(18, 4),
  },
  decimal128: {
    type: { kind: "decimal128", precision: 38, scale: 10 },
    edges: [
      "0.0000000000",
      "-0.0000000001",
      "18446744073709551616.0000000000",
      "-18446744073709551617.0000000000",
      `${digits38.slice(10)}.9999999999`,
      `-${digits38.slice(10)}.9999999999`,
    ],
    arbitrary: decimal(38, 10),
  },
  decimalText: {
    type: { kind: "decimalText" },
    edges: ["0", "-1.50", `${"7".repeat(90)}.${"3".repeat(60)}`],
    arbitrary: decimal(65, 30),
  },
  date: {
    type: { kind: "date" },
    edges: [0, -1, 1, -719_528, 2_932_896, -141_428, 20_484],
    arbitrary: fc.integer({ min: -719_528, max: 2_932_896 }),
  },
  time: {
    type: { kind: "time" },
    edges: [0n, 1n, 86_399_999_999n],
    arbitrary: fc.bigInt({ min: 0n, max: 86_399_999_999n }),
  },
  timestamp: {
    type: { kind: "timestamp" },
    edges: [0n, -1n, 1n, timestampMin, timestampMax, 1_769_853_600_000_000n],
    arbitrary: fc.bigInt({ min: timestampMin, max: timestampMax }),
  },
  timestamptz: {
    type: { kind: "timestamptz" },
    edges: [0n, -1n, 1n, timestampMin, timestampMax, 1_769_853_600_000_000n],
    arbitrary: fc.bigInt({ min: timestampMin, max: timestampMax }),
  },
  timeNs: {
    type: { kind: "timeNs" },
    edges: [0n, 1n, 86_399_999_999_999n],
    arbitrary: fc.bigInt({ min: 0n, max: 86_399_999_999_999n }),
  },
  timestampNs: {
    type: { kind: "timestampNs" },
    edges: [0n, -1n, 1n, -9_223_286_400_000_000_000n, int64Max - 1n],
    arbitrary: fc.bigInt({
      min: -9_223_286_400_000_000_000n,
      max: int64Max - 1n,
    }),
  },
  uuid: {
    type: { kind: "uuid" },
    edges: [
      "00000000-0000-0000-0000-000000000000",
      "ffffffff-ffff-ffff-ffff-ffffffffffff",
      "80000000-0000-0000-0000-000000000000",
      "c0ffee00-1234-4abc-9def-0123456789ab",
    ],
    arbitrary: fc.uuid(),
  },
  text: {
    type: { kind: "text" },
    edges: ["", "a", "abc", "a\u0000b", "\u{10ffff}", longText, 'q"u,o\r\nte'],
    arbitrary: text,
  },
  json: {
    type: { kind: "json" },
    edges: ['{"a": [1, null, "é"]}', "null", '"text"', `["${longText}"]`],
    arbitrary: fc.json(),
  },
  binary: {
    type: { kind: "binary" },
    edges: [
      new Uint8Array(0),
      Uint8Array.of(0),
      Uint8Array.of(255, 254, 128, 10),
      new Uint8Array(5000).fill(255),
    ],
    arbitrary: fc.uint8Array({ maxLength: 40 }),
  },
};

function decimal(precision: number, scale: number): fc.Arbitrary<string> {
  const max = 10n ** BigInt(precision) - 1n;
  return fc
    .bigInt({ min: -max, max })
    .map((unscaled) => formatDecimal(unscaled, scale));
}
