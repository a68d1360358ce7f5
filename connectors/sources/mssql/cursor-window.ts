/** An incremental stream's window, from what the last run left and what the snapshot holds. */
import type { CursorOrder, CursorWindow } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import { readCursorBounds } from "./cursor.ts";
import { buildRepeatFilter, readMovedRows, type MovedRows } from "./repeats.ts";
import type { Queryable } from "./sql.ts";
import type { MssqlStream } from "./stream.ts";

/** What a committed window leaves to the next one, as JSON in the ledger. */
interface SavedState {
  readonly column: string;
  /** Where the next window begins, exclusive; null while no row had a cursor. */
  readonly from: string | null;
  /** Where this one ended. */
  readonly to: string | null;
  /** Rows in `(from, to]`. */
  readonly moved: MovedRows | null;
}

/**
 * To be called inside of the run's transaction.
 * @throws ExtractError CURSOR_UNUSABLE, SOURCE_COLUMN_NOT_FOUND, USAGE; SOURCE_QUERY_FAILED for a bad `where`
 */
export async function readCursorWindow(
  connection: Queryable,
  stream: MssqlStream,
  order: CursorOrder,
  where: string | null,
): Promise<CursorWindow> {
  const saved =
    order.state === null ? null : (JSON.parse(order.state) as SavedState);
  if (saved !== null && saved.column !== order.column) {
    const { namespace, name } = stream.schema;
    throw new ExtractError(
      "CURSOR_UNUSABLE",
      `${namespace}.${name} has been copied by the cursor ${saved.column} so far: go on with that one, or begin anew in another folder`,
      { column: order.column, columnBefore: saved.column },
    );
  }
  const bounds = await readCursorBounds(connection, stream, {
    column: order.column,
    from: saved?.from ?? null,
    lagSeconds: order.lagSeconds,
    openTransactions: order.openTransactions,
    where,
  });
  const { column, type, from, to, nextFrom, lagSeconds, nullRows } = bounds;
  const warnings = [...bounds.warnings];
  const moved = await readMovedRows(connection, stream, bounds, where);
  const hasRepeats =
    saved !== null &&
    saved.moved !== null &&
    saved.from !== null &&
    saved.to !== null;
  const dropRepeats = hasRepeats
    ? await buildRepeatFilter(
        connection,
        stream,
        { column, type, after: saved.from, upTo: saved.to },
        saved.moved,
        where,
        warnings,
      )
    : null;
  const next: SavedState = { column, from: nextFrom, to, moved };
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
}
