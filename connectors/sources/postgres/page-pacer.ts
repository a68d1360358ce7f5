/**
 * Cuts a range of heap pages into consecutive queries, so that a checkpoint can be taken between two of them. Their
 * size follows the rate: a checkpoint is due within seconds of being asked for, and one query more costs about 1 ms.
 */
import { strict as assert } from "node:assert";
import type { PageRange } from "./read-query.ts";

/** Pages of the first query (8 KiB each): a table below is read by one. */
const FIRST_PAGES = 8_192;
const PAGES_MIN = 256;
/** How long one query should take at most, in ms. */
const RANGE_MS = 2_000;
/** A query is at most this many times larger than the one before. */
const GROWTH_MAX = 2;

export class PagePacer {
  readonly #end: number | null;
  /** The table's pages as far as they were known: behind them an open range is not cut. */
  readonly #knownPages: number;
  readonly #rangeMs: number;
  #next: number;
  #pages: number;
  #range: PageRange | null = null;
  #startedAt = 0;

  /** @param checkpointEveryMs no query should take longer: a checkpoint waits for its end */
  constructor(
    start: number,
    end: number | null,
    knownPages: number,
    checkpointEveryMs: number = RANGE_MS,
    firstPages?: number,
  ) {
    assert(start >= 0 && (end === null || end >= start));
    this.#rangeMs = Math.min(RANGE_MS, checkpointEveryMs);
    this.#next = start;
    this.#end = end;
    this.#knownPages = knownPages;
    this.#pages =
      firstPages ??
      Math.max(PAGES_MIN, Math.round((FIRST_PAGES * this.#rangeMs) / RANGE_MS));
  }

  /** The next range to query. */
  next(): PageRange {
    const end = this.#next + this.#pages;
    const limit = this.#end ?? this.#knownPages;
    // what is left behind the cut is a query of its own only if it is worth one
    const isLast = end + this.#pages / 2 >= limit;
    this.#range = { start: this.#next, end: isLast ? this.#end : end };
    this.#startedAt = performance.now();
    return this.#range;
  }

  /** The query has ended. Returns the page where the next begins, or null behind the last. */
  finishRange(): number | null {
    const range = this.#range;
    assert(range !== null, "no range was begun");
    this.#range = null;
    if (range.end === this.#end || range.end === null) return null;
    const ms = Math.max(1, performance.now() - this.#startedAt);
    const wanted = Math.round((this.#pages * this.#rangeMs) / ms);
    this.#pages = Math.max(
      Math.min(PAGES_MIN, this.#pages),
      Math.min(wanted, this.#pages * GROWTH_MAX),
    );
    this.#next = range.end;
    return range.end;
  }
}
