/** The generated encoder against the readable one, byte by byte, and the framing of what they write. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CopyBuffer,
  MESSAGE_BYTES,
} from "../../../../connectors/destinations/postgres/copy-buffer.ts";
import { CopyCollector } from "../../../../connectors/destinations/postgres/copy-encoder.ts";
import { compileEncoder } from "../../../../connectors/destinations/postgres/copy-generated.ts";
import { createInterpretedEncoder } from "../../../../connectors/destinations/postgres/copy-interpreted.ts";
import type {
  CopyEncoder,
  CopyPlan,
} from "../../../../connectors/destinations/postgres/copy-plan.ts";
import { targetColumns } from "../../../../connectors/destinations/postgres/types.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type { LogicalKind, StreamSchema } from "../../../../proto/schema.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../../fixtures/batches.ts";

function planOf(
  schema: StreamSchema,
  nanoseconds: "text" | "microseconds" = "text",
  withOrder = false,
): CopyPlan {
  return {
    table: "public.rows",
    columns: targetColumns(schema, nanoseconds),
    withOrder,
  };
}

function encodeAll(
  encoder: CopyEncoder,
  batch: ColumnBatch,
  bytesMax = 1e9,
): Buffer {
  const buffer = new CopyBuffer();
  buffer.sequence = 2 ** 33 - 1;
  let row = 0;
  while (row < batch.rowCount) {
    const next = encoder.encode(buffer, batch, row, 1e9, bytesMax);
    if (next === row) break;
    row = next;
  }
  return Buffer.from(buffer.finish());
}

/** The rows of a COPY without the frames of its messages. @throws when a frame does not end where it says */
function unframe(bytes: Buffer): { payload: Buffer; messages: number } {
  const pieces: Buffer[] = [];
  let at = 0;
  while (bytes[at] === 0x64) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    pieces.push(bytes.subarray(at + 5, end));
    at = end;
  }
  expect(bytes.subarray(at)).toEqual(Buffer.from([0x63, 0, 0, 0, 4]));
  const payload = Buffer.concat(pieces);
  expect(payload.subarray(0, 11)).toEqual(
    Buffer.from("PGCOPY\n\xff\r\n\0", "latin1"),
  );
  expect(payload.readInt16BE(payload.length - 2)).toBe(-1);
  return { payload: payload.subarray(19, -2), messages: pieces.length };
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const usTime = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });

const values: Readonly<Record<LogicalKind, fc.Arbitrary<TestValue>>> = {
  boolean: fc.boolean(),
  int16: fc.integer({ min: -32_768, max: 32_767 }),
  int32: fc.integer(),
  int64,
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  float32: fc.float({ noNaN: true }),
  float64: fc.double({ noNaN: true }),
  decimal64: fc
    .bigInt({ min: -(10n ** 18n) + 1n, max: 10n ** 18n - 1n })
    .map((n) => String(n)),
  decimal128: fc
    .bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n })
    .map((n) => String(n)),
  decimalText: fc.oneof(
    fc.constantFrom("NaN", "-0.000100", "7", "123456789.000"),
    fc.tuple(fc.bigInt(), fc.nat()).map(([a, b]) => `${a}.${b}`),
  ),
  date: fc.integer({ min: -2_440_587, max: 2_000_000_000 }),
  time: fc.bigInt({ min: 0n, max: 86_400_000_000n }),
  timestamp: usTime,
  timestamptz: usTime,
  timeNs: fc.bigInt({ min: 0n, max: 86_400_000_000_000n }),
  timestampNs: int64,
  uuid: fc.uuid(),
  text: fc
    .string({ unit: "grapheme", maxLength: 60 })
    .map((text) => text.replaceAll("\0", "")),
  json: fc.jsonValue().map((value) => JSON.stringify(value)),
  binary: fc.uint8Array({ maxLength: 60 }),
};

const kinds = Object.keys(values) as LogicalKind[];

const anyTable = fc
  .array(fc.constantFrom(...kinds), { maxLength: 6 })
  .chain((chosen) => {
    const types = Object.fromEntries(
      chosen.map((kind, i) => [
        `c${i}`,
        kind === "decimal64"
          ? { kind, precision: 18, scale: i }
          : kind === "decimal128"
            ? { kind, precision: 38, scale: i * 3 }
            : { kind },
      ]),
    );
    const row = fc.tuple(
      ...chosen.map((kind, i) =>
        fc.option(
          values[kind].map((value) =>
            kind.startsWith("decimal") && kind !== "decimalText"
              ? shift(value as string, kind === "decimal64" ? i : i * 3)
              : value,
          ),
          { nil: null },
        ),
      ),
    );
    return fc.record({
      schema: fc.constant(buildSchema(types)),
      rows: fc.array(row, { minLength: 1, maxLength: 20 }),
      withOrder: fc.boolean(),
      nanoseconds: fc.constantFrom("text", "microseconds") as fc.Arbitrary<
        "text" | "microseconds"
      >,
    });
  });

/** `-5` at scale 2 is `-0.05`. */
function shift(unscaled: string, scale: number): string {
  const digits = unscaled.replace("-", "").padStart(scale + 1, "0");
  const point = digits.length - scale;
  return `${unscaled.startsWith("-") ? "-" : ""}${digits.slice(0, point)}.${digits.slice(point)}`;
}

test("both encoders write the same bytes, whatever the table", () => {
  fc.assert(
    fc.property(anyTable, ({ schema, rows, withOrder, nanoseconds }) => {
      const plan = planOf(schema, nanoseconds, withOrder);
      const batch = buildBatch(schema, rows as TestRow[]);
      const generated = encodeAll(compileEncoder(plan), batch);
      expect(generated).toEqual(
        encodeAll(createInterpretedEncoder(plan), batch),
      );
      const { payload } = unframe(generated);
      expect(countRows(payload)).toBe(rows.length);
    }),
    { numRuns: 300 },
  );
});

function countRows(payload: Buffer): number {
  let at = 0;
  let rows = 0;
  while (at < payload.length) {
    let fields = payload.readInt16BE(at);
    at += 2;
    for (; fields > 0; fields--) at += 4 + Math.max(0, payload.readInt32BE(at));
    rows += 1;
  }
  expect(at).toBe(payload.length);
  return rows;
}

describe("bounds", () => {
  const schema = buildSchema({ n: "int32", t: "text" });
  const encoders = (): CopyEncoder[] => [
    compileEncoder(planOf(schema)),
    createInterpretedEncoder(planOf(schema)),
  ];

  test("a batch ends before the row that would pass its bytes; a single row may be larger", () => {
    const batch = buildBatch(schema, [
      [1, "x".repeat(5_000)],
      [2, "y"],
      [3, "z".repeat(5_000)],
      [4, ""],
    ]);
    for (const encoder of encoders()) {
      const buffer = new CopyBuffer();
      expect(encoder.encode(buffer, batch, 0, 10, 1_000)).toBe(1);
      expect(encoder.encode(buffer, batch, 1, 10, 1_000)).toBe(1);
      buffer.reset();
      expect(encoder.encode(buffer, batch, 1, 10, 1_000)).toBe(2);
      expect(buffer.bytes).toBeLessThanOrEqual(1_000);
      buffer.reset();
      expect(encoder.encode(buffer, batch, 2, 1, 1_000)).toBe(3);
    }
  });

  test("rows of two batches join in one buffer up to the rows wanted", () => {
    const batch = buildBatch(schema, [
      [1, "a"],
      [2, "b"],
      [3, "c"],
    ]);
    for (const encoder of encoders()) {
      const buffer = new CopyBuffer();
      expect(encoder.encode(buffer, batch, 0, 4, 1e6)).toBe(3);
      expect(encoder.encode(buffer, batch, 0, 4, 1e6)).toBe(1);
      expect(buffer.rows).toBe(4);
      expect(countRows(unframe(Buffer.from(buffer.finish())).payload)).toBe(4);
    }
  });

  test("long batches travel as several messages, each of whole rows, and large rows grow the buffer", () => {
    const rows: TestRow[] = Array.from({ length: 40 }, (_, i) => [
      i,
      "v".repeat(i === 7 ? 3 * MESSAGE_BYTES : 30_000),
    ]);
    for (const encoder of encoders()) {
      const bytes = encodeAll(encoder, buildBatch(schema, rows));
      const { payload, messages } = unframe(bytes);
      expect(messages).toBeGreaterThan(4);
      expect(countRows(payload)).toBe(40);
    }
  });
});

describe("values that Postgres cannot hold", () => {
  const collect = (
    schema: StreamSchema,
    rows: TestRow[],
    nulBytes: "error" | "remove" = "error",
  ): Buffer => {
    const plan = planOf(schema);
    const share = {
      plan,
      encoder: compileEncoder(plan),
      nulBytes,
      sequence: 0,
      checked: null,
    };
    const collector = new CopyCollector(share, new CopyBuffer());
    const batch = buildBatch(schema, rows);
    expect(collector.take(batch, 0, 1e6, 1e9)).toBe(rows.length);
    return Buffer.from(collector.buffer.finish());
  };

  test("NUL in text is an error that names the column, or is left out", () => {
    const schema = buildSchema({ id: "int32", note: "text", raw: "binary" });
    const rows: TestRow[] = [
      [1, "fine", Buffer.from([0])],
      [2, "a\0b\0", null],
      [3, null, null],
    ];
    expect(() => collect(schema, rows)).toThrow(
      /public\.rows\.note has text with a NUL character/,
    );
    const cleaned: TestRow[] = [
      [1, "fine", Buffer.from([0])],
      [2, "ab", null],
      [3, null, null],
    ];
    expect(collect(schema, rows, "remove")).toEqual(collect(schema, cleaned));
  });

  test("dates and times beyond its years, and text that is no number", () => {
    for (const make of [compileEncoder, createInterpretedEncoder]) {
      const encode = (kind: LogicalKind, value: TestValue): unknown => {
        const schema = buildSchema({ v: kind });
        return encodeAll(make(planOf(schema)), buildBatch(schema, [[value]]));
      };
      expect(() => encode("date", -2_147_483_648)).toThrow(
        /public\.rows\.v holds a date or time beyond/,
      );
      expect(() => encode("date", 2_147_483_647)).toThrow(/beyond the years/);
      expect(() => encode("timestamp", -(2n ** 63n))).toThrow(
        /beyond the years/,
      );
      for (const text of ["", "-", ".", "1e5", "1.2.3", "twelve"])
        expect(() => encode("decimalText", text), text).toThrow(
          /is no number that Postgres takes/,
        );
    }
  });
});
