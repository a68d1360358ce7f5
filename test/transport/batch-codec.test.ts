import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchBytes } from "../../proto/columns.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import { isVariableWidth } from "../../proto/schema.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import {
  countBits,
  decodeBatch,
  encodeBatch,
} from "../../transport/batch-codec.ts";
import { FrameParser } from "../../transport/frame-parser.ts";
import type { BatchHeader } from "../../transport/frames.ts";
import { buildBatch, buildSchema } from "../fixtures/batches.ts";
import { allKinds, anyBatch, orders, ordersBatch, typeOf } from "./samples.ts";

const ids = { stream: 7, partition: 0, attempt: 1, sequence: 1 };

/** Through the bytes, as a socket would. */
function encode(batch: ColumnBatch): { header: BatchHeader; body: Uint8Array } {
  const [bytes, ...buffers] = encodeBatch(batch, ids, 1).pieces;
  assert.ok(bytes);
  const parser = new FrameParser();
  parser.push(bytes);
  const frame = parser.takeFrame();
  assert.ok(frame?.kind === "batch");
  return { header: frame.batch, body: new Uint8Array(Buffer.concat(buffers)) };
}

function decode(
  { columns }: StreamSchema,
  header: BatchHeader,
  body: Uint8Array,
): ColumnBatch {
  return decodeBatch(header, body, columns);
}

/** Without what a builder's buffers have to spare. */
function trim({ rowCount, columns }: ColumnBatch): unknown {
  return {
    rowCount,
    columns: columns.map(({ nullCount, validity, offsets, data }) => ({
      nullCount,
      validity: validity && [...validity.subarray(0, Math.ceil(rowCount / 8))],
      offsets: offsets && [...offsets.subarray(0, rowCount + 1)],
      data: [...data],
    })),
  };
}

test("a batch of any kinds comes back bit for bit, with the same count of bytes", () => {
  fc.assert(
    fc.property(anyBatch, ({ schema, batch }) => {
      const { header, body } = encode(batch);
      expect(header.bodyBytes).toBe(body.byteLength);
      const decoded = decode(schema, header, body);
      expect(trim(decoded)).toEqual(trim(batch));
      expect(batchBytes(decoded)).toBe(batchBytes(batch));
    }),
    { numRuns: 300 },
  );
});

test("every buffer lies in the body itself, at a multiple of 8", () => {
  fc.assert(
    fc.property(anyBatch, ({ schema, batch }) => {
      const { header, body } = encode(batch);
      for (const column of decode(schema, header, body).columns) {
        for (const view of [column.validity, column.offsets, column.data]) {
          if (!view) continue;
          expect(view.buffer).toBe(body.buffer);
          expect(view.byteOffset % 8).toBe(0);
        }
      }
    }),
  );
});

test("the pieces of a batch are its own buffers, not copies", () => {
  const { pieces } = encodeBatch(ordersBatch, ids, 1);
  for (const { data } of ordersBatch.columns) {
    expect(pieces.some((piece) => piece.buffer === data.buffer)).toBe(true);
  }
});

test.for(allKinds)("a column of kind %s must have its exact bytes", (kind) => {
  const schema: StreamSchema = {
    ...orders,
    columns: [
      { name: "c", type: typeOf(kind), nullable: true, sourceType: kind },
    ],
  };
  const variable = isVariableWidth(kind);
  const data = new Uint8Array(1000);
  const batch = {
    rowCount: 3,
    columns: [
      {
        nullCount: 0,
        validity: null,
        offsets: variable ? Int32Array.of(0, 1, 1, 999) : null,
        data,
      },
    ],
  };
  const { header, body } = encode(batch);
  expect(() => decode(schema, header, body)).toThrow(
    expect.objectContaining({ code: "CHANNEL_CORRUPT" }),
  );
});

describe("a body that is not what its header says is CHANNEL_CORRUPT", () => {
  const { header, body } = encode(ordersBatch);
  const [first, second, third, text] = header.columns;
  assert.ok(first && second && third && text);
  const columnsWith = (
    index: number,
    change: Partial<BatchHeader["columns"][number]>,
  ): BatchHeader["columns"] =>
    header.columns.map((one, i) => (i === index ? { ...one, ...change } : one));

  test.for<[string, Partial<BatchHeader>, RegExp]>([
    ["a wrong checksum", { bodyCrc32: header.bodyCrc32 ^ 1 }, /checksum/],
    ["a missing column", { columns: header.columns.slice(1) }, /3 columns/],
    ["too many rows", { rowCount: 16_385 }, /16385 rows/],
    ["more rows than data", { rowCount: 4 }, /bytes of data/],
    ["fewer rows than data", { rowCount: 2 }, /bytes of data/],
    [
      "a misaligned offset",
      { columns: columnsWith(0, { dataOffset: 4 }) },
      /at offset 4/,
    ],
    [
      "data beyond the body",
      { columns: columnsWith(0, { dataOffset: 2 ** 32 - 8 }) },
      /leave the body/,
    ],
    [
      "validity beyond the body",
      { columns: columnsWith(2, { validityOffset: body.length }) },
      /leave the body/,
    ],
    [
      "offsets beyond the body",
      { columns: columnsWith(3, { offsetsOffset: body.length - 8 }) },
      /leave the body/,
    ],
    [
      "data bytes of another kind",
      { columns: columnsWith(0, { dataBytes: 12 }) },
      /12 bytes of data instead of 24/,
    ],
    [
      "text that ends elsewhere",
      { columns: columnsWith(3, { dataBytes: text.dataBytes - 1 }) },
      /offsets that end/,
    ],
    [
      "more nulls than rows",
      { columns: columnsWith(1, { nullCount: 4 }) },
      /null count of 4/,
    ],
    [
      "fewer nulls than the bitmap",
      { columns: columnsWith(1, { nullCount: 2 }) },
      /null count of 2/,
    ],
    [
      "nulls in a NOT NULL column",
      { columns: columnsWith(0, { nullCount: 1 }) },
      /NOT NULL/,
    ],
    [
      "offsets that are something else",
      { columns: columnsWith(3, { offsetsOffset: first.dataOffset }) },
      /ascend/,
    ],
  ])("%s", ([, change, message]) => {
    const attempt = (): unknown =>
      decode(orders, { ...header, ...change }, body);
    expect(attempt).toThrow(
      expect.objectContaining({ code: "CHANNEL_CORRUPT" }),
    );
    expect(attempt).toThrow(message);
  });

  test("any changed byte of the body", () => {
    fc.assert(
      fc.property(
        fc.nat(body.length - 1),
        fc.integer({ min: 1, max: 255 }),
        (at, mask) => {
          const changed = Uint8Array.from(body);
          changed[at] = (changed[at] ?? 0) ^ mask;
          expect(() => decode(orders, header, changed)).toThrow(/checksum/);
        },
      ),
    );
  });

  test("any offsets that descend, even under a right checksum", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 }),
        fc.integer(),
        (index, value) => {
          const changed = new Uint8Array(body);
          const offsets = new Int32Array(changed.buffer, text.offsetsOffset, 4);
          offsets[index] = value;
          const isRight =
            offsets[0] === 0 &&
            offsets.every(
              (offset, i) => i === 0 || offset >= (offsets[i - 1] ?? 0),
            ) &&
            offsets[3] === text.dataBytes;
          const attempt = (): unknown =>
            decode(orders, { ...header, bodyCrc32: crc32(changed) }, changed);
          if (isRight) attempt();
          else expect(attempt).toThrow(/offsets/);
        },
      ),
    );
  });

  test("offsets whose differences only seem to ascend, because they wrap", () => {
    const { columns } = buildSchema({ text: "text" });
    const whole = encode(
      buildBatch({ ...orders, columns }, [["ab"], ["cd"], ["ef"], ["g"]]),
    );
    const [column] = whole.header.columns;
    assert.ok(column);
    const offsets = new Int32Array(whole.body.buffer, column.offsetsOffset, 5);
    offsets.set([0, 2 ** 31 - 1, -(2 ** 31), -1, 7]);
    const forged = { ...whole.header, bodyCrc32: crc32(whole.body) };
    expect(() => decodeBatch(forged, whole.body, columns)).toThrow(/ascend/);
  });

  test("whatever a header claims, a batch never reaches outside its body", () => {
    const uint32 = fc.oneof(
      fc.integer({ min: 0, max: 40 }).map((n) => n * 8),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    );
    const anyColumn = fc.record({
      nullCount: fc.integer({ min: 0, max: 4 }),
      validityOffset: uint32,
      offsetsOffset: uint32,
      dataOffset: uint32,
      dataBytes: fc.oneof(fc.constantFrom(1, 11, 12, 24), uint32),
    });
    fc.assert(
      fc.property(
        fc.array(anyColumn, { minLength: 4, maxLength: 4 }),
        fc.integer({ min: 1, max: 20 }),
        (columns, rowCount) => {
          let batch: ColumnBatch;
          try {
            batch = decode(orders, { ...header, columns, rowCount }, body);
          } catch (error) {
            expect(error).toBeInstanceOf(ExtractError);
            return;
          }
          for (const { offsets, data } of batch.columns) {
            expect(data.byteOffset + data.byteLength).toBeLessThanOrEqual(
              body.byteLength,
            );
            expect(Math.max(...(offsets ?? [0]))).toBeLessThanOrEqual(
              data.byteLength,
            );
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});

test("ones of a bitmap are counted up to the last row only, at any address", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 13, maxLength: 80 }),
      fc.nat(5),
      fc.nat(64),
      (bytes, start, rows) => {
        const bitmap = bytes.subarray(start);
        const count = Math.min(rows, bitmap.length * 8);
        let expected = 0;
        for (let i = 0; i < count; i++)
          expected += ((bitmap[i >> 3] ?? 0) >> (i & 7)) & 1;
        expect(countBits(bitmap, count)).toBe(expected);
      },
    ),
  );
});

describe("a batch that is passed on", () => {
  const receive = (): ReturnType<typeof encode> & { batch: ColumnBatch } => {
    const { header, body } = encode(ordersBatch);
    const batch = decodeBatch(header, body, orders.columns, "next");
    return { header, body, batch };
  };

  test("goes on as it came, under other ids", () => {
    const { header, body, batch } = receive();
    const passed = encode(batch);
    expect(passed.body).toEqual(body);
    expect(passed.header).toEqual(header);
    expect(trim(decode(orders, passed.header, passed.body))).toEqual(
      trim(ordersBatch),
    );
  });

  test("keeps the checksum that it came with: what a relay does to it is found behind it", () => {
    const { body, batch } = receive();
    const last = body.length - 1;
    body[last] = (body[last] ?? 0) ^ 1;
    const passed = encode(batch);
    expect(() => decode(orders, passed.header, passed.body)).toThrow(
      /checksum/,
    );
  });

  test("is summed anew with some of its columns only", () => {
    const { batch } = receive();
    const columns = orders.columns.slice(1);
    const part = { ...batch, columns: batch.columns.slice(1) };
    const { header, body } = encode(part);
    expect(trim(decodeBatch(header, body, columns))).toEqual(trim(part));
  });

  test("is checked for what it claims all the same", () => {
    const { header, body } = encode(ordersBatch);
    const forged = { ...header, rowCount: header.rowCount + 1 };
    expect(() => decodeBatch(forged, body, orders.columns, "next")).toThrow(
      ExtractError,
    );
  });
});
