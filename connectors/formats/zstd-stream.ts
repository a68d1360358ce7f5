/**
 * One zstd frame, made block by block and synchronously.
 *
 * `node:zlib` offers either one call for the whole input or an asynchronous stream. One frame for each block would be
 * allowed (RFC 8878, section 3), but readers that stop behind the first frame without a word are common, Node's own
 * `zstdDecompressSync` among them, and such a reader would lose rows. So the stream's native handle is driven directly,
 * as widely used packages (pngjs, and minizlib within npm) have long done with the deflate handle.
 */
import assert from "node:assert/strict";
import { constants, createZstdCompress, type ZstdCompress } from "node:zlib";

/** Compressed bytes collected before they are handed over. */
const OUT_BYTES = 256 * 1024;

interface NativeHandle {
  onerror: (message: string, errno: number, code: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputBytes: number,
    output: Uint8Array,
    outputOffset: number,
    outputBytes: number,
  ): void;
}

export class ZstdStream {
  readonly #stream: ZstdCompress;
  readonly #handle: NativeHandle;
  /** After each `writeSync`: room left in the output, bytes left of the input. */
  readonly #state: Uint32Array;
  #failure: string | null = null;

  constructor(level: number) {
    this.#stream = createZstdCompress({
      params: { [constants.ZSTD_c_compressionLevel]: level },
    });
    const { _handle: handle, _writeState: state } = this.#stream as unknown as {
      _handle?: NativeHandle;
      _writeState?: Uint32Array;
    };
    assert(
      typeof handle?.writeSync === "function" && state?.length === 2,
      "this version of Node has another zstd handle",
    );
    handle.onerror = (message, _errno, code) => {
      this.#failure = `${code}: ${message}`;
    };
    this.#handle = handle;
    this.#state = state;
  }

  /** Takes a block in; returns what is complete of the frame, often nothing. */
  write(block: Uint8Array): Uint8Array[] {
    return this.#process(block, constants.ZSTD_e_continue);
  }

  /** The end of the frame; the stream is closed. */
  finish(): Uint8Array[] {
    const pieces = this.#process(new Uint8Array(0), constants.ZSTD_e_end);
    this.#stream.destroy();
    return pieces;
  }

  #process(block: Uint8Array, flush: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let inputLeft = block.length;
    for (;;) {
      const output = new Uint8Array(OUT_BYTES);
      const from = block.length - inputLeft;
      this.#handle.writeSync(
        flush,
        block,
        from,
        inputLeft,
        output,
        0,
        OUT_BYTES,
      );
      // out of memory is the one way to fail
      assert.equal(this.#failure, null);
      const outputLeft = this.#state[0]!;
      inputLeft = this.#state[1]!;
      if (outputLeft < OUT_BYTES)
        pieces.push(output.subarray(0, OUT_BYTES - outputLeft));
      // room left means that nothing more is waiting
      if (outputLeft > 0) break;
    }
    assert.equal(inputLeft, 0, "the block was taken in whole");
    return pieces;
  }
}
