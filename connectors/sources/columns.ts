/** Which columns of a relation travel, and what is said of them in a stream's schema. Pure. */
import { createHash } from "node:crypto";
import type { ColumnSchema, StreamSchema } from "../../proto/schema.ts";
import { columnNotFound } from "./selection.ts";
import type { StreamSelection } from "./source.ts";

interface RelationName {
  readonly schema: string;
  readonly name: string;
}

/**
 * All columns; or those asked for, in the order of asking, each once; or of a relation whose columns are held to those
 * of an earlier run, those that are still there, in the relation's order.
 * @throws ExtractError SOURCE_COLUMN_NOT_FOUND with the nearest names
 */
export function chooseColumns<Column extends { readonly name: string }>(
  relation: RelationName,
  all: readonly Column[],
  { columns, heldColumns }: StreamSelection,
): readonly Column[] {
  if (columns === null) {
    const held = heldColumns?.find(
      ({ namespace, name }) =>
        namespace === relation.schema && name === relation.name,
    );
    return held === undefined
      ? all
      : all.filter(({ name }) => held.columns.includes(name));
  }
  const byName = new Map(all.map((column) => [column.name, column]));
  return [...new Set(columns)].map((name) => {
    const column = byName.get(name);
    if (column !== undefined) return column;
    throw columnNotFound(relation, name, [...byName.keys()]);
  });
}

/** A key of which a column is left out tells rows of the copy apart no longer. */
export function nameKey(
  key: readonly string[] | null,
  columns: readonly { readonly name: string }[],
): Pick<StreamSchema, "key"> {
  if (key === null) return {};
  return key.every((name) => columns.some((column) => column.name === name))
    ? { key }
    : {};
}

/** 16 hexadecimal digits over names, types and nullability, in order. */
export function fingerprintColumns(columns: readonly ColumnSchema[]): string {
  const shape = columns.map((column) => [
    column.name,
    column.sourceType,
    column.type.kind,
    column.type.precision ?? null,
    column.type.scale ?? null,
    column.nullable,
  ]);
  const digest = createHash("sha256").update(JSON.stringify(shape));
  return digest.digest("hex").slice(0, 16);
}
