/**
 * What every source offers: sessions that discover, plan and read, and a snapshot that is held for them. A reader pushes
 * batches into a sink; actors and sockets stay unknown to it.
 */
import type { ColumnBatch } from "../../proto/columns.ts";
import type {
  CursorOrder,
  CursorWindow,
  HeldColumns,
  LogOpened,
  LogOpenOrder,
  OpenTransactions,
  RepeatFilter,
  RangeFilter,
} from "../../proto/control.ts";
import type { ExtractError } from "../../proto/error.ts";
import type { LogMeasure } from "../../proto/log-budget.ts";
import type {
  Partition,
  Plan,
  Position,
  RelationRef,
} from "../../proto/partition.ts";
import type {
  StreamSchema,
  UnrepresentablePolicy,
} from "../../proto/schema.ts";

/** A leaf of a stream: the table itself, or a child of a partitioned or inherited table. */
export interface LeafRelation {
  /** Names it within its database, the same at every discovery; a source without such numbers makes them from the name. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Read as `FROM ONLY`. False for views, materialised views and foreign tables. */
  readonly only: boolean;
  /** Rows are in a heap that ctid ranges can address. */
  readonly heap: boolean;
  /** Changes when the table is rewritten or truncated, as the discovering snapshot sees it (Postgres: relfilenode); 0 where unknown. */
  readonly fileNode: number;
  /** By the server's statistics, with those of values that do not lie in their rows where the server counts them in. */
  readonly pages: number;
  /** By the server's statistics; -1 when there are none. */
  readonly rowEstimate: number;
}

/** The columns of a unique index that are all NOT NULL, in index order: what key ranges can be cut on. */
export interface UsableKey {
  readonly name: string;
  readonly primary: boolean;
  readonly columns: readonly {
    readonly name: string;
    /** Declared type as SQL, e.g. `character varying(20)`. */
    readonly type: string;
    /** Exact text of a value survives the trip to JavaScript and back (not so for floats): inner checkpoints are allowed. */
    readonly exact: boolean;
  }[];
}

/** How the log tells of a table's changes, where the source as a whole does not say it. Plain data. */
export interface ChangeHints {
  /** What an update or a deletion says of the row before it. */
  readonly beforeImage: "full" | "key";
  /** Declared types of columns under their domains, where they differ from `sourceType`. */
  readonly declaredTypes: Readonly<Record<string, string>>;
  /** Columns that are computed from others, which the log does not tell of; absent: there are none. */
  readonly computedColumns?: readonly string[];
  /** Of a topic: who wrote its messages and how, and what is its own; absent: the log is the database's. */
  readonly topic?: {
    readonly name: string;
    readonly connector:
      | "postgresql"
      | "mysql"
      | "mariadb"
      | "sqlserver"
      | "connect";
    readonly timePrecision: "adaptive" | "microseconds";
    readonly unavailableValue: string;
    /** Columns of the messages that are not copied. */
    readonly leftOut: readonly string[];
    /** Offsets by `topic/partition`: what is before was made before the table was discovered. */
    readonly discoveredAt: Readonly<Record<string, string>>;
  };
}

export interface DiscoveredStream {
  /** What travels and is written. */
  readonly schema: StreamSchema;
  /** Parallel to schema.columns; only the source that wrote it reads it. Plain data: it travels to worker threads. */
  readonly columns: readonly unknown[];
  readonly relationKind:
    | "table"
    | "partitioned"
    | "view"
    | "materializedView"
    | "foreign";
  readonly leaves: readonly LeafRelation[];
  readonly key: UsableKey | null;
  /** All declared columns, for error messages and --columns. */
  readonly allColumnNames: readonly string[];
  /** Columns in which rows that were there before them have a value, or may: by a default, or by counting. */
  readonly filledColumns?: readonly string[];
  readonly changes?: ChangeHints;
}

/** A table that was selected but cannot be read; the others go on. */
export interface DiscoveryProblem {
  readonly namespace: string;
  readonly name: string;
  readonly relationKind: DiscoveredStream["relationKind"];
  readonly code: "SOURCE_PERMISSION_DENIED" | "SOURCE_QUERY_FAILED";
  readonly message: string;
}

export interface Discovery {
  readonly serverVersion: number; // e.g. 150018
  readonly streams: readonly DiscoveredStream[];
  readonly problems: readonly DiscoveryProblem[];
  /** Sentences for people: rows hidden by row-level security, patterns that match nothing. */
  readonly warnings: readonly string[];
}

/** Patterns are `table`, `schema.table`, with `*` as wildcard; no include means every table of the user's schemas. */
export interface StreamSelection {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Null: all. Only with exactly one table. */
  readonly columns: readonly string[] | null;
  /** Tables that are read without the columns that have come since an earlier run. */
  readonly heldColumns?: readonly HeldColumns[];
  /** Their changes are followed: columns that the log does not tell of are left out. */
  readonly isLogged?: boolean;
}

/** A predicate of the sync: the user's own words, and for incremental syncs the cursor's window `(from, to]`. */
export interface RowFilter {
  /** SQL of --where, given to the server as it is, in parentheses. */
  readonly where: string | null;
  readonly cursor: {
    readonly column: string;
    readonly type: string;
    /** Exclusive; null on the first run. */
    readonly from: string | null;
    /** Inclusive; null when the table has no row with a cursor. */
    readonly to: string | null;
    readonly dropRepeats?: RepeatFilter | null;
  } | null;
}

/** The snapshot that all connections of a run share; null where the server or the user gives none. */
export interface SnapshotRef {
  /** What a session needs to join it (Postgres: for SET TRANSACTION SNAPSHOT). */
  readonly id: string;
  /** What it shows, compared after joining (Postgres: pg_current_snapshot()::text; MySQL: the binlog position). */
  readonly visible: string;
}

export interface ReadTask<Stream extends DiscoveredStream = DiscoveredStream> {
  readonly stream: Stream;
  readonly partition: Partition;
  readonly resumeAfter: Position | null;
  readonly filter: RowFilter;
  readonly policy: UnrepresentablePolicy;
  /** A single row's bytes above which SOURCE_ROW_TOO_LARGE is thrown. */
  readonly rowBytesMax: number;
}

/** Where a reader pushes what it reads. All calls come from one partition, in order. */
export interface ReadSink {
  /**
   * Takes a batch of at least one row. Its buffers may be used again as soon as the promise settles; a rejection stops
   * the read with that error. The reader decodes on into other buffers meanwhile and stops reading from the server
   * when all are taken: that is the backpressure.
   */
  batch(batch: ColumnBatch): Promise<void>;
  /** Behind the batches that it covers. `null` position: only the end of the partition can be resumed. */
  checkpoint(position: Position | null, last: boolean): Promise<void>;
  /** What is asked of the server now, for people who look on; may be called before each statement. */
  statement?(sql: string): void;
  /** A value was replaced by NULL by policy. */
  valueNulled(column: string, reason: string): void;
}

export interface ReadResult {
  /** `end`: the partition is complete, its last checkpoint was given. `stopped`: stop() was honoured at a checkpoint. */
  readonly outcome: "end" | "stopped";
  readonly rows: number;
}

/** One partition being read. */
export interface PartitionRead {
  readonly done: Promise<ReadResult>;
  /** Asks for a checkpoint at the next place where one is allowed; ignored where none is. */
  requestCheckpoint(): void;
  /** Ends the read at the next checkpointable place after sealing what was read; where none is allowed, cancels at once. */
  stop(): void;
  /** Stops at once, destroys the statement, no further sink call; `done` rejects. */
  cancel(reason: Error): void;
}

/** What a plan is made for. */
export interface PlanSettings {
  readonly channels: number;
  readonly checkpointTargetSeconds: number;
  readonly partitionBy: "auto" | "ctid" | "key";
  readonly partitionBytesMin: number;
}

export interface PlanRequest {
  /** SQL of --where. */
  readonly where: string | null;
  /** Of incremental syncs. */
  readonly cursor: CursorOrder | null;
}

export interface StreamPlan {
  readonly plan: Plan;
  /** Null unless incremental. */
  readonly window: CursorWindow | null;
}

/** A partition whose reader has stopped, so that the tail of its range can be given away. */
export interface SplitRequest {
  readonly range: Partition;
  /** Where its reader has stopped; null when it has read nothing. */
  readonly resumeAfter: Position | null;
  /** Bytes of one row, as far as is known. */
  readonly rowBytes: number;
  /** Neither part is to be smaller than this, as far as is known. */
  readonly bytesMin: number;
}

export interface FoundSplit {
  readonly giver: Partition;
  readonly taker: Omit<Partition, "ordinal">;
}

/**
 * One connection. It serves one call at a time; the caller waits. Errors are ExtractError: SOURCE_CONNECTION_LOST when
 * the connection is gone, and the code that says why for all else.
 */
export interface SourceSession {
  /** False once the connection is lost or destroyed. */
  readonly usable: boolean;
  /** As a number that grows, e.g. 150018. */
  readonly serverVersion: number;
  /**
   * Begins the transaction that all that follows is read in: joined to the run's snapshot, or one of its own. May be
   * called again, after a read that was stopped, where the driver's snapshot can be joined at any time.
   * @throws ExtractError SOURCE_SNAPSHOT_LOST where the snapshot can no longer be joined
   */
  beginSnapshot(snapshot: SnapshotRef | null): Promise<void>;
  /** @param policy under `null`, columns that may hold what cannot be represented may hold NULL */
  discover(
    selection: StreamSelection,
    policy: UnrepresentablePolicy,
  ): Promise<Discovery>;
  /** Leaves the snapshot's transaction as it was, whether it fails or not. */
  planStream(
    stream: DiscoveredStream,
    request: PlanRequest,
    settings: PlanSettings,
  ): Promise<StreamPlan>;
  /** Null where what is left is not worth two readers. */
  findSplit(
    stream: DiscoveredStream,
    request: SplitRequest,
  ): Promise<FoundSplit | null>;
  /** The session must be idle and inside the snapshot's transaction; it is busy until `done` settles. */
  startRead(
    task: ReadTask,
    sink: ReadSink,
    options: { readonly checkpointEveryMs: number },
  ): PartitionRead;
  close(): Promise<void>;
  /** At once, without a word to the server. */
  destroy(): void;
}

/** What is to be kept from changing until the run is over. */
export interface LockTarget extends RelationRef {
  /** As a leaf's; 0 for a root that is read with its children, too. */
  readonly fileNode: number;
}

/** A relation that this user may not lock, nor therefore read. */
export interface LockProblem extends RelationRef {
  readonly message: string;
}

/** The run's snapshot, held by the keeper process. */
export interface HeldSnapshot {
  readonly ref: SnapshotRef;
  /** Where the log was asked for. */
  readonly log?: LogOpened;
  readonly openTransactions: OpenTransactions;
  /** Sentences for people: what this snapshot does not promise. */
  readonly warnings?: readonly string[];
  /**
   * Called once, when all sessions have joined: protects the tables from DDL, and releases whatever kept the server
   * still until then.
   * @throws ExtractError SOURCE_SCHEMA_CHANGED where a table is no longer what was discovered
   */
  lockRelations(
    relations: readonly LockTarget[],
  ): Promise<readonly LockProblem[]>;
  close(): Promise<void>;
}

/** What holds the log for a sync at its source. */
export interface LogNames {
  readonly slot: string;
  readonly publication: string;
}

/** Where a run stands in the log that it follows. */
export interface WatchedPlace {
  /** Of the server and its log, as it was opened. */
  readonly identity: string;
  /** Every change up to here is durable. */
  readonly position: string;
  /** Of the engine, before which it has told everything; null: it has told of none. */
  readonly told: string | null;
  /** It has told of no other for longer than checkpoints take. */
  readonly isSilent: boolean;
}

/** An eye on the log that a source keeps for a sync. */
export interface LogWatch {
  /** @throws ExtractError SOURCE_POSITION_EXPIRED where the source does not have it any more */
  measure(place: WatchedPlace): Promise<LogMeasure>;
  /** The source forgets it, whoever reads it. */
  drop(): Promise<void>;
  close(): Promise<void>;
}

/** A kind of source, as the processes use it: `connectors/sources/index.ts` loads it by the URL's scheme. */
export interface SourceDriver {
  /**
   * `any-time`: sessions join the snapshot whenever they like, and it outlives the processes that read it.
   * `at-the-start`: only until `lockRelations`; as many channels as the sizes call for connect before discovery is
   * reported, and one more session; what is left when connections are lost reads on, and nobody joins again.
   */
  readonly joins: "any-time" | "at-the-start";
  /** @throws ExtractError USAGE, SOURCE_UNREACHABLE, SOURCE_AUTH_FAILED, SOURCE_TLS_FAILED */
  connect(url: string): Promise<SourceSession>;
  /** Whether a partition can be stopped inside and its tail be given away: its rows come in an order that is proven. */
  canSplit(stream: DiscoveredStream, partition: Partition): boolean;
  /**
   * The rows of a narrowed run as a predicate, whatever their texts hold; null: all rows of this stream.
   * @throws ExtractError SOURCE_COLUMN_NOT_FOUND, TRIGGER_INVALID
   */
  narrow(
    stream: DiscoveredStream,
    ranges: readonly RangeFilter[],
  ): string | null;
  /**
   * @param onLost called once, when the snapshot is gone without `close`
   * @param log what is to hold the source's log before the snapshot is taken; null: nothing
   * @throws ExtractError SOURCE_LOG_UNSUITABLE, SOURCE_POSITION_EXPIRED
   */
  holdSnapshot(
    url: string,
    onLost: (error: ExtractError) => void,
    log?: LogOpenOrder | null,
  ): Promise<HeldSnapshot>;
  /** Absent: the source does not tell what it keeps. Nothing is asked of it yet. */
  watchLog?(url: string, names: LogNames): LogWatch;
}
