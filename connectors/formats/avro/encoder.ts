/** Avro object container files from column batches; Avro 1.11, "Object Container Files". */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { ByteSink } from "../byte-sink.ts";
import { compressDeflate, useCompressor } from "../compression.ts";
import type { CompressionName, FileEncoder } from "../format.ts";
import type { AvroColumn } from "./column.ts";
import { createColumn } from "./columns.ts";
import { describeSchema } from "./schema.ts";

const MAGIC = Uint8Array.of(79, 98, 106, 1);
const SYNC_BYTES = 16;
/** A block ends with the row that reaches this, before compression: what a reader has to hold. */
const BLOCK_BYTES = 256 * 1024;
/** A block also ends here, which only rows without columns reach before. */
const BLOCK_ROWS_MAX = 65_536;
/** Rows that are measured, then written, column by column: their values are still in the nearest cache. */
const STEP_ROWS = 256;
/** A block's buffer is given back above this, and the shared one for what is handed out. */
const BLOCK_BYTES_KEPT = 2 * BLOCK_BYTES;
const OUTPUT_BYTES_KEPT = 16 * 1024 * 1024;
/** Guess of the compressed share until something came out of the compressor. */
const RATIO_FIRST = 0.3;

/** The codec's name; "Required Codecs" are null and deflate, the others optional. */
const avroCodecs: Readonly<Record<CompressionName, string>> = {
  none: "null",
  gzip: "deflate",
  snappy: "snappy",
  zstd: "zstandard",
};

/** What the last call of the thread has handed out. */
const output = new ByteSink(64 * 1024);
/** Bytes of each row of a step, then where each has got to. */
const sizes = new Int32Array(STEP_ROWS);
const cursors = new Int32Array(STEP_ROWS);

export class AvroEncoder implements FileEncoder {
  readonly #schema: StreamSchema;
  readonly #compression: CompressionName;
  readonly #columns: readonly AvroColumn[];
  readonly #block = new ByteSink(BLOCK_BYTES);
  /** Random, as the specification wants it: rows that hold the marker cannot be made on purpose. */
  readonly #sync: Uint8Array = randomBytes(SYNC_BYTES);
  #blockRows = 0;
  #bytesOut = 0;
  /** Bytes before compression of the blocks that are out. */
  #rawBytesOut = 0;
  #isFinished = false;

  constructor(schema: StreamSchema, compression: CompressionName) {
    this.#schema = schema;
    this.#compression = compression;
    this.#columns = schema.columns.map(createColumn);
  }

  get bytesSoFar(): number {
    const ratio =
      this.#rawBytesOut > 0 ? this.#bytesOut / this.#rawBytesOut : RATIO_FIRST;
    return this.#bytesOut + Math.ceil(this.#block.length * ratio);
  }

  get heldBytes(): number {
    return this.#block.bytes.byteLength;
  }

  encode(batch: ColumnBatch): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    assert.equal(batch.columns.length, this.#columns.length);
    this.#beginCall();
    const { rowCount } = batch;
    this.#columns.forEach((column, i) =>
      column.bind(batch.columns[i]!, rowCount),
    );
    for (let from = 0; from < rowCount; from += STEP_ROWS)
      this.#writeStep(from, Math.min(from + STEP_ROWS, rowCount));
    for (const column of this.#columns) column.unbind();
    return this.#endCall();
  }

  finish(): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    this.#isFinished = true;
    this.#beginCall();
    if (this.#blockRows > 0) this.#finishBlock();
    return this.#endCall();
  }

  #beginCall(): void {
    output.shrink(OUTPUT_BYTES_KEPT);
    if (this.#bytesOut === 0) this.#appendHeader();
  }

  #endCall(): readonly Uint8Array[] {
    this.#bytesOut += output.length;
    return output.length > 0 ? [output.written()] : [];
  }

  /** Magic, the metadata as a map of bytes, the sync marker. */
  #appendHeader(): void {
    const metadata = {
      "avro.schema": describeSchema(this.#schema),
      "avro.codec": avroCodecs[this.#compression],
    };
    output.append(MAGIC);
    output.appendZigzag(Object.keys(metadata).length);
    for (const [key, value] of Object.entries(metadata)) {
      for (const text of [key, value]) {
        const bytes = Buffer.from(text, "utf8");
        output.appendZigzag(bytes.length);
        output.append(bytes);
      }
    }
    output.appendByte(0);
    output.append(this.#sync);
  }

  #writeStep(from: number, end: number): void {
    let bytesOfEach = 0;
    for (const column of this.#columns) bytesOfEach += column.bytesOfEachRow;
    sizes.fill(bytesOfEach, 0, end - from);
    for (const column of this.#columns) column.addSizes(from, end, sizes);
    let start = from;
    while (start < end) {
      const block = this.#block;
      let bytes = 0;
      let stop = start;
      const rowsMax = Math.min(end, start + BLOCK_ROWS_MAX - this.#blockRows);
      while (stop < rowsMax && block.length + bytes < BLOCK_BYTES)
        bytes += sizes[stop++ - from]!;
      this.#writeRows(start, stop, from, bytes);
      if (block.length >= BLOCK_BYTES || this.#blockRows === BLOCK_ROWS_MAX)
        this.#finishBlock();
      start = stop;
    }
  }

  /** @param sized the row that the front of `sizes` is about */
  #writeRows(start: number, stop: number, sized: number, bytes: number): void {
    const block = this.#block;
    block.reserve(bytes);
    let at = block.length;
    for (let row = start; row < stop; row++) {
      cursors[row - start] = at;
      at += sizes[row - sized]!;
    }
    for (const column of this.#columns)
      column.write(start, stop, block.bytes, block.view, cursors);
    assert.equal(
      this.#columns.length === 0 ? at : cursors[stop - start - 1],
      at,
      "the last row ends where it was measured to end",
    );
    block.length = at;
    this.#blockRows += stop - start;
  }

  /** Number of rows, bytes, the rows, the sync marker. */
  #finishBlock(): void {
    const raw = this.#block.written();
    const isSnappy = this.#compression === "snappy";
    const compressed =
      this.#compression === "gzip"
        ? compressDeflate(raw)
        : useCompressor(this.#compression)(raw);
    output.appendZigzag(this.#blockRows);
    output.appendZigzag(compressed.length + (isSnappy ? 4 : 0));
    output.append(compressed);
    if (isSnappy) {
      output.reserve(4);
      output.view.setUint32(output.length, crc32(raw));
      output.length += 4;
    }
    output.append(this.#sync);
    this.#rawBytesOut += raw.length;
    this.#blockRows = 0;
    this.#block.shrink(BLOCK_BYTES_KEPT);
  }
}
