/** The columns of a foreign stream as they travel: those of its schema, and behind them what is known of each record. */
import { createHash } from "node:crypto";
import { FILE_COLUMN, fileColumn } from "../../airbyte/file-reference.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { ColumnSchema, StreamSchema } from "../../../proto/schema.ts";

/** What may be told of each record, by the name of its column. */
export const META_COLUMNS = [
  "_airbyte_raw_id",
  "_airbyte_extracted_at",
  "_airbyte_meta",
  "_airbyte_generation_id",
] as const;

/** The columns that are made here. The file's is the last, so that a row ends with it. */
export const OWN_COLUMNS = [...META_COLUMNS, FILE_COLUMN] as const;

export type OwnColumn = (typeof OWN_COLUMNS)[number];

const ours = { nullable: false, sourceType: "airbyte" } as const;

const shapes: Readonly<Record<OwnColumn, ColumnSchema>> = {
  _airbyte_raw_id: { ...ours, name: "_airbyte_raw_id", type: { kind: "uuid" } },
  _airbyte_extracted_at: {
    ...ours,
    name: "_airbyte_extracted_at",
    type: { kind: "timestamptz" },
  },
  _airbyte_meta: { ...ours, name: "_airbyte_meta", type: { kind: "json" } },
  _airbyte_generation_id: {
    ...ours,
    name: "_airbyte_generation_id",
    type: { kind: "int64" },
  },
  [FILE_COLUMN]: fileColumn,
};

/**
 * The stream with the columns that are wanted behind its own.
 * @throws ExtractError CONFIG_INVALID where the stream has a column of such a name itself
 */
export function addMetaColumns(
  schema: StreamSchema,
  wanted: readonly OwnColumn[],
): StreamSchema {
  if (wanted.length === 0) return schema;
  const clash = schema.columns.find(({ name }) =>
    wanted.some((one) => one === name),
  );
  if (clash)
    throw new ExtractError(
      "CONFIG_INVALID",
      clash.name === FILE_COLUMN
        ? `${schema.name} has a column ${clash.name} itself: its files cannot be copied`
        : `${schema.name} has a column ${clash.name} itself: leave it out of the source's \`meta\``,
      { stream: schema.name, column: clash.name },
    );
  const columns = [...schema.columns, ...wanted.map((name) => shapes[name])];
  const fingerprint = createHash("sha256")
    .update(JSON.stringify([schema.fingerprint, wanted]))
    .digest("hex")
    .slice(0, 16);
  return { ...schema, columns, fingerprint };
}
