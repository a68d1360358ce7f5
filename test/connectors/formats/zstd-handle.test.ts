/** The native handle behind node:zlib gives the frames that its documented calls give, and is done without where it is not as expected. */
import { randomBytes } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";

afterEach(() => {
  vi.doUnmock("node:zlib");
  vi.resetModules();
});

const blocks = [
  Buffer.alloc(0),
  Buffer.from("a"),
  randomBytes(300_000),
  Buffer.from("orders and items ".repeat(40_000)),
  Buffer.alloc(1_000_000),
  randomBytes(100),
];

function compressAlone(block: Buffer): Buffer {
  return zstdCompressSync(block, {
    chunkSize: block.length + (block.length >>> 8) + 1024,
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
  });
}

test("each block is a frame of its own, and no frame depends on the ones before", async () => {
  const { useCompressor } =
    await import("../../../connectors/formats/compression.ts");
  const compress = useCompressor("zstd");
  for (const block of [...blocks, ...blocks.toReversed()]) {
    const frame = Buffer.from(compress(block));
    expect(Buffer.compare(frame, compressAlone(block))).toBe(0);
    expect(Buffer.compare(zstdDecompressSync(frame), block)).toBe(0);
  }
});

test("a Node with another handle compresses to the same bytes", async () => {
  const createZstdCompress = vi.fn(() => ({ destroy: () => {} }));
  vi.doMock("node:zlib", async (importOriginal) => ({
    ...(await importOriginal<typeof import("node:zlib")>()),
    createZstdCompress,
  }));
  const { useCompressor } =
    await import("../../../connectors/formats/compression.ts");
  const compress = useCompressor("zstd");
  for (const block of blocks)
    expect(Buffer.compare(compress(block), compressAlone(block))).toBe(0);
  expect(createZstdCompress).toHaveBeenCalledOnce();
});
