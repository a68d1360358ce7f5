/** The library: syncs and tables without a daemon, in the caller's own process. See README.md. */
export { ExtractError } from "./error.ts";
export { openSource } from "./open-source.ts";
export { readTable } from "./read-table.ts";
export { sync } from "./sync.ts";
export type {
  Column,
  ColumnBuffers,
  ColumnKind,
  ReadOptions,
  ReadTableOptions,
  Source,
  SourceOptions,
  SyncedTable,
  SyncEvent,
  SyncOptions,
  SyncSummary,
  Table,
  TableBatch,
  TableReader,
  TableRow,
  Value,
} from "./types.ts";
