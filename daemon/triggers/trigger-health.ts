/** How a queue that triggers runs is doing. */
import type { WireError } from "../../proto/error.ts";
import type { TriggerReceipt } from "../service/types.ts";
import type { PublisherHealth } from "./kafka/publisher.ts";

/**
 * `paused`: the ledger, or the dead-letter topic, takes nothing. `backingOff`: the brokers are away. `refused`: another
 * ledger is in the group.
 */
export const TRIGGER_STATES = [
  "connecting",
  "consuming",
  "paused",
  "backingOff",
  "refused",
  "draining",
  "stopped",
] as const;

export interface TriggerHealth {
  readonly kind: "kafka";
  readonly state: (typeof TRIGGER_STATES)[number];
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
  readonly error: WireError | null;
  readonly topic: string;
  readonly group: string;
  readonly partitions: readonly number[];
  /** Messages since the start, by what became of them. */
  readonly messages: Readonly<Record<TriggerReceipt["result"], number>> & {
    readonly deadLettered: number;
  };
  readonly results: PublisherHealth | null;
}
