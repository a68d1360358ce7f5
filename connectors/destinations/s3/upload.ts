/**
 * One object while it is written: bytes in, parts out while they come, and its name at the end. What fits into one part
 * is sent with its name, in one request.
 */
import assert from "node:assert/strict";

import { ExtractError } from "../../../proto/error.ts";
import type { S3Bucket, UploadedPart } from "./bucket.ts";
import { drawToken } from "./bucket.ts";
import { PARTS_MAX, PART_BYTES } from "./parts.ts";
import type { PartPool } from "./parts.ts";

export class ObjectUpload {
  /** Relative to the prefix. */
  readonly path: string;
  readonly #bucket: S3Bucket;
  readonly #pool: PartPool;
  readonly #token = drawToken();
  /** The part that is filled; null before the first byte and after the last. */
  #part: Buffer | null = null;
  #filled = 0;
  #bytes = 0;
  #partsBegun = 0;
  #uploadId: Promise<string> | null = null;
  #sending = new Set<Promise<void>>();
  readonly #parts: UploadedPart[] = [];
  #failure: Error | null = null;
  #state: "open" | "publishing" | "published" | "ended" = "open";

  constructor(bucket: S3Bucket, pool: PartPool, path: string) {
    this.#bucket = bucket;
    this.#pool = pool;
    this.path = path;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Memory of the part that is filled. */
  get heldBytes(): number {
    return this.#part?.byteLength ?? 0;
  }

  /**
   * Takes the pieces over; they are borrowed until the call returns, or its promise settles: that is when enough parts
   * have arrived to send more.
   */
  append(pieces: readonly Uint8Array[]): void | Promise<void> {
    this.#throwFailure();
    for (const [number, piece] of pieces.entries()) {
      const taken = this.#take(piece);
      if (taken < piece.byteLength)
        return this.#appendRest([
          piece.subarray(taken),
          ...pieces.slice(number + 1),
        ]);
    }
  }

  /** Sends the bytes that are left, so that their memory is free before the object gets its name. */
  flush(): void | Promise<void> {
    this.#throwFailure();
    if (this.#filled === 0) return;
    if (this.#pool.tryBegin()) this.#sendPart();
    else return this.#pool.begin().then(() => this.#sendPart());
  }

  /** Waits for all parts that are on their way. @throws the first failure */
  async settle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending);
    this.#throwFailure();
  }

  /**
   * Gives the object its name, which nobody may have; from then on it can be seen.
   * @throws ExtractError of the destination
   */
  async publish(): Promise<void> {
    assert.equal(this.#state, "open");
    this.#state = "publishing";
    if (this.#uploadId !== null && this.#filled > 0) await this.flush();
    await this.settle();
    const object = this.#describe();
    if (this.#uploadId === null) {
      const body = this.#part?.subarray(0, this.#filled) ?? Buffer.alloc(0);
      await this.#bucket.putNew(object, body);
      this.#releasePart();
    } else {
      const parts = this.#parts.toSorted((a, b) => a.number - b.number);
      assert.equal(parts.length, this.#partsBegun);
      await this.#bucket.completeUpload(object, await this.#uploadId, parts);
    }
    this.#state = "published";
  }

  /** Leaves nothing of the object behind, whether or not it has its name. */
  async drop(): Promise<void> {
    const state = this.#state;
    this.#state = "ended";
    this.#failure ??= new ExtractError(
      "DESTINATION_FAILED",
      `${this.#bucket.describe(this.path)} was dropped`,
      { path: this.path },
    );
    // a part that arrives behind the abort would be kept, and paid for
    await Promise.allSettled(this.#sending);
    this.#releasePart();
    const uploadId = await this.#uploadId?.catch(() => null);
    if (uploadId != null && state !== "published")
      await this.#bucket.abortUpload(this.path, uploadId);
    if (state === "published") await this.#bucket.remove([this.path]);
    // its answer may have been lost
    if (state === "publishing") await this.#bucket.removeOwn(this.#describe());
  }

  #describe(): { path: string; bytes: number; token: string } {
    return { path: this.path, bytes: this.#bytes, token: this.#token };
  }

  /** Copies as much of the piece as the pool has room for. @returns bytes taken */
  #take(piece: Uint8Array): number {
    let taken = 0;
    while (taken < piece.byteLength) {
      this.#part ??=
        this.#partsBegun === 0 ? this.#pool.take() : this.#pool.takeFull();
      if (this.#filled === this.#part.byteLength && this.#filled < PART_BYTES)
        this.#part = this.#pool.grow(this.#part);
      const room = this.#part.byteLength - this.#filled;
      if (room === 0) {
        if (!this.#pool.tryBegin()) return taken;
        this.#sendPart();
        continue;
      }
      const some = piece.subarray(taken, taken + room);
      this.#part.set(some, this.#filled);
      this.#filled += some.byteLength;
      this.#bytes += some.byteLength;
      taken += some.byteLength;
    }
    return taken;
  }

  async #appendRest(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      for (let taken = this.#take(piece); taken < piece.byteLength;) {
        await this.#pool.begin();
        // what is left of an upload that failed is not taken any more
        if (this.#failure !== null) this.#pool.end();
        this.#throwFailure();
        this.#sendPart();
        taken += this.#take(piece.subarray(taken));
      }
    }
  }

  /** Sends the part that was filled. Its place among those in flight is taken. */
  #sendPart(): void {
    const part = this.#part;
    assert(part !== null && this.#filled > 0);
    const body = part.subarray(0, this.#filled);
    this.#part = null;
    this.#filled = 0;
    const number = ++this.#partsBegun;
    const sending = this.#deliver(number, body)
      .then(
        () => this.#pool.give(part),
        // the memory of a request that was cut off may still be read: it is left to the collector
        (error: Error) => {
          this.#failure ??= error;
        },
      )
      .finally(() => {
        this.#pool.end();
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
  }

  async #deliver(number: number, body: Buffer): Promise<void> {
    if (number > PARTS_MAX)
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${this.#bucket.describe(this.path)} would have more than ${PARTS_MAX} parts: lower fileBytesMax`,
        { path: this.path, bytes: this.#bytes },
      );
    this.#uploadId ??= this.#bucket.beginUpload({
      path: this.path,
      token: this.#token,
    });
    const uploadId = await this.#uploadId;
    this.#parts.push(
      await this.#bucket.uploadPart(this.path, uploadId, number, body),
    );
  }

  #releasePart(): void {
    if (this.#part !== null) this.#pool.give(this.#part);
    this.#part = null;
    this.#filled = 0;
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
