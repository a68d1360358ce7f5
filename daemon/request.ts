/**
 * What a sync is asked to do, and what it tells while it works: the border between the command line (or any other
 * front) and the bookkeeper.
 */
import type { FormatOptions } from "../connectors/formats/format.ts";
import type { MapperSet } from "../connectors/mappers/config.ts";
import type { WireError } from "../proto/error.ts";
import type { Rung } from "../proto/partition.ts";
import type { UnrepresentablePolicy } from "../proto/schema.ts";
import type { DecidedHop } from "./architectures.ts";
import type { DestinationRequest } from "./destinations.ts";
import { noLimits, type RunLimits } from "./limits/limits.ts";
import type { LogMeasure, LogStep } from "../proto/log-budget.ts";
import type { ActorOrder, LogFigures } from "../proto/control.ts";
import { logDefaults, type LogRequest } from "./log-request.ts";
import { namesOfSource, type NamingRule } from "./naming.ts";
import type { SchemaDifference, SchemaPolicy } from "./schema-changes.ts";

export type SyncMode =
  | "full-refresh-overwrite"
  | "full-refresh-append"
  | "incremental-append"
  /** Into a database: rows replace those of the same key. */
  | "incremental-append-dedupe"
  /** A snapshot once, and from then on the changes that the source's log tells of. */
  | "cdc";

/** Whether a run moves only what is new since the last one. */
export function isIncremental(mode: SyncMode | undefined): boolean {
  return mode === "incremental-append" || mode === "incremental-append-dedupe";
}

/** Rows of the streams that the pattern means: those whose column lies within the bounds. */
export interface RangeRequest {
  /** Pattern as in `tables`. */
  readonly stream: string;
  readonly column: string;
  /** Inclusive; null is open. Texts are cast by the source to the column's type. */
  readonly from: string | null;
  /** Exclusive; null is open. */
  readonly until: string | null;
}

/** A part of what a sync moves, for one run. A run that is narrowed to rows leaves the cursor where it is. */
export interface Narrowing {
  /** Patterns; null: all of the sync's. */
  readonly streams: readonly string[] | null;
  /** Of one stream all are read, each row once; empty: all rows. */
  readonly ranges: readonly RangeRequest[];
  /** Of the cursor: `from < cursor <= to`. */
  readonly window: {
    readonly from: string | null;
    readonly to: string | null;
  } | null;
}

export interface SyncRequest {
  /** The name in the YAML file; null from the shell. */
  readonly name: string | null;
  readonly source: {
    /** Its scheme is the kind of source; the password may come from the environment. */
    readonly url: string;
    /** What is read changes with it: an unfinished run of another version is not gone on with. */
    readonly version?: string;
  };
  readonly destination: DestinationRequest;
  readonly format: FormatOptions;
  readonly mode: SyncMode;
  /** What streams are called at the destination. */
  readonly naming: NamingRule;
  /** Patterns: `table`, `schema.table`, `*` as wildcard. Empty: all. */
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
  /** Null: everything. */
  readonly narrowing: Narrowing | null;
  readonly columns: readonly string[] | null;
  readonly where: string | null;
  /** Column of incremental syncs. */
  readonly cursor: string | null;
  /** Seconds; null: chosen from the column's type and the oldest open transaction. */
  readonly cursorLagSeconds: number | null;
  /** Null: two per core, or per CPU of the limits. The ceiling; the governor decides how many work. */
  readonly channels: number | null;
  readonly limits: RunLimits;
  /** Only where `mode` is `cdc`. */
  readonly log: LogRequest;
  /** Readers at work, fixed; null: the governor starts with one and adds while that pays. */
  readonly readers: number | null;
  /** Attempts of one run within one call, the first included, while its faults are worth retrying. */
  readonly attemptsMax: number;
  readonly checkpointEverySeconds: number;
  readonly partitionBy: "auto" | "ctid" | "key";
  /** A table is not cut into partitions smaller than this. */
  readonly partitionBytesMin: number;
  readonly unrepresentable: UnrepresentablePolicy;
  /** What becomes of a stream whose columns have changed since its last run. */
  readonly schemaChanges: SchemaPolicy;
  /** Somebody has agreed to the changes that this run finds: to all, or to those of these streams (`schema.table`). */
  readonly acceptSchemaChanges: boolean | readonly string[];
  /** What is done to rows where they are read. */
  readonly mappers: readonly MapperSet[];
  readonly rowBytesMax: number;
  /** Begin anew even where an unfinished run of this sync could be resumed. */
  readonly restart: boolean;
  /** Null: the destination's default (`defaultLedgerPath`). */
  readonly ledgerPath: string | null;
  /** Inspection events of all processes as JSON lines; null: none. */
  readonly tracePath: string | null;
  readonly snapshotGraceMs: number;
  readonly probeDeadlineMs: number;
}

export const requestDefaults = {
  name: null,
  format: { format: "parquet", compression: null, plainEncodings: false },
  mode: "full-refresh-overwrite",
  naming: namesOfSource,
  tables: [],
  exclude: [],
  narrowing: null,
  columns: null,
  where: null,
  cursor: null,
  cursorLagSeconds: null,
  channels: null,
  limits: noLimits,
  log: logDefaults,
  readers: null,
  attemptsMax: 3,
  checkpointEverySeconds: 300,
  partitionBy: "auto",
  partitionBytesMin: 32 * 1024 * 1024,
  unrepresentable: "error",
  schemaChanges: "propagate",
  acceptSchemaChanges: false,
  mappers: [],
  rowBytesMax: 256 * 1024 * 1024,
  restart: false,
  ledgerPath: null,
  tracePath: null,
  snapshotGraceMs: 60_000,
  probeDeadlineMs: 10_000,
} as const satisfies Partial<SyncRequest>;

export interface StreamRef {
  readonly number: number;
  readonly namespace: string;
  readonly name: string;
}

export interface StreamSummary extends StreamRef {
  readonly state: "committed" | "failed" | "unfinished";
  /** Rows of this run in the destination. */
  readonly rows: number;
  /** Of these, rows that an earlier attempt had made durable. */
  readonly rowsKept: number;
  /** Bytes of the column buffers that were read. */
  readonly bytesRead: number;
  readonly fileBytes: number;
  readonly files: number;
  readonly partitions: number;
  readonly rung: Rung | null;
  /** Where its rows are: an absolute folder, an address, or a table. */
  readonly folder: string;
  readonly error: WireError | null;
  /** Values replaced by NULL under `unrepresentable: null`, by column. */
  readonly valuesNulled: Readonly<Record<string, number>>;
  /** Incremental: rows with a NULL cursor that were left out. */
  readonly rowsWithoutCursor: number;
}

export interface RunSummary {
  readonly runId: string;
  readonly epoch: number;
  readonly state: "succeeded" | "partlyFailed" | "failed" | "interrupted";
  /** 0 done, 1 failed, 2 wrong use, 3 worth retrying, 4 partly failed, 130 interrupted. */
  readonly exitCode: number;
  readonly streams: readonly StreamSummary[];
  readonly elapsedMs: number;
  readonly error: WireError | null;
  /** Snapshots the run has used; more than one after a snapshot was lost. */
  readonly snapshots: number;
  /** The log that was to be followed goes on behind where the run has ended: the next run is due at once. */
  readonly isCut?: boolean;
  /** Events of the log that could not be decoded and are in this file; absent: none. */
  readonly quarantined?: { readonly events: number; readonly path: string };
}

/** Where the time of a stream's partitions goes, summed over its readers and writers, in milliseconds. */
export interface PhaseTimes {
  /** For the source to send. */
  readonly waiting: number;
  /** From the source's bytes to column batches, mappers included. */
  readonly decoding: number;
  /** For the socket between the two processes to take a batch. */
  readonly socket: number;
  readonly encoding: number;
  /** For files, uploads or transactions to be taken and made durable. */
  readonly uploading: number;
}

/** Sums of one stream since this attempt began, for metrics. */
export interface StreamMeasures {
  readonly epoch: number;
  /** `schema.table` */
  readonly stream: string;
  readonly rowsRead: number;
  readonly rowsDurable: number;
  readonly bytesRead: number;
  readonly bytesDurable: number;
  readonly partitionsDone: number;
  readonly checkpointsOutstanding: number;
  readonly phasesMs: PhaseTimes;
  /** Batches that were committed since the event before, by how long that took from their arrival. */
  readonly committed: readonly {
    readonly ageMs: number;
    readonly batches: number;
  }[];
}

/** The log that a run follows. */
export interface LogProgress {
  readonly epoch: number;
  /** The ledger has every row up to here; null: nothing was recorded in this attempt yet. */
  readonly position: string | null;
  readonly figures: LogFigures | null;
  /** Null: it was not measured yet. */
  readonly measure: LogMeasure | null;
  readonly budgetBytes: number;
  readonly step: LogStep;
}

/**
 * - `log.started`: the engine was started, once an attempt
 * - `log.step`: another step is taken against what the source keeps
 * - `log.givenUp`: the next run copies every table again
 * - `log.resync`: this run does, and why
 * - `log.cut`: the run ends before a table's new shape, and the next one goes on with that
 * - `log.copiedAgain`: a table is copied again, since its log does not tell of the values of a new column
 * - `log.untold`: it is not, as the sync wants it
 * - `log.quarantined`: events that cannot be decoded were set aside
 */
export type LogEventKind =
  | "log.started"
  | "log.step"
  | "log.givenUp"
  | "log.resync"
  | "log.cut"
  | "log.copiedAgain"
  | "log.untold"
  | "log.quarantined";

export type RunEvent =
  | {
      /** Since the stream's last committed run. */
      readonly type: "schema.changed";
      readonly stream: StreamRef;
      readonly difference: SchemaDifference;
      /** Why the stream is not read; null: it is. */
      readonly refusal: string | null;
    }
  | {
      readonly type: "run.started";
      readonly runId: string;
      readonly epoch: number;
      /** Null for a new run. */
      readonly resumed: {
        readonly rowsKept: number;
        readonly rowsToReadAgain: number;
        readonly snapshotKept: boolean;
      } | null;
      /** How rows go from the source to the destination, and why so. */
      readonly architecture: readonly DecidedHop[];
    }
  | {
      readonly type: "stream.planned";
      readonly stream: StreamRef;
      readonly rung: Rung;
      readonly reason: string;
      readonly partitions: number;
      readonly rowsEstimated: number;
      readonly bytesEstimated: number;
    }
  | {
      /** At most about ten a second and stream. */
      readonly type: "stream.progress";
      readonly stream: StreamRef;
      readonly rowsRead: number;
      readonly bytesRead: number;
      readonly rowsDurable: number;
      readonly partitionsDone: number;
      readonly partitions: number;
      readonly measured?: StreamMeasures;
    }
  | { readonly type: "stream.finished"; readonly summary: StreamSummary }
  | ({ readonly type: "log.progress" } & LogProgress)
  | {
      /** What is known of the log has changed; in the run's timeline as well. */
      readonly type: "log.event";
      readonly kind: LogEventKind;
      /** For people. */
      readonly message: string;
    }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "run.finished"; readonly summary: RunSummary };

/** An actor as inspection records name it. */
export interface ActorName {
  readonly process: string;
  readonly thread: number;
  readonly id: string;
}

/** `forRun`: the actor stands for the whole run, and nothing was done. */
export type OrderOutcome = "followed" | "forRun";

export interface RunHandle {
  /** Never rejects for faults of the world: they are in the summary. */
  readonly done: Promise<RunSummary>;
  /** Checkpoints what can be, then stops; the run can be resumed. */
  stop(): void;
  /** Ends all children at once. */
  abort(): void;
  /**
   * To a reader, a stream or a socket. It holds for this attempt: the next one begins with nothing paused.
   * Rejects with ExtractError RUN_STATE and the reason where it is refused, or not answered within some seconds.
   */
  orderActor(actor: ActorName, order: ActorOrder): Promise<OrderOutcome>;
}
