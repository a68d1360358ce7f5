/**
 * One file while it is written, under its temporary name.
 */
import * as fs from "node:fs";
import assert from "node:assert/strict";

import type { ColumnBatch } from "../../../proto/columns.ts";
import type { FileEncoder } from "../../formats/format.ts";
import { toDestinationError } from "./errors.ts";
import { removeFile, syncData, writePieces } from "./storage.ts";

/**
 * Bytes written before the next background sync of the same file begins. The seal of a 77 MB Parquet file then waits 5
 * to 14 ms instead of 22 to 28 (ext4 on a fast disk); slower disks gain more, and writing itself takes the same time.
 */
const WRITEBACK_BYTES = 16 * 1024 * 1024;

export class OpenFile {
  readonly temporary: string;
  /** Null: the file is finished, and what the encoder held is free. */
  #encoder: FileEncoder | null;
  #fd: number | null;
  #rows = 0;
  #bytes = 0;
  #bytesHandedToDisk = 0;
  #writeback: Promise<void> | null = null;
  #writebackError: Error | null = null;
  #durable: Promise<void> | null = null;

  /** Makes the file; its folder must be there. */
  constructor(temporary: string, encoder: FileEncoder) {
    this.temporary = temporary;
    this.#encoder = encoder;
    try {
      this.#fd = fs.openSync(temporary, "wx");
    } catch (error) {
      throw toDestinationError(error, "make", temporary);
    }
  }

  get rows(): number {
    return this.#rows;
  }

  /** Bytes in the file; the whole file after `finish`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes in the file and in its encoder. */
  get bytesSoFar(): number {
    return this.#encoder?.bytesSoFar ?? this.#bytes;
  }

  /** Memory that is free once the file is finished. */
  get heldBytes(): number {
    return this.#encoder?.heldBytes ?? 0;
  }

  append(batch: ColumnBatch): void {
    assert(this.#encoder !== null, "the file is finished");
    this.#write(this.#encoder.encode(batch));
    this.#rows += batch.rowCount;
    this.#beginWriteback();
  }

  /** Writes the closing bytes. */
  finish(metadata: Readonly<Record<string, string>>): void {
    assert(this.#encoder !== null, "the file is finished");
    const closing = this.#encoder.finish(metadata);
    this.#encoder = null;
    this.#write(closing);
  }

  /** Waits until every byte is on disk, then closes the file. To be called after `finish`; once is enough. */
  makeDurable(): Promise<void> {
    this.#durable ??= this.#syncAndClose();
    // a failure is met where the promise is awaited, which may be later
    this.#durable.catch(() => {});
    return this.#durable;
  }

  /** Closes and removes the file. */
  async drop(): Promise<void> {
    await this.#durable?.catch(() => {});
    await this.#writeback;
    this.#close();
    removeFile(this.temporary);
  }

  /** Closes the file where it stands and leaves it, for a process that ends. */
  release(): void {
    // a descriptor that a sync still uses is closed behind it, so that its number is not given to another file
    if (this.#durable) return;
    if (this.#writeback) void this.#writeback.then(() => this.#close());
    else this.#close();
  }

  #write(pieces: readonly Uint8Array[]): void {
    assert(this.#fd !== null, "the file is closed");
    try {
      this.#bytes += writePieces(this.#fd, pieces);
    } catch (error) {
      throw toDestinationError(error, "write", this.temporary);
    }
  }

  #beginWriteback(): void {
    if (this.#writeback || this.#fd === null) return;
    if (this.#bytes - this.#bytesHandedToDisk < WRITEBACK_BYTES) return;
    this.#bytesHandedToDisk = this.#bytes;
    this.#writeback = syncData(this.#fd).then(
      () => {
        this.#writeback = null;
      },
      (error: Error) => {
        // the kernel tells of a lost page once; the next sync would succeed
        this.#writebackError ??= error;
        this.#writeback = null;
      },
    );
  }

  async #syncAndClose(): Promise<void> {
    try {
      await this.#writeback;
      if (this.#writebackError) throw this.#writebackError;
      if (this.#fd !== null) await syncData(this.#fd);
    } catch (error) {
      throw toDestinationError(error, "sync", this.temporary);
    } finally {
      this.#close();
    }
  }

  #close(): void {
    if (this.#fd === null) return;
    const fd = this.#fd;
    this.#fd = null;
    fs.closeSync(fd);
  }
}
