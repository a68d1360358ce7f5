/**
 * Discovery: what the selected tables are, of which leaves they consist, and by which key they can be cut. Four round
 * trips whatever the number of tables; run it inside of the snapshot that is read later.
 */
import { createHash } from "node:crypto";
import { ExtractError } from "../../../proto/error.ts";
import { nearestNames } from "../../../proto/nearest.ts";
import type {
  ColumnSchema,
  UnrepresentablePolicy,
} from "../../../proto/schema.ts";
import type {
  DiscoveredStream,
  Discovery,
  DiscoveryProblem,
  LeafRelation,
  SourceColumn,
  StreamSelection,
} from "../source.ts";
import {
  listColumns,
  listKeys,
  listRelations,
  measurePages,
  type ColumnRow,
  type RelationRow,
  type RootAndLeaf,
} from "./catalog.ts";
import { chooseKey } from "./key.ts";
import { selectRelations, suggest } from "./selection.ts";
import type { Queryable } from "./sql.ts";
import { columnSchema } from "./types.ts";

/** A selected relation with what is read for it. */
interface Root {
  readonly relation: RelationRow;
  readonly leaves: readonly RelationRow[];
  /** False where the children cannot be read one by one: the root is then read as a whole, as any query would. */
  readonly byLeaf: boolean;
}

const relationKinds = {
  r: "table",
  p: "partitioned",
  v: "view",
  m: "materializedView",
  f: "foreign",
} as const;

/**
 * @param policy of values that cannot be represented: under `null` their columns may hold NULL
 * @throws ExtractError SOURCE_TABLE_NOT_FOUND, SOURCE_COLUMN_NOT_FOUND with the nearest names; USAGE for `columns` with
 * more than one table; whatever a query fails with
 */
export async function discover(
  connection: Queryable,
  selection: StreamSelection,
  policy: UnrepresentablePolicy = "error",
): Promise<Discovery> {
  const relations = await listRelations(connection);
  const selected = selectRelations(relations, selection);
  if (selection.columns !== null && selected.relations.length !== 1) {
    throw new ExtractError(
      "USAGE",
      `--columns wants exactly one table, and ${selected.relations.length} are selected`,
      { tables: selected.relations.length },
    );
  }
  const childrenOf = indexChildren(relations);
  const warnings = [...selected.warnings];
  const roots = selected.relations.map((relation) => {
    const root = resolveRoot(relation, childrenOf);
    if (relation.rowsHidden) {
      warnings.push(
        `row-level security hides rows of ${relation.schema}.${relation.name} from this user: only those it may see are read`,
      );
    }
    return root;
  });
  const columns = await readColumns(connection, roots);
  const leafOids = roots.flatMap((root) =>
    root.byLeaf ? root.leaves.map((leaf) => leaf.oid) : [],
  );
  const keys = Map.groupBy(
    await listKeys(connection, leafOids),
    (key) => key.relation,
  );
  const pages = await measurePages(
    connection,
    roots.flatMap((root) =>
      root.leaves.filter((leaf) => leaf.heap).map((leaf) => leaf.oid),
    ),
  );

  const streams: DiscoveredStream[] = [];
  const problems: DiscoveryProblem[] = [];
  for (const root of roots) {
    const { relation } = root;
    const all = columns.get(relation.oid) ?? [];
    const chosen = chooseColumns(relation, all, selection.columns);
    const problem = findProblem(root, chosen);
    if (problem !== null) {
      problems.push(problem);
      continue;
    }
    const sourceColumns = chosen.map(toSourceColumn);
    const schemas = sourceColumns.map((column) => columnSchema(column, policy));
    streams.push({
      schema: {
        number: streams.length + 1,
        namespace: relation.schema,
        name: relation.name,
        columns: schemas,
        fingerprint: fingerprintColumns(schemas),
      },
      columns: sourceColumns,
      relationKind: relationKinds[relation.kind],
      leaves: toLeaves(root, pages),
      key: root.byLeaf
        ? chooseKey(
            root.leaves.map((leaf) => keys.get(leaf.oid) ?? []),
            new Set(all.filter((one) => one.readable).map((one) => one.name)),
          )
        : null,
      allColumnNames: all.map((column) => column.name),
    });
  }
  return {
    serverVersion: connection.serverVersion,
    streams,
    problems,
    warnings,
  };
}

function indexChildren(
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
function resolveRoot(
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

async function readColumns(
  connection: Queryable,
  roots: readonly Root[],
): Promise<ReadonlyMap<number, readonly ColumnRow[]>> {
  const pairs: RootAndLeaf[] = roots.flatMap(({ relation, leaves }) =>
    leaves
      .filter((leaf) => leaf !== relation)
      .map((leaf) => ({ root: relation.oid, leaf: leaf.oid })),
  );
  const rows = await listColumns(
    connection,
    roots.map((root) => root.relation.oid),
    pairs,
  );
  return Map.groupBy(rows, (row) => row.relation);
}

/** All columns, or those asked for in the order of asking, each once. */
function chooseColumns(
  relation: RelationRow,
  all: readonly ColumnRow[],
  names: readonly string[] | null,
): readonly ColumnRow[] {
  if (names === null) return all;
  const byName = new Map(all.map((column) => [column.name, column]));
  return [...new Set(names)].map((name) => {
    const column = byName.get(name);
    if (column !== undefined) return column;
    throw columnNotFound(relation, name, [...byName.keys()]);
  });
}

/** SOURCE_COLUMN_NOT_FOUND with the nearest of `candidates`. */
export function columnNotFound(
  table: Pick<RelationRow, "schema" | "name">,
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
      nearest: near.join(", "),
    },
  );
}

function findProblem(
  { relation, leaves }: Root,
  chosen: readonly ColumnRow[],
): DiscoveryProblem | null {
  const at = { namespace: relation.schema, name: relation.name };
  const full = `${relation.schema}.${relation.name}`;
  const denied = (message: string): DiscoveryProblem => ({
    ...at,
    code: "SOURCE_PERMISSION_DENIED",
    message,
  });
  const failed = (message: string): DiscoveryProblem => ({
    ...at,
    code: "SOURCE_QUERY_FAILED",
    message,
  });
  if (!relation.schemaUsable) {
    return denied(
      `no USAGE on schema ${relation.schema}, so ${full} is out of reach`,
    );
  }
  if (!relation.readable && !relation.partlyReadable) {
    return denied(`no SELECT on ${full}`);
  }
  const hidden = chosen.filter((column) => !column.readable);
  if (hidden.length > 0) {
    const names = hidden.map((column) => column.name).join(", ");
    return denied(
      `no SELECT on these columns of ${full}: ${names}; leave them out with --columns`,
    );
  }
  if (chosen.length === 0) return failed(`${full} has no columns`);
  if (!relation.populated) {
    return failed(`${full} is not populated; REFRESH MATERIALIZED VIEW first`);
  }
  const unlogged = leaves.find((leaf) => leaf.unlogged && leaf.onStandby);
  if (unlogged !== undefined) {
    return failed(
      `${unlogged.schema}.${unlogged.name} is unlogged and this server is a standby, which has none of its rows`,
    );
  }
  return null;
}

function toSourceColumn(row: ColumnRow): SourceColumn {
  return {
    name: row.name,
    typeOid: row.typeOid,
    typeModifier: row.typeModifier,
    baseTypeOid: row.baseTypeOid,
    typeKind: row.typeKind,
    typeCategory: row.typeCategory,
    declaredType: row.declaredType,
    notNull: row.notNull,
  };
}

function toLeaves(
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
