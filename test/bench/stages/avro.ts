/**
 * Stage benchmark: what an Avro file costs per field, beside avsc, which takes rows as objects. Both write the same rows
 * with the same schema; the objects are made before the clock starts, which is in avsc's favour.
 * Run `node test/bench/stages/avro.ts [rows]`.
 */
import avro from "avsc";
import { describeSchema } from "../../../connectors/formats/avro/schema.ts";
import { createFileFormat } from "../../../connectors/formats/index.ts";
import type { CompressionName } from "../../../connectors/formats/format.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { buildLineitem, lineitemSchema, type StageResult } from "./encode.ts";

/** Encoded before the clock starts. */
const WARM_UP_BATCHES = 12;
/** avsc is slow enough for fewer rows. */
const OTHER_ROWS_MAX = 100_000;

const compressions: readonly CompressionName[] = [
  "none",
  "snappy",
  "zstd",
  "gzip",
];

/** Encodes lineitem-like rows by our encoder with every codec, and by avsc without one. */
export function run(rows = 300_000): StageResult[] {
  const batches = buildLineitem(rows);
  const results = compressions.map((compression) => {
    const options = { format: "avro", compression, plainEncodings: false };
    const format = createFileFormat(lineitemSchema, {
      ...options,
      format: "avro",
    });
    encode(format, batches.slice(0, WARM_UP_BATCHES));
    return measure(`avro-${compression}`, rows, () => encode(format, batches));
  });
  const otherRows = Math.min(rows, OTHER_ROWS_MAX);
  const objects = buildObjects(buildLineitem(otherRows));
  const type = avro.Type.forSchema(
    JSON.parse(describeSchema(lineitemSchema)) as avro.Schema,
  );
  encodeByOther(type, objects.slice(0, otherRows / 10));
  results.push(
    measure("avsc-none", otherRows, () => encodeByOther(type, objects)),
  );
  return results;
}

function encode(
  format: ReturnType<typeof createFileFormat>,
  batches: readonly ColumnBatch[],
): number {
  const encoder = format.createEncoder();
  let bytes = 0;
  for (const batch of batches)
    for (const piece of encoder.encode(batch)) bytes += piece.length;
  for (const piece of encoder.finish({})) bytes += piece.length;
  return bytes;
}

/** Row by row into one buffer, as avsc's own block encoder does, without its streams. */
function encodeByOther(type: avro.Type, rows: readonly object[]): number {
  const buffer = Buffer.allocUnsafe(4096);
  let bytes = 0;
  for (const row of rows) bytes += type.encode(row, buffer, 0);
  return bytes;
}

function buildObjects(batches: readonly ColumnBatch[]): object[] {
  const { columns } = lineitemSchema;
  return batches.flatMap((batch) => {
    const read = batch.columns.map(({ data, offsets }, i) => {
      const { kind } = columns[i]!.type;
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
      switch (kind) {
        case "text":
          return (row: number) =>
            bytes.toString("latin1", offsets![row], offsets![row + 1]);
        case "int64":
          return (row: number) => Number(bytes.readBigInt64LE(row * 8));
        case "decimal64":
          // four bytes hold all of these prices
          return (row: number) =>
            Buffer.from(bytes.subarray(row * 8, row * 8 + 4)).reverse();
        default:
          return (row: number) => bytes.readInt32LE(row * 4);
      }
    });
    return Array.from({ length: batch.rowCount }, (_, row) =>
      Object.fromEntries(columns.map(({ name }, i) => [name, read[i]!(row)])),
    );
  });
}

function measure(stage: string, rows: number, work: () => number): StageResult {
  const before = process.cpuUsage();
  const bytesOut = work();
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  const fields = rows * lineitemSchema.columns.length;
  const nsPerField = (cpuSeconds * 1e9) / fields;
  return { stage, rows, fields, cpuSeconds, nsPerField, bytesOut };
}

if (import.meta.main) console.table(run(Number(process.argv[2] ?? 300_000)));
