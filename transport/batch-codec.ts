/**
 * A batch of columns as the pieces of one write, and a received body as columns: no column buffer is copied on either
 * side. Only the 8-byte paddings and the header are bytes of our own.
 */
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { crc32 } from "node:zlib";
import { BATCH_ROWS_MAX } from "../proto/columns.ts";
import type { ColumnBatch, ColumnVector } from "../proto/columns.ts";
import { ExtractError } from "../proto/error.ts";
import { fixedWidthBytes, isVariableWidth } from "../proto/schema.ts";
import type { ColumnSchema } from "../proto/schema.ts";
import { BUFFER_ALIGNMENT } from "./frames.ts";
import type { BatchHeader, ColumnBuffers, FrameIds } from "./frames.ts";
import { encodeFrame } from "./frame-codec.ts";

assert.equal(endianness(), "LE", "column buffers are little-endian in memory");

/** uint32 fields carry sizes and offsets. */
const BODY_BYTES_MAX = 2 ** 32 - 1;
const zeros = new Uint8Array(BUFFER_ALIGNMENT);

export interface EncodedBatch {
  /** Length, header, then the column buffers themselves with their paddings: valid as long as the batch's buffers. */
  readonly pieces: readonly Uint8Array[];
  readonly bodyBytes: number;
}

/** Where a received batch lies: by the batch itself, so that another one with some of its columns is another one. */
const received = new WeakMap<
  ColumnBatch,
  { readonly header: BatchHeader; readonly body: Uint8Array }
>();

/**
 * Lays out a batch's body and makes its header. The buffers stay where they are and go into `pieces` by reference. A
 * batch that was received goes on as it came, with the checksum that it came with: who reads it at the end finds what
 * any of the hops has done to it, and none of them sums it again.
 */
export function encodeBatch(
  batch: ColumnBatch,
  ids: FrameIds,
  schemaVersion: number,
): EncodedBatch {
  const { rowCount } = batch;
  const known = received.get(batch);
  if (known) {
    const { header, body } = known;
    const { columns, bodyBytes, bodyCrc32 } = header;
    const head = encodeFrame({
      kind: "batch",
      batch: { ...ids, rowCount, schemaVersion, columns, bodyBytes, bodyCrc32 },
    });
    return { pieces: [head, body], bodyBytes };
  }
  assert.ok(rowCount >= 1 && rowCount <= BATCH_ROWS_MAX, `${rowCount} rows`);
  const pieces: Uint8Array[] = [zeros]; // the header's place
  const columns: ColumnBuffers[] = [];
  let bodyBytes = 0;
  let bodyCrc32 = 0;
  const append = (piece: Uint8Array): number => {
    const offset = bodyBytes;
    if (piece.byteLength === 0) return offset;
    pieces.push(piece);
    bodyCrc32 = crc32(piece, bodyCrc32);
    bodyBytes += piece.byteLength;
    const padding = -bodyBytes & (BUFFER_ALIGNMENT - 1);
    if (padding > 0) {
      const blank = zeros.subarray(0, padding);
      pieces.push(blank);
      bodyCrc32 = crc32(blank, bodyCrc32);
      bodyBytes += padding;
    }
    return offset;
  };
  for (const column of batch.columns) {
    const { nullCount, validity, offsets, data } = column;
    assert.equal(validity === null, nullCount === 0, "validity without nulls");
    columns.push({
      nullCount,
      validityOffset: validity
        ? append(validity.subarray(0, bitmapBytes(rowCount)))
        : 0,
      offsetsOffset: offsets ? append(viewOffsets(offsets, rowCount)) : 0,
      dataOffset: append(data),
      dataBytes: data.byteLength,
    });
  }
  assert.ok(bodyBytes <= BODY_BYTES_MAX, `a body of ${bodyBytes} bytes`);
  pieces[0] = encodeFrame({
    kind: "batch",
    batch: { ...ids, rowCount, schemaVersion, columns, bodyBytes, bodyCrc32 },
  });
  return { pieces, bodyBytes };
}

function viewOffsets(offsets: Int32Array, rowCount: number): Uint8Array {
  assert.ok(offsets.length > rowCount, "one offset more than rows");
  return new Uint8Array(offsets.buffer, offsets.byteOffset, 4 * (rowCount + 1));
}

/** Who finds what has happened to a body: whoever receives it, or whoever it is passed on to as it came. */
export type ChecksumReader = "here" | "next";

/**
 * Lays typed views over a received body. Everything the header claims is checked, so that no encoder can read outside
 * a buffer: sizes and alignment, offsets that ascend from 0 to the data's end, null counts equal to the bitmap's zeros.
 * A full walk over the offsets costs 1 ns a value, so nothing cheaper is tried.
 * @param body exactly the header's bodyBytes, starting at an address divisible by 8; borrowed by the batch
 * @throws ExtractError CHANNEL_CORRUPT
 */
export function decodeBatch(
  header: BatchHeader,
  body: Uint8Array,
  columns: readonly ColumnSchema[],
  checksumReader: ChecksumReader = "here",
): ColumnBatch {
  assert.equal(body.byteLength, header.bodyBytes);
  assert.equal(body.byteOffset % BUFFER_ALIGNMENT, 0);
  const { rowCount } = header;
  if (rowCount > BATCH_ROWS_MAX) throw corrupt(header, `${rowCount} rows`);
  if (header.columns.length !== columns.length) {
    throw corrupt(
      header,
      `${header.columns.length} columns where the schema has ${columns.length}`,
    );
  }
  if (checksumReader === "here" && crc32(body) !== header.bodyCrc32) {
    throw corrupt(header, "the checksum of the body differs");
  }
  const batch = {
    rowCount,
    columns: columns.map((column, index) => {
      const buffers = header.columns[index];
      assert.ok(buffers);
      return decodeColumn(header, body, column, buffers);
    }),
  };
  received.set(batch, { header, body });
  return batch;
}

function decodeColumn(
  header: BatchHeader,
  body: Uint8Array,
  column: ColumnSchema,
  buffers: ColumnBuffers,
): ColumnVector {
  const { rowCount } = header;
  const { nullCount, dataBytes } = buffers;
  const { kind } = column.type;
  const fail = (what: string): never => {
    throw corrupt(header, `column ${column.name}: ${what}`, column.name);
  };
  /** A part of the body, or a failure: sums of uint32 stay exact in a double. */
  const take = (offset: number, bytes: number, what: string): Uint8Array => {
    if (offset % BUFFER_ALIGNMENT !== 0) fail(`${what} at offset ${offset}`);
    if (offset + bytes > body.byteLength) {
      fail(`${what} of ${bytes} bytes at ${offset} leave the body`);
    }
    return body.subarray(offset, offset + bytes);
  };
  let validity: Uint8Array | null = null;
  if (nullCount > 0) {
    if (!column.nullable) fail(`${nullCount} nulls in a NOT NULL column`);
    validity = take(buffers.validityOffset, bitmapBytes(rowCount), "validity");
    if (rowCount - countBits(validity, rowCount) !== nullCount) {
      fail(`a null count of ${nullCount} that the bitmap does not show`);
    }
  }
  const data = take(buffers.dataOffset, dataBytes, "data");
  if (!isVariableWidth(kind)) {
    const expected =
      kind === "boolean"
        ? bitmapBytes(rowCount)
        : rowCount * fixedWidthBytes[kind];
    if (dataBytes !== expected) {
      fail(`${dataBytes} bytes of data instead of ${expected}`);
    }
    return { nullCount, validity, offsets: null, data };
  }
  const bytes = take(buffers.offsetsOffset, 4 * (rowCount + 1), "offsets");
  const offsets = new Int32Array(bytes.buffer, bytes.byteOffset, rowCount + 1);
  if (!ascends(offsets)) fail("offsets that do not ascend from 0");
  const dataEnd = offsets[rowCount];
  if (dataEnd !== dataBytes) {
    fail(`offsets that end at ${dataEnd} of ${dataBytes} bytes`);
  }
  return { nullCount, validity, offsets, data };
}

/** Whether the first is 0 and none is smaller than the one before; without a branch for each value. */
function ascends(offsets: Int32Array): boolean {
  let previous = 0;
  let descents = offsets[0] === 0 ? 0 : -1;
  for (let i = 1; i < offsets.length; i++) {
    const offset = offsets[i] as number;
    // the sign bit stays once a difference, or an offset itself, is negative
    descents |= (offset - previous) | offset;
    previous = offset;
  }
  return descents >= 0;
}

/** Ones among the first `count` bits, LSB first. */
export function countBits(bitmap: Uint8Array, count: number): number {
  const wholeWords = Math.floor(count / 32);
  let ones = 0;
  if (bitmap.byteOffset % 4 === 0) {
    const words = new Uint32Array(bitmap.buffer, bitmap.byteOffset, wholeWords);
    for (let i = 0; i < wholeWords; i++) ones += countOnes(words[i] as number);
  } else {
    for (let i = 0; i < wholeWords * 4; i++) {
      ones += countOnes(bitmap[i] as number);
    }
  }
  for (let bit = wholeWords * 32; bit < count; bit++) {
    ones += ((bitmap[bit >> 3] as number) >> (bit & 7)) & 1;
  }
  return ones;
}

/** Ones in a 32-bit word: sums of pairs, of nibbles, of bytes. */
function countOnes(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  const bytes = (nibbles + (nibbles >>> 4)) & 0x0f0f0f0f;
  return Math.imul(bytes, 0x01010101) >>> 24;
}

function bitmapBytes(rowCount: number): number {
  return Math.ceil(rowCount / 8);
}

function corrupt(
  { stream, partition, attempt, sequence }: BatchHeader,
  what: string,
  column: string | null = null,
): ExtractError {
  return new ExtractError(
    "CHANNEL_CORRUPT",
    `batch ${stream}/${partition}.${attempt}#${sequence}: ${what}`,
    { stream, partition, attempt, sequence, column },
  );
}
