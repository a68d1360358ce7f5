/** What change data capture needs of a Postgres server: settings, places, rights, and tables that name their rows. */
import { judge, missing, note, ok, type Finding } from "./findings.ts";

export interface PostgresQueries {
  query<Row>(sql: string, params?: readonly string[]): Promise<Row[]>;
}

export interface Table {
  readonly namespace: string;
  readonly name: string;
}

/** pgoutput as the engine reads it, and `pg_replication_slots.wal_status`. */
const VERSION_MIN = 130_000;

interface ServerRow {
  readonly version: number;
  readonly wal_level: string;
  readonly slots_max: number;
  readonly slots: number;
  readonly senders_max: number;
  readonly senders: number;
  readonly keep: string;
  readonly in_recovery: boolean;
  readonly role: string;
  readonly is_superuser: boolean;
  readonly may_replicate: boolean;
  readonly may_create: boolean;
  readonly database: string;
}

const serverQuery = `
  SELECT current_setting('server_version_num')::int AS version,
    current_setting('wal_level') AS wal_level,
    current_setting('max_replication_slots')::int AS slots_max,
    (SELECT count(*)::int FROM pg_replication_slots) AS slots,
    current_setting('max_wal_senders')::int AS senders_max,
    (SELECT count(*)::int FROM pg_stat_replication) AS senders,
    coalesce(current_setting('max_slot_wal_keep_size', true), '-1') AS keep,
    pg_is_in_recovery() AS in_recovery,
    rolname AS role, rolsuper AS is_superuser,
    rolsuper OR rolreplication OR EXISTS (
      -- the managed services' own ways to let a role replicate
      SELECT FROM pg_roles managed WHERE managed.rolname IN ('rds_replication', 'cloudsqlsuperuser', 'azure_pg_admin')
        AND pg_has_role(pg_roles.oid, managed.oid, 'MEMBER')) AS may_replicate,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    current_database()::text AS database
  FROM pg_roles WHERE rolname = current_user`;

interface TableRow {
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly has_key: boolean;
  readonly may_read: boolean;
  readonly is_owner: boolean;
  readonly publications: readonly string[];
}

const tablesQuery = `
  SELECT n.nspname AS namespace, c.relname AS name, c.relreplident::text AS identity,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS has_key,
    has_table_privilege(c.oid, 'SELECT') AS may_read,
    pg_has_role(c.relowner, 'USAGE') AS is_owner,
    ARRAY(SELECT p.pubname::text FROM pg_publication_tables p
      WHERE p.schemaname = n.nspname AND p.tablename = c.relname ORDER BY 1) AS publications
  FROM jsonb_to_recordset($1::jsonb) AS wanted(namespace text, name text)
  JOIN pg_namespace n ON n.nspname = wanted.namespace
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
  WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2`;

/** @param tables those that a sync would read */
export async function checkPostgres(
  connection: PostgresQueries,
  tables: readonly Table[],
): Promise<Finding[]> {
  const [server] = await connection.query<ServerRow>(serverQuery);
  if (server === undefined) return [];
  const rows =
    tables.length === 0
      ? []
      : await connection.query<TableRow>(tablesQuery, [JSON.stringify(tables)]);
  const domains = await connection.query<{ name: string }>(enumDomainsQuery);
  return [
    ...checkServer(server),
    ...domains.map(({ name }) =>
      missing(
        `domain ${name}`,
        "is over an enumeration, which Debezium 3.5 cannot read the catalog with, wherever it is used",
        `ALTER TABLE … ALTER COLUMN … TYPE <the enumeration>; DROP DOMAIN ${name};`,
      ),
    ),
    ...checkTables(server, rows),
  ];
}

const enumDomainsQuery = `
  SELECT format_type(d.oid, NULL) AS name FROM pg_type d
  JOIN pg_type base ON base.oid = d.typbasetype
  WHERE d.typtype = 'd' AND base.typtype = 'e' ORDER BY 1`;

function checkServer(server: ServerRow): Finding[] {
  const role = quoteName(server.role);
  return [
    judge(
      server.version >= VERSION_MIN,
      "server",
      `Postgres ${Math.floor(server.version / 10_000)}.${server.version % 10_000}`,
      "upgrade to Postgres 13 or later",
    ),
    judge(
      server.wal_level === "logical",
      "wal_level",
      server.wal_level,
      "ALTER SYSTEM SET wal_level = logical; then restart the server (Amazon RDS: rds.logical_replication = 1 in the parameter group)",
    ),
    judge(
      server.slots < server.slots_max,
      "replication slots",
      `${server.slots} of ${server.slots_max} in use`,
      `ALTER SYSTEM SET max_replication_slots = ${server.slots + 10}; then restart the server; or drop one that nobody reads: SELECT pg_drop_replication_slot('…')`,
    ),
    judge(
      server.senders < server.senders_max,
      "WAL senders",
      `${server.senders} of ${server.senders_max} in use`,
      `ALTER SYSTEM SET max_wal_senders = ${server.senders + 10}; then restart the server`,
    ),
    judge(
      server.may_replicate,
      "role",
      server.may_replicate
        ? `${server.role} may replicate`
        : `${server.role} may not replicate`,
      `ALTER ROLE ${role} REPLICATION; (Amazon RDS: GRANT rds_replication TO ${role};)`,
    ),
    server.keep === "-1"
      ? note(
          "max_slot_wal_keep_size",
          "unlimited: a slot that nobody reads keeps WAL until the disk is full",
        )
      : note(
          "max_slot_wal_keep_size",
          `${server.keep}: a slot that is further behind loses its place`,
        ),
    ...(server.in_recovery
      ? [
          server.version >= 160_000
            ? note("standby", "the log is read from a standby")
            : missing(
                "standby",
                "this server is a standby, which gives no log before Postgres 16",
                "name the primary in the source URL",
              ),
        ]
      : []),
  ];
}

function checkTables(server: ServerRow, tables: readonly TableRow[]) {
  if (tables.length === 0) return [];
  return [
    checkIdentity(tables),
    checkReading(server, tables),
    checkPublication(server, tables),
  ];
}

/** Without one, UPDATE and DELETE fail as soon as the table is in a publication. */
function checkIdentity(tables: readonly TableRow[]): Finding {
  const nameless = tables.filter(
    ({ identity, has_key }) =>
      identity === "n" || (identity === "d" && !has_key),
  );
  return nameless.length === 0
    ? ok("replica identity", `${tables.length} tables name their rows`)
    : missing(
        "replica identity",
        `updates and deletes would fail on ${list(nameless)}: neither a primary key nor another identity`,
        nameless
          .map((one) =>
            one.identity === "n" && one.has_key
              ? `ALTER TABLE ${quote(one)} REPLICA IDENTITY DEFAULT;`
              : `ALTER TABLE ${quote(one)} REPLICA IDENTITY FULL;`,
          )
          .join(" "),
      );
}

function checkReading(
  { role }: ServerRow,
  tables: readonly TableRow[],
): Finding {
  const closed = tables.filter(({ may_read }) => !may_read);
  return closed.length === 0
    ? ok("SELECT", `on ${tables.length} tables`)
    : missing(
        "SELECT",
        `${role} may not read ${list(closed)}`,
        `GRANT SELECT ON ${closed.map(quote).join(", ")} TO ${quoteName(role)};`,
      );
}

/** Made by the sync where the role may; else it has to be there, with exactly these tables. */
function checkPublication(
  { is_superuser, may_create, role, database }: ServerRow,
  tables: readonly TableRow[],
): Finding {
  const strange = tables.filter(({ is_owner }) => !is_owner);
  if (is_superuser || (may_create && strange.length === 0))
    return ok("publication", `${role} may make one`);
  const [shared] = tables
    .map(({ publications }) => publications)
    .reduce((all, some) => all.filter((one) => some.includes(one)));
  if (shared !== undefined)
    return ok("publication", `${shared} has all of these tables`);
  return missing(
    "publication",
    may_create
      ? `${role} does not own ${list(strange)}, and no publication has all of these tables`
      : `${role} may not make one in ${database}, and no publication has all of these tables`,
    `as the tables' owner: CREATE PUBLICATION millrace FOR TABLE ${tables.map(quote).join(", ")};`,
  );
}

const NAMES_MAX = 5;

function list(tables: readonly Table[]): string {
  const names = tables
    .slice(0, NAMES_MAX)
    .map(({ namespace, name }) => `${namespace}.${name}`);
  const more = tables.length - names.length;
  return `${names.join(", ")}${more === 0 ? "" : ` and ${more} more`}`;
}

function quote({ namespace, name }: Table): string {
  return `${quoteName(namespace)}.${quoteName(name)}`;
}

function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name)
    ? name
    : `"${name.replaceAll('"', '""')}"`;
}
