/** An incremental stream's window, from what the last run left and what the snapshot holds. */
import { readCursorBounds } from "./cursor.ts";
import { buildRepeatFilter, readMovedRows, type MovedRows } from "./repeats.ts";
import type { CursorOrder, CursorWindow } from "../../../proto/control.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { Queryable } from "./sql.ts";
import type { MysqlStream } from "./stream.ts";

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
 * To be called inside of the run's snapshot.
 * @throws ExtractError CURSOR_UNUSABLE, SOURCE_COLUMN_NOT_FOUND, USAGE; SOURCE_QUERY_FAILED for a bad `where`
 */
export async function readCursorWindow(
  connection: Queryable,
  stream: MysqlStream,
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
  const dropRepeats =
    saved === null ||
    saved.moved === null ||
    saved.from === null ||
    saved.to === null
      ? null
      : await buildRepeatFilter(
          connection,
          stream,
          {
            zone: { column, type, after: saved.from, upTo: saved.to },
            moved: saved.moved,
            where,
          },
          warnings,
        );
  return {
    column,
    type,
    from,
    to,
    lagSeconds,
    nextState: JSON.stringify({
      column,
      from: nextFrom,
      to,
      moved,
    } satisfies SavedState),
    dropRepeats,
    rowsWithoutCursor: nullRows,
    warnings,
  };
}
