/**
 * Decoding of Debezium's events alone, without an engine: updates of a table of 12 columns, made here as Debezium 3.5
 * writes them and as the engine's frames have them, go through the decoder into column buffers, and beside it through
 * `JSON.parse` and a walk over the row's members, which makes no columns yet. Prints CPU ns per event and per field, the median of the rounds; Debezium itself
 * takes 50,000 to 80,000 ns for each. The ratios hold on any machine, the figures do not.
 *
 *     node test/bench/stages/change-decode.ts [--ms 500] [--rounds 3]
 */
import { parseArgs } from "node:util";
import { BATCH_ROWS_MAX } from "../../../proto/columns.ts";
import type { LogicalType, StreamSchema } from "../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../connectors/sources/batches/batch-set.ts";
import type { ChangeSettings } from "../../../connectors/sources/debezium/events/columns.ts";
import { openChangeDecoder } from "../../../connectors/sources/debezium/events/decoder.ts";
import { ChangeEvent } from "../../../connectors/sources/debezium/events/event.ts";
import {
  readRun,
  toFrame,
} from "../../connectors/sources/debezium/events/frames.ts";
import { BatchEvent } from "../../../connectors/sources/debezium/events/batch-event.ts";
import { makePlace } from "../../../connectors/sources/debezium/events/positions.ts";

const EVENTS = 5_000;
/** Of a frame. */
const FRAME_EVENTS = 250;

const columns: readonly (readonly [
  string,
  LogicalType,
  (i: number) => string,
])[] = [
  ["id", { kind: "int64" }, (i) => String(1_000_000_007 * i)],
  [
    "external_id",
    { kind: "uuid" },
    (i) => `"a0eebc99-9c0b-4ef8-bb6d-${i.toString(16).padStart(12, "0")}"`,
  ],
  ["name", { kind: "text" }, (i) => `"Customer Nr. ${i}"`],
  ["email", { kind: "text" }, (i) => `"customer.${i}@shop.example"`],
  ["city", { kind: "text" }, (i) => (i % 3 === 0 ? "null" : '"Łódź"')],
  ["active", { kind: "boolean" }, (i) => String(i % 2 === 0)],
  ["visits", { kind: "int32" }, (i) => String(i % 1_000)],
  [
    "balance",
    { kind: "decimal64", precision: 18, scale: 4 },
    (i) => `"${i % 10_000}.${String(i % 10_000).padStart(4, "0")}"`,
  ],
  ["score", { kind: "float64" }, (i) => `${i % 100}.${i % 7}5`],
  ["born", { kind: "date" }, (i) => String(5_000 + (i % 9_000))],
  [
    "created_at",
    { kind: "timestamptz" },
    (i) =>
      `"2024-03-${String((i % 28) + 1).padStart(2, "0")}T10:11:12.${String(i % 1_000).padStart(3, "0")}456Z"`,
  ],
  [
    "settings",
    { kind: "json" },
    (i) =>
      JSON.stringify(
        `{"theme": "dark", "page": ${i % 50}, "tags": ["a", "b"]}`,
      ),
  ],
];

const table: StreamSchema = {
  number: 1,
  namespace: "public",
  name: "customers",
  columns: columns.map(([name, type]) => ({
    name,
    type,
    nullable: true,
    sourceType: type.kind,
  })),
  key: ["id"],
  fingerprint: "0123456789abcdef",
};

function makeRow(i: number): string {
  return `{${columns.map(([name, , value]) => `"${name}":${value(i)}`).join()}}`;
}

interface RecordedEvent {
  readonly key: Buffer;
  readonly value: Buffer;
}

function makeEvents(hasBefore: boolean): RecordedEvent[] {
  return Array.from({ length: EVENTS }, (_, i) => ({
    key: Buffer.from(`{"id":${1_000_000_007 * i}}`),
    value: Buffer.from(
      `{"before":${hasBefore ? makeRow(i) : "null"},"after":${makeRow(i)},"source":{"version":"3.5.0.Final","connector":"postgresql","name":"m","ts_ms":1795276284143,"snapshot":"false","db":"shop","sequence":"[\\"27358648\\",\\"27360744\\"]","ts_us":1795276284143123,"ts_ns":1795276284143123000,"schema":"public","table":"customers","txId":733,"lsn":${27_360_744 + i},"xmin":null,"origin":null,"origin_lsn":null},"transaction":{"id":"733:27360744","total_order":${i + 1},"data_collection_order":${i + 1}},"op":"u","ts_ms":1795276284155,"ts_us":1795276284155668,"ts_ns":1795276284155668765}`,
    ),
  }));
}

const settings: ChangeSettings = {
  connector: "postgresql",
  beforeImage: "key",
  timePrecision: "microseconds",
  policy: "error",
  valueNulled: () => {},
  unavailableValue: "millrace-unavailable-0123456789abcdef",
  transactionId: false,
};

function decoderPass(events: readonly RecordedEvent[]): () => void {
  const decoder = openChangeDecoder(table, settings);
  const set = new BatchSet(
    decoder.fields,
    batchCapacity(decoder.fields, BATCH_ROWS_MAX),
  );
  const event = new ChangeEvent();
  const place = makePlace(1, "0000000016b374d84800", "733");
  const namespace = Buffer.from(table.namespace);
  const name = Buffer.from(table.name);
  return () => {
    set.reset();
    for (const [i, { key, value }] of events.entries()) {
      event.read({
        number: i + 1,
        order: i + 1,
        topic: "m.public.customers",
        key,
        value,
        headers: null,
      });
      if (!event.isOf(namespace, name)) throw new Error("another table");
      const result = decoder.append(event, place, set);
      if (result === "full") {
        set.reset();
        decoder.append(event, place, set);
      } else if (result !== "appended") throw new Error(result.detail);
    }
  };
}

function framePass(events: readonly RecordedEvent[]): () => void {
  const decoder = openChangeDecoder(table, settings);
  const set = new BatchSet(
    decoder.fields,
    batchCapacity(decoder.fields, BATCH_ROWS_MAX),
  );
  const frames: Buffer[] = [];
  for (let at = 0; at < events.length; at += FRAME_EVENTS)
    frames.push(
      toFrame(
        events.slice(at, at + FRAME_EVENTS).map(({ key, value }, i) => ({
          ...{ number: at + i + 1, order: at + i + 1, key, value },
          ...{ topic: "m.public.customers", headers: null },
        })),
        new Map([["score", "float64"]]),
      ),
    );
  const event = new BatchEvent();
  const place = makePlace(1, "0000000016b374d84800", "733");
  return () => {
    set.reset();
    for (const frame of frames) {
      event.begin(readRun(frame));
      while (event.next()) {
        const result = decoder.append(event, place, set);
        if (result === "full") {
          set.reset();
          decoder.append(event, place, set);
        } else if (result !== "appended") throw new Error(result.detail);
      }
    }
  };
}

/** What a program with objects does before it has a single column. */
function parsePass(events: readonly RecordedEvent[]): () => void {
  return () => {
    let characters = 0;
    for (const { value } of events) {
      const { after, op } = JSON.parse(value.toString("utf8")) as {
        after: Record<string, unknown>;
        op: string;
      };
      characters += op.length;
      for (const [name, field] of Object.entries(after)) {
        characters +=
          name.length + (typeof field === "string" ? field.length : 1);
      }
    }
    if (characters === 0) throw new Error("nothing was parsed");
  };
}

/** Runs `pass`, which handles all events once, for about `ms`; CPU ns per event. */
function measure(ms: number, pass: () => void): number {
  let passes = 0;
  const cpu = process.cpuUsage();
  const end = performance.now() + ms;
  for (; performance.now() < end; passes++) pass();
  const { user, system } = process.cpuUsage(cpu);
  return ((user + system) * 1_000) / (passes * EVENTS);
}

const { values: options } = parseArgs({
  options: {
    ms: { type: "string", default: "500" },
    rounds: { type: "string", default: "3" },
  },
});

interface ChangeResult {
  readonly stage: string;
  readonly nsPerEvent: number;
  readonly nsPerField: number;
  readonly bytes: number;
}

export function run(): ChangeResult[] {
  const after = makeEvents(false);
  const both = makeEvents(true);
  const stages = [
    ["row after", after, decoderPass(after)],
    ["row after, frames", after, framePass(after)],
    ["row after, JSON.parse", after, parsePass(after)],
    ["both rows", both, decoderPass(both)],
    ["both rows, frames", both, framePass(both)],
    ["both rows, JSON.parse", both, parsePass(both)],
  ] as const;
  return stages.map(([stage, events, pass]) => {
    pass();
    const rounds = Array.from({ length: Number(options.rounds) }, () =>
      measure(Number(options.ms), pass),
    );
    const median = rounds.toSorted((a, b) => a - b)[rounds.length >> 1] ?? 0;
    return {
      stage,
      nsPerEvent: Math.round(median),
      nsPerField: Math.round(median / columns.length),
      bytes: events[0]?.value.length ?? 0,
    };
  });
}
