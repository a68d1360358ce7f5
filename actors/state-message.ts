/** A stream's state as an Airbyte STATE message: both sides write it to their stdout, and the bookkeeper compares. */
import { toCount, type RawJson } from "../connectors/airbyte/exact-json.ts";
import type { StreamState } from "../proto/checkpoint.ts";

interface Stats {
  /** Rows of this stream since its state before, with a decimal point (`51234.0`): the protocol's schema says `number`. */
  readonly recordCount: RawJson;
}

export interface StateMessage {
  readonly type: "STATE";
  readonly state: {
    readonly type: "STREAM";
    readonly stream: {
      readonly stream_descriptor: {
        readonly name: string;
        readonly namespace: string;
      };
      readonly stream_state: StreamState;
    };
    readonly sourceStats?: Stats;
    readonly destinationStats?: Stats;
    /** The checkpoint's index. */
    readonly id: number;
    readonly partition_id: string;
  };
}

/** Gives the function that turns one side's states, in the order of their indexes, into messages. */
export function createStateMessages(
  side: "source" | "destination",
): (
  stream: { readonly namespace: string; readonly name: string },
  state: StreamState,
) => StateMessage {
  const rowsBefore = new Map<number, number>();
  return ({ name, namespace }, state) => {
    const rows = state.rows - (rowsBefore.get(state.stream) ?? 0);
    rowsBefore.set(state.stream, state.rows);
    const stats: Stats = { recordCount: toCount(rows) };
    return {
      type: "STATE",
      state: {
        type: "STREAM",
        stream: {
          stream_descriptor: { name, namespace },
          stream_state: state,
        },
        ...(side === "source"
          ? { sourceStats: stats }
          : { destinationStats: stats }),
        id: state.index,
        partition_id: `s${state.stream}`,
      },
    };
  };
}
