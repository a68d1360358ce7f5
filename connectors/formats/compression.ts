/** The codecs of all formats, on `node:zlib`; snappy is our own. */
import assert from "node:assert/strict";
import {
  constants,
  deflateRawSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import type { CompressionName } from "./format.ts";
import { compressSnappy, snappyBytesMax } from "./snappy.ts";
import { ZstdHandle, zstdEnd } from "./zstd-handle.ts";
import { ZstdStream } from "./zstd-stream.ts";

/**
 * Compresses one block. What is returned is a view, valid until the thread's next call with the same codec; for `none`
 * it is the block itself.
 */
export type CompressBlock = (block: Uint8Array) => Uint8Array;

/** 3, the default, makes a Parquet file of lineitem 2.5 % smaller and costs 17 % more CPU in all. */
const ZSTD_LEVEL = 1;
/** 6, the default, makes it 5 % smaller and costs 2.3 times the CPU. */
const GZIP_LEVEL = 4;
/** 4 makes an Avro file of lineitem 5 % smaller and costs 1.4 times the CPU. */
const DEFLATE_LEVEL = 1;
/** A result buffer is given back above this. */
const RESULT_BYTES_KEPT = 8 * 1024 * 1024;

const compressors = new Map<CompressionName, CompressBlock>();

/** The thread's compressor of that name: context and result buffer serve all files that are written at the same time. */
export function useCompressor(name: CompressionName): CompressBlock {
  let compressor = compressors.get(name);
  if (!compressor) {
    compressor = createCompressor(name);
    compressors.set(name, compressor);
  }
  return compressor;
}

function createCompressor(name: CompressionName): CompressBlock {
  switch (name) {
    case "none":
      return (block) => block;
    case "zstd":
      return createZstdCompressor();
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

/** The bytes of RFC 1951 alone, as Avro has them. */
export function compressDeflate(block: Uint8Array): Uint8Array {
  return deflateRawSync(block, {
    level: DEFLATE_LEVEL,
    chunkSize: Math.max(1024, block.length + (block.length >>> 8) + 64),
  });
}

function createZstdCompressor(): CompressBlock {
  const compressInto = createZstdInto();
  if (compressInto === null) return compressZstdAlone;
  const reserve = createResultBuffer();
  return (block) => {
    const result = reserve(zstdBytesMax(block.length));
    return result.subarray(0, compressInto(block, result));
  };
}

/**
 * Compresses a block into a buffer of at least `zstdBytesMax` bytes and returns how many of them it took; null for a Node
 * whose handle is another one. 1 us a call beside the compression itself; `zstdCompressSync`, which makes a context each
 * time, 18 us and garbage.
 */
export function createZstdInto():
  | ((block: Uint8Array, result: Uint8Array) => number)
  | null {
  const handle = ZstdHandle.open(ZSTD_LEVEL);
  if (handle === null) return null;
  return (block, result) => {
    const bytes = handle.compress(zstdEnd, block, 0, result);
    assert(
      handle.inputLeft === 0 && bytes < result.length,
      "zstd stays below its bound",
    );
    return bytes;
  };
}

/** For a Node whose handle is another one. */
function compressZstdAlone(block: Uint8Array): Uint8Array {
  return zstdCompressSync(block, {
    chunkSize: zstdBytesMax(block.length),
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
  });
}

/** Room for any result, and a byte more: zstd then compresses in one pass, without an input buffer of its own. */
export function zstdBytesMax(bytes: number): number {
  return bytes + (bytes >>> 8) + 1024;
}

function createSnappyCompressor(): CompressBlock {
  const reserve = createResultBuffer();
  return (block) => {
    const result = reserve(snappyBytesMax(block.length));
    return result.subarray(0, compressSnappy(block, result));
  };
}

/** A buffer of at least as many bytes as asked for, the same one where it can be. */
function createResultBuffer(): (bytes: number) => Uint8Array {
  let buffer = new Uint8Array(0);
  return (bytes) => {
    if (
      buffer.length < bytes ||
      (buffer.length > RESULT_BYTES_KEPT && bytes <= RESULT_BYTES_KEPT)
    )
      // in powers of two, so that blocks of about the same size do not make it again and again
      buffer = new Uint8Array(
        bytes > RESULT_BYTES_KEPT ? bytes : 2 ** Math.ceil(Math.log2(bytes)),
      );
    return buffer;
  };
}
