/**
 * Memory for compressed pages, which stay until their row group is complete. It comes in segments of one size that all
 * columns and files of the thread share and use again: buffers that grow would be copied at each doubling, and what they
 * leave behind is garbage outside V8's heap. 3 M rows of lineitem took 26 major collections with them.
 */

/** A column leaves half of one unused on average. */
const SEGMENT_BYTES = 32 * 1024;
/** 32 MiB: a row group of ordinary rows. What is free beyond that is given back. */
const SEGMENTS_KEPT_MAX = 1024;

const free: Uint8Array[] = [];
/** Segments that a caller may still be reading; see `reclaimSegments`. */
let lent: Uint8Array[] = [];

/** Bytes appended at the end, held in segments. */
export class SegmentList {
  #segments: Uint8Array[] = [];
  /** Bytes in use of the last segment. */
  #used = SEGMENT_BYTES;

  get length(): number {
    return this.#segments.length * SEGMENT_BYTES - SEGMENT_BYTES + this.#used;
  }

  /** Memory of the segments. */
  get heldBytes(): number {
    return this.#segments.length * SEGMENT_BYTES;
  }

  append(source: Uint8Array): void {
    let from = 0;
    while (from < source.length) {
      if (this.#used === SEGMENT_BYTES) this.#addSegment();
      const count = Math.min(source.length - from, SEGMENT_BYTES - this.#used);
      const segment = this.#segments.at(-1)!;
      segment.set(
        count === source.length ? source : source.subarray(from, from + count),
        this.#used,
      );
      this.#used += count;
      from += count;
    }
  }

  /** Empties the list; returns its bytes, valid until the next call of `reclaimSegments`. */
  lend(): Uint8Array[] {
    const pieces = this.#segments;
    lent.push(...pieces);
    this.#segments = [];
    if (pieces.length > 0) pieces.push(pieces.pop()!.subarray(0, this.#used));
    this.#used = SEGMENT_BYTES;
    return pieces;
  }

  #addSegment(): void {
    this.#segments.push(free.pop() ?? new Uint8Array(SEGMENT_BYTES));
    this.#used = 0;
  }
}

/** The pieces of all earlier `lend` calls of this thread have been written: their memory is used again. */
export function reclaimSegments(): void {
  if (lent.length === 0) return;
  const back = lent;
  lent = [];
  for (const segment of back) {
    if (free.length === SEGMENTS_KEPT_MAX) return;
    free.push(segment);
  }
}
