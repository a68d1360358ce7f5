/** Servers with a log, and a million changes in it: a table of 12 columns, inserted into, updated and deleted from. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mysql from "mysql2/promise";
import pg from "pg";
import {
  binlogOffset,
  postgresOffset,
} from "../../connectors/sources/debezium/engine/offsets.ts";
import {
  debeziumProperties,
  type LogSettings,
} from "../../connectors/sources/debezium/engine/properties.ts";
import type { EngineOffset } from "../../connectors/sources/debezium/engine/protocol.ts";
import { parseSourceUrl as parseMysqlUrl } from "../../connectors/sources/mysql/url.ts";
import { parseSourceUrl as parsePostgresUrl } from "../../connectors/sources/postgres/url.ts";
import { startCluster } from "../../deploy/demo/cluster.ts";
import { startMysql } from "../services/mysql.ts";
import { findPrograms } from "../services/postgres.ts";

export const TABLE = "events";
/** Rows of one statement, which is a transaction. */
export const ROWS_PER_CHANGE = 1_000;
const DATABASE = "bench";
/** Stands for a value that was not sent; of no row here. */
const UNAVAILABLE = "__bench_unavailable";

export interface LogServer {
  /** `Postgres 15.18`. */
  readonly origin: string;
  readonly url: string;
  readonly pid: number;
  /** `postgres` or `mysql`, as the folders of the files are called. */
  readonly namespace: string;
  /** What an engine of our own is told that reads what comes from now on, and nothing else. */
  follow(): Promise<{
    readonly properties: Readonly<Record<string, string>>;
    readonly offset: EngineOffset;
  }>;
  /** One transaction of `ROWS_PER_CHANGE` rows: `block` counts from 0, of each kind by itself. */
  change(kind: "insert" | "update" | "delete", block: number): Promise<void>;
  /** Rows, and a sum of each column that has one, as decimal texts. */
  measure(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** The figures that `measure` gives, in the server's words and, as it happens, in DuckDB's. */
export const figures = [
  "count(*)",
  "sum(id)",
  "sum(account)",
  "sum(quantity)",
  "CAST(sum(amount) AS DECIMAL(30, 2))",
  "CAST(sum(ratio * 4) AS DECIMAL(30, 0))",
  "sum(length(kind) + length(note) + length(reference))",
] as const;

export async function startPostgresLog(): Promise<LogServer> {
  const { binFolder, origin } = findPrograms(null);
  const cluster = await startCluster({
    binFolder,
    dataFolder: mkdtempSync(join(tmpdir(), "millrace-bench-")),
    settings: [
      ...[
        "wal_level=logical",
        "max_replication_slots=32",
        "max_wal_senders=32",
      ],
      ...["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
      ...["autovacuum=off", "shared_buffers=256MB", "max_wal_size=8GB"],
    ],
    temporary: true,
  });
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  await client.query(`CREATE TABLE ${TABLE} (
    id bigint PRIMARY KEY, account integer NOT NULL, kind varchar(20) NOT NULL, amount numeric(12, 2),
    quantity integer, ratio double precision, is_open boolean NOT NULL, created timestamptz NOT NULL,
    updated timestamp, note text, reference uuid NOT NULL, day date)`);
  await client.query(`CREATE PUBLICATION bench FOR TABLE ${TABLE}`);
  const from = (block: number) => block * ROWS_PER_CHANGE;
  const statements = {
    insert: (block: number) => `INSERT INTO ${TABLE}
      SELECT i, i % 5000, 'kind ' || i % 7, (i % 100000) * 0.01, i % 40, (i % 64) / 4.0, i % 3 = 0,
        timestamptz '2024-01-01 00:00Z' + i * interval '1.000001 seconds', timestamp '2024-01-01' + i * interval '1 second',
        'note of the row ' || i || ', of some length', md5(i::text)::uuid, date '2024-01-01' + (i % 900)::int
      FROM generate_series(${from(block)}::bigint, ${from(block + 1) - 1}) AS i`,
    update: (
      block: number,
    ) => `UPDATE ${TABLE} SET quantity = quantity + 1, amount = amount + 0.25,
      note = note || ' (changed)', updated = updated + interval '1 day'
      WHERE id >= ${from(block)} AND id < ${from(block + 1)}`,
    delete: (block: number) =>
      `DELETE FROM ${TABLE} WHERE id >= ${from(block)} AND id < ${from(block + 1)}`,
  };
  return {
    origin: `Postgres ${origin}`,
    url: cluster.url,
    pid: cluster.pid,
    namespace: "public",
    follow: async () => {
      const slot = `bench_${Date.now()}`;
      const { rows } = await client.query<{ lsn: string }>(
        `SELECT (lsn - '0/0')::text AS lsn FROM pg_create_logical_replication_slot('${slot}', 'pgoutput')`,
      );
      const log: LogSettings = {
        kind: "postgres",
        address: { ...parsePostgresUrl(cluster.url, {}), sslmode: "disable" },
        ...{ slot, publication: "bench", heartbeatQuery: null },
        tables: [{ namespace: "public", name: TABLE }],
        unavailableValue: UNAVAILABLE,
      };
      return {
        properties: debeziumProperties(log),
        offset: postgresOffset(BigInt(rows[0]?.lsn ?? "0")),
      };
    },
    change: async (kind, block) => {
      await client.query(statements[kind](block));
    },
    measure: async () => {
      const { rows } = await client.query<string[]>({
        text: `SELECT ${figures.map((figure) => `(${figure.replace("length(reference)", "36")})::text`).join(", ")} FROM ${TABLE}`,
        rowMode: "array",
      });
      return rows[0] ?? [];
    },
    stop: async () => {
      await client.end();
      await cluster.stop();
    },
  };
}

export async function startMysqlLog(): Promise<LogServer> {
  const service = await startMysql({
    flavour: "mysql",
    settings: [
      "innodb-buffer-pool-size=256M",
      "default-time-zone=+00:00",
      "max-binlog-size=1G",
    ],
  });
  if (service.pid === null) throw new Error("the server is not ours");
  const admin = await mysql.createConnection(service.url);
  await admin.query(`CREATE DATABASE ${DATABASE} CHARACTER SET utf8mb4`);
  await admin.query(`USE ${DATABASE}`);
  await admin.query(`CREATE TABLE ${TABLE} (
    id bigint PRIMARY KEY, account int NOT NULL, kind varchar(20) NOT NULL, amount decimal(12, 2),
    quantity int, ratio double, is_open boolean NOT NULL, created timestamp(6) NOT NULL,
    updated datetime, note text, reference char(36) NOT NULL, day date)`);
  // outside of the log: it is nobody's change
  await admin.query("SET sql_log_bin = 0");
  await admin.query("CREATE TABLE numbers (n int PRIMARY KEY)");
  await admin.query("INSERT INTO numbers VALUES ?", [
    Array.from({ length: ROWS_PER_CHANGE }, (_, n) => [n]),
  ]);
  await admin.query("SET sql_log_bin = 1");
  const url = new URL(service.url);
  url.pathname = `/${DATABASE}`;
  const from = (block: number) => block * ROWS_PER_CHANGE;
  const statements = {
    insert: (block: number) => `INSERT INTO ${TABLE}
      SELECT i, i % 5000, concat('kind ', i % 7), (i % 100000) * 0.01, i % 40, (i % 64) / 4.0, i % 3 = 0,
        timestamp '2024-01-01 00:00:00.000001' + INTERVAL i SECOND, timestamp '2024-01-01 00:00:00' + INTERVAL i SECOND,
        concat('note of the row ', i, ', of some length'), insert(insert(insert(insert(md5(i), 21, 0, '-'), 17, 0, '-'), 13, 0, '-'), 9, 0, '-'),
        date '2024-01-01' + INTERVAL (i % 900) DAY
      FROM (SELECT n + ${from(block)} AS i FROM numbers) AS numbered`,
    update: (
      block: number,
    ) => `UPDATE ${TABLE} SET quantity = quantity + 1, amount = amount + 0.25,
      note = concat(note, ' (changed)'), updated = updated + INTERVAL 1 DAY
      WHERE id >= ${from(block)} AND id < ${from(block + 1)}`,
    delete: (block: number) =>
      `DELETE FROM ${TABLE} WHERE id >= ${from(block)} AND id < ${from(block + 1)}`,
  };
  return {
    origin: service.origin,
    url: url.href,
    pid: service.pid,
    namespace: DATABASE,
    follow: async () => {
      const [rows] =
        await admin.query<mysql.RowDataPacket[]>("SHOW MASTER STATUS");
      const status: Readonly<Record<string, unknown>> = rows[0] ?? {};
      const log: LogSettings = {
        kind: "mysql",
        address: parseMysqlUrl(url.href, {}),
        serverId: 7_001,
        definitions: "recovery",
        tables: [{ namespace: DATABASE, name: TABLE }],
        unavailableValue: UNAVAILABLE,
      };
      return {
        properties: debeziumProperties(log),
        offset: binlogOffset({
          file: String(status["File"]),
          position: BigInt(String(status["Position"])),
          gtids: String(status["Executed_Gtid_Set"]),
        }),
      };
    },
    change: async (kind, block) => {
      await admin.query(statements[kind](block));
    },
    measure: async () => {
      const [rows] = await admin.query<mysql.RowDataPacket[]>({
        sql: `SELECT ${figures.map((figure, i) => `CAST((${figure}) AS CHAR) AS f${i}`).join(", ")} FROM ${TABLE}`,
        rowsAsArray: true,
      });
      return (rows[0] as unknown as string[] | undefined) ?? [];
    },
    stop: async () => {
      await admin.end();
      await service.stop();
    },
  };
}
