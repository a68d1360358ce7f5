/** What kind of snapshot a run has, as its reference carries it from the keeper to the sessions. Pure. */
import type { SnapshotRef } from "../source.ts";

/**
 * - `snapshot`: SNAPSHOT isolation; each session's transaction began while the tables stood still. `touch` is a quoted
 *   table whose reading fixes what the transaction sees.
 * - `statement`: every statement sees the rows as they were when it began (READ_COMMITTED_SNAPSHOT).
 * - `committed`: rows as they are when a statement passes them.
 */
export type SnapshotMode =
  | { readonly kind: "snapshot"; readonly touch: string | null }
  | { readonly kind: "statement" }
  | { readonly kind: "committed" };

export function formatSnapshot(mode: SnapshotMode): string {
  return JSON.stringify(mode);
}

/** Without a snapshot a session reads what is committed. */
export function parseSnapshot(ref: SnapshotRef | null): SnapshotMode {
  return ref === null
    ? { kind: "committed" }
    : (JSON.parse(ref.id) as SnapshotMode);
}
