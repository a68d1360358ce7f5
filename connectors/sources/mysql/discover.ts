/**
 * Discovery: what the selected tables and views are, and by which key they can be cut. Ten round trips or so for up to
 * 50 tables, one more for each further 50; run it inside of the snapshot that is read later.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { UnrepresentablePolicy } from "../../../proto/schema.ts";
import { chooseColumns, fingerprintColumns, nameKey } from "../columns.ts";
import { selectRelations } from "../selection.ts";
import type {
  DiscoveryProblem,
  LeafRelation,
  StreamSelection,
} from "../source.ts";
import {
  hashToNumber,
  listColumns,
  listStatistics,
  listTables,
  nameTable,
  readDatabase,
  type ListedTable,
  type TableStatistics,
} from "./catalog.ts";
import { readFileNodes } from "./file-node.ts";
import { listIndexOrder, listUniqueIndexes, type IndexRow } from "./indexes.ts";
import { chooseKeys, groupIndexes, isUniqueKey } from "./key.ts";
import { findUnreadable } from "./rights.ts";
import type { Queryable } from "./sql.ts";
import type { MysqlColumn, MysqlDiscovery, MysqlStream } from "./stream.ts";
import { columnSchema } from "./types.ts";

/** Engines whose rows a snapshot keeps as they were. */
const snapshotEngines = new Set(["innodb", "rocksdb", "tokudb"]);

/** Bytes of a page, as `LeafRelation.pages` counts them. */
export const PAGE_BYTES = 16_384;

/**
 * @param policy of values that cannot be represented: under `null` their columns may hold NULL
 * @throws ExtractError SOURCE_TABLE_NOT_FOUND, SOURCE_COLUMN_NOT_FOUND with the nearest names; USAGE for `columns` with
 * more than one table; whatever a query fails with
 */
export async function discover(
  connection: Queryable,
  selection: StreamSelection,
  policy: UnrepresentablePolicy = "error",
): Promise<MysqlDiscovery> {
  const database = await readDatabase(connection);
  const tables = await listTables(connection, database);
  const selected = selectRelations(
    tables.map((table) => ({
      ...table,
      pathPosition: table.schema === database ? 1 : null,
      parents: [],
      // a view's rows are its tables', which are read already
      fromExtension: table.isView,
    })),
    selection,
  );
  const { relations } = selected;
  if (selection.columns !== null && relations.length !== 1) {
    throw new ExtractError(
      "USAGE",
      `--columns wants exactly one table, and ${relations.length} are selected`,
      { tables: relations.length },
    );
  }
  const columns = await listColumns(connection, relations);
  const statistics = await listStatistics(connection, relations);
  const indexes = await listUniqueIndexes(connection, relations);
  const fileNodes = await readFileNodes(
    connection,
    relations.filter((table) => !table.isView),
  );
  const chosen = new Map<string, readonly MysqlColumn[]>();
  for (const table of relations) {
    const all = (columns.get(nameTable(table)) ?? []).map((row) => row.column);
    chosen.set(nameTable(table), chooseColumns(table, all, selection));
  }
  const unreadable = await findUnreadable(connection, relations, (table) =>
    selection.columns === null
      ? null
      : (chosen.get(nameTable(table))?.map(({ name }) => name) ?? null),
  );
  const warnings = [...selected.warnings];
  const streams: MysqlStream[] = [];
  const problems: DiscoveryProblem[] = [];
  for (const table of relations) {
    const key = nameTable(table);
    const error = unreadable.get(key);
    if (error !== undefined) {
      problems.push(toProblem(table, error));
      continue;
    }
    const rows = columns.get(key) ?? [];
    const all = rows.map((row) => row.column);
    const own = chosen.get(key) ?? [];
    if (own.length === 0) {
      problems.push(
        toProblem(
          table,
          new ExtractError("SOURCE_QUERY_FAILED", "it has no columns"),
        ),
      );
      continue;
    }
    const { engine } = table;
    if (!table.isView && !snapshotEngines.has((engine ?? "").toLowerCase())) {
      warnings.push(
        `${table.schema}.${table.name} is kept by ${engine}, which has no snapshots: what is written while it is read may come in part`,
      );
    }
    const sorted = await orderIndexes(
      connection,
      table,
      groupIndexes(indexes.get(key) ?? []),
    );
    const keys = chooseKeys(sorted, all, engine);
    const schemas = own.map((column) => columnSchema(column, policy));
    const stats = statistics.get(key);
    streams.push({
      schema: {
        number: streams.length + 1,
        namespace: table.schema,
        name: table.name,
        columns: schemas,
        ...nameKey(keys.named, own),
        fingerprint: fingerprintColumns(schemas),
      },
      columns: own,
      relationKind: kindOf(table, stats),
      leaves: [toLeaf(table, stats, fileNodes.get(key) ?? 0)],
      key: keys.usable,
      allColumnNames: all.map(({ name }) => name),
      filledColumns: rows.flatMap(({ column, filled }) =>
        filled ? [column.name] : [],
      ),
    });
  }
  return {
    serverVersion: connection.serverVersion,
    streams,
    problems,
    warnings,
  };
}

/** Without a primary key and with several others, the order in which the server keeps them tells the clustered one. */
async function orderIndexes(
  connection: Queryable,
  table: ListedTable,
  indexes: ReadonlyMap<string, readonly IndexRow[]>,
): Promise<ReadonlyMap<string, readonly IndexRow[]>> {
  const unique = [...indexes.values()].filter(isUniqueKey);
  if (indexes.has("PRIMARY") || unique.length < 2) return indexes;
  const order = await listIndexOrder(connection, table);
  return new Map(
    [...indexes].sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0])),
  );
}

function kindOf(
  table: ListedTable,
  statistics: TableStatistics | undefined,
): MysqlStream["relationKind"] {
  if (table.isView) return "view";
  return statistics?.isPartitioned === true ? "partitioned" : "table";
}

/** The server reads a partitioned table's parts as one, in the order of the key. */
function toLeaf(
  table: ListedTable,
  statistics: TableStatistics | undefined,
  fileNode: number,
): LeafRelation {
  return {
    oid: hashToNumber(nameTable(table)),
    schema: table.schema,
    name: table.name,
    only: false,
    heap: false,
    fileNode,
    pages: Math.ceil((statistics?.dataBytes ?? 0) / PAGE_BYTES),
    rowEstimate: table.isView ? -1 : (statistics?.rows ?? -1),
  };
}

/** A right that is missing, or a view that no longer works, in the server's words. */
function toProblem(
  { schema, name, isView }: ListedTable,
  error: ExtractError,
): DiscoveryProblem {
  const isDenied = error.code === "SOURCE_PERMISSION_DENIED";
  return {
    namespace: schema,
    name,
    relationKind: isView ? "view" : "table",
    code: isDenied ? "SOURCE_PERMISSION_DENIED" : "SOURCE_QUERY_FAILED",
    message: `${schema}.${name}: ${error.message}${isDenied ? "; columns that may not be read can be left out with --columns" : ""}`,
  };
}
