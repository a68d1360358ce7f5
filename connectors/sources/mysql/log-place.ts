/**
 * A place in the binlog in the words of those who read it: as part of a position, as an offset of the engine, and as the
 * definitions that the engine's schema history has there.
 * @see Debezium 3.5, BinlogOffsetContext (`file`, `pos`, `gtids`, `server_id`) and HistoryRecord
 */
import { ExtractError } from "../../../proto/error.ts";
import { formatFileCommit } from "../../../proto/log-position.ts";
import type { TableName } from "./catalog.ts";
import type { Queryable } from "./sql.ts";
import { quoteRelation } from "./sql.ts";

export interface BinlogPlace {
  /** `binlog.000012`. */
  readonly file: string;
  /** Bytes: where the next transaction is written. */
  readonly offset: number;
  /** What is done: MySQL `uuid:1-5,…`, MariaDB `0-1-5,…`; null: the server counts none. */
  readonly gtid: string | null;
}

/** 12 of `binlog.000012`; null: it has none. */
export function numberOfFile(file: string): number | null {
  const number = /\.(\d{1,10})$/.exec(file)?.[1];
  return number === undefined ? null : Number(number);
}

/** The 20 digits of a position. @throws ExtractError SOURCE_PROTOCOL_VIOLATION for a file without a number */
export function commitOfPlace({
  file,
  offset,
}: Pick<BinlogPlace, "file" | "offset">): string {
  const number = numberOfFile(file);
  if (number === null || !Number.isSafeInteger(offset))
    throw new ExtractError(
      "SOURCE_PROTOCOL_VIOLATION",
      `the server calls a place in its binlog ${file.slice(0, 80)}:${offset}`,
    );
  return formatFileCommit(number, BigInt(offset));
}

/** Of the engine, as it was made here or by the engine itself. @throws ExtractError STATE_INCOMPATIBLE */
export function readOffset(offset: string): BinlogPlace {
  const file = /"file":"([^"\\]{1,255})"/.exec(offset)?.[1];
  const at = /"pos":(\d{1,15})\b/.exec(offset)?.[1];
  if (file === undefined || at === undefined)
    throw new ExtractError(
      "STATE_INCOMPATIBLE",
      `${offset.slice(0, 80)} is no place in a binlog`,
    );
  const gtid = /"gtids":"([^"\\]*)"/.exec(offset)?.[1] ?? "";
  return { file, offset: Number(at), gtid: gtid === "" ? null : gtid };
}

/** How the tables are defined, and by which words the server makes new ones. */
export interface Definitions {
  readonly serverId: number;
  /** `SET` of the server's character set and collation. */
  readonly defaults: string;
  /** `CREATE TABLE`, in the server's words. */
  readonly tables: readonly (TableName & { readonly sql: string })[];
}

export async function readDefinitions(
  connection: Queryable,
  tables: readonly TableName[],
  serverId: number,
): Promise<Definitions> {
  await connection.query("SET SESSION sql_quote_show_create = 1");
  const [server] = await connection.query<{ charset: string; order: string }>(
    "SELECT @@global.character_set_server AS charset, @@global.collation_server AS `order`",
  );
  const defined: (TableName & { sql: string })[] = [];
  for (const { schema, name } of tables) {
    const [row] = await connection.query<Record<string, string>>(
      `SHOW CREATE TABLE ${quoteRelation({ schema, name })}`,
    );
    defined.push({ schema, name, sql: String(row?.["Create Table"] ?? "") });
  }
  return {
    serverId,
    defaults: `SET character_set_server=${server?.charset}, collation_server=${server?.order}`,
    tables: defined,
  };
}

/** Where the engine begins: behind all that is done at the place, and before all else. */
export function formatOffset(
  place: BinlogPlace,
  serverId: number,
  atSeconds: number,
): string {
  return JSON.stringify(describePlace(place, serverId, atSeconds));
}

/** One record for each table, under the name that the engine's topics have (`TOPIC_PREFIX` of its properties). */
export function formatHistory(
  place: BinlogPlace,
  { serverId, defaults, tables }: Definitions,
  atSeconds: number,
): readonly string[] {
  const write = (databaseName: string, ddl: string): string =>
    JSON.stringify({
      source: { server: "m" },
      position: describePlace(place, serverId, atSeconds),
      ts_ms: atSeconds * 1_000,
      databaseName,
      ddl,
      // made from the statement when the history is read
      tableChanges: [],
    });
  return [
    write("", defaults),
    ...tables.map(({ schema, sql }) => write(schema, sql)),
  ];
}

function describePlace(
  { file, offset, gtid }: BinlogPlace,
  serverId: number,
  atSeconds: number,
): object {
  return {
    file,
    ...(gtid === null ? {} : { gtids: gtid }),
    pos: offset,
    server_id: serverId,
    ts_sec: atSeconds,
  };
}
