/**
 * The states that Millrace gives a destination of somebody else: they hold nothing but which checkpoint they are of, since
 * what a resume needs is in the ledger. One that comes back says that all rows before it are durable.
 */
import type { AirbyteState } from "./messages.ts";
import { toCount, unwrapNumber } from "./exact-json.ts";

export interface StateToken {
  readonly run: string;
  readonly epoch: number;
  readonly stream: number;
  readonly index: number;
}

const MEMBER = "millrace_checkpoint";

/** A STATE message, as text. */
export function describeToken(
  stream: { readonly namespace: string; readonly name: string },
  token: StateToken,
  {
    rows,
    partitionId,
  }: { readonly rows: number; readonly partitionId: string | null },
): string {
  const { namespace, name } = stream;
  return JSON.stringify({
    type: "STATE",
    state: {
      type: "STREAM",
      stream: {
        stream_descriptor: {
          name,
          ...(namespace === "" ? {} : { namespace }),
        },
        stream_state: { [MEMBER]: token },
      },
      sourceStats: { recordCount: toCount(rows) },
      ...(partitionId === null
        ? {}
        : { id: token.index, partition_id: partitionId }),
    },
  });
}

/** Null: it is none of ours. */
export function readToken({ stream }: AirbyteState): StateToken | null {
  const state = stream?.stream_state;
  if (typeof state !== "object" || state === null || !(MEMBER in state))
    return null;
  const token = state[MEMBER];
  if (typeof token !== "object" || token === null) return null;
  const members = token as Readonly<Record<string, unknown>>;
  const { run } = members;
  const [epoch, number, index] = ["epoch", "stream", "index"].map((name) =>
    unwrapNumber(members[name]),
  );
  return typeof run === "string" &&
    typeof epoch === "number" &&
    typeof number === "number" &&
    typeof index === "number"
    ? { run, epoch, stream: number, index }
    : null;
}
