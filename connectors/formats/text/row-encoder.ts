/** What CSV and JSONL share: rows out of columns, in blocks, compressed block by block. */
import assert from "node:assert/strict";
import type { ColumnBatch } from "../../../proto/columns.ts";
import {
  createStreamCompressor,
  type StreamCompressor,
} from "../compression.ts";
import type { CompressionName, FileEncoder } from "../format.ts";
import { ByteSink } from "../byte-sink.ts";
import type { ValueWriter } from "./value-writer.ts";

/** Text that is compressed at once. */
const BLOCK_BYTES = 1024 * 1024;
/** Rows whose room is made sure of at once. */
const STEP_ROWS = 64;
/** The text buffer is given back above this. */
const BUFFER_BYTES_KEPT = 16 * 1024 * 1024;
/** Guess of the compressed share until something came out of the compressor. */
const RATIO_FIRST = 0.3;
/** Of the compressor's own, outside the heap. */
const COMPRESSOR_BYTES = 1024 * 1024;

/** The bytes between the values. */
export interface RowShape {
  /** In front of the first row of a file. */
  readonly header: Uint8Array;
  readonly rowStart: Uint8Array;
  /** In front of each column's value, or of `nullText`. */
  readonly prefixes: readonly Uint8Array[];
  readonly nullText: Uint8Array;
  readonly rowEnd: Uint8Array;
}

export class RowEncoder implements FileEncoder {
  #shape: RowShape;
  readonly #writers: readonly ValueWriter[];
  /** Null: not compressed; what a call made is handed out by that call. */
  readonly #compressor: StreamCompressor | null;
  readonly #sink = new ByteSink(64 * 1024);
  /** Bytes of a row's values at most, apart from variable-width ones and from what surrounds the row. */
  readonly #valuesBytesMax: number;
  #bytesOut = 0;
  /** Text that the compressor has taken in. */
  #textBytes = 0;
  #isFinished = false;

  constructor(
    shape: RowShape,
    writers: readonly ValueWriter[],
    compression: Exclude<CompressionName, "snappy">,
  ) {
    this.#shape = shape;
    this.#writers = writers;
    this.#compressor =
      compression === "none" ? null : createStreamCompressor(compression);
    this.#valuesBytesMax = writers.reduce(
      (bytes, writer, i) =>
        bytes +
        shape.prefixes[i]!.length +
        Math.max(writer.bytesMax, shape.nullText.length),
      0,
    );
    this.#sink.append(shape.header);
  }

  get bytesSoFar(): number {
    if (this.#compressor === null) return this.#bytesOut;
    const ratio =
      this.#bytesOut > 0 ? this.#bytesOut / this.#textBytes : RATIO_FIRST;
    return this.#bytesOut + Math.ceil(this.#sink.length * ratio);
  }

  get heldBytes(): number {
    const text = this.#sink.bytes.byteLength;
    return this.#compressor === null ? text : text + COMPRESSOR_BYTES;
  }

  encode(batch: ColumnBatch): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    assert.equal(batch.columns.length, this.#writers.length);
    this.#beginCall();
    const pieces: Uint8Array[] = [];
    this.#writers.forEach((writer, i) =>
      writer.bind(batch.columns[i]!, batch.rowCount),
    );
    for (let from = 0; from < batch.rowCount; from += STEP_ROWS) {
      this.#writeRows(from, Math.min(from + STEP_ROWS, batch.rowCount));
      if (this.#compressor !== null && this.#sink.length >= BLOCK_BYTES)
        this.#finishBlock(pieces);
    }
    for (const writer of this.#writers) writer.unbind();
    if (this.#compressor === null) this.#finishBlock(pieces);
    return pieces;
  }

  /** What stands around each row from now on. */
  protected surround(rowStart: Uint8Array, rowEnd: Uint8Array): void {
    this.#shape = { ...this.#shape, rowStart, rowEnd };
  }

  finish(): readonly Uint8Array[] {
    assert(!this.#isFinished, "the file is finished");
    this.#isFinished = true;
    this.#beginCall();
    const pieces: Uint8Array[] = [];
    if (this.#sink.length > 0) this.#finishBlock(pieces);
    for (const piece of this.#compressor?.finish() ?? [])
      this.#push(pieces, piece);
    return pieces;
  }

  /** The last call's pieces are free now; without compression they lie in the buffer itself. */
  #beginCall(): void {
    if (this.#compressor === null && this.#bytesOut > 0)
      this.#sink.shrink(BUFFER_BYTES_KEPT);
  }

  #writeRows(from: number, end: number): void {
    const { rowStart, prefixes, nullText, rowEnd } = this.#shape;
    const writers = this.#writers;
    let bytes =
      (end - from) * (rowStart.length + this.#valuesBytesMax + rowEnd.length);
    for (const writer of writers) bytes += writer.bound(from, end);
    this.#sink.reserve(bytes);
    const out = this.#sink.bytes;
    let at = this.#sink.length;
    for (let row = from; row < end; row++) {
      at = copyShort(rowStart, out, at);
      for (let column = 0; column < writers.length; column++) {
        const writer = writers[column]!;
        at = copyShort(prefixes[column]!, out, at);
        const validity = writer.validity;
        if (
          validity !== null &&
          (validity[row >>> 3]! & (1 << (row & 7))) === 0
        )
          at = copyShort(nullText, out, at);
        else at = writer.write(row, out, at);
      }
      at = copyShort(rowEnd, out, at);
    }
    assert(at <= this.#sink.length + bytes, "the room for the rows was enough");
    this.#sink.length = at;
  }

  #finishBlock(pieces: Uint8Array[]): void {
    const text = this.#sink.written();
    if (this.#compressor === null) {
      // the piece is the buffer itself, which is emptied by the next call
      if (text.length > 0) this.#push(pieces, text);
      return;
    }
    this.#textBytes += text.length;
    for (const piece of this.#compressor.write(text)) this.#push(pieces, piece);
    this.#sink.shrink(BUFFER_BYTES_KEPT);
  }

  #push(pieces: Uint8Array[], piece: Uint8Array): void {
    this.#bytesOut += piece.length;
    pieces.push(piece);
  }
}

function copyShort(source: Uint8Array, out: Uint8Array, start: number): number {
  for (let i = 0; i < source.length; i++) out[start + i] = source[i]!;
  return start + source.length;
}
