/** Rows of an Avro object container file; Avro 1.11, "Object Container Files". */
import { crc32, inflateRawSync, zstdDecompressSync } from "node:zlib";
import { uncompressSnappyBlock } from "../../../proto/snappy-block.ts";
import { AvroBytes, AvroBytesEnd } from "./avro-bytes.ts";
import { createValueReader, type ReadValue } from "./avro-values.ts";
import type { FileBytes } from "./file.ts";

const MAGIC = Buffer.from([79, 98, 106, 1]);
const SYNC_BYTES = 16;
/** The header is read in one piece: first so much of the file, and once more so much. */
const HEADER_BYTES = [64 * 1024, 64 * 1024 * 1024] as const;
/** Two varints. */
const BLOCK_HEADER_BYTES_MAX = 20;
/** A block that says it is larger is not decompressed: ours hold one row of 256 MiB at most. */
const BLOCK_BYTES_MAX = 512 * 1024 * 1024;
/** Rows without a byte each, of one block; others are bounded by the bytes. */
const EMPTY_ROWS_MAX = 1 << 24;

type Slice = (start: number, end: number) => Promise<AvroBytes>;

interface Header {
  readonly readRow: ReadValue;
  readonly decompress: (block: Buffer) => Uint8Array;
  readonly sync: Buffer;
  readonly bytes: number;
}

export async function* readAvroRows(
  file: FileBytes,
): AsyncGenerator<Record<string, unknown>> {
  const { size } = file;
  const slice: Slice = async (start, end) =>
    new AvroBytes(new Uint8Array(await file.slice(start, end)));
  const header = await readHeader(slice, size);
  let at = header.bytes;
  while (at < size) {
    const front = await slice(at, Math.min(at + BLOCK_HEADER_BYTES_MAX, size));
    const rows = front.readCount();
    const bytes = front.readCount();
    at += front.at;
    if (rows < 0 || bytes < 0 || bytes > BLOCK_BYTES_MAX)
      throw new RangeError(`a block of ${rows} rows in ${bytes} bytes`);
    const block = await slice(at, at + bytes + SYNC_BYTES);
    const compressed = block.take(bytes);
    if (!block.take(SYNC_BYTES).equals(header.sync))
      throw new RangeError(`no sync marker behind the block at ${at}`);
    at += bytes + SYNC_BYTES;
    yield* readBlock(
      new AvroBytes(header.decompress(compressed)),
      rows,
      header,
    );
  }
}

function* readBlock(
  block: AvroBytes,
  rows: number,
  { readRow }: Header,
): Generator<Record<string, unknown>> {
  for (let row = 0; row < rows; row++) {
    const value = readRow(block);
    if (block.at === 0 && row > EMPTY_ROWS_MAX)
      throw new RangeError(`a block of ${rows} rows without bytes`);
    yield isRecord(value) ? value : { value };
  }
  if (block.left > 0)
    throw new RangeError(`${block.left} bytes behind a block's last row`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readHeader(slice: Slice, size: number): Promise<Header> {
  for (const bytes of HEADER_BYTES) {
    try {
      return parseHeader(await slice(0, Math.min(bytes, size)));
    } catch (error) {
      if (!(error instanceof AvroBytesEnd)) throw error;
      if (bytes >= size) throw new RangeError("it ends within its header");
    }
  }
  throw new RangeError("its header is too long");
}

function parseHeader(source: AvroBytes): Header {
  if (!source.take(MAGIC.length).equals(MAGIC))
    throw new TypeError("it is no Avro file");
  const metadata = new Map<string, Buffer>();
  for (;;) {
    let count = source.readCount();
    if (count === 0) break;
    if (count < 0) {
      count = -count;
      source.readCount();
    }
    for (let i = 0; i < count; i++)
      metadata.set(source.readText(), source.readBytes());
  }
  const sync = Buffer.from(source.take(SYNC_BYTES));
  const schema: unknown = JSON.parse(String(metadata.get("avro.schema")));
  return {
    readRow: createValueReader(schema),
    decompress: findDecompressor(String(metadata.get("avro.codec") ?? "null")),
    sync,
    bytes: source.at,
  };
}

function findDecompressor(codec: string): (block: Buffer) => Uint8Array {
  const bounded = { maxOutputLength: BLOCK_BYTES_MAX };
  switch (codec) {
    case "null":
      return (block) => block;
    case "deflate":
      return (block) => inflateRawSync(block, bounded);
    case "zstandard":
      return (block) => zstdDecompressSync(block, bounded);
    case "snappy":
      return uncompressSnappy;
    default:
      throw new TypeError(`its codec ${codec} is not known here`);
  }
}

/** Behind the block stands the CRC-32 of what it holds, big-endian. */
function uncompressSnappy(block: Buffer): Uint8Array {
  const out = uncompressSnappyBlock(block.subarray(0, -4), BLOCK_BYTES_MAX);
  if (block.length < 4 || crc32(out) !== block.readUInt32BE(block.length - 4))
    throw new RangeError("a block's checksum differs");
  return out;
}
