/**
 * The native zstd compressor of a `node:zlib` stream, driven synchronously.
 *
 * Node offers one call for a whole input, which makes a context and a result buffer each time, or an asynchronous
 * stream. The handle behind the stream can do both jobs without either cost: widely used packages (pngjs, and minizlib
 * within npm) have long driven the deflate handle in this way. It is not a documented interface, so it is looked at
 * before it is used.
 */
import assert from "node:assert/strict";
import { constants, createZstdCompress, type ZstdCompress } from "node:zlib";

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

/** What the constants of `node:zlib` call ZSTD_e_continue and ZSTD_e_end. */
export const zstdContinue = constants.ZSTD_e_continue;
export const zstdEnd = constants.ZSTD_e_end;

export class ZstdHandle {
  readonly #stream: ZstdCompress;
  readonly #handle: NativeHandle;
  /** After each `writeSync`: room left in the output, bytes left of the input. */
  readonly #state: Uint32Array;
  #failure: string | null = null;

  /** Null when this version of Node has another handle. */
  static open(level: number): ZstdHandle | null {
    const stream = createZstdCompress({
      params: { [constants.ZSTD_c_compressionLevel]: level },
    });
    const { _handle: handle, _writeState: state } = stream as unknown as {
      _handle?: NativeHandle;
      _writeState?: unknown;
    };
    if (
      typeof handle?.writeSync === "function" &&
      state instanceof Uint32Array &&
      state.length === 2
    )
      return new ZstdHandle(stream, handle, state);
    stream.destroy();
    return null;
  }

  private constructor(
    stream: ZstdCompress,
    handle: NativeHandle,
    state: Uint32Array,
  ) {
    this.#stream = stream;
    this.#handle = handle;
    this.#state = state;
    handle.onerror = (message, _errno, code) => {
      this.#failure = `${code}: ${message}`;
    };
  }

  /** Bytes that the last `compress` left of its input. */
  get inputLeft(): number {
    return this.#state[1]!;
  }

  /**
   * Compresses `input` from `inputFrom` on into `output`; returns the bytes written. Room left in `output` means that
   * nothing more is waiting; otherwise it is to be called again with what is left.
   * @param flush `zstdEnd` closes the frame. The next call begins a new one with the same level, without a reset,
   * which would forget the level.
   */
  compress(
    flush: number,
    input: Uint8Array,
    inputFrom: number,
    output: Uint8Array,
  ): number {
    this.#handle.writeSync(
      flush,
      input,
      inputFrom,
      input.length - inputFrom,
      output,
      0,
      output.length,
    );
    // out of memory is the one way to fail
    assert.equal(this.#failure, null);
    return output.length - this.#state[0]!;
  }

  close(): void {
    this.#stream.destroy();
  }
}
