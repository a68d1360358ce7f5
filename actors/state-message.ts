/** A stream's state as an Airbyte STATE message: both sides write it to their stdout, and the bookkeeper compares. */
import type { StreamState } from "../proto/checkpoint.ts";

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
    readonly sourceStats?: { readonly recordCount: number };
    readonly destinationStats?: { readonly recordCount: number };
    /** The checkpoint's index. */
    readonly id: number;
    readonly partition_id: string;
  };
}

export function createStateMessage(
  side: "source" | "destination",
  stream: { readonly namespace: string; readonly name: string },
  state: StreamState,
): StateMessage {
  const count = { recordCount: state.rows };
  return {
    type: "STATE",
    state: {
      type: "STREAM",
      stream: {
        stream_descriptor: { name: stream.name, namespace: stream.namespace },
        stream_state: state,
      },
      ...(side === "source"
        ? { sourceStats: count }
        : { destinationStats: count }),
      id: state.index,
      partition_id: `s${state.stream}`,
    },
  };
}
