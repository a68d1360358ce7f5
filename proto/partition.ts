/**
 * Partitions, the ranges they own, and the places inside them where reading can go on.
 */

/**
 * The exact server text of a key's columns, in key order, as `column::text` prints it under our session settings.
 * It goes back as a text parameter cast to the column's declared type, so the server compares what it printed.
 */
export type KeyTuple = readonly string[];

/**
 * The range a partition owns, half-open: start is in it, end is not, and null is open.
 * - `whole`: no predicate; resumable only at its end.
 * - `key`: a range of a unique NOT NULL key, read in key order; resumable behind any row.
 * - `pages`: heap pages `[startPage, endPage)` read as ctid ranges; resumable at the page borders where one query ends.
 * - `log`: the stream's changes, as the source's log has them; resumable behind each transaction.
 */
export type Split =
  | { readonly kind: "whole" }
  | {
      readonly kind: "key";
      readonly columns: readonly string[];
      /** Each column's declared type as SQL, e.g. `character varying(20)`. */
      readonly types: readonly string[];
      readonly start: KeyTuple | null;
      readonly end: KeyTuple | null;
    }
  | {
      readonly kind: "pages";
      readonly startPage: number;
      readonly endPage: number | null;
    }
  | {
      readonly kind: "log";
      /** Changes up to and with this position are in the copy, or in the snapshot. */
      readonly after: string;
      /** What the run's snapshot of the stream stands at; null where the run reads changes only. */
      readonly snapshot: LogSnapshot | null;
    };

/** Every change at or below the position is in the snapshot; what is above it comes by the log, even if it is in it. */
export interface LogSnapshot {
  /** As in the column `_position`, with event number 0. */
  readonly position: string;
  /** When it was taken: microseconds since the Unix epoch, in decimal. */
  readonly takenAt: string;
  /**
   * As the server prints it (Postgres: `xmin:xmax:xip,…`): what a transaction that it shows has done does not come again
   * by the log. Null where the log begins exactly where the snapshot was taken.
   */
  readonly visible: string | null;
}

/** Everything of the partition before (`pages`) or up to and with (`key`, `log`) this place is covered by a checkpoint. */
export type Position =
  | { readonly kind: "key"; readonly after: KeyTuple }
  | { readonly kind: "pages"; readonly nextPage: number }
  /** The last position of a transaction: texts that compare as the log goes. */
  | { readonly kind: "log"; readonly after: string };

/** A table or a leaf of one, as read by `FROM ONLY`. */
export interface RelationRef {
  readonly schema: string;
  readonly name: string;
  readonly oid: number;
}

/** A split with its identity: (stream, ordinal) is unique in a run, readable, and never reused for another range. */
export interface Partition {
  readonly stream: number;
  /** From 0, in the order of the plan. */
  readonly ordinal: number;
  readonly relation: RelationRef;
  /** False for views and foreign tables, where `ONLY` is not wanted. */
  readonly only: boolean;
  readonly split: Split;
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}

/** The rung of the ladder a plan stands on, from the cheapest to the dearest. */
export type Rung = "pages" | "keyRanges" | "whole" | "log";

export interface Plan {
  readonly stream: number;
  readonly rung: Rung;
  /** One sentence for people: why this rung. */
  readonly reason: string;
  readonly partitions: readonly Partition[];
  readonly estimatedRows: number;
  readonly estimatedBytes: number;
}
