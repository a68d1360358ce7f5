/**
 * Decoding of MySQL's binary rows alone, without a server: rows of a table like TPC-H's lineitem, made here, arrive in
 * pieces as a socket gives them, and go through the generated decoder, its interpreted twin, and `mysql2` with its rows
 * as objects. Prints CPU ns per field, the median of the rounds. The ratios hold on any machine, the figures do not.
 *
 *     node test/bench/stages/mysql-decode.ts [--ms 500] [--rounds 3]
 */
import { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import mysql from "mysql2";
import { BATCH_ROWS_MAX } from "../../../proto/columns.ts";
import type { LogicalKind } from "../../../proto/schema.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../connectors/sources/batches/batch-set.ts";
import { createDecoder } from "../../../connectors/sources/mysql/decode/choose.ts";
import type { RowDecoder } from "../../../connectors/sources/mysql/decode/decoder.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../connectors/sources/mysql/decode/plan.ts";
import type { WireKind } from "../../../connectors/sources/mysql/types.ts";

const ROWS = 20_000;
/** As many bytes as a coalesced read brings. */
const PIECE_BYTES = 200_000;
const HEADER_BYTES = 4;

/** A column: its name, how it is decoded, its type's number, and its value in row `i`. */
type Column = readonly [
  name: string,
  kind: WireKind,
  logical: LogicalKind,
  type: number,
  value: (i: number) => string | number,
];

const types = { long: 3, longlong: 8, date: 10, decimal: 246, varchar: 253 };
const words =
  "the quick slow packages furiously even deposits about carefully final ideas sleep";
const instructions = [
  "DELIVER IN PERSON",
  "NONE",
  "TAKE BACK RETURN",
  "COLLECT COD",
];
const modes = ["AIR", "MAIL", "SHIP", "RAIL", "TRUCK", "FOB", "REG AIR"];

const int = (name: string, value: (i: number) => number): Column => [
  name,
  "bits32",
  "int32",
  types.long,
  value,
];
const decimal = (name: string, value: (i: number) => string): Column => [
  name,
  "decimal64",
  "decimal64",
  types.decimal,
  value,
];
const text = (name: string, value: (i: number) => string): Column => [
  name,
  "bytes",
  "text",
  types.varchar,
  value,
];
/** Values are days from 1992-01-01. */
const date = (name: string, value: (i: number) => number): Column => [
  name,
  "date",
  "date",
  types.date,
  value,
];

const columns: readonly Column[] = [
  ["orderkey", "bits64", "int64", types.longlong, (i) => Math.floor(i / 4) * 3],
  int("partkey", (i) => (i * 7_919) % 200_000),
  int("suppkey", (i) => (i * 31) % 10_000),
  int("linenumber", (i) => (i % 7) + 1),
  decimal("quantity", (i) => `${(i % 50) + 1}.00`),
  decimal("extendedprice", (i) =>
    (900 + ((i * 104_729) % 10_000_000) / 100).toFixed(2),
  ),
  decimal("discount", (i) => `0.0${i % 10}`),
  decimal("tax", (i) => `0.0${i % 9}`),
  text("returnflag", (i) => "ANR".charAt(i % 3)),
  text("linestatus", (i) => "OF".charAt(i % 2)),
  date("shipdate", (i) => (i * 17) % 2_500),
  date("commitdate", (i) => (i * 19) % 2_500),
  date("receiptdate", (i) => (i * 23) % 2_500),
  text("shipinstruct", (i) => instructions[i % 4] ?? ""),
  text("shipmode", (i) => modes[i % 7] ?? ""),
  text("comment", (i) => words.slice(i % 30, (i % 30) + 10 + ((i * 7) % 34))),
];

const fields = columns.map(([name, kind, logical]): FieldPlan => ({
  name,
  kind,
  logical,
  nullable: false,
  precision: kind === "decimal64" ? 12 : 0,
  scale: kind === "decimal64" ? 2 : 0,
}));

function withLength(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function encodeValue([, kind, , , value]: Column, i: number): Buffer {
  const v = value(i);
  if (typeof v === "string") return withLength(Buffer.from(v));
  if (kind === "date") {
    const day = new Date(Date.UTC(1992, 0, 1) + v * 86_400_000);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt16LE(day.getUTCFullYear());
    bytes[2] = day.getUTCMonth() + 1;
    bytes[3] = day.getUTCDate();
    return withLength(bytes);
  }
  const bytes = Buffer.alloc(kind === "bits64" ? 8 : 4);
  if (kind === "bits64") bytes.writeBigInt64LE(BigInt(v));
  else bytes.writeInt32LE(v);
  return bytes;
}

function makePacket(payload: Buffer, sequence: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequence & 255;
  return Buffer.concat([header, payload]);
}

/** Rows whose first packet has the number `sequence`. */
function makeRows(sequence: number): Buffer {
  const bitmap = Buffer.alloc((columns.length + 9) >> 3);
  const bytes = Buffer.concat(
    Array.from({ length: ROWS }, (_, i) =>
      makePacket(
        Buffer.concat([
          Buffer.from([0]),
          bitmap,
          ...columns.map((column) => encodeValue(column, i)),
        ]),
        sequence + i,
      ),
    ),
  );
  // memory of its own, so that views over it begin at 0
  const wire = Buffer.from(new ArrayBuffer(bytes.length));
  bytes.copy(wire);
  return wire;
}

/** Runs `pass`, which handles all rows once, for about `ms`; CPU ns per field. */
async function measure(
  ms: number,
  pass: () => void | Promise<void>,
): Promise<number> {
  let passes = 0;
  const cpu = process.cpuUsage();
  const end = performance.now() + ms;
  for (; performance.now() < end; passes++) await pass();
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
        start = decoder.decode(set, wire, view, start, end, 0);
        if (!set.isFull) break;
        set.reset();
      }
    }
    set.reset();
  };
}

/** The end of a list of packets, and of the rows. */
const eofPayload = Buffer.from([0xfe, 0, 0, 2, 0]);

function makeDefinition([name, , , type]: Column): Buffer {
  const texts = ["def", "bench", "lineitem", "lineitem", name, name];
  const rest = Buffer.alloc(13);
  rest[0] = 12;
  rest.writeUInt16LE(type === types.varchar ? 45 : 63, 1);
  rest[7] = type;
  rest[10] = type === types.decimal ? 2 : 0;
  return Buffer.concat([
    ...texts.map((word) => withLength(Buffer.from(word))),
    rest,
  ]);
}

/** Packets that are numbered from 1. */
function makeAnswer(payloads: readonly Buffer[]): Buffer {
  return Buffer.concat(
    payloads.map((payload, i) => makePacket(payload, i + 1)),
  );
}

/** What of `mysql2`'s connection is used beyond its typings. */
interface Emitter {
  emit(event: "data", chunk: Buffer): boolean;
}

/** `mysql2` prepares and executes on a stream that answers from memory; its rows are objects and are dropped. */
async function mysql2Pass(): Promise<() => Promise<void>> {
  const definitions = columns.map(makeDefinition);
  const prepareOk = Buffer.alloc(12);
  prepareOk[1] = 1;
  prepareOk.writeUInt16LE(columns.length, 5);
  const head = [Buffer.from([columns.length]), ...definitions, eofPayload];
  const rows = makeRows(head.length + 1);
  const answers: Record<number, () => void> = {
    0x16: () => send(makeAnswer([prepareOk, ...definitions, eofPayload])),
    0x17: () => {
      send(makeAnswer(head));
      for (let at = 0; at < rows.length; at += PIECE_BYTES) {
        send(rows.subarray(at, at + PIECE_BYTES));
      }
      send(makePacket(eofPayload, head.length + 1 + ROWS));
    },
  };
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const answer =
        answers[chunk[HEADER_BYTES] ?? 0] ??
        // the login
        (() => send(makePacket(Buffer.from([0, 0, 0, 2, 0, 0, 0]), 2)));
      setImmediate(answer);
      done();
    },
  });
  const send = (bytes: Buffer): boolean =>
    (stream as unknown as Emitter).emit("data", bytes);
  const connection = mysql.createConnection({
    stream: () => stream,
    user: "u",
  } as mysql.ConnectionOptions);
  setImmediate(() => send(makePacket(makeGreeting(), 0)));
  await new Promise<void>((resolve, reject) => {
    connection.once("connect", () => resolve());
    connection.once("error", reject);
  });
  return () =>
    new Promise((resolve, reject) => {
      let count = 0;
      connection
        .execute("SELECT * FROM lineitem")
        .on("result", () => {
          count++;
        })
        .on("error", reject)
        .on("end", () => {
          if (count === ROWS) resolve();
          else reject(new Error(`mysql2 gave ${count} rows`));
        });
    });
}

/** @see MySQL internals, "Protocol::HandshakeV10" */
function makeGreeting(): Buffer {
  const capabilities = 0x00_0b_82_09; // long password, connect with a database, protocol 4.1, secure connection, plugin
  const middle = Buffer.alloc(18);
  middle.writeUInt16LE(capabilities & 0xffff, 0);
  middle[2] = 45;
  middle.writeUInt16LE(2, 3);
  middle.writeUInt16LE(capabilities >>> 16, 5);
  middle[7] = 21;
  return Buffer.concat([
    Buffer.from("\u000a8.0.15\0"),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from("12345678\0"),
    middle,
    Buffer.from("123456789012\0mysql_native_password\0"),
  ]);
}

const { values: options } = parseArgs({
  options: {
    ms: { type: "string", default: "500" },
    rounds: { type: "string", default: "3" },
  },
});
const plan: DecodePlan = {
  fields,
  table: "lineitem",
  policy: "error",
  rowBytesMax: 1 << 24,
  valueNulled: () => {},
};
const wire = makeRows(0);
const stages = new Map<string, () => void | Promise<void>>([
  ["generated", decoderPass(createDecoder(plan, "generated"), wire)],
  ["interpreted", decoderPass(createDecoder(plan, "interpreted"), wire)],
  ["mysql2 row objects", await mysql2Pass()],
]);
const figures = new Map<string, number[]>();
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [name, pass] of stages) {
    const ns = await measure(Number(options.ms), pass);
    figures.set(name, [...(figures.get(name) ?? []), ns]);
  }
}
let base = 0;
for (const [name, rounds] of figures) {
  const median = rounds.toSorted((a, b) => a - b)[rounds.length >> 1] ?? 0;
  if (base === 0) base = median;
  console.log(
    `${name.padEnd(18)} ${median.toFixed(1).padStart(7)} ns/field  ${(median / base).toFixed(1).padStart(5)} x`,
  );
}
