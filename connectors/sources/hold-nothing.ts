/** The snapshot of a source that has none to hold: no transaction is open, and no table is locked. */
import type { HeldSnapshot, SnapshotRef } from "./source.ts";

export function holdNothing(ref: SnapshotRef): HeldSnapshot {
  return {
    ref,
    openTransactions: {
      oldestSeconds: 0,
      complete: true,
      measuredAt: new Date().toISOString(),
    },
    lockRelations: async () => [],
    close: async () => {},
  };
}
