/** The tables that are there already under the streams' names, and whether a sync of this mode can end in them. */
import { ExtractError } from "../../../proto/error.ts";
import type { PostgresDestinationConfig } from "./config.ts";
import type { DestinationConnection } from "./connection.ts";
import { OWN_SCHEMA, quoteTable, showTable, type TableName } from "./names.ts";
import { compareShape, type FoundColumn } from "./shape.ts";
import type { StreamTables } from "./staging.ts";

/** What is there under a stream's table name. */
export interface FoundTarget {
  readonly schemaExists: boolean;
  /** CREATE on the schema, or on the database where there is no schema yet. */
  readonly mayCreate: boolean;
  readonly table: {
    readonly relkind: string;
    readonly isOwner: boolean;
    readonly mayInsert: boolean;
    readonly mayTruncate: boolean;
    readonly mayMerge: boolean;
    readonly columns: readonly FoundColumn[];
    /** Columns of each unique index that ON CONFLICT can name, in index order. */
    readonly uniques: readonly (readonly string[])[];
    /** What would be lost if another table took its place, e.g. `views`; empty: nothing. */
    readonly attachments: readonly string[];
    /** Foreign keys that point to it: it cannot be emptied. */
    readonly isReferenced: boolean;
  } | null;
  /** The sync that published it, and its generations here; null: none of ours did. */
  readonly publishedBy: string | null;
}

/** @see Postgres manual, "System Catalogs" */
const findTargets = `
  SELECT w.n,
    ns.oid IS NOT NULL AS "schemaExists",
    CASE WHEN ns.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
         ELSE has_schema_privilege(ns.oid, 'CREATE') END AS "mayCreate",
    coalesce((SELECT g.sync_id FROM ${OWN_SCHEMA}.generations g
        WHERE g.target_schema = w.schema AND g.target_table = w.name AND g.state = 'published'
        ORDER BY g.published_at DESC LIMIT 1),
      (SELECT f.sync_id FROM ${OWN_SCHEMA}.copies f WHERE f.target_schema = w.schema AND f.target_table = w.name
        ORDER BY f.applied_at DESC LIMIT 1)) AS "publishedBy",
    CASE WHEN c.oid IS NULL THEN NULL ELSE json_build_object(
      'relkind', c.relkind,
      'isOwner', pg_has_role(c.relowner, 'USAGE'),
      'mayInsert', has_table_privilege(c.oid, 'INSERT'),
      'mayTruncate', has_table_privilege(c.oid, 'TRUNCATE'),
      'mayMerge', has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE')
        AND has_table_privilege(c.oid, 'DELETE'),
      'columns', (SELECT coalesce(json_agg(json_build_object(
          'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
          'filled', a.atthasdef OR a.attidentity <> '', 'generated', a.attgenerated <> '',
          'pinned', a.attinhcount > 0
            OR EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = c.oid AND a.attnum = ANY (p.partattrs::int2[]))
            OR EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
              AND d.refobjsubid = a.attnum AND d.deptype IN ('n', 'a')
              AND (d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass,
                  'pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass)
                OR d.classid = 'pg_attrdef'::regclass AND NOT EXISTS (SELECT FROM pg_attrdef f
                  WHERE f.oid = d.objid AND f.adrelid = c.oid AND f.adnum = a.attnum)))
          ) ORDER BY a.attnum), '[]'::json)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
      'uniques', (SELECT coalesce(json_agg((SELECT json_agg(a.attname ORDER BY k.place)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
            WHERE k.place <= i.indnkeyatts)), '[]'::json)
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL),
      'isReferenced', EXISTS (SELECT FROM pg_constraint r WHERE r.confrelid = c.oid AND r.contype = 'f' AND r.conrelid <> c.oid),
      'attachments', array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
          WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
            AND r.ev_class <> c.oid) THEN 'views' END,
        CASE WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) THEN 'rules' END,
        CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid) THEN 'triggers or foreign keys' END,
        CASE WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) THEN 'row security' END,
        CASE WHEN c.relacl IS NOT NULL THEN 'granted rights' END,
        CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND (a.attacl IS NOT NULL OR a.atthasdef OR a.attidentity <> '' OR a.attoptions IS NOT NULL)) THEN 'settings of columns' END,
        CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisprimary) THEN 'indexes' END,
        CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'n')) THEN 'constraints' END,
        CASE WHEN EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent)) THEN 'parents or children' END,
        CASE WHEN EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid) THEN 'a publication' END,
        CASE WHEN EXISTS (SELECT FROM pg_description d WHERE d.objoid = c.oid AND d.classoid = 'pg_class'::regclass) THEN 'comments' END,
        CASE WHEN EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = c.oid) THEN 'statistics' END,
        CASE WHEN c.reloptions IS NOT NULL OR c.relpersistence <> 'p' THEN 'storage settings' END,
        CASE WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN 'another owner' END
      ], NULL)) END AS table
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, n)
  LEFT JOIN pg_namespace ns ON ns.nspname = w.schema
  LEFT JOIN pg_class c ON c.relnamespace = ns.oid AND c.relname = w.name
  ORDER BY w.n`;

/** Tables looked up in one query. */
const TARGETS_AT_ONCE = 500;

/** In the order of the names. */
export async function lookUpTargets(
  connection: DestinationConnection,
  names: readonly TableName[],
): Promise<FoundTarget[]> {
  const found: FoundTarget[] = [];
  for (let from = 0; from < names.length; from += TARGETS_AT_ONCE) {
    const some = names.slice(from, from + TARGETS_AT_ONCE);
    found.push(
      ...(await connection.query<FoundTarget>("look up tables", findTargets, [
        some.map(({ schema }) => schema),
        some.map(({ table }) => table),
      ])),
    );
  }
  return found;
}

/** How a generation becomes what readers see. */
export type PublishWay =
  /** Staging takes the name; a table that had it is dropped in the same transaction. */
  | "move"
  /** The table is emptied and filled from staging: whatever hangs on it stays. */
  | "refill"
  | "append"
  | "merge";

export interface Publishing {
  readonly way: PublishWay;
  /** What ALTER TABLE has to do first: columns of the stream that appeared, or became wider, since the last run. */
  readonly alterations: readonly string[];
  /** What the sync has copied before goes first, in the same transaction: the stream was reset. */
  readonly empties: boolean;
}

/**
 * Chooses the way, or says why there is none: before any row is read, and again when the table is locked.
 * @throws ExtractError DESTINATION_UNWRITABLE, DESTINATION_FOREIGN
 */
export async function choosePublishWay(
  connection: DestinationConnection,
  config: PostgresDestinationConfig,
  syncId: string,
  tables: StreamTables,
  found: FoundTarget,
): Promise<Publishing> {
  const { target } = tables;
  checkColumnNames(tables);
  if (config.mode === "incremental-append-dedupe" && tables.key === null) {
    throw refuse(
      tables,
      "has no key that Postgres can index, which incremental-append-dedupe merges by",
    );
  }
  const { table, publishedBy } = found;
  if (table === null) {
    if (!found.mayCreate)
      throw refuse(
        tables,
        found.schemaExists
          ? `cannot be made: this user may not create tables in schema ${target.schema}`
          : `cannot be made: this user may not create the schema ${target.schema}`,
      );
    return config.mode === "incremental-append-dedupe"
      ? { way: "merge", alterations: [], empties: false }
      : { way: "move", alterations: [], empties: false };
  }
  if (table.relkind !== "r" && table.relkind !== "p")
    throw refuse(tables, "is there and is no table");
  if (publishedBy !== null && publishedBy !== syncId) {
    throw foreign(target, `was written by another sync, ${publishedBy}`);
  }
  if (config.mode !== "full-refresh-overwrite") {
    // what nobody of ours has written to yet is somebody's, and stays as it is
    const mayAlter = publishedBy === syncId;
    const alterations = checkShape(tables, table.columns, mayAlter);
    if (alterations.length > 0 && !table.isOwner)
      throw refuse(
        tables,
        `is there, and this user, who does not own it, may not ${alterations.slice(0, FAULTS_SHOWN_MAX).join(", ")}`,
      );
    if (!table.mayInsert)
      throw refuse(tables, "is there, and this user may not insert into it");
    // where nothing of ours is, nothing of ours is to be replaced
    const empties = tables.isReset && publishedBy === syncId;
    if (empties) checkEmptying(tables, table);
    if (config.mode !== "incremental-append-dedupe")
      return { way: "append", alterations, empties };
    if (!table.mayMerge)
      throw refuse(tables, "is there, and this user may not change its rows");
    checkKey(tables, table);
    return { way: "merge", alterations, empties };
  }
  const { attachments } = table;
  const isOurs = publishedBy === syncId;
  if (isOurs && attachments.length === 0 && table.relkind === "r") {
    if (!found.mayCreate)
      throw refuse(
        tables,
        `cannot be replaced: this user may not create tables in schema ${target.schema}`,
      );
    return { way: "move", alterations: [], empties: false };
  }
  try {
    checkShape(tables, table.columns);
  } catch (error) {
    if (!isOurs || !(error instanceof ExtractError)) throw error;
    throw refuse(
      tables,
      `has other columns by now, and cannot be replaced without losing its ${attachments.join(", ")}; drop these, or the table`,
    );
  }
  if (!table.mayTruncate || !table.mayInsert)
    throw refuse(
      tables,
      "is there, and this user may not empty and fill it again",
    );
  if (table.isReferenced)
    throw refuse(
      tables,
      "cannot be overwritten: foreign keys of other tables point to it",
    );
  if (!isOurs) {
    const [row] = await connection.query<{ filled: boolean }>(
      `look into ${showTable(target)}`,
      `SELECT EXISTS (SELECT FROM ${quoteTable(target)}) AS filled`,
    );
    if (row?.filled)
      throw foreign(
        target,
        "has rows that no sync of ours wrote; full-refresh-overwrite would remove them",
      );
  }
  return { way: "refill", alterations: [], empties: false };
}

/** @throws ExtractError DESTINATION_UNWRITABLE where no unique index has the key */
export function checkKey(
  tables: StreamTables,
  { uniques }: NonNullable<FoundTarget["table"]>,
): void {
  const key = JSON.stringify([...(tables.key ?? [])].sort());
  const isKeyed = uniques.some(
    (columns) => JSON.stringify([...columns].sort()) === key,
  );
  if (isKeyed) return;
  throw refuse(
    tables,
    `is there, and has no unique index on its key (${(tables.key ?? []).join(", ")})`,
  );
}

/** @throws ExtractError DESTINATION_UNWRITABLE where a stream that was reset cannot replace its rows */
function checkEmptying(
  tables: StreamTables,
  { mayTruncate, isReferenced }: NonNullable<FoundTarget["table"]>,
): void {
  if (!mayTruncate)
    throw refuse(
      tables,
      "was reset, and this user may not empty the table that is there",
    );
  if (isReferenced)
    throw refuse(
      tables,
      "was reset, and cannot be emptied: foreign keys of other tables point to it",
    );
}

/** @throws ExtractError DESTINATION_UNWRITABLE naming each column that does not fit */
export function checkShape(
  tables: StreamTables,
  columns: readonly FoundColumn[],
  mayAlter = false,
): readonly string[] {
  const { alterations, faults } = compareShape(
    tables.columns,
    columns,
    mayAlter,
  );
  if (faults.length === 0) return alterations;
  throw refuse(
    tables,
    `is there and has another shape: ${faults.slice(0, FAULTS_SHOWN_MAX).join("; ")}`,
  );
}

const FAULTS_SHOWN_MAX = 8;

/** @see Postgres manual, "System Columns" */
const systemColumns = new Set([
  "tableoid",
  "xmin",
  "cmin",
  "xmax",
  "cmax",
  "ctid",
]);

function checkColumnNames(tables: StreamTables): void {
  const seen = new Set<string>();
  for (const { name } of tables.columns) {
    if (systemColumns.has(name))
      throw refuse(
        tables,
        `cannot be made: Postgres has a column ${name} of its own in every table`,
      );
    if (name === "" || seen.has(name))
      throw refuse(tables, `cannot be made with two columns ${name}`);
    seen.add(name);
  }
}

export function refuse(tables: StreamTables, why: string): ExtractError {
  const table = showTable(tables.target);
  return new ExtractError("DESTINATION_UNWRITABLE", `${table} ${why}`, {
    table,
    stream: `${tables.name.namespace}.${tables.name.name}`,
  });
}

function foreign(target: TableName, why: string): ExtractError {
  const table = showTable(target);
  return new ExtractError("DESTINATION_FOREIGN", `${table} ${why}`, { table });
}
