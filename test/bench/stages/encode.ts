/**
 * Stage benchmark: what each encoder costs per field, on rows like TPC-H `lineitem` made in memory.
 * Run `node test/bench/stages/encode.ts [rows]`. There is no encoder library among the dependencies to compare with, so
 * the yardstick of the same run is one copy of all column buffers (`copy`).
 */
import { createFileFormat } from "../../../connectors/formats/index.ts";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import {
  batchBytes,
  BATCH_ROWS_MAX,
  type ColumnBatch,
  type ColumnVector,
} from "../../../proto/columns.ts";
import type {
  ColumnSchema,
  LogicalType,
  StreamSchema,
} from "../../../proto/schema.ts";

export interface StageResult {
  readonly stage: string;
  readonly rows: number;
  readonly fields: number;
  /** CPU (user and system) of the whole process, so that garbage collection on other threads counts. */
  readonly cpuSeconds: number;
  readonly nsPerField: number;
  readonly bytesOut: number;
}

const money: LogicalType = { kind: "decimal64", precision: 15, scale: 2 };

const columnTypes: Readonly<Record<string, LogicalType>> = {
  l_orderkey: { kind: "int64" },
  l_partkey: { kind: "int32" },
  l_suppkey: { kind: "int32" },
  l_linenumber: { kind: "int32" },
  l_quantity: money,
  l_extendedprice: money,
  l_discount: money,
  l_tax: money,
  l_returnflag: { kind: "text" },
  l_linestatus: { kind: "text" },
  l_shipdate: { kind: "date" },
  l_commitdate: { kind: "date" },
  l_receiptdate: { kind: "date" },
  l_shipinstruct: { kind: "text" },
  l_shipmode: { kind: "text" },
  l_comment: { kind: "text" },
};

export const lineitemSchema: StreamSchema = {
  number: 1,
  namespace: "public",
  name: "lineitem",
  columns: Object.entries(columnTypes).map(([name, type]): ColumnSchema => ({
    name,
    type,
    nullable: false,
    sourceType: type.kind,
  })),
  fingerprint: "lineitem",
};

const instructions = [
  "DELIVER IN PERSON",
  "COLLECT COD",
  "NONE",
  "TAKE BACK RETURN",
];
const modes = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];
const words =
  "the furiously carefully quickly ironic final regular express special pending bold even silent blithely slyly deposits requests accounts packages instructions foxes ideas theodolites pinto beans dependencies platelets sleep wake haggle nag cajole boost detect integrate among above across after against along".split(
    " ",
  );

/** Rows in batches of BATCH_ROWS_MAX, the same for every call. */
export function buildLineitem(rows: number): ColumnBatch[] {
  const random = createRandom(42);
  const batches: ColumnBatch[] = [];
  let order = 1;
  let line = 0;
  let linesOfOrder = 4;
  let orderDate = 8036;
  for (let from = 0; from < rows; from += BATCH_ROWS_MAX) {
    const rowCount = Math.min(BATCH_ROWS_MAX, rows - from);
    const built: (number | string)[][] = Array.from({ length: 16 }, () => []);
    for (let row = 0; row < rowCount; row++) {
      if (line === linesOfOrder) {
        line = 0;
        linesOfOrder = 1 + random(7);
        order += order % 8 === 7 ? 25 : 1;
        orderDate = 8036 + random(2406);
      }
      line++;
      const part = 1 + random(100_000);
      const quantity = 1 + random(50);
      const shipDate = orderDate + 1 + random(121);
      const receiptDate = shipDate + 1 + random(30);
      const isShipped = shipDate <= 9298;
      let comment = words[random(words.length)]!;
      const commentBytes = 10 + random(34);
      while (comment.length < commentBytes)
        comment += ` ${words[random(words.length)]!}`;
      const values = [
        order,
        part,
        1 + ((part + random(4) * 1250) % 5000),
        line,
        quantity * 100,
        quantity *
          (90_000 + (((part / 10) % 20_001) | 0) + 100 * (part % 1000)),
        random(11),
        random(9),
        receiptDate <= 9298 ? (random(2) === 0 ? "R" : "A") : "N",
        isShipped ? "F" : "O",
        shipDate,
        orderDate + 30 + random(61),
        receiptDate,
        instructions[random(4)]!,
        modes[random(7)]!,
        comment.slice(0, commentBytes),
      ];
      values.forEach((value, i) => built[i]!.push(value));
    }
    batches.push({
      rowCount,
      columns: lineitemSchema.columns.map((column, i) =>
        buildVector(column.type, built[i]!),
      ),
    });
  }
  return batches;
}

function buildVector(
  type: LogicalType,
  values: readonly (number | string)[],
): ColumnVector {
  const base = { nullCount: 0, validity: null };
  if (type.kind === "text") {
    const data = Buffer.from(values.join(""), "latin1");
    const offsets = new Int32Array(values.length + 1);
    values.forEach((value, row) => {
      offsets[row + 1] = offsets[row]! + (value as string).length;
    });
    return { ...base, offsets, data: new Uint8Array(data) };
  }
  const array =
    type.kind === "int32" || type.kind === "date"
      ? Int32Array.from(values as number[])
      : BigInt64Array.from(values as number[], (value) => BigInt(value));
  return { ...base, offsets: null, data: new Uint8Array(array.buffer) };
}

/** Whole numbers in [0, below), reproducible (xorshift). */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Encoded before the clock starts: a writer that is warm is what a table of some size meets. */
const WARM_UP_BATCHES = 12;

const stages: readonly FormatOptions[] = [
  { format: "parquet", compression: "zstd", plainEncodings: false },
  { format: "parquet", compression: "zstd", plainEncodings: true },
  { format: "parquet", compression: "snappy", plainEncodings: false },
  { format: "parquet", compression: "gzip", plainEncodings: false },
  { format: "parquet", compression: "none", plainEncodings: false },
  { format: "csv", compression: "none", plainEncodings: false },
  { format: "csv", compression: "zstd", plainEncodings: false },
  { format: "jsonl", compression: "none", plainEncodings: false },
  { format: "jsonl", compression: "zstd", plainEncodings: false },
];

/** Encodes `rows` lineitem-like rows by every encoder. */
export function run(rows = 500_000): StageResult[] {
  const batches = buildLineitem(rows);
  const results = [measure("copy", batches, copyBatches)];
  for (const options of stages) {
    const format = createFileFormat(lineitemSchema, options);
    const encode = (rows: readonly ColumnBatch[]): number => {
      const encoder = format.createEncoder();
      let bytes = 0;
      for (const batch of rows)
        for (const piece of encoder.encode(batch)) bytes += piece.length;
      for (const piece of encoder.finish({})) bytes += piece.length;
      return bytes;
    };
    const plain = options.plainEncodings ? "-plain" : "";
    const stage = `${options.format}-${options.compression}${plain}`;
    results.push(measure(stage, batches, encode));
  }
  return results;
}

function measure(
  stage: string,
  batches: readonly ColumnBatch[],
  encode: (rows: readonly ColumnBatch[]) => number,
): StageResult {
  encode(batches.slice(0, WARM_UP_BATCHES));
  const before = process.cpuUsage();
  const bytesOut = encode(batches);
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  const rows = batches.reduce((sum, batch) => sum + batch.rowCount, 0);
  const fields = rows * lineitemSchema.columns.length;
  const nsPerField = (cpuSeconds * 1e9) / fields;
  return { stage, rows, fields, cpuSeconds, nsPerField, bytesOut };
}

function copyBatches(batches: readonly ColumnBatch[]): number {
  const target = new Uint8Array(64 * 1024 * 1024);
  let bytes = 0;
  for (const batch of batches) {
    bytes += batchBytes(batch);
    for (const column of batch.columns) {
      target.set(column.data);
      if (column.offsets) target.set(new Uint8Array(column.offsets.buffer));
    }
  }
  return bytes;
}

if (import.meta.main) {
  const results = run(Number(process.argv[2] ?? 500_000));
  for (const { stage, nsPerField, cpuSeconds, bytesOut } of results)
    console.log(
      `${stage.padEnd(20)} ${nsPerField.toFixed(1).padStart(7)} ns/field ${cpuSeconds.toFixed(2).padStart(6)} s CPU ${(bytesOut / 1e6).toFixed(1).padStart(8)} MB`,
    );
}
