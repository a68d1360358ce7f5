/** What goes into the ledger and comes out of it. Times are milliseconds since the Unix epoch. */
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { WireError } from "../../proto/error.ts";

export interface SyncRecord {
  readonly id: string;
  readonly name: string | null;
  /** Without secrets. */
  readonly source: string;
  readonly destination: string;
}

/** The process that does an attempt. `pidStartTime`: as `processStartTime` gives it. */
export interface AttemptOwner {
  /** Absent: this host. */
  readonly host?: string;
  readonly pid: number;
  readonly pidStartTime: string | null;
  readonly runDir: string;
}

/**
 * `running` (or its process died), `failed`, `interrupted`: can be resumed, as long as the sync has no newer run.
 * `partlyFailed`: some streams are committed, the others ended. `abandoned`: a newer run has begun.
 */
export type RunState =
  | "running"
  | "succeeded"
  | "partlyFailed"
  | "failed"
  | "interrupted"
  | "abandoned";

export interface RunRecord extends Omit<AttemptOwner, "host"> {
  /** Null: this host, recorded by a Millrace that knew one host only. */
  readonly host: string | null;
  readonly runId: string;
  readonly syncId: string;
  readonly mode: string;
  readonly state: RunState;
  /** Of the newest attempt, as are the members of AttemptOwner. */
  readonly epoch: number;
  readonly requestJson: string;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly error: WireError | null;
}

export interface NewRun extends AttemptOwner {
  readonly syncId: string;
  readonly mode: string;
  /** Without secrets. */
  readonly requestJson: string;
}

export interface ProcessRecord {
  readonly epoch: number;
  /** As in RunRecord. */
  readonly host: string | null;
  readonly role: string;
  readonly pid: number;
  readonly pidStartTime: string | null;
}

export type StreamMode =
  | "full-refresh-overwrite"
  | "full-refresh-append"
  | "incremental-append"
  | "incremental-append-dedupe"
  | "cdc";

export type StreamProgress =
  | "planned"
  | "reading"
  | "committing"
  | "committed"
  | "failed";

export interface NewStream {
  readonly number: number;
  readonly namespace: string;
  readonly name: string;
  /** What was discovered, as JSON. */
  readonly schemaJson: string;
  readonly fingerprint: string;
  /** From `nextGeneration`. */
  readonly generation: number;
  readonly mode: StreamMode;
  readonly cursorWindowJson: string | null;
}

export interface StreamRecord extends NewStream {
  readonly state: StreamProgress;
  readonly error: WireError | null;
  /** From 1; one more whenever the stream starts over. 0 before the first plan. */
  readonly planVersion: number;
}

/**
 * `open`: being written. `committing`: its manifest may be in place or not. `superseded` and `abandoned`: its files
 * may be removed. `removed`: they are.
 */
export type GenerationState =
  | "open"
  | "committing"
  | "committed"
  | "superseded"
  | "abandoned"
  | "removed";

export interface GenerationRecord {
  readonly generation: number;
  readonly state: GenerationState;
  readonly runId: string | null;
}

/** Files that this ledger has let an attempt write: all that may ever be removed. */
export interface Intent {
  readonly namespace: string;
  readonly name: string;
  readonly runId: string;
  readonly stream: number;
  readonly generation: number;
  readonly epoch: number;
  readonly partitions: readonly number[];
}

export interface Recovery {
  /** Found at the destination, unknown here until now; recorded. */
  readonly added: readonly DurableReport[];
  /** Found, but dropped before or of a plan that is superseded: their files are to be removed. */
  readonly stale: readonly DurableReport[];
  /** Recorded as durable here, and not found: the destination has lost files. */
  readonly missing: readonly DurableReport[];
}

export interface SnapshotRecord {
  readonly id: string;
  readonly visible: string;
  readonly keeperPid: number;
  readonly keeperStart: string | null;
  readonly keeperSocket: string;
}

export interface EventRecord {
  readonly at: number;
  readonly kind: string;
  readonly detailsJson: string;
}
