/**
 * The views of the catalogue that are offered, filled from it.
 * @see SQL Server docs, "Object catalog views", "System information schema views", "Dynamic management views"
 */
import { findCollation } from "../types/collations.ts";
import type { Storage } from "../types/storage.ts";
import {
  describeType,
  formatTypeName,
  isBinary,
  isCharacter,
  isDecimal,
  isFloat,
  isInteger,
  isMoney,
  isTemporal,
  isWide,
  listTypes,
  type SqlType,
} from "../types/types.ts";
import { parseTypeText } from "../sql/type-text.ts";
import type { Catalogue, Table } from "./catalogue.ts";

export interface ViewContext {
  readonly catalogue: Catalogue;
  readonly database: string;
  readonly databases: readonly string[];
  readonly collation: string;
  /** 0 off, 1 on. */
  readonly snapshotState: number;
  readonly readCommittedSnapshot: boolean;
  countRows(table: Table): number;
}

export interface CatalogueView {
  readonly columns: readonly {
    readonly name: string;
    readonly type: SqlType;
  }[];
  readonly rows: (context: ViewContext) => Iterable<readonly Cell[]>;
  /** It shows more than the catalogue, and is filled for each statement. */
  readonly isVolatile: boolean;
}

type Cell = Storage | boolean;

/** @param columns `name type, name type` */
function view(
  columns: string,
  rows: CatalogueView["rows"],
  isVolatile = false,
): CatalogueView {
  return {
    columns: columns.split(/,(?![^(]*\))/).map((column) => {
      const [name = "", ...type] = column.trim().split(/\s+/);
      return { name, type: parseTypeText(type.join(" ") || "int") };
    }),
    rows,
    isVolatile,
  };
}

const isTable = (table: Table) => table.query === null;

function* allColumns(context: ViewContext) {
  for (const table of context.catalogue.tables)
    for (const [i, column] of table.columns.entries())
      yield { table, column, position: i + 1 };
}

function* allIndexes(context: ViewContext) {
  for (const table of context.catalogue.tables) {
    if (!isTable(table)) continue;
    if (!table.indexes.some((index) => index.id === 1))
      yield { table, index: null };
    for (const index of table.indexes) yield { table, index };
  }
}

const schemaIdOf = (context: ViewContext, table: Table) =>
  BigInt(context.catalogue.findSchema(table.schema)!.id);

const hasCollation = (type: SqlType) => isCharacter(type);

const objectColumns =
  "name sysname, object_id int, schema_id int, parent_object_id int, type char(2), type_desc nvarchar(60), create_date datetime, modify_date datetime, is_ms_shipped bit";

function objectRow(context: ViewContext, table: Table): Cell[] {
  const [type, description] = isTable(table)
    ? ["U ", "USER_TABLE"]
    : ["V ", "VIEW"];
  const since = BigInt(table.created.getTime()) * 3n;
  const created = since / 10n + 25_567n * 25_920_000n;
  return [
    ...[table.name, BigInt(table.id), schemaIdOf(context, table), 0n],
    ...[type!, description!, created, created, false],
  ];
}

function* objects(context: ViewContext, test: (table: Table) => boolean) {
  for (const table of context.catalogue.tables)
    if (test(table)) yield objectRow(context, table);
}

const partitionId = (table: Table, indexId: number) =>
  72_057_594_000_000_000n + BigInt(table.id) * 256n + BigInt(indexId);

/** information_schema says of numbers and moments what sys.columns puts otherwise. */
function describeForStandard(type: SqlType): Cell[] {
  const { maxLength, precision, scale } = describeType(type);
  const isNumber =
    isInteger(type) || isDecimal(type) || isMoney(type) || isFloat(type);
  const isText = isCharacter(type);
  const longest: Record<string, number> = {
    text: 2_147_483_647,
    ntext: 1_073_741_823,
    image: 2_147_483_647,
  };
  const bytes = longest[type.kind] ?? maxLength;
  const characters =
    longest[type.kind] ?? (type.length === 0 ? maxLength : type.length);
  const isSized = isText || isBinary(type);
  const name = formatTypeName(type);
  return [
    name === "sysname" ? "nvarchar" : name,
    isSized ? BigInt(characters) : null,
    isSized ? BigInt(type.kind === "ntext" ? 2_147_483_646 : bytes) : null,
    isNumber && type.kind !== "bit" ? BigInt(precision) : null,
    isNumber && type.kind !== "bit" ? (isFloat(type) ? 2n : 10n) : null,
    isNumber && !isFloat(type) && type.kind !== "bit" ? BigInt(scale) : null,
    isTemporal(type) ? BigInt(type.kind === "smalldatetime" ? 0 : scale) : null,
    isText ? (isWide(type) ? "UNICODE" : "iso_1") : null,
    isText ? type.collation!.name : null,
  ];
}

const constraints = function* (context: ViewContext) {
  for (const { table, index } of allIndexes(context))
    if (index !== null && index.kind !== "index") yield { table, index };
};

const tableNames =
  "TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname";
const constraintNames =
  "CONSTRAINT_CATALOG sysname, CONSTRAINT_SCHEMA sysname, CONSTRAINT_NAME sysname";

export const catalogueViews: Readonly<Record<string, CatalogueView>> = {
  "sys.schemas": view("name sysname, schema_id int, principal_id int", (c) =>
    c.catalogue.schemas.map((s) => [s.name, BigInt(s.id), 1n]),
  ),
  "sys.databases": view(
    "name sysname, database_id int, compatibility_level tinyint, collation_name sysname, snapshot_isolation_state tinyint, snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit, is_read_only bit, state tinyint, state_desc nvarchar(60), is_cdc_enabled bit",
    (c) =>
      c.databases.map((name, i) => [
        ...[name, BigInt(i + 1), 160n, c.collation],
        ...[BigInt(c.snapshotState), c.snapshotState === 1 ? "ON" : "OFF"],
        ...[c.readCommittedSnapshot, false, 0n, "ONLINE", false],
      ]),
    true,
  ),
  "sys.objects": view(objectColumns, (c) => objects(c, () => true)),
  "sys.all_objects": view(objectColumns, (c) => objects(c, () => true)),
  "sys.tables": view(
    `${objectColumns}, lob_data_space_id int, is_memory_optimized bit, temporal_type tinyint, is_external bit, is_tracked_by_cdc bit`,
    function* (c) {
      for (const row of objects(c, isTable))
        yield [...row, 0n, false, 0n, false, false];
    },
  ),
  "sys.views": view(objectColumns, (c) => objects(c, (t) => !isTable(t))),
  "sys.columns": view(
    "object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length smallint, precision tinyint, scale tinyint, collation_name sysname, is_nullable bit, is_ansi_padded bit, is_rowguidcol bit, is_identity bit, is_computed bit, is_hidden bit, generated_always_type tinyint, is_sparse bit, is_column_set bit, encryption_type int, is_masked bit",
    function* (c) {
      for (const { table, column } of allColumns(c)) {
        const d = describeType(column.type);
        yield [
          ...[BigInt(table.id), column.name, BigInt(column.id)],
          ...[
            BigInt(d.systemTypeId),
            BigInt(d.userTypeId),
            BigInt(d.maxLength),
          ],
          ...[BigInt(d.precision), BigInt(d.scale)],
          hasCollation(column.type) ? column.type.collation!.name : null,
          ...[column.nullable, true, false],
          ...[column.identity !== null, false],
          ...[false, 0n, false, false, null, false],
        ];
      }
    },
  ),
  "sys.identity_columns": view(
    "object_id int, name sysname, column_id int, seed_value bigint, increment_value bigint, last_value bigint",
    function* (c) {
      for (const { table, column } of allColumns(c))
        if (column.identity !== null)
          yield [
            ...[BigInt(table.id), column.name, BigInt(column.id)],
            ...[column.identity.seed, column.identity.step],
            table.nextIdentity - column.identity.step,
          ];
    },
    true,
  ),
  // there are none
  "sys.computed_columns": view(
    "object_id int, name sysname, column_id int, is_persisted bit",
    () => [],
  ),
  "sys.types": view(
    "name sysname, system_type_id tinyint, user_type_id int, schema_id int, max_length smallint, precision tinyint, scale tinyint, collation_name sysname, is_nullable bit, is_user_defined bit, is_assembly_type bit",
    (c) =>
      listTypes().map((type) => {
        const d = describeType(type);
        return [
          ...[
            formatTypeName(type),
            BigInt(d.systemTypeId),
            BigInt(d.userTypeId),
            4n,
          ],
          ...[BigInt(d.maxLength), BigInt(d.precision), BigInt(d.scale)],
          hasCollation(type) ? findCollation(c.collation).name : null,
          ...[type.alias !== "sysname", false, type.kind === "udt"],
        ];
      }),
  ),
  "sys.indexes": view(
    "object_id int, name sysname, index_id int, type tinyint, type_desc nvarchar(60), is_unique bit, data_space_id int, ignore_dup_key bit, is_primary_key bit, is_unique_constraint bit, fill_factor tinyint, is_padded bit, is_disabled bit, is_hypothetical bit, has_filter bit, filter_definition nvarchar(max)",
    function* (c) {
      for (const { table, index } of allIndexes(c)) {
        const type = index === null ? 0n : index.id === 1 ? 1n : 2n;
        yield [
          ...[
            BigInt(table.id),
            index?.name ?? null,
            BigInt(index?.id ?? 0),
            type,
          ],
          ["HEAP", "CLUSTERED", "NONCLUSTERED"][Number(type)]!,
          ...[index?.unique ?? false, 1n, false],
          ...[index?.kind === "primaryKey", index?.kind === "uniqueConstraint"],
          ...[0n, false, false, false, false, null],
        ];
      }
    },
  ),
  "sys.index_columns": view(
    "object_id int, index_id int, index_column_id int, column_id int, key_ordinal tinyint, partition_ordinal tinyint, is_descending_key bit, is_included_column bit",
    function* (c) {
      for (const { table, index } of allIndexes(c)) {
        if (index === null) continue;
        const start = [BigInt(table.id), BigInt(index.id)];
        let position = 0n;
        for (const { columnId, descending } of index.keys) {
          position += 1n;
          yield [
            ...start,
            position,
            BigInt(columnId),
            position,
            0n,
            descending,
            false,
          ];
        }
        for (const columnId of index.included) {
          position += 1n;
          yield [...start, position, BigInt(columnId), 0n, 0n, false, true];
        }
      }
    },
  ),
  "sys.key_constraints": view(
    `${objectColumns}, unique_index_id int, is_system_named bit`,
    function* (c) {
      for (const { table, index } of constraints(c)) {
        const isPrimary = index.kind === "primaryKey";
        const [, , , , , , created] = objectRow(c, table);
        yield [
          ...[
            index.name,
            BigInt(table.id + index.id),
            schemaIdOf(c, table),
            BigInt(table.id),
          ],
          ...[
            isPrimary ? "PK" : "UQ",
            isPrimary ? "PRIMARY_KEY_CONSTRAINT" : "UNIQUE_CONSTRAINT",
          ],
          ...[created!, created!, false, BigInt(index.id), false],
        ];
      }
    },
  ),
  "sys.partitions": view(
    "partition_id bigint, object_id int, index_id int, partition_number int, hobt_id bigint, rows bigint, data_compression tinyint, data_compression_desc nvarchar(60)",
    function* (c) {
      for (const { table, index } of allIndexes(c)) {
        const id = partitionId(table, index?.id ?? 0);
        yield [
          ...[id, BigInt(table.id), BigInt(index?.id ?? 0), 1n, id],
          ...[BigInt(c.countRows(table)), 0n, "NONE"],
        ];
      }
    },
    true,
  ),
  "sys.dm_db_partition_stats": view(
    "partition_id bigint, object_id int, index_id int, partition_number int, in_row_data_page_count bigint, in_row_used_page_count bigint, in_row_reserved_page_count bigint, lob_used_page_count bigint, lob_reserved_page_count bigint, row_overflow_used_page_count bigint, row_overflow_reserved_page_count bigint, used_page_count bigint, reserved_page_count bigint, row_count bigint",
    function* (c) {
      for (const { table, index } of allIndexes(c)) {
        const rows = c.countRows(table);
        // about a hundred rows on a page of 8 KiB
        const pages = BigInt(Math.ceil(rows / 100));
        yield [
          ...[
            partitionId(table, index?.id ?? 0),
            BigInt(table.id),
            BigInt(index?.id ?? 0),
            1n,
          ],
          ...[pages, pages, pages, 0n, 0n, 0n, 0n, pages, pages, BigInt(rows)],
        ];
      }
    },
    true,
  ),
  "sys.stats": view(
    "object_id int, name sysname, stats_id int, auto_created bit, user_created bit, no_recompute bit, has_filter bit, filter_definition nvarchar(max)",
    function* (c) {
      for (const table of c.catalogue.tables)
        for (const s of table.statistics)
          yield [
            BigInt(table.id),
            s.name,
            BigInt(s.id),
            false,
            s.byUser,
            false,
            false,
            null,
          ];
    },
  ),
  "sys.stats_columns": view(
    "object_id int, stats_id int, stats_column_id int, column_id int",
    function* (c) {
      for (const table of c.catalogue.tables)
        for (const s of table.statistics)
          for (const [i, id] of s.columnIds.entries())
            yield [BigInt(table.id), BigInt(s.id), BigInt(i + 1), BigInt(id)];
    },
  ),
  "sys.masked_columns": view(
    "object_id int, name sysname, column_id int, is_masked bit",
    () => [],
  ),
  "sys.security_policies": view(
    "name sysname, object_id int, is_enabled bit",
    () => [],
  ),
  "sys.security_predicates": view(
    "object_id int, target_object_id int, predicate_type int",
    () => [],
  ),
  "sys.dm_tran_active_transactions": view(
    "transaction_id bigint, transaction_begin_time datetime",
    () => [],
  ),
  "sys.dm_tran_database_transactions": view(
    "transaction_id bigint, database_id int, database_transaction_begin_time datetime",
    () => [],
  ),
  "sys.configurations": view("name nvarchar(35), value int", () => []),
  "sys.change_tracking_databases": view("database_id int", () => []),
  "sys.periods": view("object_id int", () => []),
  "sys.extended_properties": view(
    "class tinyint, major_id int, minor_id int, name sysname, value sql_variant",
    () => [],
  ),
  "information_schema.schemata": view(
    "CATALOG_NAME sysname, SCHEMA_NAME sysname, SCHEMA_OWNER sysname",
    (c) => c.catalogue.schemas.map((s) => [c.database, s.name, "dbo"]),
  ),
  "information_schema.tables": view(
    `${tableNames}, TABLE_TYPE varchar(10)`,
    function* (c) {
      for (const table of c.catalogue.tables)
        yield [
          c.database,
          table.schema,
          table.name,
          isTable(table) ? "BASE TABLE" : "VIEW",
        ];
    },
  ),
  "information_schema.views": view(tableNames, function* (c) {
    for (const table of c.catalogue.tables)
      if (!isTable(table)) yield [c.database, table.schema, table.name];
  }),
  "information_schema.columns": view(
    `${tableNames}, COLUMN_NAME sysname, ORDINAL_POSITION int, COLUMN_DEFAULT nvarchar(4000), IS_NULLABLE varchar(3), DATA_TYPE nvarchar(128), CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint, NUMERIC_PRECISION_RADIX smallint, NUMERIC_SCALE int, DATETIME_PRECISION smallint, CHARACTER_SET_NAME sysname, COLLATION_NAME sysname`,
    function* (c) {
      for (const { table, column, position } of allColumns(c))
        yield [
          ...[
            c.database,
            table.schema,
            table.name,
            column.name,
            BigInt(position),
          ],
          ...[null, column.nullable ? "YES" : "NO"],
          ...describeForStandard(column.type),
        ];
    },
  ),
  "information_schema.table_constraints": view(
    `${constraintNames}, ${tableNames}, CONSTRAINT_TYPE varchar(11)`,
    function* (c) {
      for (const { table, index } of constraints(c))
        yield [
          ...[c.database, table.schema, index.name],
          ...[c.database, table.schema, table.name],
          index.kind === "primaryKey" ? "PRIMARY KEY" : "UNIQUE",
        ];
    },
  ),
  "information_schema.key_column_usage": view(
    `${constraintNames}, ${tableNames}, COLUMN_NAME sysname, ORDINAL_POSITION int`,
    function* (c) {
      for (const { table, index } of constraints(c))
        for (const [i, { columnId }] of index.keys.entries())
          yield [
            ...[c.database, table.schema, index.name],
            ...[c.database, table.schema, table.name],
            table.columns.find(({ id }) => id === columnId)!.name,
            BigInt(i + 1),
          ];
    },
  ),
  "information_schema.constraint_column_usage": view(
    `${tableNames}, COLUMN_NAME sysname, ${constraintNames}`,
    function* (c) {
      for (const { table, index } of constraints(c))
        for (const { columnId } of index.keys)
          yield [
            ...[c.database, table.schema, table.name],
            table.columns.find(({ id }) => id === columnId)!.name,
            ...[c.database, table.schema, index.name],
          ];
    },
  ),
};
