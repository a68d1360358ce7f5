/**
 * The columns that say of a row which change it is, behind those of its table: what a stream looks like whose log is
 * followed.
 */
import { createHash } from "node:crypto";
import type { ColumnSchema, StreamSchema } from "./schema.ts";

const text = { kind: "text" } as const;
const ours = { nullable: false, sourceType: "millrace" } as const;

/** In this order, behind the table's own. */
export const changeColumns: readonly ColumnSchema[] = [
  /** `r` read by a snapshot, `c` inserted, `u` updated, `d` deleted, `t` table emptied. */
  { ...ours, name: "_op", type: text },
  /** Where in the log: texts that compare as the log goes. */
  { ...ours, name: "_position", type: text },
  /** When the source committed it. */
  { ...ours, name: "_ts", type: { kind: "timestamptz" } },
  { ...ours, name: "_deleted", type: { kind: "boolean" } },
  /** JSON array of the columns whose value the source did not send: what stands there is no value. */
  { ...ours, name: "_unchanged", type: text },
  /** JSON array of the key that the row had before, where the change is of the key. */
  { ...ours, name: "_old_key", type: text, nullable: true },
];

/** The stream as its changes travel: any column of the table may be missing, those of the key only when all rows go. */
export function describeChanges(schema: StreamSchema): StreamSchema {
  const columns = [
    ...schema.columns.map((column) => ({ ...column, nullable: true })),
    ...changeColumns,
  ];
  return {
    ...schema,
    columns,
    fingerprint: createHash("sha256")
      .update(JSON.stringify([schema.fingerprint, columns]))
      .digest("hex")
      .slice(0, 16),
  };
}
