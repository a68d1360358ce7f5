/**
 * The catalog as discovery reads it: set-based queries, so that 500 tables cost as many round trips as one.
 * Works on versions 13 to 18.
 */
import {
  domainBaseCte,
  oidArray,
  provenNotNull,
  type Queryable,
} from "./sql.ts";

export interface RelationRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign. */
  readonly kind: "r" | "p" | "v" | "m" | "f";
  readonly heap: boolean;
  readonly fileNode: number;
  readonly relPages: number;
  readonly relTuples: number;
  readonly unlogged: boolean;
  /** The server is in recovery. */
  readonly onStandby: boolean;
  readonly populated: boolean;
  readonly schemaUsable: boolean;
  readonly readable: boolean;
  /** At least one column can be read. */
  readonly partlyReadable: boolean;
  /** Row-level security hides rows from this user. */
  readonly rowsHidden: boolean;
  /** The log has whole rows as they were before a change (REPLICA IDENTITY FULL). */
  readonly identityFull: boolean;
  readonly fromExtension: boolean;
  /** Place of its schema in the search path, from 1; null outside of it. */
  readonly pathPosition: number | null;
  readonly parents: readonly number[];
}

/** All relations of the user's schemas that have rows, readable or not. */
export function listRelations(connection: Queryable): Promise<RelationRow[]> {
  // a partition that is being detached concurrently is no longer read with its parent
  const attached =
    connection.serverVersion >= 140_000 ? "AND NOT i.inhdetachpending" : "";
  return connection.query<RelationRow>(`
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
      c.relkind::text AS kind, coalesce(am.amname = 'heap', false) AS heap,
      c.relfilenode AS "fileNode", c.relpages AS "relPages",
      c.reltuples::float8 AS "relTuples", c.relpersistence = 'u' AS unlogged,
      pg_is_in_recovery() AS "onStandby",
      c.relispopulated AS populated,
      has_schema_privilege(n.oid, 'USAGE') AS "schemaUsable",
      coalesce(has_table_privilege(c.oid, 'SELECT'), false) AS readable,
      coalesce(has_any_column_privilege(c.oid, 'SELECT'), false) AS "partlyReadable",
      c.relrowsecurity AND row_security_active(c.oid) AS "rowsHidden",
      c.relreplident = 'f' AS "identityFull",
      EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
        AND d.objid = c.oid AND d.deptype = 'e') AS "fromExtension",
      array_position(current_schemas(false), n.nspname) AS "pathPosition",
      coalesce((SELECT json_agg(i.inhparent::int8) FROM pg_inherits i
        WHERE i.inhrelid = c.oid ${attached}), '[]') AS parents
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_am am ON am.oid = c.relam
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname !~ '^pg_(toast|temp)'
    ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`);
}

export interface ColumnRow {
  readonly relation: number;
  readonly name: string;
  readonly typeOid: number;
  /** The domain's own for columns of a domain type. */
  readonly typeModifier: number;
  readonly baseTypeOid: number;
  readonly typeKind: string;
  readonly typeCategory: string;
  readonly declaredType: string;
  /** The type beneath its domains: `record` for a composite one, and `[]` behind that of an array's elements; `cast[]`: JSON by a cast. */
  readonly loggedType: string;
  readonly notNull: boolean;
  readonly readable: boolean;
  /** Computed from other columns of its row; the log does not tell of it. */
  readonly generated: boolean;
  /** Rows that were there before the column have a value in it, or may: by a default, or by counting. */
  readonly filled: boolean;
}

/** A leaf of a stream that has several, by oid. */
export interface RootAndLeaf {
  readonly root: number;
  readonly leaf: number;
}

/**
 * The columns of `roots`, in their declared order; dropped ones are left out, generated ones are columns like any
 * other. A column counts as NOT NULL only where it is so in all of `leaves`: children of an inherited table may allow
 * NULL where the parent does not.
 */
export function listColumns(
  connection: Queryable,
  roots: readonly number[],
  leaves: readonly RootAndLeaf[],
): Promise<ColumnRow[]> {
  return connection.query<ColumnRow>(
    `WITH RECURSIVE ${domainBaseCte},
    leaves AS (
      SELECT * FROM unnest($2::oid[], $3::oid[]) AS l(root, leaf)
    )
    SELECT a.attrelid AS relation, a.attname::text AS name,
      a.atttypid AS "typeOid", coalesce(d.modifier, a.atttypmod) AS "typeModifier",
      b.oid AS "baseTypeOid", b.typtype::text AS "typeKind",
      b.typcategory::text AS "typeCategory",
      format_type(a.atttypid, a.atttypmod) AS "declaredType",
      CASE WHEN b.typtype = 'c' THEN 'record'
        WHEN b.typcategory = 'A' AND e.typtype = 'c' THEN 'record[]'
        -- as to_json looks for one: FirstNormalObjectId in src/include/access/transam.h
        WHEN b.typcategory = 'A' AND coalesce(ed.type, e.oid) >= 16384 AND EXISTS (
          SELECT FROM pg_cast k WHERE k.castsource = coalesce(ed.type, e.oid)
            AND k.casttarget = 'json'::regtype AND k.castmethod = 'f') THEN 'cast[]'
        WHEN b.typcategory = 'A' AND ed.type IS NOT NULL THEN format_type(ed.type, ed.modifier) || '[]'
        ELSE format_type(b.oid, coalesce(d.modifier, a.atttypmod)) END AS "loggedType",
      ${provenNotNull("a")} AND NOT EXISTS (
        SELECT FROM leaves
        JOIN pg_attribute la ON la.attrelid = leaves.leaf AND la.attname = a.attname
        WHERE leaves.root = a.attrelid AND NOT ${provenNotNull("la")}
      ) AS "notNull",
      coalesce(has_column_privilege(a.attrelid, a.attnum, 'SELECT'), false) AS readable,
      a.attgenerated <> '' AS generated,
      a.atthasmissing OR a.attidentity <> '' OR t.typdefault IS NOT NULL
        OR coalesce(pg_get_expr(f.adbin, f.adrelid) !~ '^NULL(::|$)', false) AS filled
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    LEFT JOIN domains d ON d.domain = a.atttypid
    JOIN pg_type b ON b.oid = coalesce(d.type, a.atttypid)
    LEFT JOIN pg_type e ON e.oid = b.typelem
    LEFT JOIN domains ed ON ed.domain = e.oid
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum`,
    [
      oidArray(roots),
      oidArray(leaves.map((pair) => pair.root)),
      oidArray(leaves.map((pair) => pair.leaf)),
    ],
  );
}

export interface KeyRow {
  readonly relation: number;
  readonly name: string;
  readonly primary: boolean;
  readonly columns: readonly {
    readonly name: string;
    /** For domains the base type, so that no domain's own collation meets the column's. */
    readonly type: string;
    readonly baseTypeOid: number;
    readonly typeKind: string;
    readonly typeCategory: string;
  }[];
}

/**
 * The indexes of `relations` that key ranges can be read by: unique, valid, checked at once, over whole columns that
 * are all NOT NULL, complete, and in the order that `ORDER BY` and `>=` mean (the type's default operators, the
 * column's collation, one direction).
 */
export function listKeys(
  connection: Queryable,
  relations: readonly number[],
): Promise<KeyRow[]> {
  return connection.query<KeyRow>(
    `WITH RECURSIVE ${domainBaseCte}
    SELECT i.indrelid AS relation, x.relname::text AS name, i.indisprimary AS primary,
      json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(b.oid, coalesce(d.modifier, a.atttypmod)),
        'baseTypeOid', b.oid::int8, 'typeKind', b.typtype, 'typeCategory', b.typcategory
      ) ORDER BY k.place) AS columns
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
    CROSS JOIN LATERAL unnest(
      i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[]
    ) WITH ORDINALITY AS k(attribute, opclass, collation_oid, flags, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attribute
    JOIN pg_opclass o ON o.oid = k.opclass
    LEFT JOIN domains d ON d.domain = a.atttypid
    JOIN pg_type b ON b.oid = coalesce(d.type, a.atttypid)
    WHERE i.indrelid = ANY ($1::oid[]) AND k.place <= i.indnkeyatts
      AND i.indisunique AND i.indisvalid AND i.indisready AND i.indislive AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indrelid, x.relname, i.indisprimary, i.indnkeyatts
    HAVING count(*) = i.indnkeyatts AND count(DISTINCT k.flags & 1) = 1
      AND bool_and(${provenNotNull("a")} AND o.opcdefault AND k.collation_oid = a.attcollation)`,
    [oidArray(relations)],
  );
}

/** Pages of the main fork, now. */
export async function measurePages(
  connection: Queryable,
  relations: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const rows = await connection.query<{ oid: number; pages: number }>(
    `SELECT r AS oid,
      (coalesce(pg_relation_size(r), 0) / current_setting('block_size')::int)::float8 AS pages
    FROM unnest($1::oid[]) AS r`,
    [oidArray(relations)],
  );
  return new Map(rows.map((row) => [row.oid, row.pages]));
}
