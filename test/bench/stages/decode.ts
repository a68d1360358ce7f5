/**
 * Decoding alone, without a server: rows of a table like TPC-H's lineitem, made here, arrive in pieces as a socket
 * gives them, and go through the generated decoder, its interpreted twin, and `pg` with its row objects.
 * Prints the CPU s of the first 200,000 rows, V8's work for them included, then CPU ns per field, the median of the
 * rounds. The ratios hold on any machine, the figures do not.
 *
 *     node test/bench/stages/decode.ts [--ms 500] [--rounds 3] [--columns 16]
 */
import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { BATCH_ROWS_MAX } from "../../../proto/columns.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../connectors/sources/batches/batch-set.ts";
import { createDecoder } from "../../../connectors/sources/postgres/decode/choose.ts";
import type { RowDecoder } from "../../../connectors/sources/postgres/decode/decoder.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../connectors/sources/postgres/decode/plan.ts";
import type { WireKind } from "../../../connectors/sources/postgres/types.ts";

const { values: options } = parseArgs({
  options: {
    ms: { type: "string", default: "500" },
    rounds: { type: "string", default: "3" },
    columns: { type: "string", default: "16" },
  },
});
/** A few megabytes, whatever the width: more would be a measure of the memory. */
const ROWS = Math.round(320_000 / Number(options.columns));
const FIRST_ROWS = 200_000;
/** Code is optimised in another thread: what is still under way is waited for. */
const COMPILER_MS = 200;
/** As many bytes as a coalesced read brings. */
const PIECE_BYTES = 200_000;

/** A column: its name, how it is decoded, its type oid, and its value in row `i`. */
type Column = readonly [
  name: string,
  kind: WireKind,
  logical: LogicalKind,
  oid: number,
  value: (i: number) => string | number,
];

const words =
  "the quick slow packages furiously even deposits about carefully final ideas sleep";
const instructions = [
  "DELIVER IN PERSON",
  "NONE",
  "TAKE BACK RETURN",
  "COLLECT COD",
];
const modes = ["AIR", "MAIL", "SHIP", "RAIL", "TRUCK", "FOB", "REG AIR"];

const lineitem: readonly Column[] = [
  ["orderkey", "bits64", "int64", 20, (i) => Math.floor(i / 4) * 3],
  ["partkey", "bits32", "int32", 23, (i) => (i * 7_919) % 200_000],
  ["suppkey", "bits32", "int32", 23, (i) => (i * 31) % 10_000],
  ["linenumber", "bits32", "int32", 23, (i) => (i % 7) + 1],
  ["quantity", "decimal64", "decimal64", 1700, (i) => `${(i % 50) + 1}.00`],
  [
    "extendedprice",
    "decimal64",
    "decimal64",
    1700,
    (i) => (900 + ((i * 104_729) % 10_000_000) / 100).toFixed(2),
  ],
  ["discount", "decimal64", "decimal64", 1700, (i) => `0.0${i % 10}`],
  ["tax", "decimal64", "decimal64", 1700, (i) => `0.0${i % 9}`],
  ["returnflag", "bytes", "text", 1042, (i) => "ANR".charAt(i % 3)],
  ["linestatus", "bytes", "text", 1042, (i) => "OF".charAt(i % 2)],
  ["shipdate", "date", "date", 1082, (i) => ((i * 17) % 2_500) - 2_900],
  ["commitdate", "date", "date", 1082, (i) => ((i * 19) % 2_500) - 2_890],
  ["receiptdate", "date", "date", 1082, (i) => ((i * 23) % 2_500) - 2_880],
  [
    "shipinstruct",
    "bytes",
    "text",
    1042,
    (i) => (instructions[i % 4] ?? "").padEnd(25),
  ],
  ["shipmode", "bytes", "text", 1042, (i) => (modes[i % 7] ?? "").padEnd(10)],
  [
    "comment",
    "bytes",
    "text",
    1043,
    (i) => words.slice(i % 30, (i % 30) + 10 + ((i * 7) % 34)),
  ],
];

/** Wider tables have the same columns again. */
const columns = Array.from({ length: Number(options.columns) }, (_, i) => {
  const column = lineitem[i % lineitem.length];
  if (column === undefined) throw new Error("no columns");
  return column;
});

const fields = columns.map(([name, kind, logical]): FieldPlan => ({
  name,
  kind,
  logical,
  nullable: false,
  precision: kind === "decimal64" ? 12 : 0,
  scale: kind === "decimal64" ? 2 : 0,
}));

function makeWire(encode: (column: Column, i: number) => Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i < ROWS; i++) {
    const values = columns.map((column) => encode(column, i));
    const header = Buffer.alloc(7);
    header.write("D");
    header.writeInt32BE(
      values.reduce((sum, v) => sum + 4 + v.length, 6),
      1,
    );
    header.writeInt16BE(columns.length, 5);
    parts.push(header);
    for (const value of values) {
      const length = Buffer.alloc(4);
      length.writeInt32BE(value.length);
      parts.push(length, value);
    }
  }
  // memory of its own, so that views over it begin at 0
  const bytes = Buffer.concat(parts);
  const wire = Buffer.from(new ArrayBuffer(bytes.length));
  bytes.copy(wire);
  return wire;
}

/** The formats that the reader asks for: numbers and dates binary, decimals and text as text. */
function encodeMixed([, kind, , , value]: Column, i: number): Buffer {
  const v = value(i);
  if (typeof v === "string") return Buffer.from(v);
  const buffer = Buffer.alloc(kind === "bits64" ? 8 : 4);
  if (kind === "bits64") buffer.writeBigInt64BE(BigInt(v));
  else buffer.writeInt32BE(v);
  return buffer;
}

/** All text, as `pg` asks for. */
function encodeText([, kind, , , value]: Column, i: number): Buffer {
  const v = value(i);
  if (kind !== "date") return Buffer.from(String(v));
  const day = new Date(Date.UTC(2000, 0, 1) + Number(v) * 86_400_000);
  return Buffer.from(day.toISOString().slice(0, 10));
}

/** Runs `pass`, which handles all rows once, for about `ms`; CPU ns per field. */
function measure(ms: number, pass: () => void): number {
  let passes = 0;
  const cpu = process.cpuUsage();
  const end = performance.now() + ms;
  for (; performance.now() < end; passes++) pass();
  const { user, system } = process.cpuUsage(cpu);
  return ((user + system) * 1_000) / (passes * ROWS * columns.length);
}

function decoderPass(decoder: RowDecoder, wire: Buffer): () => void {
  const set = new BatchSet(fields, batchCapacity(fields, BATCH_ROWS_MAX));
  const view = new DataView(wire.buffer);
  return () => {
    let start = 0;
    for (let end = 0; end < wire.length;) {
      end = Math.min(wire.length, end + PIECE_BYTES);
      for (;;) {
        start = decoder.decode(set, wire, view, start, end);
        if (!set.isFull) break;
        set.reset();
      }
    }
    set.reset();
  };
}

/** What of `pg`'s modules is used beyond its typings. */
interface ResultOfPg {
  addFields(fields: readonly object[]): void;
  parseRow(values: readonly unknown[]): object;
}

function pgPass(wire: Buffer): () => void {
  const Result = createRequire(import.meta.url)("pg/lib/result.js") as new (
    rowMode: undefined,
    types: typeof pg.types,
  ) => ResultOfPg;
  const result = new Result(undefined, pg.types);
  result.addFields(
    columns.map(([name, , , dataTypeID]) => ({
      name,
      dataTypeID,
      format: "text",
    })),
  );
  const stream = new EventEmitter();
  const connection = new pg.Connection({ stream: stream as never });
  let rows = 0;
  connection.on("dataRow", (row: { fields: readonly unknown[] }) => {
    if (result.parseRow(row.fields)) rows++;
  });
  (
    connection as unknown as { attachListeners(from: EventEmitter): void }
  ).attachListeners(stream);
  return () => {
    rows = 0;
    for (let at = 0; at < wire.length; at += PIECE_BYTES) {
      stream.emit("data", wire.subarray(at, at + PIECE_BYTES));
    }
    if (rows !== ROWS) throw new Error(`pg gave ${rows} rows`);
  };
}

const plan: DecodePlan = {
  fields,
  table: "lineitem",
  policy: "error",
  valueNulled: () => {},
};
const mixed = makeWire(encodeMixed);
const stages = new Map([
  ["generated", decoderPass(createDecoder(plan, "generated"), mixed)],
  ["interpreted", decoderPass(createDecoder(plan, "interpreted"), mixed)],
  ["pg row objects", pgPass(makeWire(encodeText))],
]);
const figures = new Map<string, number[]>();
for (const [name, pass] of stages) {
  const cpu = process.cpuUsage();
  for (let rows = 0; rows < FIRST_ROWS; rows += ROWS) pass();
  await sleep(COMPILER_MS);
  const { user, system } = process.cpuUsage(cpu);
  console.log(
    `${name.padEnd(16)} ${((user + system) / 1e6).toFixed(2).padStart(7)} s for the first ${FIRST_ROWS} rows`,
  );
}
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [name, pass] of stages) {
    const ns = measure(Number(options.ms), pass);
    figures.set(name, [...(figures.get(name) ?? []), ns]);
  }
}
let base = 0;
for (const [name, rounds] of figures) {
  const median = rounds.toSorted((a, b) => a - b)[rounds.length >> 1] ?? 0;
  if (base === 0) base = median;
  console.log(
    `${name.padEnd(16)} ${median.toFixed(1).padStart(7)} ns/field  ${(median / base).toFixed(1).padStart(5)} x`,
  );
}
