/**
 * What an executable of the Airbyte protocol adds to a run of its own: streams that are each read in their own way, plans
 * that a state has kept, and the messages that its output carries beside rows.
 */
import type { Ledger } from "../checkpoint/store/ledger.ts";
import type { LogEntryRecord, LogNames } from "../checkpoint/store/logs.ts";
import type { AttemptOwner } from "../checkpoint/store/records.ts";
import type { DurableReport } from "../proto/checkpoint.ts";
import type {
  ChangeRecordNames,
  DiscoveredWire,
  HeldColumns,
  LogConnector,
  SourceFact,
} from "../proto/control.ts";
import type { Plan, Position } from "../proto/partition.ts";
import type { SyncMode } from "./request.ts";
import type { RunBook } from "./run-book.ts";

export interface StreamChoice {
  readonly mode: SyncMode;
  readonly cursor: {
    readonly column: string;
    /** As in the request. */
    readonly lagSeconds: number | null;
  } | null;
}

/** What is left of a plan, and how far it has got. Partitions are numbered from 0. */
export interface KeptPlan {
  readonly plan: Plan;
  readonly open: readonly {
    readonly partition: number;
    readonly position: Position;
  }[];
}

interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

type LogGroup = Extract<SourceFact, { type: "log.checkpoint" }>;

/** Of a run that follows the log of its source, with a ledger that goes with it. */
export interface LogMessages {
  /** What holds the log at the source, where it begins. */
  readonly names: LogNames;
  /** Where tables came to the log in a read before, which was cut; null: none did. */
  readonly entry: LogEntryRecord | null;
  /** Makes of a new ledger what the runs before would have left. */
  fill(ledger: Ledger, syncId: string, owner: AttemptOwner): void;
  /** Some of its rows were read before, under another snapshot, and its changes since are still to come. */
  isBegun(stream: StreamName): boolean;
  /** The same, of a table that had not come to the log yet. */
  isEntering(stream: StreamName): boolean;
  describeRecords(
    stream: StreamName,
    source: Pick<ChangeRecordNames, "logFile"> & {
      readonly connector: LogConnector;
    },
  ): ChangeRecordNames;
  /** Checkpoints that are one over all streams: of each a report comes, before or behind. */
  grouped(book: RunBook, group: LogGroup): readonly string[];
}

export interface RunMessages {
  /** What was told of a stream counts: where one fails, the run does, and goes on with it. */
  readonly failsWhole?: boolean;
  /** Null: rows are read, changes are not. */
  readonly log?: LogMessages | null;
  /** Of streams of which not all columns are wanted. */
  readonly columns: readonly HeldColumns[];
  /** Null: as the request says. */
  choiceOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): StreamChoice | null;
  /** Null: the stream is planned. @throws ExtractError STATE_INCOMPATIBLE */
  planOf(stream: DiscoveredWire): KeptPlan | null;
  /** What its cursor has come to; null: nowhere yet. */
  cursorOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): string | null;
  /** Reading begins. */
  begun(book: RunBook, stream: number): readonly string[];
  /**
   * A state is of all streams: `recorded` is told of a checkpoint once its rows have left, in the order of a partition,
   * and no other.
   */
  readonly isOfAll?: boolean;
  /** A checkpoint is in the ledger, and so are all of its stream before it. */
  recorded(book: RunBook, report: DurableReport): readonly string[];
  /** Brings the ledger to where it is kept, before a commit that it says has begun. */
  keep?(): Promise<void>;
  /** All of the stream is in the ledger, and counts from now on. */
  complete(book: RunBook, stream: number): readonly string[];
}
