import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchBytes, BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { ExtractError } from "../../../../proto/error.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../connectors/sources/batches/batch-set.ts";
import { createDecoder } from "../../../../connectors/sources/mysql/decode/choose.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../../connectors/sources/mysql/decode/plan.ts";
import type { WireKind } from "../../../../connectors/sources/mysql/types.ts";
import { readRows } from "../postgres/support/wire-rows.ts";
import {
  decodeAll,
  encodePacket,
  encodePayload,
  encodeRow,
  withLength,
  type WireValue,
} from "./support/wire-rows.ts";

const choices = ["generated", "interpreted"] as const;

function field(
  kind: WireKind,
  logical: LogicalKind,
  precision = 0,
  scale = 0,
  nullable = true,
): FieldPlan {
  return { name: `a_${kind}`, kind, logical, nullable, precision, scale };
}

function planOf(
  fields: readonly FieldPlan[],
  policy: "error" | "null" = "error",
  nulled: string[] = [],
  rowBytesMax = 1 << 30,
): DecodePlan {
  return {
    fields,
    table: "shop.t",
    policy,
    rowBytesMax,
    valueNulled: (column, reason) => nulled.push(`${column}: ${reason}`),
  };
}

/** One value through both decoders. */
function decodeOne(
  fieldPlan: FieldPlan,
  value: WireValue,
  policy: "error" | "null" = "error",
): unknown {
  const results = choices.map((choice) => {
    const decoder = createDecoder(planOf([fieldPlan], policy), choice);
    return decodeAll(decoder, [fieldPlan], encodeRow([value]))[0]?.[0];
  });
  expect(results[0]).toEqual(results[1]);
  return results[0];
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ExtractError) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

function dateBytes(year: number, month: number, day: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt16LE(year);
  buffer[2] = month;
  buffer[3] = day;
  return buffer;
}

function datetimeBytes(date: Buffer, clock: readonly number[], us = 0): Buffer {
  const micros = Buffer.alloc(4);
  micros.writeUInt32LE(us);
  return withLength(
    Buffer.concat([date, Buffer.from(clock), ...(us === 0 ? [] : [micros])]),
  );
}

function int64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt.asIntN(64, value));
  return buffer;
}

describe("dates", () => {
  const date = field("date", "date");
  const datetime = field("datetime", "timestamp");
  const anyDate = fc.date({
    min: new Date("0001-01-01T00:00:00Z"),
    max: new Date("9999-12-31T23:59:59.999Z"),
    noInvalidDate: true,
  });
  const partsOf = (at: Date) =>
    dateBytes(at.getUTCFullYear(), at.getUTCMonth() + 1, at.getUTCDate());

  test("every day of the years 1 to 9999 is its number", () =>
    fc.assert(
      fc.property(anyDate, (at) => {
        const days = Math.floor(at.getTime() / 86_400_000);
        expect(decodeOne(date, withLength(partsOf(at)))).toBe(days);
      }),
    ));

  test("a datetime is exact to the µs", () =>
    fc.assert(
      fc.property(anyDate, fc.nat({ max: 999_999 }), (at, us) => {
        const clock = [
          at.getUTCHours(),
          at.getUTCMinutes(),
          at.getUTCSeconds(),
        ];
        const seconds = BigInt(Math.floor(at.getTime() / 1000));
        expect(decodeOne(datetime, datetimeBytes(partsOf(at), clock, us))).toBe(
          seconds * 1_000_000n + BigInt(us),
        );
      }),
    ));

  test("what is left out of a datetime is zero", () => {
    expect(decodeOne(datetime, withLength(dateBytes(1970, 1, 2)))).toBe(
      86_400_000_000n,
    );
  });

  test.for([
    { name: "zero", bytes: Buffer.alloc(0), reason: "the zero date" },
    {
      name: "zero, in full",
      bytes: dateBytes(0, 0, 0),
      reason: "the zero date",
    },
    {
      name: "no month",
      bytes: dateBytes(2024, 0, 1),
      reason: "a partial date",
    },
    { name: "no day", bytes: dateBytes(2024, 3, 0), reason: "a partial date" },
    { name: "year 0", bytes: dateBytes(0, 3, 1), reason: "the year 0" },
    {
      name: "29 February of a common year",
      bytes: dateBytes(1900, 2, 29),
      reason: "no day of the calendar",
    },
    {
      name: "month 13",
      bytes: dateBytes(2024, 13, 1),
      reason: "no day of the calendar",
    },
    {
      name: "month 17",
      bytes: dateBytes(2024, 17, 1),
      reason: "no day of the calendar",
    },
    {
      name: "year 10000",
      bytes: dateBytes(10_000, 1, 1),
      reason: "no day of the calendar",
    },
    {
      name: "year 65535",
      bytes: dateBytes(65_535, 1, 1),
      reason: "no day of the calendar",
    },
  ])("is no date: $name", ({ bytes, reason }) => {
    const value = withLength(bytes);
    for (const fieldPlan of [date, datetime]) {
      expect(codeOf(() => decodeOne(fieldPlan, value))).toBe(
        "SOURCE_VALUE_UNREPRESENTABLE",
      );
      expect(decodeOne(fieldPlan, value, "null")).toBeNull();
      const nulled: string[] = [];
      const plan = planOf([fieldPlan], "null", nulled);
      decodeAll(
        createDecoder(plan, "generated"),
        [fieldPlan],
        encodeRow([value]),
      );
      expect(nulled).toEqual([`${fieldPlan.name}: ${reason}`]);
    }
  });

  test("a time of day that there is not breaks the protocol", () => {
    for (const clock of [
      [24, 0, 0],
      [0, 60, 0],
      [0, 0, 60],
    ]) {
      const value = datetimeBytes(dateBytes(2024, 1, 1), clock);
      expect(codeOf(() => decodeOne(datetime, value))).toBe(
        "SOURCE_PROTOCOL_VIOLATION",
      );
    }
  });
});

describe("decimals", () => {
  test("digits are kept, whatever their number", () =>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 38 }).chain((precision) =>
          fc.record({
            precision: fc.constant(precision),
            scale: fc.integer({ min: 0, max: Math.min(precision, 30) }),
            unscaled: fc.bigInt({
              min: -(10n ** BigInt(precision)) + 1n,
              max: 10n ** BigInt(precision) - 1n,
            }),
            zeros: fc.integer({ min: 0, max: 3 }),
          }),
        ),
        ({ precision, scale, unscaled, zeros }) => {
          const kind = precision > 18 ? "decimal128" : "decimal64";
          const digits = String(unscaled < 0n ? -unscaled : unscaled)
            .padStart(scale + 1, "0")
            .padStart(zeros, "0");
          const point = digits.length - scale;
          const text = `${unscaled < 0n ? "-" : ""}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ""}`;
          expect(
            decodeOne(
              field(kind, kind, precision, scale),
              withLength(Buffer.from(text)),
            ),
          ).toBe(unscaled);
        },
      ),
    ));

  test("more digits than declared are refused", () => {
    const value = withLength(Buffer.from("12345.678"));
    expect(
      codeOf(() => decodeOne(field("decimal64", "decimal64", 7, 2), value)),
    ).toBe("SOURCE_VALUE_UNREPRESENTABLE");
  });
});

describe("times", () => {
  const time = (scale: number) => field("time", "text", 0, scale);
  const bytes = (
    negative: number,
    days: number,
    clock: number[],
    us?: number,
  ) => {
    const buffer = Buffer.alloc(us === undefined ? 8 : 12);
    buffer[0] = negative;
    buffer.writeUInt32LE(days, 1);
    Buffer.from(clock).copy(buffer, 5);
    if (us !== undefined) buffer.writeUInt32LE(us, 8);
    return withLength(buffer);
  };

  test.for([
    { scale: 0, value: Buffer.from([0]), text: "00:00:00" },
    { scale: 3, value: Buffer.from([0]), text: "00:00:00.000" },
    { scale: 0, value: bytes(1, 34, [22, 59, 59]), text: "-838:59:59" },
    { scale: 6, value: bytes(0, 0, [1, 2, 3], 4), text: "01:02:03.000004" },
    { scale: 2, value: bytes(1, 4, [4, 0, 0], 120_000), text: "-100:00:00.12" },
  ])("$text", ({ scale, value, text }) => {
    expect(decodeOne(time(scale), value)).toBe(text);
  });
});

describe("small kinds", () => {
  test("bits are a number, whatever their bytes", () =>
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 0, max: 2 }),
        (value, spare) => {
          const hex = value.toString(16);
          const bytes = Buffer.from(
            hex.padStart(hex.length + (hex.length % 2), "0"),
            "hex",
          );
          const padded = Buffer.concat([
            Buffer.alloc(Math.min(spare, 8 - bytes.length)),
            bytes,
          ]);
          expect(decodeOne(field("bits", "uint64"), withLength(padded))).toBe(
            BigInt.asIntN(64, value),
          );
        },
      ),
    ));

  test("a uuid is its 16 bytes in the order they are printed", () =>
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        for (const text of [uuid, uuid.toUpperCase()]) {
          expect(
            decodeOne(field("uuid", "uuid"), withLength(Buffer.from(text))),
          ).toBe(uuid.replaceAll("-", ""));
        }
      }),
    ));

  test("a geometry is without its SRID", () => {
    const value = withLength(Buffer.from("e6100000aabb", "hex"));
    expect(decodeOne(field("geometry", "binary"), value)).toBe("aabb");
  });

  test("tinyint(1) is 0 or 1, and all else is refused", () => {
    const bool = field("bool8", "boolean");
    expect(decodeOne(bool, Buffer.from([0]))).toBe(false);
    expect(decodeOne(bool, Buffer.from([1]))).toBe(true);
    for (const value of [2, 127, 128, 255]) {
      expect(codeOf(() => decodeOne(bool, Buffer.from([value])))).toBe(
        "SOURCE_VALUE_UNREPRESENTABLE",
      );
      expect(decodeOne(bool, Buffer.from([value]), "null")).toBeNull();
    }
  });
});

// every kind, with values of it and what they are
interface KindCase {
  readonly plan: FieldPlan;
  readonly values: fc.Arbitrary<Buffer>;
}

const texts = fc
  .oneof(
    { weight: 9, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 200, max: 700 }).map((n) => "ж".repeat(n)),
    },
  )
  .map((text) => Buffer.from(text));
const forms = fc.constantFrom<0 | 252 | 253 | 254>(0, 252, 253, 254);
const bytesOf = (count: number) =>
  fc
    .uint8Array({ minLength: count, maxLength: count })
    .map((b) => Buffer.from(b));
const anyDateBytes = fc
  .tuple(
    fc.integer({ min: 1, max: 9999 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
  )
  .map(([year, month, day]) => dateBytes(year, month, day));

const kinds: readonly KindCase[] = [
  {
    plan: field("bool8", "boolean"),
    values: fc.nat({ max: 1 }).map((v) => Buffer.from([v])),
  },
  {
    plan: field("bool", "boolean"),
    values: fc.nat({ max: 1 }).map((v) => Buffer.from([1, v])),
  },
  { plan: field("int8", "int16"), values: bytesOf(1) },
  { plan: field("uint8", "int16"), values: bytesOf(1) },
  { plan: field("int16", "int16"), values: bytesOf(2) },
  { plan: field("uint16", "int32"), values: bytesOf(2) },
  { plan: field("bits32", "int32"), values: bytesOf(4) },
  { plan: field("uint32", "int64"), values: bytesOf(4) },
  {
    plan: field("bits64", "int64"),
    values: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64),
  },
  {
    plan: field("bits", "uint64"),
    values: fc
      .integer({ min: 1, max: 8 })
      .chain(bytesOf)
      .map((b) => withLength(b)),
  },
  {
    plan: field("decimal64", "decimal64", 12, 2),
    values: fc
      .integer()
      .map((v) => withLength(Buffer.from((v / 100).toFixed(2)))),
  },
  {
    plan: field("decimal64", "decimal64", 18, 0),
    values: fc
      .bigInt({ min: -(10n ** 18n) + 1n, max: 10n ** 18n - 1n })
      .map((v) => withLength(Buffer.from(String(v)))),
  },
  {
    plan: field("decimal128", "decimal128", 38, 0),
    values: fc
      .bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n })
      .map((v) => withLength(Buffer.from(String(v)))),
  },
  {
    plan: field("date", "date"),
    values: anyDateBytes.map((b) => withLength(b)),
  },
  {
    plan: field("datetime", "timestamp"),
    values: fc
      .tuple(
        anyDateBytes,
        fc.nat({ max: 23 }),
        fc.nat({ max: 59 }),
        fc.nat({ max: 59 }),
        fc.nat({ max: 999_999 }),
      )
      .map(([date, h, m, s, us]) => datetimeBytes(date, [h, m, s], us)),
  },
  {
    plan: field("time", "text", 0, 3),
    values: fc.constant(Buffer.from([8, 1, 2, 0, 0, 0, 3, 4, 5])),
  },
  {
    plan: field("uuid", "uuid"),
    values: fc.uuid().map((v) => withLength(Buffer.from(v))),
  },
  {
    plan: field("geometry", "binary"),
    values: fc
      .uint8Array({ minLength: 4, maxLength: 90 })
      .map((b) => withLength(Buffer.from(b))),
  },
  {
    plan: field("bytes", "text"),
    values: fc.tuple(texts, forms).map(([b, form]) => withLength(b, form)),
  },
];

const tables = fc
  // several functions of the generated decoder
  .array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 40 })
  .chain((columns) =>
    fc.record({
      fields: fc.constant(
        columns.map(({ plan }, i) => ({ ...plan, name: `c${i}` })),
      ),
      rows: fc.array(
        fc.tuple(
          ...columns.map(({ values }) => fc.option(values, { freq: 4 })),
        ),
        { maxLength: 30 },
      ),
      pieces: fc.array(fc.integer({ min: 1, max: 200 }), {
        minLength: 1,
        maxLength: 5,
      }),
      rowsMax: fc.integer({ min: 1, max: 20 }),
    }),
  );

describe("both decoders", () => {
  test("give the same rows, however the bytes are cut", () =>
    fc.assert(
      fc.property(tables, ({ fields, rows, pieces, rowsMax }) => {
        const wire = Buffer.concat(rows.map((row, i) => encodeRow(row, i)));
        const plan = planOf(fields);
        const whole = decodeAll(createDecoder(plan, "generated"), fields, wire);
        expect(whole).toHaveLength(rows.length);
        expect(whole.map((row) => row.map((v) => v === null))).toEqual(
          rows.map((row) => row.map((v) => v === null)),
        );
        for (const choice of choices) {
          const decoder = createDecoder(plan, choice);
          expect(decodeAll(decoder, fields, wire, pieces, rowsMax)).toEqual(
            whole,
          );
        }
      }),
      { numRuns: 200 },
    ));

  test("meet changed bytes with an error or with values, never with a crash or a hang", () =>
    fc.assert(
      fc.property(
        tables,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        ({ fields, rows }, changes) => {
          fc.pre(rows.length > 0);
          const wire = Buffer.concat(rows.map((row) => encodeRow(row)));
          for (const [at, value] of changes) wire[at % wire.length] = value;
          for (const choice of choices) {
            try {
              decodeAll(
                createDecoder(planOf(fields, "null"), choice),
                fields,
                wire,
              );
            } catch (error) {
              if (error instanceof ExtractError) {
                expect([
                  "SOURCE_PROTOCOL_VIOLATION",
                  "SOURCE_VALUE_UNREPRESENTABLE",
                ]).toContain(error.code);
              } else {
                expect(String(error)).toContain("bytes were left");
              }
            }
          }
        },
      ),
      { numRuns: 300 },
    ));

  test.for(choices)(
    "%s: NULL where the column had none is a changed schema",
    (choice) => {
      const fields = [field("bits32", "int32", 0, 0, false)];
      expect(
        codeOf(() =>
          decodeAll(
            createDecoder(planOf(fields), choice),
            fields,
            encodeRow([null]),
          ),
        ),
      ).toBe("SOURCE_SCHEMA_CHANGED");
    },
  );

  test.for(choices)(
    "%s: lengths that lead out of the row break the protocol",
    (choice) => {
      const fields = [field("bytes", "text"), field("bits32", "int32")];
      const decode = (payload: Buffer) =>
        codeOf(() =>
          decodeAll(
            createDecoder(planOf(fields), choice),
            fields,
            encodePacket(payload),
          ),
        );
      const good = encodePayload([
        withLength(Buffer.from("abc")),
        Buffer.alloc(4),
      ]);
      expect(decode(good)).toBe("nothing was thrown");
      expect(decode(good.subarray(0, -1))).toBe("SOURCE_PROTOCOL_VIOLATION");
      expect(decode(Buffer.concat([good, Buffer.from([0])]))).toBe(
        "SOURCE_PROTOCOL_VIOLATION",
      );
      expect(decode(Buffer.from([0]))).toBe("SOURCE_PROTOCOL_VIOLATION");
      for (const first of [200, 251, 252, 253, 254, 255]) {
        const changed = Buffer.from(good);
        changed[2] = first;
        expect(decode(changed)).toBe("SOURCE_PROTOCOL_VIOLATION");
      }
    },
  );

  test.for(choices)(
    "%s: a row above the limit, and one of several packets, are left to the caller",
    (choice) => {
      const fields = [field("bytes", "text")];
      const decoder = createDecoder(planOf(fields, "error", [], 100), choice);
      const set = new BatchSet(fields, 10);
      const wire = Buffer.from(
        new Uint8Array(encodeRow([withLength(Buffer.alloc(120))])).buffer,
      );
      const view = new DataView(wire.buffer, wire.byteOffset);
      expect(decoder.decode(set, wire, view, 0, wire.length, 0)).toBe(0);
      expect(set.rowCount).toBe(0);
      expect(set.isFull).toBe(false);
    },
  );

  test.for(choices)(
    "%s: a large row stands behind the place of one header",
    (choice) => {
      const fields = [field("bytes", "binary"), field("int8", "int16")];
      const payload = encodePayload([
        withLength(Buffer.alloc(70_000, 7), 254),
        Buffer.from([5]),
      ]);
      const source = Buffer.from(new ArrayBuffer(4 + payload.length));
      payload.copy(source, 4);
      const set = new BatchSet(fields, 10);
      const decoder = createDecoder(planOf(fields), choice);
      const end = decoder.decode(
        set,
        source,
        new DataView(source.buffer),
        0,
        source.length,
        payload.length,
      );
      expect(end).toBe(source.length);
      expect(readRows(fields, set.toBatch(2))).toEqual([
        ["07".repeat(70_000), 5],
      ]);
    },
  );

  test.for(choices)(
    "%s: a batch closes before it passes its bytes",
    (choice) => {
      const fields = [field("bytes", "text"), field("time", "text", 0, 6)];
      const row = encodeRow([
        withLength(Buffer.alloc(50_000, 97)),
        Buffer.from([0]),
      ]);
      const wire = Buffer.from(new ArrayBuffer(row.length * 200));
      for (let i = 0; i < 200; i++) row.copy(wire, i * row.length);
      const decoder = createDecoder(planOf(fields), choice);
      const set = new BatchSet(fields, batchCapacity(fields, 200));
      const view = new DataView(wire.buffer);
      let start = 0;
      let rows = 0;
      while (start < wire.length) {
        start = decoder.decode(set, wire, view, start, wire.length, 0);
        const batch = set.toBatch(2);
        expect(batchBytes(batch)).toBeLessThanOrEqual(BATCH_BYTES_MAX);
        if (start < wire.length) {
          expect(set.isFull).toBe(true);
          expect(batchBytes(batch)).toBeGreaterThan(BATCH_BYTES_MAX - 60_000);
        }
        rows += batch.rowCount;
        set.reset();
      }
      expect(rows).toBe(200);
    },
  );
});
