/**
 * What a server must be told before its binlog can be followed: shown to people by `actors/doctor`, and the end of a run
 * before anything is locked.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { TableName } from "./catalog.ts";
import type { Queryable } from "./sql.ts";

/** Of `SHOW GLOBAL VARIABLES`, with names in small letters. */
export type ServerVariables = ReadonlyMap<string, string>;

export interface LogSetting {
  readonly name: string;
  readonly isRight: boolean;
  readonly found: string;
  /** What to do about it. */
  readonly mend: string;
}

export function judgeLogSettings(
  variables: ServerVariables,
): readonly LogSetting[] {
  const read = (name: string): string =>
    (variables.get(name) ?? "").toUpperCase();
  const isOn = ["ON", "1"].includes(read("log_bin"));
  return [
    {
      name: "log_bin",
      isRight: isOn,
      found: isOn ? "on" : "off",
      mend: "in the server's settings: [mysqld] log_bin = binlog, and server_id = <a number of its own>; then restart it",
    },
    {
      name: "binlog_format",
      isRight: read("binlog_format") === "ROW",
      found: read("binlog_format"),
      mend: "SET GLOBAL binlog_format = ROW; and the same in the server's settings; sessions that are open keep the old one",
    },
    {
      name: "binlog_row_image",
      isRight: ["FULL", ""].includes(read("binlog_row_image")),
      found: read("binlog_row_image") || "FULL",
      mend: "SET GLOBAL binlog_row_image = FULL; and the same in the server's settings",
    },
    {
      name: "binlog_row_value_options",
      isRight: read("binlog_row_value_options") === "",
      found: read("binlog_row_value_options") || "none",
      mend: "SET GLOBAL binlog_row_value_options = ''; changes of JSON come in parts else",
    },
    {
      // MariaDB's; MySQL's own way of it can be read
      name: "log_bin_compress",
      isRight: ["OFF", "0", ""].includes(read("log_bin_compress")),
      found: read("log_bin_compress") || "OFF",
      mend: "SET GLOBAL log_bin_compress = OFF; and the same in the server's settings: compressed events cannot be read",
    },
    {
      name: "server_id",
      isRight: read("server_id") !== "0",
      found: variables.get("server_id") ?? "unknown",
      mend: "in the server's settings: [mysqld] server_id = <a number of its own>; then restart it",
    },
  ];
}

/** What the server itself removes of its log; null: nothing by that. */
export interface LogRetention {
  /** Files that were closed so long ago. */
  readonly seconds: number | null;
  /** The oldest files, while all of them together are larger. */
  readonly bytes: number | null;
}

const SECONDS_A_DAY = 86_400;

/**
 * @see MySQL manual, "Binary Logging Options and Variables"; MariaDB manual, "Replication and Binary Log System Variables";
 *   Percona Server manual, "Binary log space"
 */
export function readRetention(variables: ServerVariables): LogRetention {
  const read = (name: string): number => Number(variables.get(name) ?? 0) || 0;
  const isOff = ["OFF", "0"].includes(
    (variables.get("binlog_expire_logs_auto_purge") ?? "ON").toUpperCase(),
  );
  const seconds =
    read("binlog_expire_logs_seconds") ||
    read("expire_logs_days") * SECONDS_A_DAY;
  const bytes = read("max_binlog_total_size") || read("binlog_space_limit");
  return {
    seconds: isOff || seconds <= 0 ? null : seconds,
    bytes: bytes > 0 ? bytes : null,
  };
}

/** Of `SHOW GLOBAL VARIABLES` or `STATUS`. @param condition of its WHERE */
export async function readVariables(
  connection: Queryable,
  kind: "VARIABLES" | "STATUS",
  condition: string,
): Promise<ServerVariables> {
  const rows = await connection.query<{ Variable_name: string; Value: string }>(
    `SHOW GLOBAL ${kind} WHERE ${condition}`,
  );
  return new Map(
    rows.map((row) => [row.Variable_name.toLowerCase(), String(row.Value)]),
  );
}

export interface LogServer {
  /** By which the server is told from others. */
  readonly name: string;
  /** `@@server_id`: of its events. */
  readonly serverId: number;
  /** Each transaction has a number that stays with it, and positions in the log can be told by these. */
  readonly hasGtids: boolean;
}

/** @throws ExtractError SOURCE_LOG_UNSUITABLE */
export async function checkLogSettings(
  connection: Queryable,
): Promise<LogServer> {
  const variables = await readVariables(
    connection,
    "VARIABLES",
    `Variable_name LIKE 'binlog\\_%'
      OR Variable_name IN ('log_bin', 'log_bin_compress', 'log_slave_updates', 'log_replica_updates', 'server_id', 'server_uuid', 'gtid_mode')`,
  );
  const wrong = judgeLogSettings(variables).find(({ isRight }) => !isRight);
  if (wrong) throw unsuitable(`${wrong.name} is ${wrong.found}: ${wrong.mend}`);
  const read = (name: string): string => variables.get(name) ?? "";
  const passesOn = read("log_replica_updates") || read("log_slave_updates");
  if (passesOn.toUpperCase() === "OFF" && (await isReplica(connection)))
    throw unsuitable(
      "the server is a replica, and what it is sent is not in its own binlog; in its settings: [mysqld] log_slave_updates = ON, then restart it, or follow the log of its primary",
    );
  const isMariadb = connection.flavour === "mariadb";
  return {
    // what MariaDB calls its uid is made of the machine's address, which a container changes
    name: `${connection.flavour}/${read(isMariadb ? "server_id" : "server_uuid")}`,
    serverId: Number(read("server_id")),
    hasGtids: isMariadb || read("gtid_mode").toUpperCase() === "ON",
  };
}

/** As far as this user may know. */
async function isReplica(connection: Queryable): Promise<boolean> {
  const { flavour, serverVersion } = connection;
  const isRenamed = flavour === "mysql" && serverVersion >= 80_022;
  try {
    const rows = await connection.query(
      isRenamed ? "SHOW REPLICA STATUS" : "SHOW SLAVE STATUS",
    );
    return rows.length > 0;
  } catch (error) {
    const isDenied =
      error instanceof ExtractError &&
      error.code === "SOURCE_PERMISSION_DENIED";
    if (isDenied) return false;
    throw error;
  }
}

interface MasterStatus {
  readonly File: string;
  readonly Position: number | string;
  readonly Binlog_Do_DB: string;
  readonly Binlog_Ignore_DB: string;
}

/** Databases that the server leaves out of its log. @throws ExtractError SOURCE_LOG_UNSUITABLE */
export function checkLoggedDatabases(
  { Binlog_Do_DB, Binlog_Ignore_DB }: MasterStatus,
  tables: readonly TableName[],
): void {
  const list = (text: string) =>
    text.split(",").flatMap((name) => (name === "" ? [] : [name.trim()]));
  const only = list(Binlog_Do_DB);
  const never = list(Binlog_Ignore_DB);
  const left = tables.find(
    ({ schema }) =>
      never.includes(schema) || (only.length > 0 && !only.includes(schema)),
  );
  if (left)
    throw unsuitable(
      `the server leaves the database ${left.schema} out of its binlog (${only.length > 0 ? "binlog_do_db" : "binlog_ignore_db"})`,
    );
}

/** Where the log ends now. @throws ExtractError SOURCE_LOG_UNSUITABLE where this user may not ask */
export async function readLogEnd(connection: Queryable): Promise<MasterStatus> {
  const { flavour, serverVersion } = connection;
  const isRenamed = flavour === "mysql" && serverVersion >= 80_200;
  const [status] = await asReader(() =>
    connection.query<MasterStatus>(
      isRenamed ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS",
    ),
  );
  if (status === undefined)
    throw unsuitable("the server keeps no binlog: it tells no end of it");
  return status;
}

export interface BinlogFile {
  readonly name: string;
  readonly bytes: number;
}

/** Oldest first. @throws ExtractError SOURCE_LOG_UNSUITABLE where this user may not ask */
export async function listBinlogs(
  connection: Queryable,
): Promise<readonly BinlogFile[]> {
  const rows = await asReader(() =>
    connection.query<{ Log_name: string; File_size: number | string }>(
      "SHOW BINARY LOGS",
    ),
  );
  return rows.map(({ Log_name, File_size }) => ({
    name: Log_name,
    bytes: Number(File_size),
  }));
}

/** What fails for want of a right, with the rights that are wanted. */
export async function asReader<Result>(
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (
      !(error instanceof ExtractError) ||
      error.code !== "SOURCE_PERMISSION_DENIED"
    )
      throw error;
    throw new ExtractError(
      "SOURCE_LOG_UNSUITABLE",
      `this user may not read the binlog (${error.message}); GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* to it`,
      error.details,
      { cause: error },
    );
  }
}

export function unsuitable(message: string): ExtractError {
  return new ExtractError("SOURCE_LOG_UNSUITABLE", message, {});
}
