/**
 * The columns that say of a record which change it is, as Airbyte's own connectors call them, and in front of them what
 * they are made of: the columns that changes have here.
 * @see https://docs.airbyte.com/platform/understanding-airbyte/cdc
 */
import type { LogConnector } from "../../proto/control.ts";
import type { ColumnSchema } from "../../proto/schema.ts";

export const LSN_COLUMN = "_ab_cdc_lsn";
export const LOG_FILE_COLUMN = "_ab_cdc_log_file";
export const LOG_POSITION_COLUMN = "_ab_cdc_log_pos";
export const UPDATED_COLUMN = "_ab_cdc_updated_at";
/** NULL where the row is there. */
export const DELETED_COLUMN = "_ab_cdc_deleted_at";
/** Text that grows with each change of a row, also within a transaction: the stream's own cursor. */
export const CURSOR_COLUMN = "_ab_cdc_cursor";

const PREFIX = "_ab_cdc_";
const given = { nullable: false, sourceType: "millrace" } as const;
const integer = { kind: "int64" } as const;
const text = { kind: "text" } as const;
const time = { kind: "timestamptz" } as const;

/** Behind the columns of the table, in this order. */
export function recordColumnsOf(
  connector: LogConnector,
): readonly ColumnSchema[] {
  const place: readonly ColumnSchema[] =
    connector === "postgresql"
      ? [{ ...given, name: LSN_COLUMN, type: integer }]
      : [
          { ...given, name: LOG_FILE_COLUMN, type: text },
          { ...given, name: LOG_POSITION_COLUMN, type: integer },
        ];
  return [
    ...place,
    { ...given, name: UPDATED_COLUMN, type: time },
    { ...given, name: DELETED_COLUMN, type: time, nullable: true },
    { ...given, name: CURSOR_COLUMN, type: text },
  ];
}

/** Whether a property of a catalog is of these, and no column of the table. */
export function isRecordColumn(name: string): boolean {
  return name.startsWith(PREFIX);
}
