/**
 * One zstd frame, made block by block and synchronously. One frame for each block would be allowed (RFC 8878,
 * section 3), but readers that stop behind the first frame without a word are common, Node's own `zstdDecompressSync`
 * among them, and such a reader would lose rows.
 */
import assert from "node:assert/strict";
import { ZstdHandle, zstdContinue, zstdEnd } from "./zstd-handle.ts";

/** Compressed bytes collected before they are handed over. */
const OUT_BYTES = 256 * 1024;

export class ZstdStream {
  readonly #handle: ZstdHandle;

  constructor(level: number) {
    const handle = ZstdHandle.open(level);
    assert(handle !== null, "this version of Node has another zstd handle");
    this.#handle = handle;
  }

  /** Takes a block in; returns what is complete of the frame, often nothing. */
  write(block: Uint8Array): Uint8Array[] {
    return this.#process(block, zstdContinue);
  }

  /** The end of the frame; the stream is closed. */
  finish(): Uint8Array[] {
    const pieces = this.#process(new Uint8Array(0), zstdEnd);
    this.#handle.close();
    return pieces;
  }

  #process(block: Uint8Array, flush: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const handle = this.#handle;
    let from = 0;
    for (;;) {
      const output = new Uint8Array(OUT_BYTES);
      const bytes = handle.compress(flush, block, from, output);
      from = block.length - handle.inputLeft;
      if (bytes > 0) pieces.push(output.subarray(0, bytes));
      // room left means that nothing more is waiting
      if (bytes < OUT_BYTES) break;
    }
    assert.equal(from, block.length, "the block was taken in whole");
    return pieces;
  }
}
