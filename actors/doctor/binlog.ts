/** What change data capture needs of a MySQL or MariaDB server: the binlog as rows, whole rows, and the rights to read it. */
import {
  judgeLogSettings,
  readRetention,
  type ServerVariables,
} from "../../connectors/sources/mysql/log-settings.ts";
import { judge, missing, note, ok, unknown, type Finding } from "./findings.ts";
import type { Table } from "./postgres.ts";

export interface BinlogQueries {
  query<Row>(sql: string): Promise<Row[]>;
}

/** A resync is due when the log ends before an outage does. */
const KEPT_SECONDS_MIN = 86_400;

/** @param tables those that a sync would read */
export async function checkBinlog(
  connection: BinlogQueries,
  tables: readonly Table[],
): Promise<Finding[]> {
  const rows = await connection.query<Record<string, string>>(
    "SHOW GLOBAL VARIABLES",
  );
  const variables: ServerVariables = new Map(
    rows.map((row) => {
      const [name = "", value = ""] = Object.values(row);
      return [String(name).toLowerCase(), String(value)];
    }),
  );
  const isMariadb = /mariadb/i.test(variables.get("version") ?? "");
  return [
    ok(
      "server",
      `${isMariadb ? "MariaDB" : "MySQL"} ${variables.get("version") ?? "of an unknown version"}`,
    ),
    ...checkVariables(variables, isMariadb),
    await checkGrants(connection),
    ...(await checkKeys(connection, tables)),
    ...(await checkTypes(connection, tables, isMariadb)),
  ];
}

function checkVariables(
  variables: ServerVariables,
  isMariadb: boolean,
): Finding[] {
  const read = (name: string) => (variables.get(name) ?? "").toUpperCase();
  const { seconds: keptSeconds } = readRetention(variables);
  const hasGtids = isMariadb || read("gtid_mode") === "ON";
  return [
    ...judgeLogSettings(variables).map(({ name, isRight, found, mend }) =>
      judge(isRight, name, found, mend),
    ),
    keptSeconds === null || keptSeconds >= KEPT_SECONDS_MIN
      ? ok(
          "binlog is kept",
          keptSeconds === null
            ? "until somebody removes it"
            : `${Math.round(keptSeconds / 3_600)} h`,
        )
      : note(
          "binlog is kept",
          `${keptSeconds} s: after a longer outage every table is copied again`,
          isMariadb
            ? "SET GLOBAL expire_logs_days = 7;"
            : "SET GLOBAL binlog_expire_logs_seconds = 604800;",
        ),
    read("sql_mode").includes("NO_ZERO_DATE")
      ? ok("sql_mode", "refuses dates like 0000-00-00")
      : note(
          "sql_mode",
          "allows dates like 0000-00-00, which the log's reader gives as NULL, and in a NOT NULL column as its default",
          "add NO_ZERO_DATE and NO_ZERO_IN_DATE to sql_mode, and mend the rows that have one",
        ),
    hasGtids
      ? ok("GTIDs", "on")
      : note(
          "GTIDs",
          "off: after a failover to another server every table is copied again",
          "gtid_mode = ON and enforce_gtid_consistency = ON (MySQL manual, Enabling GTID Transactions Online)",
        ),
  ];
}

/** By the names of both servers and their versions. */
const replicationGrant =
  /\b(?:ALL PRIVILEGES|REPLICATION SLAVE(?! ADMIN)|REPLICATION REPLICA)\b/i;
const statusGrant =
  /\b(?:ALL PRIVILEGES|SUPER|REPLICATION CLIENT|BINLOG MONITOR)\b/i;

async function checkGrants(connection: BinlogQueries): Promise<Finding> {
  let lines: string[];
  let user: string;
  try {
    const rows = await connection.query<Record<string, string>>("SHOW GRANTS");
    // rights over everything: those of one database let nobody read the log
    lines = rows
      .flatMap((row) => Object.values(row))
      .filter((line) => / ON \*\.\* /i.test(line));
    const [row] = await connection.query<{ user: string }>(
      "SELECT current_user() AS user",
    );
    user = row?.user ?? "";
  } catch (error) {
    return unknown("grants", String(error));
  }
  const absent = [
    ...(lines.some((line) => replicationGrant.test(line))
      ? []
      : ["REPLICATION SLAVE"]),
    ...(lines.some((line) => statusGrant.test(line))
      ? []
      : ["REPLICATION CLIENT"]),
  ];
  const account = user.replace(/^(.*)@(.*)$/, "'$1'@'$2'");
  return absent.length === 0
    ? ok("grants", `${user} may read the log`)
    : missing(
        "grants",
        `${user} has not ${absent.join(" and ")}`,
        `GRANT ${absent.join(", ")} ON *.* TO ${account};`,
      );
}

async function checkKeys(
  connection: BinlogQueries,
  tables: readonly Table[],
): Promise<Finding[]> {
  if (tables.length === 0) return [];
  const rows = await connection.query<{ namespace: string; name: string }>(
    `SELECT DISTINCT table_schema AS namespace, table_name AS name
    FROM information_schema.statistics WHERE index_name = 'PRIMARY'`,
  );
  const keyed = new Set(
    rows.map(({ namespace, name }) => `${namespace}.${name}`),
  );
  const keyless = tables
    .map(({ namespace, name }) => `${namespace}.${name}`)
    .filter((name) => !keyed.has(name));
  return keyless.length === 0
    ? [ok("keys", `${tables.length} tables have a primary key`)]
    : [
        note(
          "keys",
          `without a primary key a copy cannot tell the rows of ${keyless.join(", ")} apart; a change log can`,
          keyless
            .map((name) => `ALTER TABLE ${name} ADD PRIMARY KEY (…);`)
            .join(" "),
        ),
      ];
}

/** What the engine reads wrongly, or not at all. */
const unreadTypes = {
  mariadb: ["inet4", "inet6", "uuid"],
  mysql: ["vector"],
};

async function checkTypes(
  connection: BinlogQueries,
  tables: readonly Table[],
  isMariadb: boolean,
): Promise<Finding[]> {
  if (tables.length === 0) return [];
  const types = unreadTypes[isMariadb ? "mariadb" : "mysql"];
  const rows = await connection.query<{
    namespace: string;
    name: string;
    found: string;
    type: string;
  }>(
    `SELECT table_schema AS namespace, table_name AS name, column_name AS found, data_type AS type
    FROM information_schema.columns WHERE data_type IN (${types.map((type) => `'${type}'`).join(", ")})
    ORDER BY 1, 2, ordinal_position`,
  );
  const read = new Set(
    tables.map(({ namespace, name }) => `${namespace}.${name}`),
  );
  const unread = rows.flatMap(({ namespace, name, ...column }) =>
    read.has(`${namespace}.${name}`)
      ? [{ table: `${namespace}.${name}`, ...column }]
      : [],
  );
  if (unread.length === 0)
    return [ok("types", "the log has the values of every column")];
  const names = [...new Set(unread.map(({ table }) => table))];
  return [
    missing(
      "types",
      `changes of ${unread.map(({ table, found, type }) => `${table}.${found} (${type})`).join(", ")} cannot be read from the log`,
      names.map((name) => `--exclude ${name}`).join(" "),
    ),
  ];
}
