/**
 * The recorded run on disk: zstd frames of JSON lines, each behind a skippable frame that says which records are in it,
 * so that `zstd -dc` prints the file and a reader finds a record without reading what is before it.
 * @see RFC 8878, 3.1.2: skippable frames, magic 0x184D2A50 to 0x184D2A5F, then the length of what follows
 */
import assert from "node:assert/strict";
import { open, type FileHandle } from "node:fs/promises";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

const SKIPPABLE_MAGIC = 0x18_4d_2a_5a;
const MARK = 0x31_49_52_4d; // "MRI1"
const HEADER_BYTES = 8 + 24;
/** A block is written with about 64 KiB; more is no file of ours. */
const BLOCK_BYTES_MAX = 16 * 1024 * 1024;
const BLOCKS_MAX = 100_000;

export interface Block {
  /** Number of its first record in the run, from 0. */
  readonly first: number;
  readonly records: number;
  /** In the file, of the zstd frame. */
  readonly offset: number;
  readonly bytes: number;
}

/** @param lines JSON lines, each closed by a newline */
export function encodeBlock(
  lines: string,
  first: number,
  records: number,
): Buffer {
  assert.ok(records > 0 && lines.endsWith("\n"), "a block has whole lines");
  const frame = zstdCompressSync(lines, {
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
  });
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  header.writeUInt32LE(HEADER_BYTES - 8, 4);
  header.writeUInt32LE(MARK, 8);
  header.writeUInt32LE(frame.byteLength, 12);
  header.writeUInt32LE(records, 16);
  header.writeUInt32LE(Buffer.byteLength(lines), 20);
  header.writeBigUInt64LE(BigInt(first), 24);
  return Buffer.concat([header, frame]);
}

/** The blocks of a file; what a kill has cut off at its end is left out. */
async function listBlocks(file: FileHandle): Promise<Block[]> {
  const { size } = await file.stat();
  const blocks: Block[] = [];
  const header = Buffer.alloc(HEADER_BYTES);
  let offset = 0;
  while (offset + HEADER_BYTES <= size && blocks.length < BLOCKS_MAX) {
    await file.read(header, 0, HEADER_BYTES, offset);
    if (
      header.readUInt32LE(0) !== SKIPPABLE_MAGIC ||
      header.readUInt32LE(8) !== MARK
    )
      break;
    const bytes = header.readUInt32LE(12);
    offset += HEADER_BYTES;
    if (bytes > BLOCK_BYTES_MAX || offset + bytes > size) break;
    blocks.push({
      first: Number(header.readBigUInt64LE(24)),
      records: header.readUInt32LE(16),
      offset,
      bytes,
    });
    offset += bytes;
  }
  return blocks;
}

/** The lines of one block, without their newlines. */
async function readBlock(file: FileHandle, block: Block): Promise<string[]> {
  const bytes = Buffer.alloc(block.bytes);
  await file.read(bytes, 0, block.bytes, block.offset);
  const text = zstdDecompressSync(bytes, {
    maxOutputLength: BLOCK_BYTES_MAX,
  }).toString("utf8");
  return text.split("\n").slice(0, -1);
}

/** A recorded run, open for reading. */
export class HistoryReader {
  readonly #file: FileHandle;
  readonly #blocks: readonly Block[];

  private constructor(file: FileHandle, blocks: readonly Block[]) {
    this.#file = file;
    this.#blocks = blocks;
  }

  /** Null where there is no such file. */
  static async open(path: string): Promise<HistoryReader | null> {
    try {
      const file = await open(path, "r");
      return new HistoryReader(file, await listBlocks(file));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** One past the number of the last record. */
  get end(): number {
    const last = this.#blocks.at(-1);
    return last ? last.first + last.records : 0;
  }

  /** Records from the first whose number is at least `from`, with their numbers. */
  async *read(
    from: number,
  ): AsyncGenerator<{ readonly sequence: number; readonly line: string }> {
    for (const block of this.#blocks) {
      if (block.first + block.records <= from) continue;
      const lines = await readBlock(this.#file, block);
      for (const [at, line] of lines.entries()) {
        const sequence = block.first + at;
        if (sequence >= from) yield { sequence, line };
      }
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
