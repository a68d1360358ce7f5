import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { ExtractError } from "../../../../proto/error.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../connectors/sources/batches/batch-set.ts";
import { createDecoder } from "../../../../connectors/sources/mssql/decode/choose.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../../connectors/sources/mssql/decode/plan.ts";
import {
  decimal,
  decodeAll,
  describe as describeColumn,
  detach,
  encodeRow,
  fieldsOf,
  littleEndian,
  long,
  plp,
  wireTypes,
  type TestValue,
  type WireType,
  type WireValue,
} from "./support/wire-rows.ts";

const choices = ["generated", "interpreted"] as const;
const ROW_BYTES_MAX = 1_000_000;

function planOf(
  fields: readonly FieldPlan[],
  policy: "error" | "null" = "error",
  nulled: string[] = [],
  rowBytesMax = ROW_BYTES_MAX,
): DecodePlan {
  return {
    fields,
    table: "dbo.t",
    policy,
    rowBytesMax,
    valueNulled: (column, reason) => nulled.push(`${column}: ${reason}`),
  };
}

function typeNamed(title: string): WireType {
  const found = wireTypes.find((type) => type.title === title);
  if (found === undefined) throw new Error(`no type ${title}`);
  return found;
}

const row = (types: readonly WireType[]): fc.Arbitrary<WireValue[]> =>
  fc.tuple(
    ...types.map((type) =>
      type.null === null ? type.values : fc.option(type.values, { freq: 4 }),
    ),
  );

/** Types, rows of them, whether each is an NBCROW, and where the bytes are cut. */
const tables = fc
  .array(fc.constantFrom(...wireTypes), { minLength: 1, maxLength: 20 })
  .chain((types) =>
    fc.record({
      types: fc.constant(types),
      rows: fc.array(fc.tuple(row(types), fc.boolean()), { maxLength: 12 }),
      cuts: fc.array(fc.nat(), { maxLength: 8 }),
      capacity: fc.integer({ min: 1, max: 20 }),
    }),
  );

describe.each(choices)("the %s decoder", (choice) => {
  test.for(wireTypes)("reads $title as it was written", (type) => {
    const fields = fieldsOf([type]);
    const decoder = createDecoder(planOf(fields), choice);
    const values =
      type.null === null ? type.values : fc.option(type.values, { freq: 4 });
    fc.assert(
      fc.property(fc.array(fc.tuple(values, fc.boolean())), (rows) => {
        const wire = Buffer.concat(
          rows.map(([value, isNbc]) => encodeRow([type], [value], isNbc)),
        );
        const read = decodeAll(decoder, fields, wire);
        expect(read).toEqual(rows.map(([value]) => [value?.[1] ?? null]));
      }),
      { numRuns: 40 },
    );
  });

  test("reads any rows of any columns, however their bytes are cut", () => {
    fc.assert(
      fc.property(tables, ({ types, rows, cuts, capacity }) => {
        const fields = fieldsOf(types);
        const decoder = createDecoder(planOf(fields), choice);
        const wire = Buffer.concat(
          rows.map(([values, isNbc]) => encodeRow(types, values, isNbc)),
        );
        const ends = cuts.map((cut) => cut % (wire.length + 1));
        const read = decodeAll(decoder, fields, wire, ends, capacity);
        expect(read).toEqual(
          rows.map(([values]) => values.map((value) => value?.[1] ?? null)),
        );
      }),
      { numRuns: 150 },
    );
  });

  test("takes as many rows as it is asked for and no more", () => {
    const type = typeNamed("int");
    const fields = fieldsOf([type]);
    const decoder = createDecoder(planOf(fields), choice);
    const one = encodeRow([type], [[Buffer.of(4, 7, 0, 0, 0), 7]], false);
    const { bytes, view } = detach(Buffer.concat([one, one, one]));
    const set = new BatchSet(fields, 8);
    const end = decoder.decode(set, bytes, view, 0, bytes.length, 2);
    expect([end, set.rowCount, set.isFull]).toEqual([2 * one.length, 2, false]);
  });

  test("a batch is closed before it is too large, and a larger row has one of its own", () => {
    const type = typeNamed("varbinary(max)");
    const fields = fieldsOf([type]);
    const plan = planOf(fields, "error", [], 64 * 1024 * 1024);
    const decoder = createDecoder(plan, choice);
    const sizes = [
      BATCH_BYTES_MAX / 2,
      BATCH_BYTES_MAX / 2,
      3 * BATCH_BYTES_MAX,
      10,
    ];
    const wire = Buffer.concat(
      sizes.map((size) =>
        encodeRow([type], [[plp(Buffer.alloc(size, 1), 60_000), ""]], false),
      ),
    );
    const { bytes, view } = detach(wire);
    const set = new BatchSet(fields, batchCapacity(fields, 100));
    const rowCounts: number[] = [];
    let start = 0;
    while (start < wire.length) {
      start = decoder.decode(set, bytes, view, start, wire.length, Infinity);
      if (!set.isFull && start < wire.length) throw new Error("stuck");
      expect(set.rowCount === 1 || set.measure() <= BATCH_BYTES_MAX).toBe(true);
      rowCounts.push(set.rowCount);
      set.reset();
    }
    expect(rowCounts.reduce((sum, count) => sum + count)).toBe(4);
    expect(rowCounts.length).toBeGreaterThan(2);
  });

  test("says how many bytes an unfinished row wants, so that it is not looked at for each packet", () => {
    const type = typeNamed("varbinary(max)");
    const fields = fieldsOf([type]);
    const decoder = createDecoder(planOf(fields), choice);
    const wire = encodeRow(
      [type],
      [[plp(Buffer.alloc(500_000), 8_000), ""]],
      false,
    );
    const { bytes, view } = detach(wire);
    const set = new BatchSet(fields, 8);
    expect(decoder.decode(set, bytes, view, 0, 100, Infinity)).toBe(0);
    expect(decoder.rowBytesWanted).toBeGreaterThan(500_000);
    expect(decoder.rowBytesWanted).toBeLessThanOrEqual(wire.length);
  });

  test.for([
    {
      name: "an int of three bytes",
      type: "int",
      bytes: Buffer.of(3, 1, 2, 3),
    },
    {
      name: "a decimal of six bytes",
      type: "decimal(12,2)",
      bytes: Buffer.of(6, 1, 0, 0, 0, 0, 0),
    },
    {
      name: "a decimal beyond its column",
      type: "decimal(12,2)",
      bytes: Buffer.concat([Buffer.of(17, 1), Buffer.alloc(16, 255)]),
    },
    {
      name: "a decimal of 64 bits whose sign would turn",
      type: "decimal(12,2)",
      bytes: Buffer.concat([Buffer.of(9, 1), Buffer.alloc(8, 255)]),
    },
    {
      name: "text longer than its column",
      type: "nvarchar(200)",
      bytes: long(Buffer.alloc(402)),
    },
    {
      name: "half a UTF-16 unit",
      type: "nvarchar(200)",
      bytes: long(Buffer.alloc(3)),
    },
    {
      name: "chunks that are not as long as announced",
      type: "varbinary(max)",
      bytes: Buffer.concat([
        littleEndian(5n, 8),
        littleEndian(4n, 4),
        Buffer.alloc(4),
        Buffer.alloc(4),
        Buffer.alloc(8),
      ]),
    },
    {
      name: "a time behind midnight",
      type: "time(0)",
      bytes: Buffer.concat([Buffer.of(3), littleEndian(86_400n, 3)]),
    },
    {
      name: "a datetime of too many ticks",
      type: "datetime NOT NULL",
      bytes: Buffer.concat([littleEndian(0n, 4), littleEndian(25_920_000n, 4)]),
    },
    {
      name: "a variant of no known type",
      type: "sql_variant",
      bytes: Buffer.concat([littleEndian(3n, 4), Buffer.of(0x01, 0, 1)]),
    },
  ])("refuses $name", ({ type: title, bytes }) => {
    const type = typeNamed(title);
    const fields = fieldsOf([type]);
    const decoder = createDecoder(planOf(fields), choice);
    const wire = encodeRow([type], [[bytes, null]], false);
    expect(() => decodeAll(decoder, fields, wire)).toThrow(
      expect.objectContaining({ code: "SOURCE_PROTOCOL_VIOLATION" }),
    );
  });

  test("a length beyond the row's limit is refused before its bytes come", () => {
    const type = typeNamed("varbinary(max)");
    const fields = fieldsOf([type]);
    const decoder = createDecoder(planOf(fields, "error", [], 1_000), choice);
    const { bytes, view } = detach(
      Buffer.concat([Buffer.of(0xd1), littleEndian(1n << 40n, 8)]),
    );
    const set = new BatchSet(fields, 8);
    expect(() => decoder.decode(set, bytes, view, 0, 9, Infinity)).toThrow(
      expect.objectContaining({ code: "SOURCE_ROW_TOO_LARGE" }),
    );
  });

  test.for([
    { days: -719_162, ok: false },
    { days: 2_932_896, ok: false },
    { days: -106_752, ok: true },
    { days: 106_751, ok: true },
  ])("a datetime2(7) on day $days is exact or refused", ({ days, ok }) => {
    const type = typeNamed("datetime2(7)");
    const fields = fieldsOf([type]);
    // the last moment of the first day and the first of the last are within an int64
    const units = days < 0 ? 863_999_999_999n : 0n;
    const bytes = Buffer.concat([
      Buffer.of(8),
      littleEndian(units, 5),
      littleEndian(BigInt(days + 719_162), 3),
    ]);
    const wire = encodeRow([type], [[bytes, null]], false);
    const nulled: string[] = [];
    const read = decodeAll(
      createDecoder(planOf(fields, "null", nulled), choice),
      fields,
      wire,
    );
    const exact = BigInt(days) * 86_400_000_000_000n + units * 100n;
    expect(read).toEqual([[ok ? exact : null]]);
    expect(nulled.length).toBe(ok ? 0 : 1);
    const strict = createDecoder(planOf(fields), choice);
    if (!ok) {
      expect(() => decodeAll(strict, fields, wire)).toThrow(
        expect.objectContaining({ code: "SOURCE_VALUE_UNREPRESENTABLE" }),
      );
    }
  });

  test("half of a surrogate pair is refused, or NULL by policy", () => {
    for (const title of ["nvarchar(200)", "nvarchar(max)"]) {
      const type = typeNamed(title);
      const fields = fieldsOf([type]);
      const text = Buffer.from([0x61, 0, 0x00, 0xd8, 0x62, 0]);
      const bytes = title === "nvarchar(max)" ? plp(text, 4) : long(text);
      const wire = Buffer.concat([
        encodeRow([type], [[bytes, null]], false),
        encodeRow(
          [type],
          [
            [
              title === "nvarchar(max)"
                ? plp(Buffer.from("b", "utf16le"), 4)
                : long(Buffer.from("b", "utf16le")),
              "b",
            ],
          ],
          false,
        ),
      ]);
      const nulled: string[] = [];
      const lenient = createDecoder(planOf(fields, "null", nulled), choice);
      expect(decodeAll(lenient, fields, wire)).toEqual([[null], ["b"]]);
      expect(nulled).toEqual(["c0: half of a surrogate pair in UTF-16 text"]);
      const strict = createDecoder(planOf(fields), choice);
      expect(() => decodeAll(strict, fields, wire)).toThrow(
        expect.objectContaining({ code: "SOURCE_VALUE_UNREPRESENTABLE" }),
      );
    }
  });

  test("NULL in a column that holds none means another table", () => {
    const type = typeNamed("int");
    const fields = fieldsOf([type]).map((field) => ({
      ...field,
      nullable: false,
    }));
    for (const isNbc of [false, true]) {
      const decoder = createDecoder(planOf(fields), choice);
      const wire = encodeRow([type], [null], isNbc);
      expect(() => decodeAll(decoder, fields, wire)).toThrow(
        expect.objectContaining({ code: "SOURCE_SCHEMA_CHANGED" }),
      );
    }
  });

  test("changed bytes are refused by name or read as other values, and never leave the buffer", () => {
    fc.assert(
      fc.property(
        tables,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        ({ types, rows }, changes) => {
          const fields = fieldsOf(types);
          const wire = Buffer.concat(
            rows.map(([values, isNbc]) => encodeRow(types, values, isNbc)),
          );
          if (wire.length === 0) return;
          for (const [at, byte] of changes) wire[at % wire.length] = byte;
          const { bytes, view } = detach(wire);
          const set = new BatchSet(fields, 100);
          const decoder = createDecoder(planOf(fields), choice);
          try {
            const end = decoder.decode(set, bytes, view, 0, wire.length, 100);
            expect(end).toBeLessThanOrEqual(wire.length);
          } catch (error) {
            expect(error).toBeInstanceOf(ExtractError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

test("long text goes another way than short text, to the same end", () => {
  const type: WireType = {
    ...typeNamed("nvarchar(200)"),
    column: describeColumn(0xe7, { dataLength: 8_000 }),
  };
  const fields = fieldsOf([type]);
  for (const part of ["abc ", "ä€漢", "😀x"]) {
    const text = part.repeat(1_000).slice(0, 4_000);
    const whole = text.isWellFormed() ? text : text.slice(0, -1);
    const wire = encodeRow(
      [type],
      [[long(Buffer.from(whole, "utf16le")), whole]],
      false,
    );
    for (const choice of choices) {
      expect(
        decodeAll(createDecoder(planOf(fields), choice), fields, wire),
      ).toEqual([[whole]]);
    }
  }
});

interface DriverParser {
  colMetadata: object[];
  write(bytes: Buffer): void;
  read(): { columns: readonly { value: unknown }[] } | undefined;
}

/** The driver's own reading of the same bytes, where it is exact. */
test("the driver reads the same values from the same bytes", () => {
  const require = createRequire(import.meta.url);
  const Parser = require("tedious/lib/token/stream-parser") as new (
    options: object,
  ) => DriverParser;
  const { TYPE } = require("tedious/lib/data-type") as {
    TYPE: Record<number, object>;
  };
  const titles = [
    "int",
    "bigint",
    "bit",
    "real",
    "float",
    "nvarchar(200)",
    "nvarchar(max)",
    "xml",
    "uniqueidentifier",
    "date",
    "datetime",
  ];
  const types = titles.map(typeNamed);
  const fields = fieldsOf(types);
  fc.assert(
    fc.property(
      fc.array(row(types), { minLength: 1, maxLength: 4 }),
      (rows) => {
        const wire = Buffer.concat(
          rows.map((values) => encodeRow(types, values, false)),
        );
        const parser = new Parser({
          useUTC: true,
          lowerCaseGuids: true,
          tdsVersion: "7_4",
        });
        parser.colMetadata = types.map((type) => ({
          ...type.column,
          type: TYPE[type.column.typeId],
          colName: "",
        }));
        parser.write(wire);
        const decoder = createDecoder(planOf(fields), "generated");
        for (const read of decodeAll(decoder, fields, wire)) {
          const token = parser.read();
          const theirs = token?.columns.map(({ value }) => note(value)) ?? [];
          expect(theirs).toEqual(
            read.map((value, i) => note(fromLogical(value, i, types))),
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});

function note(value: unknown): unknown {
  if (value instanceof Date) return value.getTime();
  return typeof value === "bigint" ? String(value) : value;
}

/** Our buffers' values in the driver's forms. */
function fromLogical(
  value: TestValue,
  i: number,
  types: readonly WireType[],
): unknown {
  if (value === null) return null;
  switch (types[i]?.logical) {
    case "date":
      return new Date(Number(value) * 86_400_000);
    case "timestamp":
      return new Date(Number(BigInt(value) / 1_000n));
    case "uuid":
      return String(value).replace(
        /^(.{8})(.{4})(.{4})(.{4})(.{12})$/,
        "$1-$2-$3-$4-$5",
      );
    default:
      return value;
  }
}

test("decimals keep every digit where the driver's numbers do not", () => {
  const type = decimal(38, 4);
  const fields = fieldsOf([type]);
  const unscaled = 123_456_789_012_345_678_901_234n;
  const bytes = Buffer.concat([Buffer.of(17, 1), littleEndian(unscaled, 16)]);
  const wire = encodeRow([type], [[bytes, unscaled]], false);
  for (const choice of choices) {
    expect(
      decodeAll(createDecoder(planOf(fields), choice), fields, wire),
    ).toEqual([[unscaled]]);
  }
});
