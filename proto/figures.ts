/**
 * Figures of a run that no machine's state shows: what was planned, how far each partition is, which checkpoint is
 * where. They travel among the inspection records. Counts are cumulative: one that is lost is made good by the next.
 */

import type { LogStep } from "./log-budget.ts";

/** Partitions that one record may describe; a plan with more comes as several. */
export const PARTITIONS_PER_RECORD_MAX = 1_000;

export interface PlannedPartition {
  readonly ordinal: number;
  /** Estimates of the plan. */
  readonly rows: number;
  readonly bytes: number;
  /** For people: what range it owns. */
  readonly range: string;
  /** An earlier attempt has made it durable. */
  readonly isDone: boolean;
}

export interface PartitionSample {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
  /** The socket it is read over. */
  readonly channel: number;
  /** Since this attempt at the partition began. */
  readonly rows: number;
  readonly bytes: number;
}

/** How far a run is behind the log that it follows. */
export interface LogLag {
  /** All that the source has committed before is durable: milliseconds since the Unix epoch; 0: that is not known yet. */
  readonly asOfMs: number;
  /** Of the source's log, behind what is durable; null: the source does not say. */
  readonly lagBytes: number | null;
  readonly step: LogStep;
}

export type Figures =
  | {
      readonly type: "run";
      readonly state: string;
      readonly sync: string | null;
      readonly epoch: number;
      readonly error: string | null;
      /** For people: how rows go over each hop, and why so. Absent: as it was told before. */
      readonly architecture?: readonly string[];
    }
  | {
      readonly type: "plan";
      readonly stream: number;
      /** `namespace.name`; empty where it is not known. */
      readonly name: string;
      readonly rung: string;
      readonly reason: string;
      readonly partitions: readonly PlannedPartition[];
    }
  | {
      readonly type: "progress";
      readonly partitions: readonly PartitionSample[];
    }
  | {
      readonly type: "statement";
      readonly stream: number;
      readonly partition: number;
      readonly channel: number;
      readonly sql: string;
    }
  | {
      readonly type: "checkpoint";
      readonly step: "announced" | "durable" | "released" | "voided";
      readonly stream: number;
      readonly index: number;
      /** Null where it is not known: `released`, `voided`. */
      readonly partition: number | null;
      readonly rows: number;
      readonly bytes: number;
      /** For people: everything up to here is durable. */
      readonly position: string | null;
      /** The partition is complete. */
      readonly isLast: boolean;
    }
  | ({ readonly type: "log" } & LogLag);
