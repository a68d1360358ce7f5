/** A stream that follows its table's log, with all its names: where its rows are staged, and what becomes of them. Pure. */
import type { DestinationStream } from "../../../proto/control.ts";
import {
  DELETED_COLUMN,
  POSITION_COLUMN,
  TIME_COLUMN,
} from "../../../proto/change-columns.ts";
import { listTableColumns } from "../change-rows.ts";
import type { DestinationContext } from "../destination.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import {
  historyTable,
  quoteIdentifier,
  snapshotTable,
  type TableName,
} from "./names.ts";
import { defineColumns, describeTables, type StreamTables } from "./staging.ts";
import type { TargetColumn } from "./types.ts";

export interface ChangeTables {
  /** Rows of the log: staged with all of the stream's columns. */
  readonly log: StreamTables;
  /** Rows of the snapshot: staged as the copy has them. */
  readonly copy: StreamTables;
  /** The places of the copy's columns in the stream's. */
  readonly copied: readonly number[];
  /** The copy's columns that are neither its key nor ours. */
  readonly values: readonly TargetColumn[];
  /** False: only the history is kept. */
  readonly keepsCopy: boolean;
  /** Rows that were deleted stay, with a mark. */
  readonly isSoft: boolean;
  readonly history: {
    readonly table: TableName;
    readonly columns: readonly TargetColumn[];
  } | null;
}

export function describeChangeTables(
  context: DestinationContext,
  config: PostgresDestinationConfig,
  stream: Pick<DestinationStream, "schema" | "generation" | "mode">,
): ChangeTables {
  const plain = describeTables(context, config, stream);
  const { schema, name, generation, key } = plain;
  const isSoft = config.deletes === "soft";
  const table = listTableColumns(schema);
  const own = [
    POSITION_COLUMN,
    TIME_COLUMN,
    ...(isSoft ? [DELETED_COLUMN] : []),
  ];
  const copied = [
    ...table,
    ...own.map((column) =>
      schema.columns.findIndex((one) => one.name === column),
    ),
  ];
  const isKey = ({ name: column }: TargetColumn): boolean =>
    key?.includes(column) ?? false;
  // a truncation has no key
  const all = plain.columns.map((column) =>
    isKey(column) ? { ...column, nullable: true } : column,
  );
  const pick = (places: readonly number[]): TargetColumn[] =>
    places.flatMap((i) => plain.columns[i] ?? []);
  const columns = pick(copied).map((column) =>
    isKey(column) ? { ...column, nullable: false } : column,
  );
  const staging = snapshotTable(context.syncId, name, generation);
  const parts = [
    { table: plain.staging, definition: defineChangeColumns(all) },
    { table: staging, definition: defineChangeColumns(columns) },
  ];
  return {
    log: { ...plain, columns: all, parts },
    copy: { ...plain, columns, staging, parts },
    copied,
    values: pick(table).filter((column) => !isKey(column)),
    keepsCopy: config.history !== "instead",
    isSoft,
    history:
      config.history === "none"
        ? null
        : { table: historyTable(config, name), columns: all },
  };
}

/** Positions are compared byte by byte, whatever the database's collation makes of hyphens. */
export function defineChangeColumns(columns: readonly TargetColumn[]): string {
  return columns
    .map((column) =>
      column.name === POSITION_COLUMN
        ? `${quoteIdentifier(POSITION_COLUMN)} text COLLATE "C" NOT NULL`
        : defineColumns([column]),
    )
    .join(", ");
}
