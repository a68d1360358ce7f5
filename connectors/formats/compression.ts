/** The codecs of all formats, on `node:zlib`; snappy is our own. */
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import type { CompressionName } from "./format.ts";
import { ZstdStream } from "./zstd-stream.ts";
import { compressSnappy, snappyBytesMax } from "./snappy.ts";

/** Compresses one block. What is returned is a view, valid until the next call; for `none` it is the block itself. */
export type CompressBlock = (block: Uint8Array) => Uint8Array;

/** 3, the default, makes a Parquet file of lineitem 2.5 % smaller and costs 17 % more CPU in all. */
const ZSTD_LEVEL = 1;
/** 6, the default, makes it 5 % smaller and costs 2.3 times the CPU. */
const GZIP_LEVEL = 4;
/** The snappy buffer is given back above this. */
const SNAPPY_BYTES_KEPT = 8 * 1024 * 1024;

export function createCompressor(name: CompressionName): CompressBlock {
  switch (name) {
    case "none":
      return (block) => block;
    case "zstd":
      return compressZstd;
    case "gzip":
      return compressGzip;
    case "snappy":
      return createSnappyCompressor();
  }
}

/** Compresses a text file. Blocks are borrowed; the pieces returned are the caller's. */
export interface StreamCompressor {
  write(block: Uint8Array): Uint8Array[];
  finish(): Uint8Array[];
}

export function createStreamCompressor(
  name: "gzip" | "zstd",
): StreamCompressor {
  return name === "zstd" ? new ZstdStream(ZSTD_LEVEL) : new GzipMembers();
}

/** One gzip member for each block, which every reader takes one behind the other (RFC 1952, section 2.2). */
class GzipMembers implements StreamCompressor {
  #isEmpty = true;

  write(block: Uint8Array): Uint8Array[] {
    this.#isEmpty = false;
    return [compressGzip(block)];
  }

  /** An empty file still needs a member to be one. */
  finish(): Uint8Array[] {
    return this.#isEmpty ? [compressGzip(new Uint8Array(0))] : [];
  }
}

function compressGzip(block: Uint8Array): Uint8Array {
  return gzipSync(block, {
    level: GZIP_LEVEL,
    chunkSize: Math.max(1024, block.length + (block.length >>> 8) + 64),
  });
}

function compressZstd(block: Uint8Array): Uint8Array {
  return zstdCompressSync(block, {
    // room for the whole result makes zstd compress in one pass, without its own input buffer
    chunkSize: block.length + (block.length >>> 8) + 1024,
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
  });
}

function createSnappyCompressor(): CompressBlock {
  let buffer = new Uint8Array(0);
  return (block) => {
    const bytesMax = snappyBytesMax(block.length);
    if (
      buffer.length < bytesMax ||
      (buffer.length > SNAPPY_BYTES_KEPT && bytesMax <= SNAPPY_BYTES_KEPT)
    )
      buffer = new Uint8Array(bytesMax);
    return buffer.subarray(0, compressSnappy(block, buffer));
  };
}
