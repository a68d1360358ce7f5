/** Which transactions a Postgres snapshot shows, by the numbers that the log gives them. */
import { ExtractError } from "../../proto/error.ts";

const CYCLE = 2n ** 32n;
const HALF = CYCLE / 2n;

/**
 * `snapshot`: `xmin:xmax:xip,…` of 64-bit numbers, as `pg_current_snapshot()` prints it; null shows none. The log's
 * numbers have 32 bits and begin again: one that is nearer to the snapshot counts as of its cycle.
 * @throws ExtractError STATE_INCOMPATIBLE for what is no snapshot
 */
export function readVisible(
  snapshot: string | null,
): (transaction: string | null) => boolean {
  if (snapshot === null) return () => false;
  const match = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20},?)*)$/.exec(snapshot);
  if (match === null)
    throw new ExtractError(
      "STATE_INCOMPATIBLE",
      `${snapshot.slice(0, 80)} is no snapshot`,
    );
  const [, min = "", max = "", list = ""] = match;
  const xmin = BigInt(min);
  const xmax = BigInt(max);
  const running = new Set(list.split(",").filter((one) => one !== ""));
  const isShown = (transaction: string): boolean => {
    if (!/^\d{1,20}$/.test(transaction)) return false;
    const xid = widen(BigInt(transaction), xmax);
    return xid < xmin || (xid < xmax && !running.has(String(xid)));
  };
  // it is asked for every event of a transaction
  let latest = { transaction: "", isVisible: false };
  return (transaction) => {
    if (transaction === null) return false;
    if (transaction !== latest.transaction)
      latest = { transaction, isVisible: isShown(transaction) };
    return latest.isVisible;
  };
}

function widen(xid: bigint, near: bigint): bigint {
  if (xid >= CYCLE) return xid;
  const same = near - (near % CYCLE) + xid;
  if (same > near + HALF && same >= CYCLE) return same - CYCLE;
  if (same + HALF < near) return same + CYCLE;
  return same;
}
