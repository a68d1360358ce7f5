import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExtractError } from "../../../../proto/error.ts";
import { BATCH_BYTES_MAX, batchBytes } from "../../../../proto/columns.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../../connectors/sources/batches/batch-set.ts";
import { createDecoder } from "../../../../connectors/sources/postgres/decode/choose.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../../connectors/sources/postgres/decode/plan.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import type { WireKind } from "../../../../connectors/sources/postgres/types.ts";
import { decodeAll, encodeRow, type WireValue } from "./support/wire-rows.ts";

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
): DecodePlan {
  return {
    fields,
    table: "public.t",
    policy,
    valueNulled: (column, reason) => nulled.push(`${column}: ${reason}`),
  };
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function int64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(value);
  return buffer;
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

describe("values", () => {
  const daysTo2000 = 10_957;
  const epochUs = 946_684_800_000_000n;
  const decimal = field("decimal64", "decimal64", 18, 2);
  const whole = field("decimal64", "decimal64", 18, 0);
  const wide = field("decimal128", "decimal128", 38, 10);
  const nines = "9".repeat(28);

  test.for<{ name: string; field: FieldPlan; wire: WireValue; value: unknown }>(
    [
      {
        name: "true",
        field: field("bool", "boolean"),
        wire: Buffer.from([1]),
        value: true,
      },
      {
        name: "NULL",
        field: field("bool", "boolean"),
        wire: null,
        value: null,
      },
      {
        name: "int2",
        field: field("int16", "int16"),
        wire: Buffer.from([0x80, 0]),
        value: -32_768,
      },
      {
        name: "int4",
        field: field("bits32", "int32"),
        wire: int32(-2_147_483_648),
        value: -2_147_483_648,
      },
      {
        name: "int8",
        field: field("bits64", "int64"),
        wire: int64(-(2n ** 63n)),
        value: -(2n ** 63n),
      },
      {
        name: "oid",
        field: field("uint32", "int64"),
        wire: int32(-1),
        value: 4_294_967_295n,
      },
      {
        name: "epoch",
        field: field("date", "date"),
        wire: int32(0),
        value: daysTo2000,
      },
      {
        name: "year 1",
        field: field("date", "date"),
        wire: int32(-730_119),
        value: -719_162,
      },
      {
        name: "last date",
        field: field("date", "date"),
        wire: int32(2_145_031_948),
        value: 2_145_042_905,
      },
      {
        name: "timestamp epoch",
        field: field("timestamp", "timestamp"),
        wire: int64(0n),
        value: epochUs,
      },
      {
        name: "a µs before",
        field: field("timestamp", "timestamp"),
        wire: int64(-1n),
        value: epochUs - 1n,
      },
      {
        name: "1970",
        field: field("timestamp", "timestamp"),
        wire: int64(-epochUs),
        value: 0n,
      },
      {
        name: "year 1",
        field: field("timestamp", "timestamp"),
        wire: int64(-63_082_281_600_000_000n),
        value: -62_135_596_800_000_000n,
      },
      {
        name: "last µs",
        field: field("timestamp", "timestamp"),
        wire: int64(2n ** 63n - 1n - epochUs),
        value: 2n ** 63n - 1n,
      },
      {
        name: "cents",
        field: decimal,
        wire: Buffer.from("-12.34"),
        value: -1234n,
      },
      {
        name: "9 digits",
        field: decimal,
        wire: Buffer.from("9999999.99"),
        value: 999_999_999n,
      },
      {
        name: "10 digits",
        field: decimal,
        wire: Buffer.from("99999999.99"),
        value: 9_999_999_999n,
      },
      {
        name: "15 digits",
        field: decimal,
        wire: Buffer.from("-9999999999999.99"),
        value: -999_999_999_999_999n,
      },
      {
        name: "18 digits",
        field: decimal,
        wire: Buffer.from("-9999999999999999.99"),
        value: -999_999_999_999_999_999n,
      },
      { name: "zero", field: decimal, wire: Buffer.from("0.00"), value: 0n },
      {
        name: "fewer digits behind the point",
        field: decimal,
        wire: Buffer.from("7.5"),
        value: 750n,
      },
      { name: "no point", field: decimal, wire: Buffer.from("7"), value: 700n },
      {
        name: "zeros too many",
        field: decimal,
        wire: Buffer.from("7.5000"),
        value: 750n,
      },
      {
        name: "a whole number",
        field: whole,
        wire: Buffer.from("-42"),
        value: -42n,
      },
      {
        name: "a whole number of 10 digits",
        field: whole,
        wire: Buffer.from("4294967296"),
        value: 4_294_967_296n,
      },
      {
        name: "a wide decimal",
        field: wide,
        wire: Buffer.from("1.0000000001"),
        value: 10_000_000_001n,
      },
      {
        name: "the widest",
        field: wide,
        wire: Buffer.from(`-${nines}.9999999999`),
        value: -(10n ** 38n - 1n),
      },
      {
        name: "-1 in 128 bits",
        field: wide,
        wire: Buffer.from("-0.0000000001"),
        value: -1n,
      },
      {
        name: "no bytes",
        field: field("bytes", "text"),
        wire: Buffer.alloc(0),
        value: "",
      },
      {
        name: "UTF-8",
        field: field("bytes", "text"),
        wire: Buffer.from("żółw 🐢"),
        value: "żółw 🐢",
      },
      {
        name: "a long text",
        field: field("bytes", "text"),
        wire: Buffer.from("x".repeat(70_001)),
        value: "x".repeat(70_001),
      },
    ],
  )("$field.kind: $name", ({ field: fieldPlan, wire, value }) => {
    expect(decodeOne(fieldPlan, wire)).toEqual(value);
  });

  test.for<{ name: string; field: FieldPlan; wire: Buffer }>([
    { name: "infinity", field: field("date", "date"), wire: int32(0x7fffffff) },
    {
      name: "-infinity",
      field: field("date", "date"),
      wire: int32(-0x80000000),
    },
    {
      name: "31 December 1 BC",
      field: field("date", "date"),
      wire: int32(-730_120),
    },
    {
      name: "infinity",
      field: field("timestamp", "timestamptz"),
      wire: int64(2n ** 63n - 1n),
    },
    {
      name: "-infinity",
      field: field("timestamp", "timestamptz"),
      wire: int64(-(2n ** 63n)),
    },
    {
      name: "before year 1",
      field: field("timestamp", "timestamp"),
      wire: int64(-63_082_281_600_000_001n),
    },
    {
      name: "beyond int64",
      field: field("timestamp", "timestamp"),
      wire: int64(2n ** 63n - epochUs),
    },
    { name: "NaN", field: decimal, wire: Buffer.from("NaN") },
    { name: "Infinity", field: decimal, wire: Buffer.from("Infinity") },
    { name: "-Infinity", field: whole, wire: Buffer.from("-Infinity") },
    { name: "NaN", field: whole, wire: Buffer.from("NaN") },
    { name: "NaN", field: wide, wire: Buffer.from("NaN") },
    {
      name: "19 digits",
      field: decimal,
      wire: Buffer.from("10000000000000000.00"),
    },
    {
      name: "a third digit behind the point",
      field: decimal,
      wire: Buffer.from("0.001"),
    },
    {
      name: "39 digits",
      field: wide,
      wire: Buffer.from(`1${nines}.0000000000`),
    },
  ])(
    "$field.kind $name is refused, or NULL by policy",
    ({ field: fieldPlan, wire }) => {
      for (const choice of choices) {
        const decode = (policy: "error" | "null", nulled: string[]): unknown =>
          decodeAll(
            createDecoder(planOf([fieldPlan], policy, nulled), choice),
            [fieldPlan],
            encodeRow([wire]),
          )[0]?.[0];
        expect(codeOf(() => decode("error", []))).toBe(
          "SOURCE_VALUE_UNREPRESENTABLE",
        );
        const nulled: string[] = [];
        expect(decode("null", nulled)).toBeNull();
        expect(nulled).toEqual([expect.stringContaining(fieldPlan.name)]);
      }
    },
  );

  test("every decimal that fits comes out as it went in", () => {
    const cases = fc
      .record({
        precision: fc.integer({ min: 1, max: 38 }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        digits: fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
        negative: fc.boolean(),
      })
      .map(({ precision, share, digits, negative }) => {
        const scale = Math.round(share * precision);
        const unscaled = digits % 10n ** BigInt(precision);
        return { precision, scale, unscaled: negative ? -unscaled : unscaled };
      });
    fc.assert(
      fc.property(cases, ({ precision, scale, unscaled }) => {
        const kind = precision > 18 ? "decimal128" : "decimal64";
        const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(
          scale + 1,
          "0",
        );
        const text =
          (unscaled < 0n ? "-" : "") +
          digits.slice(0, digits.length - scale) +
          (scale > 0 ? `.${digits.slice(-scale)}` : "");
        const plan = field(kind, kind, precision, scale);
        expect(decodeOne(plan, Buffer.from(text))).toBe(unscaled);
      }),
      { numRuns: 500 },
    );
  });
});

const arbitraryFields: readonly (readonly [FieldPlan, fc.Arbitrary<Buffer>])[] =
  [
    [
      field("bool", "boolean"),
      fc.boolean().map((b) => Buffer.from([b ? 1 : 0])),
    ],
    [
      field("int16", "int16"),
      fc.uint8Array({ minLength: 2, maxLength: 2 }).map((b) => Buffer.from(b)),
    ],
    [field("bits32", "int32"), fc.integer().map(int32)],
    [
      field("bits32", "float32"),
      fc.float({ noNaN: true }).map((value) => {
        const b = Buffer.alloc(4);
        b.writeFloatBE(value);
        return b;
      }),
    ],
    [
      field("bits64", "int64"),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64),
    ],
    [field("uint32", "int64"), fc.integer().map(int32)],
    [field("date", "date"), fc.integer().map(int32)],
    [
      field("timestamp", "timestamp"),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64),
    ],
    [
      field("bits128", "uuid"),
      fc
        .uint8Array({ minLength: 16, maxLength: 16 })
        .map((b) => Buffer.from(b)),
    ],
    [
      field("decimal64", "decimal64", 12, 2),
      fc.oneof(
        fc.integer().map((v) => Buffer.from((v / 100).toFixed(2))),
        fc
          .constantFrom("NaN", "1", "1.234", "12345678901.00")
          .map((t) => Buffer.from(t)),
      ),
    ],
    [
      field("decimal128", "decimal128", 30, 0),
      fc
        .bigInt({ min: -(10n ** 31n), max: 10n ** 31n })
        .map((v) => Buffer.from(String(v))),
    ],
    [
      field("bytes", "text"),
      fc.string({ maxLength: 200 }).map((t) => Buffer.from(t)),
    ],
    [
      field("bytes", "binary"),
      fc.uint8Array({ maxLength: 100 }).map((b) => Buffer.from(b)),
    ],
  ];

/** A table of any of the kinds, its rows, and the sizes of the pieces in which they arrive. */
const tables = fc
  .array(fc.integer({ min: 0, max: arbitraryFields.length - 1 }), {
    minLength: 1,
    // several functions of the generated decoder
    maxLength: 40,
  })
  .chain((kinds) =>
    fc.record({
      fields: fc.constant(
        kinds.map((kind, index) => ({
          ...(arbitraryFields[kind]?.[0] ?? field("bool", "boolean")),
          name: `c${index}`,
        })),
      ),
      rows: fc.array(
        fc.tuple(
          ...kinds.map((kind) =>
            fc.option(
              arbitraryFields[kind]?.[1] ?? fc.constant(Buffer.alloc(1)),
              {
                nil: null,
              },
            ),
          ),
        ),
        { maxLength: 40 },
      ),
      pieces: fc.array(fc.integer({ min: 1, max: 300 }), {
        minLength: 1,
        maxLength: 10,
      }),
      rowsMax: fc.integer({ min: 1, max: 20 }),
    }),
  );

test("both decoders give the same rows, however the bytes are cut", () => {
  fc.assert(
    fc.property(tables, ({ fields, rows, pieces, rowsMax }) => {
      const wire = Buffer.concat(rows.map(encodeRow));
      const [generated, interpreted] = choices.map((choice) => {
        const nulled: string[] = [];
        const decoder = createDecoder(planOf(fields, "null", nulled), choice);
        const decoded = decodeAll(decoder, fields, wire, pieces, rowsMax);
        return { decoded, nulled: nulled.toSorted() };
      });
      expect(generated).toEqual(interpreted);
      expect(generated?.decoded).toHaveLength(rows.length);
      for (const [index, row] of rows.entries()) {
        for (const [column, value] of row.entries()) {
          if (value === null) {
            expect(generated?.decoded[index]?.[column]).toBeNull();
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a row cut at every byte is decoded once it is whole", () => {
  const fields = arbitraryFields.map(([plan]) => plan);
  const row = fc
    .sample(fc.tuple(...arbitraryFields.map(([, values]) => values)), {
      seed: 5,
      numRuns: 1,
    })
    .flat();
  const wire = Buffer.concat([encodeRow(row), encodeRow(row)]);
  for (const choice of choices) {
    const decode = (pieces: number[]): unknown[][] =>
      decodeAll(
        createDecoder(planOf(fields, "null"), choice),
        fields,
        wire,
        pieces,
      );
    const whole = decode([wire.length]);
    for (let cut = 1; cut < wire.length; cut++) {
      expect(decode([cut, wire.length])).toEqual(whole);
    }
  }
});

describe("bounds", () => {
  const text = field("bytes", "text");

  test("a batch closes before it passes its bytes; only a single row may", () => {
    const fields = [text, field("bits64", "int64")];
    const big = encodeRow([Buffer.alloc(1_500_000, "x"), int64(1n)]);
    const huge = encodeRow([Buffer.alloc(BATCH_BYTES_MAX + 1, "y"), null]);
    const wire = Buffer.concat([big, big, big, huge, big]);
    for (const choice of choices) {
      const set = new BatchSet(fields, batchCapacity(fields, 1_000));
      const decoder = createDecoder(planOf(fields), choice);
      const source = Buffer.from(new ArrayBuffer(wire.length));
      wire.copy(source);
      const view = new DataView(source.buffer);
      const sizes: number[] = [];
      for (let start = 0; ;) {
        start = decoder.decode(set, source, view, start, wire.length);
        const batch = set.toBatch(2);
        sizes.push(batch.rowCount);
        expect(
          batchBytes(batch) <= BATCH_BYTES_MAX || batch.rowCount === 1,
        ).toBe(true);
        if (!set.isFull) break;
        set.reset();
      }
      expect(sizes).toEqual([2, 1, 1, 1]);
    }
  });

  test("narrow rows fill a batch to its last row", () => {
    const fields = [field("int16", "int16", 0, 0, false)];
    const row = encodeRow([Buffer.from([1, 2])]);
    const wire = Buffer.concat(Array.from({ length: 20_000 }, () => row));
    for (const choice of choices) {
      const set = new BatchSet(fields, batchCapacity(fields, 16_384));
      const source = Buffer.from(new ArrayBuffer(wire.length));
      wire.copy(source);
      createDecoder(planOf(fields), choice).decode(
        set,
        source,
        new DataView(source.buffer),
        0,
        wire.length,
      );
      expect(set.rowCount).toBe(16_384);
    }
  });

  test.for<{ name: string; patch: (row: Buffer) => void }>([
    {
      name: "a negative field length",
      patch: (row) => row.writeInt32BE(-2, 7),
    },
    {
      name: "a field of 2 GiB",
      patch: (row) => row.writeInt32BE(0x7fffffff, 7),
    },
    {
      name: "a field one byte too long",
      patch: (row) => row.writeInt32BE(6, 7),
    },
    {
      name: "a field one byte too short",
      patch: (row) => row.writeInt32BE(4, 7),
    },
    {
      name: "the least length",
      patch: (row) => row.writeInt32BE(-0x80000000, 7),
    },
    { name: "a field less", patch: (row) => row.writeInt16BE(1, 5) },
    { name: "fields too many", patch: (row) => row.writeInt16BE(0x7fff, 5) },
    { name: "a row length of 4", patch: (row) => row.writeInt32BE(4, 1) },
    { name: "a negative row length", patch: (row) => row.writeInt32BE(-1, 1) },
    { name: "an int8 of 7 bytes", patch: (row) => row.writeInt32BE(7, 16) },
  ])("$name breaks the protocol and allocates nothing", ({ patch }) => {
    const fields = [text, field("bits64", "int64")];
    for (const choice of choices) {
      const row = encodeRow([Buffer.from("hello"), int64(1n)]);
      patch(row);
      const before = process.memoryUsage().arrayBuffers;
      expect(
        codeOf(() =>
          decodeAll(createDecoder(planOf(fields), choice), fields, row),
        ),
      ).toBe("SOURCE_PROTOCOL_VIOLATION");
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(
        8_000_000,
      );
    }
  });

  test("no bytes at all make the decoders fail in another way", () => {
    const fields = arbitraryFields.map(([plan]) => plan);
    const sample = fc.tuple(...arbitraryFields.map(([, values]) => values));
    fc.assert(
      fc.property(
        sample,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), {
          minLength: 1,
          maxLength: 8,
        }),
        (values, changes) => {
          const row = encodeRow(values);
          for (const [at, byte] of changes) row[at % row.length] = byte;
          for (const choice of choices) {
            const set = new BatchSet(fields, batchCapacity(fields, 100));
            const source = Buffer.from(new ArrayBuffer(row.length));
            row.copy(source);
            try {
              createDecoder(planOf(fields, "null"), choice).decode(
                set,
                source,
                new DataView(source.buffer),
                0,
                row.length,
              );
            } catch (error) {
              if (!(error instanceof ExtractError)) throw error;
            }
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("NULL in a NOT NULL column is a changed schema", () => {
    const fields = [field("bits32", "int32", 0, 0, false)];
    for (const choice of choices) {
      expect(
        codeOf(() =>
          decodeAll(
            createDecoder(planOf(fields), choice),
            fields,
            encodeRow([null]),
          ),
        ),
      ).toBe("SOURCE_SCHEMA_CHANGED");
    }
  });
});

test("a decoder that begins interpreted goes on generated without a seam", () => {
  const fields = [field("bits32", "int32"), field("bytes", "text")];
  const rows = 400_000;
  const wire = Buffer.concat(
    Array.from({ length: rows }, (_, i) =>
      encodeRow([int32(i), i % 3 === 0 ? null : Buffer.from(`t${i}`)]),
    ),
  );
  const decoded = decodeAll(
    createDecoder(planOf(fields)),
    fields,
    wire,
    [200_000],
  );
  expect(decoded).toHaveLength(rows);
  expect(
    decoded.every(
      (row, i) => row[0] === i && row[1] === (i % 3 === 0 ? null : `t${i}`),
    ),
  ).toBe(true);
});
