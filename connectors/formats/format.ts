/**
 * A file format as the destinations see it: batches in, bytes out. An encoder makes one file and does no IO.
 */
import type { ColumnBatch } from "../../proto/columns.ts";

export type FormatName = "parquet" | "avro" | "csv" | "jsonl";
export type CompressionName = "zstd" | "snappy" | "gzip" | "none";

export interface FormatOptions {
  readonly format: FormatName;
  /** Null: the format's default (zstd for Parquet, gzip for Avro, none for CSV and JSONL). */
  readonly compression: CompressionName | null;
  /** Parquet: only PLAIN and dictionary encodings, for readers without DELTA_LENGTH_BYTE_ARRAY. */
  readonly plainEncodings: boolean;
}

export interface FileEncoder {
  /**
   * The bytes to append for this batch, in order; may be empty while a row group or block is collected. The batch is
   * borrowed: nothing of it may be kept after the call. The pieces returned are valid until the next call of any
   * encoder in this thread.
   */
  encode(batch: ColumnBatch): readonly Uint8Array[];
  /** Bytes of the file so far: those handed out and those still collected (estimated). */
  readonly bytesSoFar: number;
  /** Memory that the encoder keeps until more of the file is handed out (estimated). */
  readonly heldBytes: number;
  /**
   * The closing bytes. `metadata` goes into the file where the format has a place for it (Parquet: key-value metadata
   * of the footer) and is ignored elsewhere.
   */
  finish(metadata: Readonly<Record<string, string>>): readonly Uint8Array[];
}

export interface FileFormat {
  /** With the leading dot, e.g. `.parquet`, `.csv.gz`. */
  readonly extension: string;
  /** Whether `finish` stores metadata inside the file. */
  readonly storesMetadata: boolean;
  /** Encoders of one format learn from each other how columns are best encoded. */
  createEncoder(): FileEncoder;
}
