/**
 * What `import … from "millrace"` gives, in types. They name nothing of what is inside, so that they stay as they are
 * when that changes.
 */

// Values

/**
 * A value by the kind of its column; NULL is null.
 *
 * | kind | value |
 * |---|---|
 * | boolean | boolean |
 * | int16, int32, float32, float64 | number |
 * | int64, uint64 | bigint |
 * | decimal64, decimal128, decimalText | exact digits, e.g. `"12.50"` |
 * | date | `"2024-02-29"` |
 * | time, timeNs | `"12:34:56.000001"`, with 6 and 9 digits behind the second |
 * | timestamp, timestampNs | `"2024-02-29T12:34:56.000001"` |
 * | timestamptz | `"2024-02-29T12:34:56.000001Z"` |
 * | uuid, text | string |
 * | json | the document's text, or with `json: "parse"` what `JSON.parse` makes of it |
 * | binary | Uint8Array, a copy |
 */
export type Value =
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | null
  | object;

export type ColumnKind =
  | "boolean"
  | "int16"
  | "int32"
  | "int64"
  | "uint64"
  | "float32"
  | "float64"
  | "decimal64"
  | "decimal128"
  | "decimalText"
  | "date"
  | "time"
  | "timestamp"
  | "timestamptz"
  | "timeNs"
  | "timestampNs"
  | "uuid"
  | "text"
  | "json"
  | "binary";

/** By column name. */
export type TableRow = Record<string, Value>;

export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
  /** Decimal digits in all; of decimal64 and decimal128. */
  readonly precision: number | null;
  /** Decimal digits behind the point; of decimal64 and decimal128. */
  readonly scale: number | null;
  readonly nullable: boolean;
  /** As the server names it, e.g. `numeric(18,4)`. */
  readonly sourceType: string;
}

export interface Table {
  /** The schema of the database, e.g. `public`. */
  readonly namespace: string;
  readonly name: string;
  readonly columns: readonly Column[];
  /** Columns of a unique key without NULLs, the primary one where there is one; empty where there is none. */
  readonly key: readonly string[];
  /** By the server's statistics; null where it has none. */
  readonly rowsEstimated: number | null;
}

// Reading

/** One column of a batch in the Arrow memory layout, little-endian; each buffer begins at a multiple of 8 bytes. */
export interface ColumnBuffers {
  readonly nullCount: number;
  /** One bit a row, the lowest first, 1 where there is a value; null where `nullCount` is 0. */
  readonly validity: Uint8Array | null;
  /** One more than there are rows, from 0 on: where the value of each row begins in `data`; null for a fixed width. */
  readonly offsets: Int32Array | null;
  /** The values one behind the other, also of rows that are NULL; one bit a row for booleans. */
  readonly data: Uint8Array;
}

/** Rows as columns. It lives until the next batch is asked for; `copy` gives one that stays. */
export interface TableBatch<Row = TableRow> {
  readonly table: Table;
  readonly rowCount: number;
  /** In the order of the table's. */
  readonly columns: readonly ColumnBuffers[];
  value(row: number, column: string): Value;
  rows(): IterableIterator<Row>;
  copy(): TableBatch<Row>;
}

/**
 * Rows of one table, in no order that is promised. Each iteration reads them anew, over a connection of its own, and no
 * faster than they are asked for. Whoever leaves early, by `break`, `return` or an error, ends the query with it.
 */
export interface TableReader<Row = TableRow> extends AsyncIterable<Row> {
  /** The same rows, some thousands at a time: no object is made of a row that nobody asks for. */
  batches(): AsyncIterable<TableBatch<Row>>;
}

export interface ReadOptions {
  /** SQL predicate, given to the server as it is. */
  readonly where?: string;
  /** What becomes of a value that its kind cannot hold, such as `infinity` in a timestamp. Default: `error`. */
  readonly unrepresentable?: "error" | "null";
  /** Called for each value that became NULL by that. */
  readonly onValueNulled?: (column: string, reason: string) => void;
  /** JSON as text, with the digits that its numbers have, or parsed. Default: `text`. */
  readonly json?: "text" | "parse";
  /** Ends the reading with its reason. */
  readonly signal?: AbortSignal;
}

export interface ReadTableOptions extends ReadOptions {
  /** Default: all. Those of the key are read as well. */
  readonly columns?: readonly string[];
}

export interface SourceOptions {
  /** Patterns: `table`, `schema.table`, `*` as wildcard. Default: every table of the user's schemas. */
  readonly tables?: readonly string[];
  readonly exclude?: readonly string[];
  /** With exactly one table. */
  readonly columns?: readonly string[];
  /** Tables that are read at the same time. Where all have to join one snapshot at its start, so many connections are opened then. Default: 4. */
  readonly connections?: number;
  readonly unrepresentable?: "error" | "null";
  /** Closes the source with its reason. */
  readonly signal?: AbortSignal;
}

/** Tables of a server as they were at one moment: all that is read is of it. */
export interface Source {
  readonly tables: readonly Table[];
  /** Found, and not to be read. */
  readonly problems: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly code: string;
    readonly message: string;
  }[];
  /** Sentences for people, e.g. of patterns that no table has, and of what the snapshot does not promise. */
  readonly warnings: readonly string[];
  /** By `table` or `schema.table`. @throws ExtractError SOURCE_TABLE_NOT_FOUND */
  table<Row extends object = TableRow>(
    name: string,
    options?: ReadOptions,
  ): TableReader<Row> & { readonly table: Table };
  /** Lets go of the snapshot. What is being read ends with an error. May be called again. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

// Syncs

export interface SyncOptions {
  /** `postgres://…`, `mysql://…`, `mariadb://…`, `sqlserver://…`. */
  readonly source: string;
  /** A folder, `s3://…` or `postgres://…`. */
  readonly destination: string;
  readonly tables?: readonly string[];
  readonly exclude?: readonly string[];
  /** With exactly one table. */
  readonly columns?: readonly string[];
  readonly where?: string;
  /** Default: `full-refresh-overwrite`. */
  readonly mode?:
    | "full-refresh-overwrite"
    | "full-refresh-append"
    | "incremental-append"
    | "incremental-append-dedupe"
    | "cdc";
  /** Of the incremental modes. */
  readonly cursor?: string;
  readonly cursorLagSeconds?: number;
  /** Default: `parquet`. */
  readonly format?: "parquet" | "csv" | "jsonl" | "avro";
  readonly compression?: "zstd" | "gzip" | "snappy" | "none";
  /** Template with `{namespace}` and `{stream}`. */
  readonly pathTemplate?: string;
  readonly fileBytesMax?: number;
  /** Columns by whose values files lie in folders, e.g. `["country", "created:day"]`. */
  readonly foldersBy?: readonly string[];
  /** What a schema is called at the destination; a template with `{namespace}`. */
  readonly namespace?: string;
  readonly streamPrefix?: string;
  readonly checkpointEverySeconds?: number;
  /** Connections and sockets at most. Default: 1 in threads, two for each CPU in processes. */
  readonly channels?: number;
  readonly unrepresentable?: "error" | "null";
  readonly schemaChanges?:
    | "propagate"
    | "new-columns-only"
    | "ignore"
    | "pause";
  /** Path of the ledger. Default: as on the command line. */
  readonly ledger?: string;
  /** Begin anew even where an unfinished run could be gone on with. */
  readonly restart?: boolean;
  /**
   * `threads`: nothing is started beside this process, and its own loop stays free. `processes`: as on the command line,
   * faster for large tables. Default: `threads`; `cdc` always has processes.
   */
  readonly runsIn?: "threads" | "processes";
  /** Brings the run to a checkpoint and ends it with the signal's reason; the same sync goes on from there. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SyncEvent) => void;
}

export interface SyncedTable {
  readonly namespace: string;
  readonly name: string;
  readonly state: "committed" | "failed" | "unfinished";
  /** Rows of this run in the destination. */
  readonly rows: number;
  /** Of these, rows that an earlier attempt had made durable. */
  readonly rowsKept: number;
  readonly bytesRead: number;
  readonly files: number;
  readonly fileBytes: number;
  /** Where its rows are: an absolute folder, an address, or a table. */
  readonly place: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface SyncSummary {
  readonly runId: string;
  readonly state: "succeeded" | "partlyFailed" | "failed" | "interrupted";
  readonly elapsedMs: number;
  readonly tables: readonly SyncedTable[];
}

export type SyncEvent =
  | {
      readonly type: "started";
      readonly runId: string;
      /** Null for a new run; else what an earlier attempt has left. */
      readonly resumed: {
        readonly rowsKept: number;
        readonly rowsToReadAgain: number;
      } | null;
    }
  | {
      /** At most about ten a second and table. */
      readonly type: "progress";
      readonly namespace: string;
      readonly name: string;
      readonly rowsRead: number;
      readonly rowsDurable: number;
      readonly bytesRead: number;
      readonly partitionsDone: number;
      readonly partitions: number;
    }
  | { readonly type: "table"; readonly table: SyncedTable }
  | { readonly type: "warning"; readonly message: string };

// Errors

/** A fault of the outside world. Faults of ours are ordinary errors. */
export interface ExtractErrorShape extends Error {
  /** E.g. `SOURCE_UNREACHABLE`. */
  readonly code: string;
  /** Where it happened: never a secret. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}
