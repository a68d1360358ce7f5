/** Messages between the destination's main thread and its channel workers: one worker a socket. */
import type { CheckpointStamp, DurableReport } from "../../proto/checkpoint.ts";
import type {
  DestinationFact,
  DestinationSettings,
  DestinationStream,
  InspectedLines,
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";

/** What a worker is born with. */
export interface DestinationWorkerData {
  readonly settings: DestinationSettings;
  readonly channel: number;
}

export type DestinationWorkerOrder =
  | { readonly type: "channel.connect"; readonly path: string }
  | { readonly type: "stream.known"; readonly stream: DestinationStream }
  /** The run's channels are closing or the process ends: unsealed files are let go of, nothing is sealed. */
  | { readonly type: "worker.abandon" };

/** For metrics only: no machine hears it. */
export type WriteMeasured = Extract<DestinationFact, { type: "measured" }>;

export type DestinationWorkerFact =
  | { readonly type: "channel.joined" }
  | { readonly type: "channel.paused"; readonly reason: string }
  | { readonly type: "channel.resumed" }
  | { readonly type: "channel.broken"; readonly error: WireError }
  | { readonly type: "channel.ended" }
  | { readonly type: "checkpoint.announced"; readonly stamp: CheckpointStamp }
  | { readonly type: "checkpoint.durable"; readonly report: DurableReport }
  /** The checkpoint belongs to an attempt that was refused: it will never be durable. */
  | {
      readonly type: "checkpoint.voided";
      readonly stream: number;
      readonly index: number;
    }
  | { readonly type: "warning"; readonly message: string };

/** All that a worker says. */
export type DestinationWorkerMessage =
  | DestinationWorkerFact
  | InspectedLines
  | WriteMeasured;
