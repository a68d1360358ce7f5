/**
 * Stage benchmark: what a field costs on its way through frames and through a Unix socket between two processes, on
 * rows like TPC-H `lineitem`; beside it the usual ways, one protobuf message a record and JSON lines, on fewer rows.
 * Run `node test/bench/stages/frames.ts [MB]`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { BATCH_ROWS_MAX, batchBytes } from "../../../proto/columns.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { decodeBatch, encodeBatch } from "../../../transport/batch-codec.ts";
import { listenChannel } from "../../../transport/channel-listener.ts";
import { connectChannel } from "../../../transport/destination-channel.ts";
import { FrameParser } from "../../../transport/frame-parser.ts";
import { buildLineitem, lineitemSchema } from "./encode.ts";

export interface FrameStageResult {
  readonly stage: string;
  /** CPU (user and system) of the processes that take part; of both for the socket. */
  readonly nsPerField: number;
  /** Buffer bytes by that CPU time, or by the wall clock for the socket. */
  readonly megabytesPerSecond: number;
}

const columns = lineitemSchema.columns;
const ids = { stream: 1, partition: 0, attempt: 1 };
const greeting = { run: "bench", epoch: 1, channel: 1, handshakeMs: 5000 };
const liveness = { probeMs: 1000, probeDeadlineMs: 10_000 };

/** Moves about `megabytes` of column buffers through each stage. */
export async function run(megabytes = 1000): Promise<FrameStageResult[]> {
  const [batch] = buildLineitem(BATCH_ROWS_MAX);
  assert.ok(batch);
  const bytes = batchBytes(batch);
  const rounds = Math.ceil((megabytes * 1e6) / bytes);
  const { header, body } = encodeOnce(batch);
  const records = batchToRecords(batch).slice(0, 4096);
  const recordBytes = (bytes * records.length) / batch.rowCount;
  const { messages, encode, decode } = createRecordCodec(records);
  const lines = records.map((record) => JSON.stringify(record));
  return [
    measure("frame encode", rounds, batch.rowCount, bytes, () => {
      encodeBatch(batch, { ...ids, sequence: 1 }, 1);
    }),
    measure("frame decode", rounds, batch.rowCount, bytes, () => {
      decodeBatch(header, body, columns);
    }),
    await measureSocket(rounds, batch.rowCount, bytes),
    ...[
      ["protobuf record encode", () => records.forEach(encode)] as const,
      ["protobuf record decode", () => messages.forEach(decode)] as const,
      ["JSON record encode", () => records.forEach(writeJson)] as const,
      ["JSON record decode", () => lines.forEach(readJson)] as const,
    ].map(([stage, work]) =>
      measure(stage, 20, records.length, recordBytes, work),
    ),
  ];
}

function measure(
  stage: string,
  rounds: number,
  rows: number,
  bytes: number,
  work: () => void,
): FrameStageResult {
  for (let i = 0; i < 3; i++) work(); // compiled before it is counted
  const before = process.cpuUsage();
  for (let i = 0; i < rounds; i++) work();
  const { user, system } = process.cpuUsage(before);
  const ns = (user + system) * 1000;
  return {
    stage,
    nsPerField: ns / (rounds * rows * columns.length),
    megabytesPerSecond: (rounds * bytes * 1000) / ns,
  };
}

async function measureSocket(
  rounds: number,
  rows: number,
  bytes: number,
): Promise<FrameStageResult> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-frames-"));
  const path = join(folder, "socket_1.sock");
  const source = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), "--source", path, String(rounds)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    const channel = await connectChannel(path, {
      ...greeting,
      ...liveness,
      connectDeadlineMs: 5000,
      stalledAfterMs: 5000,
    });
    const start = performance.now();
    const before = process.cpuUsage();
    for (let frame = await channel.next(); frame;) {
      if (frame.kind === "batch") frame.release();
      frame = await channel.next();
    }
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(before);
    const cpuText = once(source.stdout, "data");
    await channel.close();
    const sourceCpu = Number(String((await cpuText)[0]));
    return {
      stage: "frames through a socket",
      nsPerField:
        ((user + system + sourceCpu) * 1000) / (rounds * rows * columns.length),
      megabytesPerSecond: (rounds * bytes) / 1e6 / seconds,
    };
  } finally {
    source.kill();
    await rm(folder, { recursive: true });
  }
}

/** The child: sends the same batch again and again, then prints the microseconds of CPU it took. */
async function runSource(path: string, rounds: number): Promise<void> {
  const [batch] = buildLineitem(BATCH_ROWS_MAX);
  assert.ok(batch);
  const listener = await listenChannel(path, {
    ...greeting,
    ...liveness,
    streams: () => [lineitemSchema],
  });
  const channel = await listener.accepted;
  const closed = Promise.withResolvers<void>();
  channel.start({ onFrame: () => {}, onClosed: () => closed.resolve() });
  const before = process.cpuUsage();
  for (let sequence = 1; sequence <= rounds; sequence++) {
    await channel.writeBatch({ ...ids, sequence }, batch);
  }
  const { user, system } = process.cpuUsage(before);
  await channel.writeEnd({
    batches: rounds,
    rows: rounds * batch.rowCount,
    bytes: rounds * batchBytes(batch),
    checkpoints: 0,
  });
  await closed.promise;
  process.stdout.write(String(user + system));
}

function encodeOnce(batch: ColumnBatch): {
  header: Parameters<typeof decodeBatch>[0];
  body: Uint8Array;
} {
  const [bytes, ...buffers] = encodeBatch(
    batch,
    { ...ids, sequence: 1 },
    1,
  ).pieces;
  assert.ok(bytes);
  const parser = new FrameParser();
  parser.push(bytes);
  const frame = parser.takeFrame();
  assert.ok(frame?.kind === "batch");
  return { header: frame.batch, body: new Uint8Array(Buffer.concat(buffers)) };
}

type Cell = number | string;
type Record = { [name: string]: Cell };

function batchToRecords({ rowCount, columns: vectors }: ColumnBatch): Record[] {
  const cells = vectors.map(({ data, offsets }): ((row: number) => Cell) => {
    const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (offsets) {
      return (row) => buffer.toString("utf8", offsets[row], offsets[row + 1]);
    }
    return data.byteLength === rowCount * 4
      ? (row) => buffer.readInt32LE(row * 4)
      : (row) => Number(buffer.readBigInt64LE(row * 8));
  });
  return Array.from({ length: rowCount }, (_, row) =>
    Object.fromEntries(
      columns.map(({ name }, i) => [
        name,
        (cells[i] as (row: number) => Cell)(row),
      ]),
    ),
  );
}

/** One message a record, its values a oneof each: what record-wise protocols over protobuf do. */
function createRecordCodec(records: readonly Record[]): {
  messages: Uint8Array[];
  encode: (record: Record) => void;
  decode: (message: Uint8Array) => void;
} {
  const { root } = protobuf.parse(`syntax = "proto3";
    message Value { oneof value { sint64 whole = 1; string text = 2; } }
    message Record { string stream = 1; repeated Value values = 2; }`);
  const type = root.lookupType("Record");
  const pack = (record: Record): Uint8Array =>
    type
      .encode({
        stream: "lineitem",
        values: columns.map(({ name }) => {
          const cell = record[name];
          return typeof cell === "number" ? { whole: cell } : { text: cell };
        }),
      })
      .finish();
  return {
    messages: records.map(pack),
    encode: pack,
    decode: (message) => {
      const { values } = type.decode(message) as unknown as {
        values: { whole?: number; text?: string }[];
      };
      const record: Record = {};
      columns.forEach(({ name }, i) => {
        const value = values[i];
        record[name] = value?.text ?? Number(value?.whole);
      });
    },
  };
}

function writeJson(record: Record): void {
  JSON.stringify(record);
}

function readJson(line: string): void {
  JSON.parse(line);
}

if (import.meta.main) {
  const [first, path, rounds] = process.argv.slice(2);
  if (first === "--source") {
    assert.ok(path);
    await runSource(path, Number(rounds));
  } else {
    for (const result of await run(Number(first ?? 1000))) {
      const { stage, nsPerField, megabytesPerSecond } = result;
      console.log(
        `${stage.padEnd(24)} ${nsPerField.toFixed(2).padStart(8)} ns/field ${megabytesPerSecond.toFixed(0).padStart(8)} MB/s`,
      );
    }
  }
}
