/** An incremental stream's window, from what the last run left and what the snapshot holds. */
import type { PostgresConnection } from "../../connectors/sources/postgres/connection.ts";
import { readCursorBounds } from "../../connectors/sources/postgres/cursor.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type { CursorOrder, CursorWindow } from "../../proto/control.ts";

interface SavedState {
  readonly from: string | null;
}

export async function readCursorWindow(
  connection: PostgresConnection,
  stream: DiscoveredStream,
  order: CursorOrder,
  where: string | null,
): Promise<CursorWindow> {
  const saved =
    order.state === null ? null : (JSON.parse(order.state) as SavedState);
  const bounds = await readCursorBounds(connection, stream, {
    column: order.column,
    from: saved?.from ?? null,
    lagSeconds: order.lagSeconds,
    openTransactions: null,
    where,
  });
  return {
    column: bounds.column,
    type: bounds.type,
    from: bounds.from,
    to: bounds.to,
    lagSeconds: bounds.lagSeconds,
    nextState: JSON.stringify({ from: bounds.nextFrom } satisfies SavedState),
    dropRepeats: null,
    rowsWithoutCursor: bounds.nullRows,
    warnings: bounds.warnings,
  };
}
