/** Every logical type arrives as the server's own text says it should. */
import fc from "fast-check";
import { postgresDestinationDefaults } from "../../../../connectors/destinations/postgres/config.ts";
import type {
  ColumnSchema,
  LogicalType,
  StreamSchema,
} from "../../../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestValue,
} from "../../../fixtures/batches.ts";
import { expect, test } from "../../../fixtures/postgres.ts";
import { runOnce } from "./attempts.ts";

const US = 1_000_000n;
const yearOf = (iso: string): bigint => BigInt(Date.parse(iso)) * 1000n;

/** Per column: type of the table, then value and the server's text of it. */
const cases: readonly (readonly [
  type: LogicalType,
  server: string,
  ...values: readonly (readonly [TestValue, string])[],
])[] = [
  [{ kind: "boolean" }, "boolean", [true, "true"], [false, "false"]],
  [{ kind: "int16" }, "smallint", [-32_768, "-32768"], [32_767, "32767"]],
  [{ kind: "int32" }, "integer", [-2_147_483_648, "-2147483648"], [5, "5"]],
  [
    { kind: "int64" },
    "bigint",
    [-(2n ** 63n), "-9223372036854775808"],
    [2n ** 63n - 1n, "9223372036854775807"],
    [-1n, "-1"],
  ],
  [
    { kind: "uint64" },
    "numeric(20,0)",
    [0n, "0"],
    [2n ** 64n - 1n, "18446744073709551615"],
    [2n ** 63n, "9223372036854775808"],
    [10_000n, "10000"],
  ],
  [
    { kind: "float32" },
    "real",
    [1.5, "1.5"],
    [Number.NaN, "NaN"],
    [Number.NEGATIVE_INFINITY, "-Infinity"],
  ],
  [
    { kind: "float64" },
    "double precision",
    [0.1, "0.1"],
    [-0, "-0"],
    [5e-324, "5e-324"],
  ],
  [
    { kind: "decimal64", precision: 18, scale: 4 },
    "numeric(18,4)",
    ["-99999999999999.9999", "-99999999999999.9999"],
    ["0.0001", "0.0001"],
    ["12345.6000", "12345.6000"],
    ["0.0000", "0.0000"],
  ],
  [
    { kind: "decimal64", precision: 5, scale: 0 },
    "numeric(5,0)",
    ["10000", "10000"],
    ["-7", "-7"],
  ],
  [
    { kind: "decimal128", precision: 38, scale: 10 },
    "numeric(38,10)",
    [
      "-9999999999999999999999999999.9999999999",
      "-9999999999999999999999999999.9999999999",
    ],
    ["0.0000000001", "0.0000000001"],
    ["1180591620717411303424.0000000000", "1180591620717411303424.0000000000"],
  ],
  [
    { kind: "decimalText" },
    "numeric",
    [
      "-0.000000000000000000000000000000000000000001000",
      "-0.000000000000000000000000000000000000000001000",
    ],
    ["NaN", "NaN"],
    [`${"123456789".repeat(20)}.5`, `${"123456789".repeat(20)}.5`],
    ["00012", "12"],
  ],
  [
    { kind: "date" },
    "date",
    [0, "1970-01-01"],
    [-2_440_587, "4714-11-25 BC"],
    [2_932_896, "9999-12-31"],
  ],
  [
    { kind: "time" },
    "time without time zone",
    [0n, "00:00:00"],
    [86_400n * US, "24:00:00"],
    [86_399n * US + 999_999n, "23:59:59.999999"],
  ],
  [
    { kind: "timestamp" },
    "timestamp without time zone",
    [yearOf("1969-12-31T23:59:59.999Z") + 999n, "1969-12-31 23:59:59.999999"],
    [yearOf("1999-12-31T23:59:59.000Z"), "1999-12-31 23:59:59"],
    [-62_135_596_800n * US, "0001-01-01 00:00:00"],
    [2n ** 63n - 1n, "294247-01-10 04:00:54.775807"],
  ],
  [
    { kind: "timestamptz" },
    "timestamp with time zone",
    [yearOf("2024-02-29T12:00:00.000Z"), "2024-02-29 12:00:00+00"],
  ],
  [
    { kind: "timeNs" },
    "text",
    [1n, "00:00:00.000000001"],
    [86_399_999_999_999n, "23:59:59.999999999"],
  ],
  [
    { kind: "timestampNs" },
    "text",
    [
      yearOf("1969-12-31T23:59:59.999Z") * 1000n + 999_999n,
      "1969-12-31 23:59:59.999999999",
    ],
    [0n, "1970-01-01 00:00:00.000000000"],
  ],
  [
    { kind: "uuid" },
    "uuid",
    [
      "00112233-4455-6677-8899-aabbccddeeff",
      "00112233-4455-6677-8899-aabbccddeeff",
    ],
  ],
  [
    { kind: "text" },
    "text",
    ["", ""],
    ['naïve ☃ 🦊\t\\N"', 'naïve ☃ 🦊\t\\N"'],
    ["x".repeat(100_000), "x".repeat(100_000)],
  ],
  [
    { kind: "json" },
    "json",
    ['{"a": [1, 2.50]}', '{"a": [1, 2.50]}'],
    ["null", "null"],
  ],
  [
    { kind: "binary" },
    "bytea",
    [Buffer.from([0, 255, 10]), "\\x00ff0a"],
    [Buffer.alloc(0), "\\x"],
  ],
];

test("every logical type, with its edge values and NULL", async ({ pg }) => {
  const schema: StreamSchema = buildSchema(
    Object.fromEntries(cases.map(([type], i) => [`c${i}`, type])),
  );
  const valuesMax = Math.max(...cases.map((one) => one.length - 2));
  const rows = Array.from({ length: valuesMax + 1 }, (_, n) =>
    cases.map(([, , ...values]) => values[n]?.[0] ?? null),
  );
  await runOnce({ url: pg.url }, schema, [buildBatch(schema, rows)]);
  const types = await pg.query<{ name: string; type: string }>(
    "SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute WHERE attrelid = 'public.rows'::regclass AND attnum > 0 ORDER BY attnum",
  );
  expect(types.map(({ type }) => type)).toEqual(cases.map(([, type]) => type));
  await pg.query("SET TimeZone = 'UTC'; SET extra_float_digits = 3");
  const texts = cases.map((_, i) => `c${i}::text AS c${i}`).join(", ");
  const found = await pg.query(
    `SELECT ${texts} FROM public.rows ORDER BY ctid`,
  );
  for (const [n, row] of found.entries()) {
    cases.forEach(([{ kind }, , ...values], i) => {
      expect(row[`c${i}`], `${kind} ${n}`).toBe(values[n]?.[1] ?? null);
    });
  }
  expect(found).toHaveLength(valuesMax + 1);
});

test("nanoseconds cut to microseconds where that is asked for", async ({
  pg,
}) => {
  const schema = buildSchema({ t: "timeNs", ts: "timestampNs" });
  const rows = [
    [86_399_999_999_999n, -1n],
    [1_999n, yearOf("2024-02-29T12:00:00.000Z") * 1000n + 1_999n],
  ];
  await runOnce(
    { url: pg.url, config: { nanoseconds: "microseconds" } },
    schema,
    [buildBatch(schema, rows)],
  );
  expect(
    await pg.query("SELECT t::text, ts::text FROM public.rows ORDER BY ctid"),
  ).toEqual([
    { t: "23:59:59.999999", ts: "1969-12-31 23:59:59.999999" },
    { t: "00:00:00.000001", ts: "2024-02-29 12:00:00.000001" },
  ]);
});

test("what was jsonb in its source is jsonb here", async ({ pg }) => {
  const plain = buildSchema({ doc: "json" });
  const schema: StreamSchema = {
    ...plain,
    columns: plain.columns.map((column): ColumnSchema => ({
      ...column,
      sourceType: "jsonb",
    })),
  };
  await runOnce({ url: pg.url }, schema, [
    buildBatch(schema, [['{"b":1,"a":2}'], [null]]),
  ]);
  expect(
    await pg.query(
      "SELECT pg_typeof(doc)::text AS type, doc::text FROM public.rows ORDER BY ctid",
    ),
  ).toEqual([
    { type: "jsonb", doc: '{"a": 2, "b": 1}' },
    { type: "jsonb", doc: null },
  ]);
});

test("decimals of any precision and scale are exact", async ({ pg }) => {
  const scales = [0, 1, 2, 3, 4, 5, 9, 17, 18];
  const schema = buildSchema(
    Object.fromEntries([
      ...scales.map(
        (scale) =>
          [`d${scale}`, { kind: "decimal64", precision: 18, scale }] as const,
      ),
      ...scales.map(
        (scale) =>
          [
            `w${scale}`,
            { kind: "decimal128", precision: 38, scale: 2 * scale },
          ] as const,
      ),
    ]),
  );
  const unscaled = (digits: number): fc.Arbitrary<bigint> =>
    fc
      .tuple(
        fc.nat({ max: digits }),
        fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
        fc.boolean(),
      )
      .map(
        ([length, value, negative]) =>
          (negative ? -1n : 1n) * (value % 10n ** BigInt(length)),
      );
  const format = (value: bigint, scale: number): string => {
    const digits = String(value < 0n ? -value : value).padStart(scale + 1, "0");
    const whole = digits.slice(0, digits.length - scale);
    const sign = value < 0n ? "-" : "";
    return scale === 0
      ? sign + whole
      : `${sign}${whole}.${digits.slice(digits.length - scale)}`;
  };
  const rows = fc
    .sample(
      fc.tuple(
        ...scales.map(() => unscaled(18)),
        ...scales.map(() => unscaled(38)),
      ),
      { numRuns: 300, seed: 7 },
    )
    .map((row) =>
      row.map((value, i) =>
        format(
          value,
          i < scales.length ? scales[i]! : 2 * scales[i - scales.length]!,
        ),
      ),
    );
  await runOnce({ url: pg.url }, schema, [buildBatch(schema, rows)]);
  const found = await pg.query<Record<string, string>>(
    "SELECT * FROM public.rows ORDER BY ctid",
  );
  expect(found.map((row) => Object.values(row))).toEqual(rows);
});

test("a value of 100 MB, and 1,000 columns", async ({ pg }) => {
  const large = buildSchema({ id: "int32", body: "text" });
  const body = Buffer.alloc(100 * 1024 * 1024, "large ");
  await runOnce(
    { url: pg.url, config: { batchBytesMax: 1024 } },
    { ...large, name: "large" },
    [
      buildBatch(large, [
        [1, "small"],
        [2, body],
        [3, "small"],
      ]),
    ],
  );
  expect(
    await pg.query(
      "SELECT id, length(body) AS bytes, md5(body) = md5(repeat('large ', 20000000)) AS same FROM public.large WHERE id = 2",
    ),
  ).toMatchObject([{ id: 2, bytes: 104_857_600 }]);
  const wide = buildSchema(
    Object.fromEntries(
      Array.from({ length: 1_000 }, (_, i) => [`c${i}`, "int16" as const]),
    ),
  );
  const row = Array.from({ length: 1_000 }, (_, i) => (i % 3 === 0 ? null : i));
  await runOnce({ url: pg.url, syncId: "wide" }, { ...wide, name: "wide" }, [
    buildBatch(wide, [row, row]),
  ]);
  const [found] = await pg.query<Record<string, number | null>>(
    "SELECT * FROM public.wide LIMIT 1",
  );
  expect(Object.values(found ?? {})).toEqual(row);
});

test("the defaults are those that are documented", () => {
  expect(postgresDestinationDefaults).toMatchObject({
    batchRowsMax: 50_000,
    batchBytesMax: 4_194_304,
    batchDelayMs: 1_000,
  });
});
