/**
 * What every source offers: connections that discover, plan and read. A reader pushes batches into a sink; actors and
 * sockets stay unknown to it.
 */
import type { ColumnBatch } from "../../proto/columns.ts";
import type { RepeatFilter } from "../../proto/control.ts";
import type { Partition, Position } from "../../proto/partition.ts";
import type {
  StreamSchema,
  UnrepresentablePolicy,
} from "../../proto/schema.ts";

/** A leaf of a stream: the table itself, or a child of a partitioned or inherited table. */
export interface LeafRelation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Read as `FROM ONLY`. False for views, materialised views and foreign tables. */
  readonly only: boolean;
  /** Rows are in a heap that ctid ranges can address. */
  readonly heap: boolean;
  /** pg_class.relfilenode in the discovering snapshot; 0 for what has none. */
  readonly fileNode: number;
  readonly pages: number;
  /** pg_class.reltuples; -1 when never analysed. */
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

/** A column of a table as the source reads it. */
export interface SourceColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typeModifier: number;
  /** For domains, the oid of the base type; else equal to typeOid. */
  readonly baseTypeOid: number;
  /** pg_type.typtype and typcategory of the base type: what tells enums, arrays, ranges and composites apart. */
  readonly typeKind: string;
  readonly typeCategory: string;
  /** format_type(): the declared type as SQL. */
  readonly declaredType: string;
  readonly notNull: boolean;
}

export interface DiscoveredStream {
  /** What travels and is written. */
  readonly schema: StreamSchema;
  /** Parallel to schema.columns. */
  readonly columns: readonly SourceColumn[];
  readonly relationKind:
    "table" | "partitioned" | "view" | "materializedView" | "foreign";
  readonly leaves: readonly LeafRelation[];
  readonly key: UsableKey | null;
  /** All declared columns, for error messages and --columns. */
  readonly allColumnNames: readonly string[];
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
  /** For SET TRANSACTION SNAPSHOT. */
  readonly id: string;
  /** pg_current_snapshot()::text under it, compared after the import. */
  readonly visible: string;
}

export interface ReadTask {
  readonly stream: DiscoveredStream;
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
