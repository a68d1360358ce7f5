/**
 * The daemon as its fronts see it: the API, the queue triggers, the schedules, the inspector and the command line all
 * speak these words, and nothing of a run is done past them.
 */
import type { ConnectionFigures } from "../inline/connections.ts";
import type { QueuedRun, QueueState } from "../../checkpoint/store/queue.ts";
import type { RunRecord } from "../../checkpoint/store/records.ts";
import type { InspectionRecord } from "../../proto/control.ts";
import type { RunEvent } from "../request.ts";
import type { SchemaPause } from "./schema-pause.ts";

/** Where a trigger came from. A Kafka message is named so that it can be recorded once only. */
export type TriggerOrigin =
  | { readonly kind: "schedule"; readonly dueAt: number }
  | {
      readonly kind: "kafka";
      readonly topic: string;
      readonly partition: number;
      /** Decimal text: Kafka's offsets are 64 bits wide. */
      readonly offset: string;
      /**
       * When it was written, in decimal milliseconds; null where the broker does not tell. A topic that was made anew
       * counts its offsets from 0 again: this tells its messages from those before.
       */
      readonly writtenAt: string | null;
    }
  | { readonly kind: "api"; readonly caller: string }
  | { readonly kind: "replay"; readonly ofRun: string; readonly caller: string }
  | { readonly kind: "retry"; readonly ofRun: string; readonly caller: string };

/** `from <= column < until`; null is open. Values are text, cast by the source to the column's type. */
export interface KeyRange {
  /** `table` or `schema.table`. */
  readonly stream: string;
  readonly column: string;
  readonly from: string | null;
  readonly until: string | null;
}

/** What a run is narrowed to. */
export interface RunScope {
  /** Patterns as in `tables`; null: all of the sync's. */
  readonly streams: readonly string[] | null;
  readonly ranges: readonly KeyRange[] | null;
  /** A window of the sync's cursor, in place of the one that would come next: `from < cursor <= to`. */
  readonly window: {
    readonly from: string | null;
    readonly to: string | null;
  } | null;
}

export interface TriggerOrder {
  /** Name in the configuration. */
  readonly sync: string;
  readonly scope: RunScope;
  /** Triggers with the same key are one while it waits; null: each is its own. */
  readonly key: string | null;
  readonly origin: TriggerOrigin;
  /** Of a caller who may send the very same order again: it is recorded once. */
  readonly idempotencyKey?: string | null;
}

export interface TriggerReceipt {
  readonly queueId: string;
  /** `queued`: new. `coalesced`: one that waits took it in. `known`: this very message or request is recorded already. */
  readonly result: "queued" | "coalesced" | "known";
}

export interface SyncView {
  readonly name: string;
  readonly syncId: string;
  /** Without secrets. */
  readonly source: string;
  readonly destination: string;
  readonly mode: string;
  readonly schedule: string | null;
  /** Milliseconds since the Unix epoch; null where nothing is scheduled. */
  readonly nextRunAt: number | null;
  readonly isPaused: boolean;
  /** Why, where nobody has ordered it. */
  readonly pause: SchemaPause | null;
  readonly queued: number;
  readonly running: readonly string[];
  readonly lastRun: RunRecord | null;
}

/** What can be done to a run or to one actor of it; what is impossible in its state is refused by name. */
export type RunOrder = "cancel" | "pause" | "resume" | "retry";

/** Of a run that is at work in this daemon, as it was last told. */
export interface LiveRun {
  readonly runId: string | null;
  readonly queueId: string;
  readonly sync: string;
  readonly state: "starting" | "running" | "pausing" | "cancelling";
  readonly startedAt: number;
  readonly streams: readonly {
    readonly stream: string;
    readonly rowsRead: number;
    readonly rowsDurable: number;
    readonly bytesRead: number;
    readonly partitions: number;
    readonly partitionsDone: number;
  }[];
}

/** What subscribers hear. `sequence` counts in this daemon from 1, without holes. */
export type DaemonEvent = {
  readonly sequence: number;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
} & (
  | {
      readonly type: "queue.changed";
      readonly queueId: string;
      readonly sync: string;
      readonly state: QueueState;
    }
  | {
      readonly type: "run.event";
      readonly queueId: string;
      readonly runId: string | null;
      readonly sync: string;
      readonly event: RunEvent;
    }
  | {
      readonly type: "sync.paused";
      readonly sync: string;
      /** What it waits for somebody to agree to; null: somebody wanted it so. */
      readonly why: string | null;
    }
  | { readonly type: "sync.resumed"; readonly sync: string }
  | {
      readonly type: "config.reloaded";
      readonly changes: readonly string[];
    }
  | { readonly type: "daemon.draining" }
);

/** Inspection records of runs at work: what the inspector shows. */
export interface InspectionListener {
  (runId: string, records: readonly InspectionRecord[]): void;
}

export interface DaemonService {
  /** Of the runs that share the daemon's process. */
  readonly connectionFigures?: ConnectionFigures;

  /** Drawn at start; names this daemon in leases. */
  readonly id: string;
  readonly startedAt: number;
  readonly isDraining: boolean;

  listSyncs(): readonly SyncView[];
  findSync(name: string): SyncView | null;
  /**
   * Resolves once all that was ordered is on disk: to be waited for before anybody is told so.
   * @throws ExtractError LEDGER_UNWRITABLE
   */
  settled(): Promise<void>;
  /**
   * Records a trigger: when this returns, a crash of the daemon does not lose it, and once `settled` resolves, nothing
   * does.
   * @throws ExtractError SYNC_NOT_FOUND, TRIGGER_INVALID, LEDGER_FULL and the like
   */
  trigger(order: TriggerOrder): TriggerReceipt;
  listQueue(filter: {
    readonly sync: string | null;
    readonly states: readonly QueueState[] | null;
    readonly limit: number;
  }): readonly QueuedRun[];
  liveRuns(): readonly LiveRun[];
  liveRun(runId: string): LiveRun | null;
  /**
   * @param run id of a run or of a queue entry
   * @throws ExtractError RUN_NOT_FOUND, or RUN_STATE where the order makes no sense in its state
   */
  order(run: string, order: RunOrder, caller: string): void;
  /** The run again, from its recorded request and plan; a new run. @throws ExtractError RUN_NOT_FOUND */
  replay(run: string, caller: string): TriggerReceipt;
  pauseSync(sync: string, caller?: string): void;
  /** Of a sync that waits for somebody to agree to what its tables have become, this is the agreement. */
  resumeSync(sync: string, caller?: string): void;
  /** Forgets what the ledger knows of one stream: its next run copies it whole. */
  resetStream(sync: string, stream: string, caller?: string): void;
  /** Resets the stream, and queues a run of it alone. @throws as `trigger` */
  backfillStream(sync: string, stream: string, caller: string): TriggerReceipt;
  /**
   * An order to one actor of a run at work: a reader, a stream, a socket, or one that stands for the run. Resolves when
   * it is followed, rejects with ExtractError RUN_STATE and the reason when it is refused or not answered within seconds.
   */
  orderActor(
    runId: string,
    actor: {
      readonly process: string;
      readonly thread: number;
      readonly id: string;
    },
    order: RunOrder,
  ): Promise<void>;

  /** Returns the unsubscriber. Events that a slow subscriber would miss are not kept for it. */
  subscribe(listener: (event: DaemonEvent) => void): () => void;
  inspect(listener: InspectionListener): () => void;
}
