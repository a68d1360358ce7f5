/** Frames, schemas and batches that the tests of the transport share. */
import fc from "fast-check";
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import { fixedWidthBytes, isVariableWidth } from "../../proto/schema.ts";
import type {
  ColumnSchema,
  LogicalKind,
  LogicalType,
  StreamSchema,
} from "../../proto/schema.ts";
import type { Frame } from "../../transport/frames.ts";
import { buildBatch, buildSchema } from "../fixtures/batches.ts";

export const allKinds = Object.keys(fixedWidthBytes) as LogicalKind[];

export function typeOf(kind: LogicalKind): LogicalType {
  if (kind === "decimal64") return { kind, precision: 18, scale: 4 };
  if (kind === "decimal128") return { kind, precision: 38, scale: 10 };
  return { kind };
}

export const orders: StreamSchema = {
  ...buildSchema(
    { id: "int64", paid: "boolean", price: typeOf("decimal64"), note: "text" },
    ["id"],
  ),
  number: 7,
  name: "orders",
  fingerprint: "f00d",
};

export const ordersBatch: ColumnBatch = buildBatch(orders, [
  [1n, true, "1.5000", "first"],
  [2n, null, null, null],
  [3n, false, "-20.0001", "drei €"],
]);

/** Every kind of frame once, as the golden file holds them. */
export const sampleFrames: readonly (readonly [string, Frame])[] = [
  [
    "hello",
    {
      kind: "hello",
      hello: { versionMin: 1, versionMax: 1, run: "r1", epoch: 2, channel: 3 },
    },
  ],
  [
    "helloReply",
    {
      kind: "helloReply",
      helloReply: {
        version: 1,
        run: "r1",
        epoch: 2,
        channel: 3,
        streams: [{ version: 1, schema: orders }],
      },
    },
  ],
  ["schema", { kind: "schema", version: 2, schema: orders }],
  [
    "checkpoint at a key",
    {
      kind: "checkpoint",
      checkpoint: {
        stream: 7,
        partition: 0,
        attempt: 1,
        sequence: 2,
        index: 1,
        position: { kind: "key", after: ["42", "ü"] },
        rows: 3,
        bytes: 2 ** 40 + 1,
        last: false,
      },
    },
  ],
  [
    "checkpoint at a page",
    {
      kind: "checkpoint",
      checkpoint: {
        stream: 7,
        partition: 300,
        attempt: 2,
        sequence: 9,
        index: 12,
        position: { kind: "pages", nextPage: 1024 },
        rows: 0,
        bytes: 0,
        last: false,
      },
    },
  ],
  [
    "last checkpoint",
    {
      kind: "checkpoint",
      checkpoint: {
        stream: 7,
        partition: 1,
        attempt: 1,
        sequence: 1,
        index: 2,
        position: null,
        rows: 10,
        bytes: 20,
        last: true,
      },
    },
  ],
  [
    "ack",
    {
      kind: "ack",
      ack: {
        stream: 7,
        partition: 1,
        attempt: 1,
        sequence: 1,
        rows: 10,
        bytes: 20,
      },
    },
  ],
  [
    "discard",
    {
      kind: "discard",
      discard: { stream: 7, partition: 1, attempt: 1, fromSequence: 4 },
    },
  ],
  [
    "discarded",
    {
      kind: "discarded",
      discarded: { stream: 7, partition: 1, attempt: 1 },
    },
  ],
  ["stalled", { kind: "stalled", reason: "the disk is slow" }],
  ["probe", { kind: "probe" }],
  [
    "fault",
    {
      kind: "fault",
      error: {
        code: "DESTINATION_FULL",
        message: "no space left",
        details: { path: "/out", bytes: 1, known: true, cause: null },
      },
    },
  ],
  [
    "end",
    {
      kind: "end",
      totals: { batches: 1, rows: 3, bytes: 99, checkpoints: 2 },
    },
  ],
];

export interface SampleBatch {
  readonly schema: StreamSchema;
  readonly batch: ColumnBatch;
}

/** Batches of 1 to 300 rows with up to 25 columns of any kind, with and without nulls, contents at random. */
export const anyBatch: fc.Arbitrary<SampleBatch> = fc
  .tuple(
    fc.integer({ min: 1, max: 300 }),
    fc.array(
      fc.record({
        kind: fc.constantFrom(...allKinds),
        nulls: fc.constantFrom("never", "some", "all"),
      }),
      { maxLength: 25 },
    ),
    fc.integer({ min: 1, max: 0x7fffffff }),
  )
  .map(([rowCount, columns, seed]) => {
    const random = createRandom(seed);
    return {
      schema: {
        ...orders,
        columns: columns.map(({ kind, nulls }, i): ColumnSchema => ({
          name: `c${i}`,
          type: typeOf(kind),
          nullable: nulls !== "never",
          sourceType: kind,
        })),
      },
      batch: {
        rowCount,
        columns: columns.map(({ kind, nulls }) =>
          makeColumn(kind, nulls, rowCount, random),
        ),
      },
    };
  });

function makeColumn(
  kind: LogicalKind,
  nulls: "never" | "some" | "all",
  rowCount: number,
  random: (below: number) => number,
): ColumnVector {
  const bitmapBytes = Math.ceil(rowCount / 8);
  const fill = (bytes: number): Uint8Array =>
    new Uint8Array(bytes).map(() => random(256));
  let validity: Uint8Array | null = null;
  let nullCount = 0;
  if (nulls !== "never") {
    // longer than needed, as a builder's bitmap may be; spare bits are ones
    validity = new Uint8Array(bitmapBytes + 8).fill(255);
    for (let row = 0; row < rowCount; row++) {
      if (nulls === "some" && random(2) === 0) continue;
      nullCount++;
      const byte = validity[row >> 3] ?? 0;
      validity[row >> 3] = byte & ~(1 << (row & 7));
    }
    if (nullCount === 0) validity = null;
  }
  if (!isVariableWidth(kind)) {
    const width = fixedWidthBytes[kind];
    const bytes = kind === "boolean" ? bitmapBytes : rowCount * width;
    return { nullCount, validity, offsets: null, data: fill(bytes) };
  }
  // one more than needed, as a builder's array may have
  const offsets = new Int32Array(rowCount + 2).fill(-1);
  offsets[0] = 0;
  for (let row = 0; row < rowCount; row++) {
    offsets[row + 1] = (offsets[row] ?? 0) + random(12);
  }
  return { nullCount, validity, offsets, data: fill(offsets[rowCount] ?? 0) };
}

function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
