/**
 * The columns that say of a row which change it is, behind those of its table: what a stream looks like whose log is
 * followed.
 */
import { createHash } from "node:crypto";
import type { ColumnSchema, StreamSchema } from "./schema.ts";

/** `r` read by a snapshot, `c` inserted, `u` updated, `d` deleted, `t` table emptied. */
export const OPERATION_COLUMN = "_op";
/** Where in the log: texts that compare as the log goes (`log-position.ts`). */
export const POSITION_COLUMN = "_position";
/** When the source committed it. */
export const TIME_COLUMN = "_ts";
export const DELETED_COLUMN = "_deleted";
/** JSON array of the columns whose value the source did not send: what stands there is no value. */
export const UNCHANGED_COLUMN = "_unchanged";
/** JSON array of the key that the row had before, where the change is of the key. */
export const OLD_KEY_COLUMN = "_old_key";
/** The source's name of the transaction; only where it was asked for, behind the others. */
export const TRANSACTION_COLUMN = "_txid";

const text = { kind: "text" } as const;
const ours = { nullable: false, sourceType: "millrace" } as const;

/** In this order, behind the table's own. */
export const changeColumns: readonly ColumnSchema[] = [
  { ...ours, name: OPERATION_COLUMN, type: text },
  { ...ours, name: POSITION_COLUMN, type: text },
  { ...ours, name: TIME_COLUMN, type: { kind: "timestamptz" } },
  { ...ours, name: DELETED_COLUMN, type: { kind: "boolean" } },
  { ...ours, name: UNCHANGED_COLUMN, type: text },
  { ...ours, name: OLD_KEY_COLUMN, type: text, nullable: true },
];

const transactionColumn: ColumnSchema = {
  ...ours,
  name: TRANSACTION_COLUMN,
  type: text,
  nullable: true,
};

/**
 * The stream as its changes travel: any column of the table may be missing, those of the key only when all rows go.
 * @param transactionId with the source's name of the transaction behind the others
 */
export function describeChanges(
  schema: StreamSchema,
  transactionId = false,
): StreamSchema {
  const columns = [
    ...schema.columns.map((column) => ({ ...column, nullable: true })),
    ...changeColumns,
    ...(transactionId ? [transactionColumn] : []),
  ];
  return {
    ...schema,
    columns,
    // whatever the table's own was: a schema that is read back from a ledger is described as it was then
    fingerprint: createHash("sha256")
      .update(JSON.stringify(columns))
      .digest("hex")
      .slice(0, 16),
  };
}

/** The table whose changes travel so. */
export function withoutChangeColumns(schema: StreamSchema): StreamSchema {
  const ours = new Set(
    [...changeColumns, transactionColumn].map(({ name }) => name),
  );
  return {
    ...schema,
    columns: schema.columns.filter(({ name }) => !ours.has(name)),
  };
}
