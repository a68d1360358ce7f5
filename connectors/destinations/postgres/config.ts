/**
 * What the Postgres destination needs to know. No schema library here: this is loaded where rows are written.
 */
import {
  BATCH_BYTES_MAX_DEFAULT,
  BATCH_DELAY_MS_DEFAULT,
  BATCH_ROWS_MAX_DEFAULT,
} from "../batching/limits.ts";
import type { BatchLimits } from "../batching/row-batcher.ts";

export const postgresModes = [
  "full-refresh-overwrite",
  "full-refresh-append",
  "incremental-append",
  "incremental-append-dedupe",
  "cdc",
] as const;

export type PostgresMode = (typeof postgresModes)[number];

/** Rows that were deleted, in modes `incremental-append-dedupe` and `cdc`: removed, or kept with their mark. */
export type DeletePolicy = "hard" | "soft";
/** Whether every change is kept, in mode `cdc`: not at all, in a table beside the copy, or without any copy. */
export type HistoryPolicy = "none" | "beside" | "instead";
/** What becomes of NUL in text and JSON, which Postgres cannot store. */
export type NulPolicy = "error" | "remove";
/** Times with nanoseconds, which Postgres has no type for: exact as text, or as its own types, cut to microseconds. */
export type NanosecondPolicy = "text" | "microseconds";

export interface PostgresDestinationConfig extends BatchLimits {
  readonly kind: "postgres";
  /** postgres:// URL, with the password unless PGPASSWORD has it. */
  readonly url: string;
  /** The sync's mode: what stands against it in a table that is there is found before any row is read. */
  readonly mode: PostgresMode;
  /** Schema of a stream's table, from {namespace} and {stream}. */
  readonly schema: string;
  /** Name of a stream's table, from {namespace} and {stream}. */
  readonly table: string;
  readonly deletes: DeletePolicy;
  readonly history: HistoryPolicy;
  /** Name of the table with a stream's changes, from {namespace} and {stream}; in the schema of the stream's table. */
  readonly historyTable: string;
  readonly nulBytes: NulPolicy;
  readonly nanoseconds: NanosecondPolicy;
}

export const postgresDestinationDefaults = {
  schema: "{namespace}",
  table: "{stream}",
  batchRowsMax: BATCH_ROWS_MAX_DEFAULT,
  batchBytesMax: BATCH_BYTES_MAX_DEFAULT,
  batchDelayMs: BATCH_DELAY_MS_DEFAULT,
  deletes: "hard",
  history: "none",
  historyTable: "{stream}_history",
  nulBytes: "error",
  nanoseconds: "text",
} as const satisfies Partial<PostgresDestinationConfig>;

/** Postgres 13: the oldest with 64-bit transaction ids as a type. @see Release notes 13, `xid8` */
export const SERVER_VERSION_LEAST = 130_000;
