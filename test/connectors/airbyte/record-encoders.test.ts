/** Records as they leave: read back by a protobuf library and a JSON parser that know nothing of us. */
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import {
  encodeColumnBatch,
  encodeColumns,
  readColumnsEnvelope,
} from "../../../connectors/airbyte/columnar.ts";
import { JsonRecordEncoder } from "../../../connectors/airbyte/record-json/encoder.ts";
import {
  ProtobufRecordEncoder,
  encodeMessage,
  probe,
} from "../../../connectors/airbyte/record-protobuf/encoder.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import { decodeBatch } from "../../../transport/batch-codec.ts";
import {
  buildBatch,
  buildSchema,
  type TestRow,
  type TestValue,
} from "../../fixtures/batches.ts";
import { readBatch } from "../../fixtures/batch-rows.ts";
import { parseExactly } from "../../fixtures/read-back.ts";
import { kindCases } from "../formats/kinds.ts";

/** As Airbyte's own connectors have it; `null` stands where both of its generations are understood. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Envelope {
    oneof type { Record record = 1; string airbyte_protocol_message = 2; Probe probe = 3; }
  }
  message Probe {}
  message Record {
    optional string stream_namespace = 1;
    string stream_name = 2;
    uint64 emitted_at_ms = 3;
    string partition_id = 4;
    repeated Value data = 5;
  }
  message Value {
    oneof value {
      bool boolean = 1; string string = 2; sint64 integer = 3; string big_integer = 4;
      double number = 5; string big_decimal = 6; sint64 date = 7; uint64 time_without_timezone = 9;
      OffsetDateTime timestamp_with_timezone = 10; LocalDateTime timestamp_without_timezone = 11;
      bytes json = 12; bool is_null = 13;
    }
  }
  message OffsetDateTime { sint64 epoch_second = 1; uint32 nano = 2; sint32 offset_seconds = 3; }
  message LocalDateTime { sint64 date_days_since_epoch = 1; uint64 nanos_of_day = 2; }
`);
const Envelope = root.lookupType("Envelope");

interface WireRecord {
  readonly streamNamespace?: string;
  readonly streamName: string;
  readonly emittedAtMs: string;
  readonly partitionId: string;
  readonly data: readonly Record<string, unknown>[];
}

function readEnvelopes(bytes: Uint8Array): { record: WireRecord }[] {
  const reader = protobuf.Reader.create(bytes);
  const found: { record: WireRecord }[] = [];
  while (reader.pos < reader.len)
    found.push(
      Envelope.toObject(Envelope.decodeDelimited(reader), {
        longs: String,
        bytes: String,
        arrays: true,
      }) as { record: WireRecord },
    );
  return found;
}

const frame = { partitionId: "1-0-1-1", emittedAt: 1_767_000_000_123 };

function encodeProtobuf(
  kinds: Readonly<Record<string, LogicalKind>>,
  rows: readonly TestRow[],
): { record: WireRecord }[] {
  const schema = buildSchema(
    Object.fromEntries(
      Object.entries(kinds).map(([name, kind]) => [name, kindCases[kind].type]),
    ),
  );
  const encoder = new ProtobufRecordEncoder(schema);
  encoder.begin(frame);
  return readEnvelopes(
    Buffer.concat(encoder.encode(buildBatch(schema, rows)).map((one) => one)),
  );
}

const NANOS_A_DAY = 86_400_000_000_000n;

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

/** Zero is what proto3 leaves out. */
function withoutZeros(members: Record<string, bigint>): object {
  return Object.fromEntries(
    Object.entries(members)
      .filter(([, value]) => value !== 0n)
      .map(([name, value]) => [
        name,
        name === "nano" ? Number(value) : String(value),
      ]),
  );
}

function wireOf(kind: LogicalKind, value: TestValue): Record<string, unknown> {
  if (value === null) return { isNull: true };
  switch (kind) {
    case "boolean":
      return { boolean: value };
    case "int16":
    case "int32":
      return { integer: String(value) };
    case "int64":
    case "uint64": {
      const fits = BigInt.asIntN(63, value as bigint) === value;
      return fits ? { integer: String(value) } : { bigInteger: String(value) };
    }
    case "float32":
    case "float64":
      return {
        number: kind === "float32" ? Math.fround(value as number) : value,
      };
    case "decimal64":
    case "decimal128":
      return { bigDecimal: value };
    case "decimalText":
      return value === "NaN" || String(value).endsWith("Infinity")
        ? { number: Number(value) }
        : { bigDecimal: value };
    case "date":
      return { date: String(value) };
    case "time":
      return { timeWithoutTimezone: String((value as bigint) * 1000n) };
    case "timeNs":
      return { timeWithoutTimezone: String(value) };
    case "timestamptz": {
      const nanos = (value as bigint) * 1000n;
      const epochSecond = floorDivide(nanos, 1_000_000_000n);
      const nano = nanos - epochSecond * 1_000_000_000n;
      return { timestampWithTimezone: withoutZeros({ epochSecond, nano }) };
    }
    case "timestamp":
    case "timestampNs": {
      const unit = kind === "timestamp" ? 1000n : 1n;
      const nanos = (value as bigint) * unit;
      const dateDaysSinceEpoch = floorDivide(nanos, NANOS_A_DAY);
      const nanosOfDay = nanos - dateDaysSinceEpoch * NANOS_A_DAY;
      return {
        timestampWithoutTimezone: withoutZeros({
          dateDaysSinceEpoch,
          nanosOfDay,
        }),
      };
    }
    case "json":
      return { json: Buffer.from(value as string).toString("base64") };
    case "binary":
      return { string: Buffer.from(value as Uint8Array).toString("base64") };
    case "uuid":
    case "text":
      return { string: value };
  }
}

const kinds = Object.keys(kindCases) as LogicalKind[];

describe.each(kinds)("%s as protobuf", (kind) => {
  test("its edges and NULL are read back as they are", () => {
    const values: TestValue[] = [...kindCases[kind].edges, null];
    const records = encodeProtobuf(
      { value: kind },
      values.map((value) => [value]),
    );
    expect(records.map(({ record }) => record.data)).toEqual(
      values.map((value) => [wireOf(kind, value)]),
    );
  });

  test("and so is any value", () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(kindCases[kind].arbitrary, { freq: 4 }), {
          minLength: 1,
          maxLength: 70,
        }),
        (values) => {
          const records = encodeProtobuf(
            { value: kind },
            values.map((value) => [value]),
          );
          expect(records.map(({ record }) => record.data)).toEqual(
            values.map((value) => [wireOf(kind, value)]),
          );
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("a protobuf record", () => {
  test("names its stream, its partition and its time, and has its values in the order of their names", () => {
    const records = encodeProtobuf({ b: "int32", a: "text", B: "boolean" }, [
      [1, "one", true],
    ]);
    expect(records).toEqual([
      {
        record: {
          streamNamespace: "public",
          streamName: "rows",
          emittedAtMs: "1767000000123",
          partitionId: "1-0-1-1",
          data: [{ boolean: true }, { string: "one" }, { integer: "1" }],
        },
      },
    ]);
  });

  test("of any length has the length that it says", () => {
    const lengths = [0, 1, 60, 90, 100, 127, 128, 200, 16_200, 16_384, 70_000];
    const records = encodeProtobuf(
      { value: "text" },
      lengths.map((length) => ["x".repeat(length)]),
    );
    expect(
      records.map(({ record }) => String(record.data[0]?.["string"]).length),
    ).toEqual(lengths);
  });

  test("without a namespace has none, not an empty one", () => {
    const schema = { ...buildSchema({ value: "int32" }), namespace: "" };
    const encoder = new ProtobufRecordEncoder(schema);
    encoder.begin({ partitionId: null, emittedAt: 0 });
    const pieces = encoder.encode(buildBatch(schema, [[7]]));
    const [one] = readEnvelopes(Buffer.concat(pieces));
    expect(one?.record).not.toHaveProperty("streamNamespace");
    expect(one?.record).not.toHaveProperty("partitionId");
  });
});

test("messages and probes are envelopes too", () => {
  const json = JSON.stringify({
    type: "STATE",
    state: { data: "ü".repeat(99) },
  });
  const bytes = Buffer.concat([encodeMessage(json), probe]);
  expect(readEnvelopes(bytes)).toEqual([
    { airbyteProtocolMessage: json },
    { probe: {} },
  ]);
});

describe("a JSON record", () => {
  const schema = buildSchema({ id: "int64", 'na"me': "text" });

  function encode(partitionId: string | null): unknown[] {
    const encoder = new JsonRecordEncoder(schema);
    encoder.begin({ partitionId, emittedAt: 1_767_000_000_123 });
    const batch = buildBatch(schema, [
      [9_007_199_254_740_993n, 'a "b"\n'],
      [null, null],
    ]);
    return Buffer.concat(encoder.encode(batch))
      .toString()
      .trimEnd()
      .split("\n")
      .map(parseExactly);
  }

  test("is a line with all digits of its numbers", () => {
    expect(encode(null)).toEqual([
      {
        type: "RECORD",
        record: {
          stream: "rows",
          namespace: "public",
          emitted_at: { number: "1767000000123" },
          data: { id: { number: "9007199254740993" }, 'na"me': 'a "b"\n' },
        },
      },
      {
        type: "RECORD",
        record: {
          stream: "rows",
          namespace: "public",
          emitted_at: { number: "1767000000123" },
          data: { id: null, 'na"me': null },
        },
      },
    ]);
  });

  test("names its partition where states count by it", () => {
    expect(encode("1-0-1-1")[0]).toMatchObject({
      record: { partition_id: "1-0-1-1" },
    });
  });

  test("has another frame when it is told so, and the same encoder", () => {
    const encoder = new JsonRecordEncoder(schema);
    const batch = buildBatch(schema, [[1n, "x"]]);
    const ids = ["short", "another-that-is-longer"].map((partitionId) => {
      encoder.begin({ partitionId, emittedAt: 1 });
      const text = Buffer.concat(encoder.encode(batch)).toString();
      return (JSON.parse(text) as { record: { partition_id: string } }).record
        .partition_id;
    });
    expect(ids).toEqual(["short", "another-that-is-longer"]);
  });
});

describe("columns", () => {
  const schema = buildSchema({ id: "int64", name: "text", at: "timestamptz" });
  const rows: TestRow[] = [
    [1n, "one", 0n],
    [null, "two", null],
  ];

  /** What stands behind the length. */
  function open(bytes: Uint8Array): Uint8Array {
    const reader = protobuf.Reader.create(bytes);
    const length = reader.uint32();
    return bytes.subarray(reader.pos, reader.pos + length);
  }

  test("are read back as they were, with their partition", () => {
    const announced = readColumnsEnvelope(open(encodeColumns(schema, 1)));
    expect(announced?.frame).toMatchObject({ kind: "schema", version: 1 });
    const ids = { stream: 1, partition: 4, attempt: 1, sequence: 1 };
    const [head, ...body] = encodeColumnBatch(
      buildBatch(schema, rows),
      ids,
      1,
      "1-4-1-2",
    );
    const read = readColumnsEnvelope(open(head ?? new Uint8Array(0)));
    expect(read?.partitionId).toBe("1-4-1-2");
    if (read?.frame.kind !== "batch") throw new Error("no batch");
    const bytes = Buffer.concat(body);
    const aligned = new Uint8Array(bytes.length);
    aligned.set(bytes);
    expect(
      readBatch(schema, decodeBatch(read.frame.batch, aligned, schema.columns)),
    ).toEqual(rows);
  });

  test("are no message of Airbyte's, and its messages are no columns", () => {
    expect(readColumnsEnvelope(open(encodeMessage("{}")))).toBeNull();
    expect(readColumnsEnvelope(open(probe))).toBeNull();
    const [one] = readEnvelopes(encodeColumns(schema, 1));
    expect(one).toEqual({});
  });

  test("that are cut or changed are an error, whatever was changed", () => {
    const whole = open(encodeColumns(schema, 1));
    fc.assert(
      fc.property(
        fc.nat({ max: whole.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, change) => {
          const bytes = whole.slice();
          bytes[at] = bytes[at]! ^ change;
          for (const one of [bytes, whole.subarray(0, at)]) {
            try {
              readColumnsEnvelope(one);
            } catch (error) {
              expect(error).toMatchObject({ code: "CHANNEL_CORRUPT" });
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
