/**
 * An incremental stream's window, from what the last run left and what the snapshot holds: the same rules for every
 * database, which says how its bounds are read and how rows that come again are known.
 */
import type {
  CursorOrder,
  CursorWindow,
  OpenTransactions,
  RepeatFilter,
} from "../../proto/control.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";

export interface CursorOptions {
  readonly column: string;
  /** `nextFrom` of the last run whose window is committed; null on the first. */
  readonly from: string | null;
  /** Null: chosen from the column's type and the open transactions. */
  readonly lagSeconds: number | null;
  /** Of the time just before the snapshot; null: read now, which misses what has just committed. */
  readonly openTransactions: OpenTransactions | null;
  /** The sync's own condition, for the count of rows without a cursor. */
  readonly where: string | null;
}

export interface CursorBounds {
  readonly column: string;
  /** The column's type in the database's own words, as its other functions take it. */
  readonly type: string;
  /** Exclusive; null on the first run. */
  readonly from: string | null;
  /** The highest cursor in the snapshot, inclusive, as exact server text; null where no row has one. */
  readonly to: string | null;
  /**
   * What the next run gives as `from`: `to`, or the time of the snapshot where `to` lies ahead of it, less the lag, as
   * the server computes it, and never below this run's `from`. The rows in `(nextFrom, to]` come again then, and the
   * state keeps what it takes to drop them.
   */
  readonly nextFrom: string | null;
  readonly lagSeconds: number;
  /** Rows without a cursor, which no window has. */
  readonly nullRows: number;
  readonly warnings: readonly string[];
}

/** Where rows may come a second time. */
export type RepeatZone = Pick<CursorBounds, "column" | "type"> & {
  /** Exclusive. */
  readonly after: string;
  /** Inclusive. */
  readonly upTo: string;
};

/** What a database does for a window. `Moved` is what it notes of the rows that will come again, as JSON. */
export interface CursorReads<Connection, Stream, Moved> {
  readCursorBounds(
    connection: Connection,
    stream: Stream,
    options: CursorOptions,
  ): Promise<CursorBounds>;
  readMovedRows(
    connection: Connection,
    stream: Stream,
    bounds: CursorBounds,
    where: string | null,
  ): Promise<Moved | null>;
  /** `warnings` gets a sentence where rows come twice all the same. */
  buildRepeatFilter(
    connection: Connection,
    stream: Stream,
    repeats: { zone: RepeatZone; moved: Moved; where: string | null },
    warnings: string[],
  ): Promise<RepeatFilter | null>;
}

/** What a committed window leaves to the next one, as JSON in the ledger. */
interface SavedState<Moved> {
  readonly column: string;
  /** Where the next window begins, exclusive; null while no row had a cursor. */
  readonly from: string | null;
  /** Where this one ended. */
  readonly to: string | null;
  /** Rows in `(from, to]`. */
  readonly moved: Moved | null;
}

/**
 * The function that reads a window, to be called inside of the run's snapshot. It throws ExtractError CURSOR_UNUSABLE,
 * SOURCE_COLUMN_NOT_FOUND, USAGE, and SOURCE_QUERY_FAILED for a bad `where`.
 */
export function createCursorWindowReader<
  Connection,
  Stream extends { readonly schema: StreamSchema },
  Moved,
>(reads: CursorReads<Connection, Stream, Moved>) {
  return async (
    connection: Connection,
    stream: Stream,
    order: CursorOrder,
    where: string | null,
  ): Promise<CursorWindow> => {
    const saved =
      order.state === null
        ? null
        : (JSON.parse(order.state) as SavedState<Moved>);
    if (saved !== null && saved.column !== order.column) {
      const { namespace, name } = stream.schema;
      throw new ExtractError(
        "CURSOR_UNUSABLE",
        `${namespace}.${name} has been copied by the cursor ${saved.column} so far: go on with that one, or begin anew in another folder`,
        { column: order.column, columnBefore: saved.column },
      );
    }
    const bounds = await reads.readCursorBounds(connection, stream, {
      column: order.column,
      from: saved?.from ?? null,
      lagSeconds: order.lagSeconds,
      openTransactions: order.openTransactions,
      where,
    });
    const { column, type, from, to, nextFrom, lagSeconds, nullRows } = bounds;
    const warnings = [...bounds.warnings];
    const moved = await reads.readMovedRows(connection, stream, bounds, where);
    const dropRepeats =
      saved === null ||
      saved.moved === null ||
      saved.from === null ||
      saved.to === null
        ? null
        : await reads.buildRepeatFilter(
            connection,
            stream,
            {
              zone: { column, type, after: saved.from, upTo: saved.to },
              moved: saved.moved,
              where,
            },
            warnings,
          );
    const next: SavedState<Moved> = { column, from: nextFrom, to, moved };
    return {
      column,
      type,
      from,
      to,
      lagSeconds,
      nextState: JSON.stringify(next),
      dropRepeats,
      rowsWithoutCursor: nullRows,
      warnings,
    };
  };
}
