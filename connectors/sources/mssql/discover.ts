/**
 * Discovery: what the selected tables are and by which key they can be cut. A fixed number of round trips for every
 * thousand tables.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { UnrepresentablePolicy } from "../../../proto/schema.ts";
import { chooseColumns, fingerprintColumns, nameKey } from "../columns.ts";
import { selectRelations } from "../selection.ts";
import type {
  DiscoveredStream,
  DiscoveryProblem,
  StreamSelection,
} from "../source.ts";
import {
  listColumns,
  listIndexes,
  listMaskedColumns,
  listPrimaryKeys,
  listReadableColumns,
  listRelations,
  listRowSecurity,
  listSizes,
  type ColumnRow,
  type IndexRow,
  type PrimaryKeyRow,
  type RelationRow,
  type SizeRow,
} from "./catalog.ts";
import { chooseKeys } from "./key.ts";
import type { Queryable } from "./sql.ts";
import type { MssqlDiscovery, MssqlStream, SourceColumn } from "./stream.ts";
import { columnSchema, formatType } from "./types.ts";

type Relation = RelationRow & {
  readonly pathPosition: number | null;
  readonly parents: readonly never[];
  /** Views repeat what tables hold, and are meant only by name or pattern. */
  readonly fromExtension: boolean;
};

/** What is known of all selected tables, by object id. */
interface Catalog {
  readonly columns: ReadonlyMap<number, readonly ColumnRow[]>;
  readonly readable: ReadonlyMap<number, ReadonlySet<string>>;
  readonly indexes: ReadonlyMap<number, readonly IndexRow[]>;
  readonly sizes: ReadonlyMap<number, SizeRow>;
  /** The server tells clustered indexes from others. */
  readonly trustsIndexes: boolean;
}

/**
 * @param policy of values that cannot be represented: under `null` their columns may hold NULL
 * @throws ExtractError SOURCE_TABLE_NOT_FOUND, SOURCE_COLUMN_NOT_FOUND with the nearest names; USAGE for `columns` with
 * more than one table; whatever a query fails with
 */
export async function discover(
  connection: Queryable,
  selection: StreamSelection,
  policy: UnrepresentablePolicy = "error",
): Promise<MssqlDiscovery> {
  const relations = (await listRelations(connection)).map((row): Relation => ({
    ...row,
    pathPosition: row.isDefault ? 1 : null,
    parents: [],
    fromExtension: row.kind === "V",
  }));
  const selected = selectRelations(relations, selection);
  const chosen = selected.relations;
  if (selection.columns !== null && chosen.length !== 1) {
    throw new ExtractError(
      "USAGE",
      `--columns wants exactly one table, and ${chosen.length} are selected`,
      { tables: chosen.length },
    );
  }
  const catalog = await readCatalog(connection, chosen);
  const warnings = [
    ...selected.warnings,
    ...(await findHiddenValues(connection, chosen)),
  ];
  const streams: MssqlStream[] = [];
  const problems: DiscoveryProblem[] = [];
  for (const relation of chosen) {
    const all = catalog.columns.get(relation.id) ?? [];
    const wanted = chooseColumns(relation, all, selection);
    const problem = findProblem(relation, wanted, catalog);
    if (problem !== null) problems.push(problem);
    else {
      streams.push(
        toStream(relation, all, wanted, catalog, policy, streams.length + 1),
      );
    }
  }
  return {
    serverVersion: connection.serverVersion,
    streams,
    problems,
    warnings,
  };
}

async function readCatalog(
  connection: Queryable,
  relations: readonly Relation[],
): Promise<Catalog> {
  const ids = relations.map((relation) => relation.id);
  const tables = relations.filter((relation) => relation.kind === "U");
  const tableIds = tables.map((relation) => relation.id);
  const columns = await listColumns(connection, ids);
  const partly = relations
    .filter((relation) => !relation.readable)
    .map((relation) => relation.id);
  const readable = await listReadableColumns(connection, partly);
  const indexes = await listIndexes(connection, tableIds);
  const trustsIndexes = indexes !== null && connection.isMicrosoft;
  const keys = trustsIndexes ? null : await listPrimaryKeys(connection);
  const sizes = await listSizes(connection, tableIds);
  return {
    columns: Map.groupBy(columns, (row) => row.id),
    readable: new Map(
      [...Map.groupBy(readable, (row) => row.id)].map(([id, rows]) => [
        id,
        new Set(rows.map((row) => row.name)),
      ]),
    ),
    indexes: Map.groupBy(
      mergePrimaryKeys(indexes ?? [], tables, keys ?? []),
      (index) => index.id,
    ),
    sizes: new Map(sizes.map((row) => [row.id, row])),
    trustsIndexes,
  };
}

/** Primary keys by the standard's views stand in for what `sys.indexes` does not tell, and win over what it does. */
function mergePrimaryKeys(
  indexes: readonly IndexRow[],
  tables: readonly Relation[],
  keys: readonly PrimaryKeyRow[],
): IndexRow[] {
  const byTable = Map.groupBy(keys, (key) => `${key.schema}\0${key.table}`);
  const merged = [...indexes];
  for (const { id, schema, name } of tables) {
    const parts = byTable.get(`${schema}\0${name}`);
    const [first] = parts ?? [];
    if (parts === undefined || first === undefined) continue;
    const known = merged.findIndex(
      (index) =>
        index.id === id && (index.isPrimary || index.name === first.name),
    );
    const primary: IndexRow = {
      id,
      indexId: merged[known]?.indexId ?? 0,
      name: first.name,
      type: merged[known]?.type ?? 2,
      isUnique: true,
      isPrimary: true,
      columns: parts.map((part) => ({
        name: part.columnName,
        isDescending:
          merged[known]?.columns.find(({ name: n }) => n === part.columnName)
            ?.isDescending ?? false,
      })),
    };
    if (known >= 0) merged[known] = primary;
    else merged.push(primary);
  }
  return merged;
}

function kindOf(relation: RelationRow): DiscoveredStream["relationKind"] {
  return relation.kind === "V" ? "view" : "table";
}

function findProblem(
  relation: Relation,
  wanted: readonly ColumnRow[],
  catalog: Catalog,
): DiscoveryProblem | null {
  const full = `${relation.schema}.${relation.name}`;
  const at = {
    namespace: relation.schema,
    name: relation.name,
    relationKind: kindOf(relation),
  };
  if (!relation.readable) {
    const readable = catalog.readable.get(relation.id);
    const hidden = wanted.filter(
      (column) => readable?.has(column.name) !== true,
    );
    if (readable === undefined || hidden.length > 0) {
      const names = hidden.map((column) => column.name).join(", ");
      return {
        ...at,
        code: "SOURCE_PERMISSION_DENIED",
        message:
          readable === undefined
            ? `no SELECT on ${full}`
            : `no SELECT on these columns of ${full}: ${names}; leave them out with --columns`,
      };
    }
  }
  if (wanted.length === 0) {
    return {
      ...at,
      code: "SOURCE_QUERY_FAILED",
      message: `${full} has no columns`,
    };
  }
  return null;
}

function toStream(
  relation: Relation,
  all: readonly ColumnRow[],
  wanted: readonly ColumnRow[],
  catalog: Catalog,
  policy: UnrepresentablePolicy,
  number: number,
): MssqlStream {
  const everyColumn = new Map(
    all.map((row) => [row.name, toSourceColumn(row)]),
  );
  const columns = wanted.map(toSourceColumn);
  const schemas = columns.map((column) => columnSchema(column, policy));
  const readable = relation.readable
    ? new Set(everyColumn.keys())
    : (catalog.readable.get(relation.id) ?? new Set<string>());
  const keys = chooseKeys(
    catalog.indexes.get(relation.id) ?? [],
    everyColumn,
    readable,
    catalog.trustsIndexes,
  );
  const size = catalog.sizes.get(relation.id);
  return {
    schema: {
      number,
      namespace: relation.schema,
      name: relation.name,
      columns: schemas,
      ...nameKey(keys.unique?.columns.map(({ name }) => name) ?? null, columns),
      fingerprint: fingerprintColumns(schemas),
    },
    columns,
    relationKind: kindOf(relation),
    leaves: [
      {
        oid: relation.id,
        schema: relation.schema,
        name: relation.name,
        only: false,
        heap: false,
        fileNode: 0,
        pages: (size?.pages ?? 0) + (size?.largePages ?? 0),
        rowEstimate: size?.rows ?? -1,
      },
    ],
    key: keys.unique,
    rangeKey: keys.range,
    allColumnNames: all.map((column) => column.name),
  };
}

function toSourceColumn(row: ColumnRow): SourceColumn {
  const typeName = row.typeName.toLowerCase();
  const baseType = (row.baseType ?? row.typeName).toLowerCase();
  return {
    name: row.name,
    baseType,
    declaredType: formatType({ ...row, typeName, baseType }),
    maxLength: row.maxLength,
    precision: row.precision,
    scale: row.scale,
    nullable: row.nullable,
    collation: row.collation,
    codePage: row.codePage,
    isClr: row.isClr,
  };
}

/** Sentences for people: what this user's copy does not show. */
async function findHiddenValues(
  connection: Queryable,
  relations: readonly Relation[],
): Promise<string[]> {
  const secured = await listRowSecurity(connection);
  const masked = Map.groupBy(
    await listMaskedColumns(connection),
    (column) => column.id,
  );
  return relations.flatMap(({ id, schema, name }) => {
    const columns = masked.get(id)?.map((column) => column.name);
    return [
      ...(secured.has(id)
        ? [
            `a security policy may hide rows of ${schema}.${name} from this user: only those it may see are read`,
          ]
        : []),
      ...(columns === undefined
        ? []
        : [
            `this user sees masked values in ${schema}.${name} (${columns.join(", ")}), and these are what is copied: GRANT UNMASK shows the true ones`,
          ]),
    ];
  });
}
