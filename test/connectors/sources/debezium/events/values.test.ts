import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatDecimal } from "../../../../../connectors/formats/text/digits.ts";
import { formatDouble } from "../../../../../connectors/json/numbers.ts";
import { formatInterval } from "../../../../../connectors/json/times.ts";
import type { LogicalType } from "../../../../../proto/schema.ts";
import { decodeValue, mysql, postgres } from "./support.ts";

const pg = (type: LogicalType, json: string, sourceType?: string) =>
  decodeValue(postgres, type, sourceType ?? type.kind, json);
const my = (type: LogicalType, sourceType: string, json: string) =>
  decodeValue(mysql, type, sourceType, json);

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(
    -(2n ** 63n),
    2n ** 63n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    -(2n ** 53n) - 1n,
    9n * 10n ** 15n,
    10n ** 16n - 1n,
    2n ** 32n,
    -1n,
    0n,
  ),
);

describe("a value comes back as it was", () => {
  test("integers of 64 bits", () =>
    fc.assert(
      fc.property(
        int64,
        (value) => pg({ kind: "int64" }, String(value)) === value,
      ),
    ));

  test("unsigned ones, also as their two's complement", () =>
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        for (const json of [String(value), String(BigInt.asIntN(64, value))]) {
          expect(my({ kind: "uint64" }, "bigint unsigned", json)).toBe(value);
        }
      }),
    ));

  test("floats", () =>
    fc.assert(
      fc.property(fc.double(), fc.float({ noNaN: true }), (double, single) => {
        const json = (value: number): string =>
          Number.isFinite(value)
            ? Object.is(value, -0)
              ? "-0.0"
              : String(value)
            : `"${value}"`;
        expect(pg({ kind: "float64" }, json(double))).toBe(double);
        expect(pg({ kind: "float32" }, json(single))).toBe(single);
      }),
    ));

  test("decimals of up to 38 digits", () =>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 38 }).chain((precision) =>
          fc.tuple(
            fc.constant(precision),
            fc.integer({ min: 0, max: precision }),
            fc.bigInt({
              min: -(10n ** BigInt(precision)) + 1n,
              max: 10n ** BigInt(precision) - 1n,
            }),
          ),
        ),
        ([precision, scale, unscaled]) => {
          const kind = precision > 18 ? "decimal128" : "decimal64";
          const text = formatDecimal(unscaled, scale);
          for (const json of [`"${text}"`, text, `"${text}e0"`]) {
            expect(pg({ kind, precision, scale }, json)).toBe(text);
          }
          expect(pg({ kind: "decimalText" }, `"${text}"`)).toBe(text);
        },
      ),
    ));

  test("texts and bytes", () =>
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 200 }),
        fc.uint8Array({ maxLength: 200 }),
        (text, bytes) => {
          const escaped = JSON.stringify(text).replace(
            /[\u0080-\uffff]/g,
            (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
          );
          expect(pg({ kind: "text" }, JSON.stringify(text))).toBe(text);
          expect(pg({ kind: "text" }, escaped)).toBe(text);
          expect(
            pg(
              { kind: "binary" },
              `"${Buffer.from(bytes).toString("base64")}"`,
            ),
          ).toEqual(bytes);
        },
      ),
    ));

  test("moments, in whatever zone they are written", () =>
    fc.assert(
      fc.property(
        fc.date({
          min: new Date("0001-01-02T00:00:00Z"),
          max: new Date("9999-12-30T00:00:00Z"),
          noInvalidDate: true,
        }),
        fc.integer({ min: 0, max: 999 }),
        fc.integer({ min: -15 * 60, max: 15 * 60 }),
        (date, us, offset) => {
          const value = BigInt(date.getTime()) * 1_000n + BigInt(us);
          const local = new Date(
            date.getTime() + offset * 60_000,
          ).toISOString();
          const sign = offset < 0 ? "-" : "+";
          const two = (n: number): string => String(n).padStart(2, "0");
          const zone = `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
          const text = `${local.slice(0, -1)}${String(us).padStart(3, "0")}${zone}`;
          expect(pg({ kind: "timestamptz" }, `"${text}"`)).toBe(value);
          expect(pg({ kind: "timestamp" }, String(value))).toBe(value);
          const ms = { ...mysql, timePrecision: "adaptive" } as const;
          expect(
            decodeValue(
              ms,
              { kind: "timestamp" },
              "datetime(3)",
              String(date.getTime()),
            ),
          ).toBe(BigInt(date.getTime()) * 1_000n);
        },
      ),
    ));

  test("arrays of Postgres, of texts that have to be quoted", () =>
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.string({ unit: "grapheme" })), { minLength: 1 }),
        (list) => {
          const array = `{${list.map((one) => (one === null ? "NULL" : `"${one.replace(/["\\]/g, "\\$&")}"`)).join()}}`;
          const json = pg({ kind: "json" }, JSON.stringify(array), "text[]");
          expect(JSON.parse(String(json))).toEqual(list);
        },
      ),
    ));
});

test.for([
  [
    "a number of SQL Server's seven digits",
    { kind: "timestampNs" },
    "datetime2(7)",
    "1577836800123456700",
    1_577_836_800_123_456_700n,
  ],
  [
    "its datetime",
    { kind: "timestamp" },
    "datetime",
    "1577836800123",
    1_577_836_800_123_000n,
  ],
  [
    "its datetime2(5)",
    { kind: "timestamp" },
    "datetime2(5)",
    "1577836800123450",
    1_577_836_800_123_450n,
  ],
  [
    "its datetimeoffset",
    { kind: "timestamptz" },
    "datetimeoffset(6)",
    '"2020-01-01T01:00:00.123456+01:00"',
    1_577_836_800_123_456n,
  ],
  [
    "its datetimeoffset with seven digits",
    { kind: "timestampNs" },
    "datetimeoffset(7)",
    '"2020-01-01T00:00:00.1234567Z"',
    1_577_836_800_123_456_700n,
  ],
  [
    "its time",
    { kind: "timeNs" },
    "time(7)",
    "86399999999900",
    86_399_999_999_900n,
  ],
  [
    "its uniqueidentifier",
    { kind: "uuid" },
    "uniqueidentifier",
    '"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"',
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
  ],
  [
    "its money",
    { kind: "decimal128", precision: 19, scale: 4 },
    "money",
    '"922337203685477.5807"',
    "922337203685477.5807",
  ],
] as const)("%s", ([, type, sourceType, json, expected]) => {
  const settings = {
    ...postgres,
    connector: "sqlserver",
    timePrecision: "adaptive",
  } as const;
  expect(decodeValue(settings, type, sourceType, json)).toBe(expected);
});

test.for([
  ["time(3)", "-3020399000000", "-838:59:59.000"],
  ["time", "0", "00:00:00"],
  ["time(6)", "-1", "-00:00:00.000001"],
  ["time(2)", "360000120000", "100:00:00.12"],
] as const)("%s of MySQL from %s µs", ([sourceType, json, expected]) => {
  expect(my({ kind: "text" }, sourceType, json)).toBe(expected);
});

test("MySQL's unsigned bigint as the bytes of a decimal", () => {
  for (const [base64, value] of [
    ["AP//////////", 2n ** 64n - 1n],
    ["AIAAAAAAAAAA", 2n ** 63n],
    ["Bw==", 7n],
  ] as const) {
    expect(my({ kind: "uint64" }, "bigint unsigned", `"${base64}"`)).toBe(
      value,
    );
  }
});

test.for([
  [
    { kind: "int16" },
    ["32768", "-32769", "1.0", '"1"', "1e2", "true", "99999999999999999999"],
  ],
  [{ kind: "int32" }, ["2147483648", "1.5", "{}", "[]"]],
  [
    { kind: "int64" },
    [
      "9223372036854775808",
      "-9223372036854775809",
      "1e3",
      "100000000000000000000000",
    ],
  ],
  [{ kind: "boolean" }, ["0", '"t"', "2"]],
  [{ kind: "float64" }, ['"1"', '"inf"', "true"]],
  [{ kind: "float32" }, ["1e300"]],
  [
    { kind: "decimal64", precision: 4, scale: 2 },
    ['"100.00"', '"1.001"', '"1,5"', '""', '"1e9999"', "{}", '"-"'],
  ],
  [
    { kind: "decimal128", precision: 38, scale: 0 },
    [`"1${"0".repeat(38)}"`, `"${"9".repeat(2_000)}"`],
  ],
  [{ kind: "decimalText" }, ['"x"', '""', '"1.1.1"', '"-"']],
  [{ kind: "date" }, ['"2020-01-01"', "1.5"]],
  [{ kind: "timestamp" }, ['"2020-01-01"', "9223372036854775808"]],
  [
    { kind: "timestamptz" },
    [
      "5",
      '"2020-13-01T00:00:00Z"',
      '"2020-02-30T00:00:00Z"',
      '"2020-01-01T00:00:00"',
      '"2020-01-01"',
      '"2020-01-01T25:00:00Z"',
      '"2020-01-01T00:00:00.0000001Z"',
      '"20-01-01T00:00:00Z"',
    ],
  ],
  [
    { kind: "time" },
    ['"25:00:00"', '"24:00:01"', "-1", "86400000001", '"1:00"'],
  ],
  [
    { kind: "uuid" },
    [
      '"a0eebc99"',
      '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g"',
      '"a0eebc99+9c0b-4ef8-bb6d-6bb9bd380a11"',
      "1",
    ],
  ],
  [
    { kind: "binary" },
    [
      '"A"',
      '"AA=A"',
      '"AA=="x"'.slice(0, 5) + '?"',
      '"AB=="',
      '"AP\\u0038="',
      "1",
    ],
  ],
  [{ kind: "text" }, ["1", "true", "{}", '["x"]']],
] as const)("%o refuses what is none", ([type, jsons]) => {
  for (const json of jsons) {
    expect(() => pg(type, json), json).toThrow(/schemaChanged.*type/);
  }
});

test.for([
  "{",
  "{1",
  "1}",
  "{1}}",
  "{1,}",
  "{,1}",
  "{1}x",
  '{"a}',
  "{{{{{{{1}}}}}}}",
  "",
  "[0:1]",
])("an array's text that is none: %s", (text) => {
  expect(() => pg({ kind: "json" }, JSON.stringify(text), "integer[]")).toThrow(
    /schemaChanged/,
  );
});

test("doubles as Postgres prints them", () => {
  for (const [value, expected] of [
    [1e15, "1e+15"],
    [123456789012345, "123456789012345"],
    [1e-4, "0.0001"],
    [1e-5, "1e-05"],
    [-0, "-0"],
    [1.5e300, "1.5e+300"],
    [0.1, "0.1"],
    [Infinity, "Infinity"],
  ] as const) {
    expect(formatDouble(value)).toBe(expected);
  }
});

test("intervals without the parts that are zero", () => {
  for (const [value, expected] of [
    ["P0Y0M0DT0H0M0S", "PT0S"],
    ["P1Y2M-3DT4H5M6.789S", "P1Y2M-3DT4H5M6.789S"],
    ["P0Y0M0DT-4H-5M-6.0S", "PT-4H-5M-6S"],
    ["P0Y0M10DT0H0M10.500S", "P10DT10.5S"],
    ["10 days", null],
  ] as const) {
    expect(formatInterval(value)).toBe(expected);
  }
});
