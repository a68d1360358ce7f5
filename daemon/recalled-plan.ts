/** The plan that an earlier run read a stream by, for a replay: only where it still selects each row of it once. */
import { isDeepStrictEqual } from "node:util";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type { CursorWindow, DiscoveredWire } from "../proto/control.ts";
import type { Partition, Plan } from "../proto/partition.ts";

export interface RecalledPlan {
  readonly plan: Plan;
  readonly window: CursorWindow | null;
}

/**
 * Null where the table has other columns, another key or other leaves than it had then, or was never planned: it is
 * planned anew. A recalled window leaves the cursor where it is: it lies behind it.
 */
export function recallPlan(
  ledger: Pick<Ledger, "streamsOf" | "planOf" | "partitionsOf">,
  ofRun: string,
  { schema, leaves, key = null }: DiscoveredWire,
): RecalledPlan | null {
  const then = ledger
    .streamsOf(ofRun)
    .find(
      ({ namespace, name }) =>
        namespace === schema.namespace && name === schema.name,
    );
  if (!then || then.fingerprint !== schema.fingerprint) return null;
  const plan = ledger.planOf(ofRun, then.number);
  if (!plan) return null;
  const partitions = ledger.partitionsOf(ofRun, then.number);
  const read = new Set(partitions.map(({ relation }) => relation.oid));
  const sameLeaves =
    read.size === leaves.length && leaves.every(({ oid }) => read.has(oid));
  if (!sameLeaves || !partitions.every((one) => hasKey(one, key))) return null;
  return {
    plan: {
      ...plan,
      stream: schema.number,
      reason: `as in run ${ofRun}: ${plan.reason}`,
      partitions: partitions.map((partition, ordinal) => ({
        ...partition,
        stream: schema.number,
        ordinal,
      })),
    },
    window: recallWindow(then.cursorWindowJson),
  };
}

/** Of a stream as it is now. Places inside a range of keys are told by the key's order: without it they could not be gone on from. */
export function hasKey(
  { split }: Pick<Partition, "split">,
  key: NonNullable<DiscoveredWire["key"]> | null,
): boolean {
  if (split.kind !== "key") return true;
  const columns = key?.columns ?? [];
  return (
    isDeepStrictEqual(
      columns.map(({ name }) => name),
      split.columns,
    ) &&
    isDeepStrictEqual(
      columns.map(({ type }) => type),
      split.types,
    )
  );
}

function recallWindow(windowJson: string | null): CursorWindow | null {
  if (windowJson === null) return null;
  const window = JSON.parse(windowJson) as CursorWindow;
  return { ...window, nextState: null };
}
