/** Which relations a list of patterns means. Pure. */
import { ExtractError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import { meansRelation } from "../../proto/pattern.ts";
import type { StreamSelection } from "./source.ts";

/** What the selection looks at; a source adds what else it knows of a relation. */
export interface Selectable {
  readonly schema: string;
  readonly name: string;
  /** Place of its schema among those that an unqualified name means, from 1; null outside of them. */
  readonly pathPosition: number | null;
  /** Not empty: its rows belong to these, and it is meant only by its own name. */
  readonly parents: readonly unknown[];
  /** Meant only by name or pattern. */
  readonly fromExtension: boolean;
}

function qualify(relation: Pick<Selectable, "schema" | "name">): string {
  return `${relation.schema}.${relation.name}`;
}

/**
 * A name without wildcard means what SQL would take it for: the first match in the search path. Outside of the path it
 * means every table of that name.
 */
function pickNamed<Relation extends Selectable>(
  name: string,
  relations: readonly Relation[],
): Relation[] {
  const qualified = relations.filter((relation) => qualify(relation) === name);
  if (qualified.length > 0) return qualified;
  const named = relations.filter((relation) => relation.name === name);
  const inPath = named
    .filter((relation) => relation.pathPosition !== null)
    .sort((a, b) => (a.pathPosition ?? 0) - (b.pathPosition ?? 0));
  const [first] = inPath;
  return first === undefined ? named : [first];
}

export interface Selected<Relation extends Selectable> {
  readonly relations: readonly Relation[];
  readonly warnings: readonly string[];
}

/**
 * The roots that are meant. Children of partitioned and inherited tables belong to their parents and are meant only
 * by their own name; what an extension owns is meant only by name or pattern.
 * @throws ExtractError SOURCE_TABLE_NOT_FOUND with the nearest names, for a name that nothing has, or when nothing at
 * all is left
 */
export function selectRelations<Relation extends Selectable>(
  relations: readonly Relation[],
  selection: StreamSelection,
): Selected<Relation> {
  const roots = relations.filter((relation) => relation.parents.length === 0);
  const chosen = new Set<Relation>();
  const warnings: string[] = [];
  for (const pattern of selection.include) {
    const isName = !pattern.includes("*");
    const found = isName
      ? pickNamed(pattern, relations)
      : roots.filter((relation) => meansRelation(pattern, relation));
    if (found.length === 0 && isName) throw notFound(pattern, relations);
    if (found.length === 0) warnings.push(`no table matches ${pattern}`);
    for (const relation of found) chosen.add(relation);
  }
  if (selection.include.length === 0) {
    for (const root of roots) if (!root.fromExtension) chosen.add(root);
  }
  for (const pattern of selection.exclude) {
    if (!relations.some((relation) => meansRelation(pattern, relation))) {
      warnings.push(`no table matches the exclusion ${pattern}`);
    }
    for (const relation of chosen) {
      if (meansRelation(pattern, relation)) chosen.delete(relation);
    }
  }
  if (chosen.size === 0 && selection.include.length > 0) {
    throw new ExtractError(
      "SOURCE_TABLE_NOT_FOUND",
      `no table is left of ${selection.include.join(", ")}`,
      { patterns: selection.include.join(", ") },
    );
  }
  return {
    // the catalog's order, whatever the order of the patterns
    relations: relations.filter((relation) => chosen.has(relation)),
    warnings,
  };
}

function notFound(
  name: string,
  relations: readonly Selectable[],
): ExtractError {
  const near = nearestNames(
    name,
    relations.map((relation) =>
      name.includes(".") ? qualify(relation) : relation.name,
    ),
  );
  return new ExtractError(
    "SOURCE_TABLE_NOT_FOUND",
    `table ${name} does not exist${suggest(near)}`,
    { table: name, ...nameNearest(near) },
  );
}

function nameNearest(names: readonly string[]): { nearest?: string } {
  return names.length === 0 ? {} : { nearest: names.join(", ") };
}

/** `; did you mean a or b?`, or nothing. */
function suggest(names: readonly string[]): string {
  return names.length === 0 ? "" : `; did you mean ${names.join(" or ")}?`;
}

/** SOURCE_COLUMN_NOT_FOUND with the nearest of `candidates`. */
export function columnNotFound(
  table: Pick<Selectable, "schema" | "name">,
  name: string,
  candidates: readonly string[],
): ExtractError {
  const near = nearestNames(name, candidates);
  return new ExtractError(
    "SOURCE_COLUMN_NOT_FOUND",
    `${table.schema}.${table.name} has no column ${name}${suggest(near)}`,
    {
      table: `${table.schema}.${table.name}`,
      column: name,
      ...nameNearest(near),
    },
  );
}
