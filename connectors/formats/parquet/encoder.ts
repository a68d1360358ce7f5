/** Parquet files from column batches: one page per column and batch, row groups of sixteen full batches. */
import assert from "node:assert/strict";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { useCompressor } from "../compression.ts";
import type { CompressionName, FileEncoder } from "../format.ts";
import { ByteSink } from "../byte-sink.ts";
import {
  ColumnChunk,
  EncodingChoice,
  ROW_GROUP_ROWS,
  type Workspace,
} from "./column-chunk.ts";
import { usePageCompressor } from "./page-compressor.ts";
import { encodeFooter, MAGIC, type RowGroupMetadata } from "./footer.ts";
import { reclaimSegments } from "./segments.ts";
import { ThriftWriter } from "./thrift.ts";
import { Scratch } from "./values.ts";

/** Compressed bytes held at most for one row group, except for a single batch that is larger. */
const ROW_GROUP_BYTES_MAX = 64 * 1024 * 1024;
/** The same before compression: what a reader may have to hold. */
const ROW_GROUP_RAW_BYTES_MAX = 256 * 1024 * 1024;
/** The page buffer is given back above this. */
const PAGE_BYTES_KEPT = 16 * 1024 * 1024;

const workspace: Workspace = {
  page: new ByteSink(64 * 1024),
  header: new ThriftWriter(64),
  scratch: new Scratch(),
};

export class ParquetEncoder implements FileEncoder {
  readonly #schema: StreamSchema;
  readonly #compression: CompressionName;
  readonly #chunks: readonly ColumnChunk[];
  readonly #groups: RowGroupMetadata[] = [];
  /** Bytes handed out. */
  #fileOffset = 0;
  #groupRows = 0;
  #isFinished = false;

  /** @param choices one for each column, shared by the encoders of a format */
  constructor(
    schema: StreamSchema,
    compression: CompressionName,
    plainEncodings: boolean,
    choices: readonly EncodingChoice[],
  ) {
    this.#schema = schema;
    this.#compression = compression;
    const compress = useCompressor(compression);
    const compressor = usePageCompressor(compression);
    this.#chunks = schema.columns.map(
      (column, i) =>
        new ColumnChunk(
          column,
          compress,
          compressor,
          workspace,
          choices[i]!,
          plainEncodings,
        ),
    );
  }

  get bytesSoFar(): number {
    return this.#fileOffset + this.#bufferedBytes();
  }

  get heldBytes(): number {
    let bytes = 0;
    for (const chunk of this.#chunks) bytes += chunk.heldBytes;
    return bytes;
  }

  encode(batch: ColumnBatch): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    assert.equal(batch.columns.length, this.#chunks.length);
    reclaimSegments();
    const pieces: Uint8Array[] = [];
    if (this.#fileOffset === 0) this.#push(pieces, MAGIC);
    if (batch.rowCount === 0) return pieces;
    this.#chunks.forEach((chunk, i) =>
      chunk.writePage(batch.columns[i]!, batch.rowCount),
    );
    workspace.page.shrink(PAGE_BYTES_KEPT);
    this.#groupRows += batch.rowCount;
    if (this.#isRowGroupFull()) this.#finishRowGroup(pieces);
    return pieces;
  }

  finish(metadata: Readonly<Record<string, string>>): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    this.#isFinished = true;
    reclaimSegments();
    const pieces: Uint8Array[] = [];
    if (this.#fileOffset === 0) this.#push(pieces, MAGIC);
    if (this.#groupRows > 0) this.#finishRowGroup(pieces);
    this.#push(
      pieces,
      encodeFooter(
        this.#schema,
        this.#compression,
        this.#groups,
        metadata,
        this.#fileOffset,
      ),
    );
    return pieces;
  }

  #bufferedBytes(): number {
    let bytes = 0;
    for (const chunk of this.#chunks) bytes += chunk.bufferedBytes;
    return bytes;
  }

  #isRowGroupFull(): boolean {
    let rawBytes = 0;
    for (const chunk of this.#chunks) rawBytes += chunk.uncompressedBytes;
    return (
      this.#groupRows >= ROW_GROUP_ROWS ||
      rawBytes >= ROW_GROUP_RAW_BYTES_MAX ||
      this.#bufferedBytes() >= ROW_GROUP_BYTES_MAX
    );
  }

  #finishRowGroup(pieces: Uint8Array[]): void {
    const offset = this.#fileOffset;
    const chunks = this.#chunks.map((chunk) => {
      const finished = chunk.finish(this.#fileOffset);
      for (const piece of finished.pieces) this.#push(pieces, piece);
      return finished.metadata;
    });
    this.#groups.push({ rows: this.#groupRows, offset, chunks });
    this.#groupRows = 0;
  }

  #push(pieces: Uint8Array[], piece: Uint8Array): void {
    this.#fileOffset += piece.length;
    pieces.push(piece);
  }
}
