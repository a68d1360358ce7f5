/**
 * Discovery: what the selected tables are, of which leaves they consist, and by which key they can be cut. Four round
 * trips whatever the number of tables; run it inside of the snapshot that is read later.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { UnrepresentablePolicy } from "../../../proto/schema.ts";
import type { DiscoveryProblem, StreamSelection } from "../source.ts";
import type {
  PostgresDiscovery,
  PostgresStream,
  SourceColumn,
} from "./stream.ts";
import {
  listColumns,
  listKeys,
  listRelations,
  measurePages,
  type ColumnRow,
  type RootAndLeaf,
} from "./catalog.ts";
import { chooseKey } from "./key.ts";
import { indexChildren, resolveRoot, toLeaves, type Root } from "./leaves.ts";
import { chooseColumns, fingerprintColumns, nameKey } from "../columns.ts";
import { selectRelations } from "../selection.ts";
import type { Queryable } from "./sql.ts";
import { columnSchema } from "./types.ts";

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
): Promise<PostgresDiscovery> {
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

  const streams: PostgresStream[] = [];
  const problems: DiscoveryProblem[] = [];
  for (const root of roots) {
    const { relation } = root;
    const all = columns.get(relation.oid) ?? [];
    const chosen = chooseColumns(relation, all, selection).filter(
      ({ generated }) => !generated || !selection.isLogged,
    );
    const computed = all.filter(({ generated }) => generated);
    if (selection.isLogged && computed.length > 0)
      warnings.push(
        `${relation.schema}.${relation.name} is copied without ${computed.map(({ name }) => name).join(", ")}: the log does not tell of columns that are computed from others`,
      );
    const problem = findProblem(root, chosen);
    if (problem !== null) {
      problems.push(problem);
      continue;
    }
    const sourceColumns = chosen.map(toSourceColumn);
    const schemas = sourceColumns.map((column) => columnSchema(column, policy));
    const key = root.byLeaf
      ? chooseKey(
          root.leaves.map((leaf) => keys.get(leaf.oid) ?? []),
          new Set(all.filter((one) => one.readable).map((one) => one.name)),
        )
      : null;
    streams.push({
      schema: {
        number: streams.length + 1,
        namespace: relation.schema,
        name: relation.name,
        columns: schemas,
        ...nameKey(key?.columns.map(({ name }) => name) ?? null, sourceColumns),
        fingerprint: fingerprintColumns(schemas),
      },
      columns: sourceColumns,
      relationKind: relationKinds[relation.kind],
      leaves: toLeaves(root, pages),
      key,
      allColumnNames: all.map((column) => column.name),
      changes: {
        beforeImage: root.leaves.every(({ identityFull }) => identityFull)
          ? "full"
          : "key",
        declaredTypes: Object.fromEntries(
          chosen
            .filter((one) => one.loggedType !== one.declaredType)
            .map((one) => [one.name, one.loggedType]),
        ),
        ...(computed.length > 0
          ? { computedColumns: computed.map(({ name }) => name) }
          : {}),
      },
      filledColumns: all.filter(({ filled }) => filled).map(({ name }) => name),
    });
  }
  return {
    serverVersion: connection.serverVersion,
    streams,
    problems,
    warnings,
  };
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

function findProblem(
  { relation, leaves }: Root,
  chosen: readonly ColumnRow[],
): DiscoveryProblem | null {
  const at = {
    namespace: relation.schema,
    name: relation.name,
    relationKind: relationKinds[relation.kind],
  };
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
