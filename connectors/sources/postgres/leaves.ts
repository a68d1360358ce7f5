/** Of which relations a stream consists: each with rows of its own, read by itself where that is allowed. Pure. */
import type { LeafRelation } from "../source.ts";
import type { RelationRow } from "./catalog.ts";

/** A selected relation with what is read for it. */
export interface Root {
  readonly relation: RelationRow;
  readonly leaves: readonly RelationRow[];
  /** False where the children cannot be read one by one: the root is then read as a whole, as any query would. */
  readonly byLeaf: boolean;
}

export function indexChildren(
  relations: readonly RelationRow[],
): ReadonlyMap<number, readonly RelationRow[]> {
  const children = new Map<number, RelationRow[]>();
  for (const relation of relations) {
    for (const parent of relation.parents) {
      const list = children.get(parent);
      if (list === undefined) children.set(parent, [relation]);
      else list.push(relation);
    }
  }
  return children;
}

/**
 * Everything below the root that has rows of its own, the root included. A child that is reached twice (it may have
 * several parents) is one leaf.
 */
export function resolveRoot(
  relation: RelationRow,
  childrenOf: ReadonlyMap<number, readonly RelationRow[]>,
): Root {
  const seen = new Set<RelationRow>([relation]);
  for (const one of seen) {
    for (const child of childrenOf.get(one.oid) ?? []) seen.add(child);
  }
  const leaves = [...seen].filter((one) => one.kind !== "p");
  if (seen.size === 1 && relation.kind !== "p") {
    return { relation, leaves, byLeaf: relation.kind === "r" };
  }
  // A query on the root checks the root's privileges and policies only; one on a leaf checks the leaf's own.
  const byLeaf =
    leaves.length > 0 &&
    !relation.rowsHidden &&
    leaves.every((leaf) => leaf === relation || isReadable(leaf));
  return { relation, leaves, byLeaf };
}

function isReadable(leaf: RelationRow): boolean {
  return leaf.readable && leaf.schemaUsable && !leaf.rowsHidden;
}

export function toLeaves(
  { relation, leaves, byLeaf }: Root,
  pages: ReadonlyMap<number, number>,
): LeafRelation[] {
  const hasOthers = leaves.length > 1;
  const parts = leaves.map((leaf) =>
    toLeaf(
      leaf,
      leaf.kind === "r" || (leaf.kind === "f" && hasOthers),
      pages.get(leaf.oid) ?? 0,
    ),
  );
  if (byLeaf || (leaves.length === 1 && relation.kind !== "p")) return parts;
  // read through the root, which has no statistics of the whole: the leaves' are added up
  const isKnown = parts.every((part) => part.rowEstimate >= 0);
  return [
    {
      oid: relation.oid,
      schema: relation.schema,
      name: relation.name,
      only: false,
      heap: false,
      fileNode: 0,
      pages: parts.reduce((sum, part) => sum + part.pages, 0),
      rowEstimate: isKnown
        ? parts.reduce((sum, part) => sum + part.rowEstimate, 0)
        : -1,
    },
  ];
}

function toLeaf(leaf: RelationRow, only: boolean, pages: number): LeafRelation {
  return {
    oid: leaf.oid,
    schema: leaf.schema,
    name: leaf.name,
    only,
    heap: leaf.heap,
    fileNode: leaf.fileNode,
    pages,
    rowEstimate: scaleRows(leaf, pages),
  };
}

/**
 * The rows of the last ANALYZE, scaled to the pages of now; -1 where there was none. Before version 14, a table that
 * was never analysed has 0 rows on 0 pages.
 */
function scaleRows(leaf: RelationRow, pages: number): number {
  if (!leaf.heap) return leaf.relTuples > 0 ? leaf.relTuples : -1;
  if (pages === 0) return 0;
  if (leaf.relTuples <= 0 || leaf.relPages === 0) return -1;
  return Math.round((leaf.relTuples / leaf.relPages) * pages);
}
