/** The benchmark's own MariaDB and its tables, kept between runs. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import mysql from "mysql2/promise";
import {
  chooseDataFolder,
  repositoryRoot,
} from "../../deploy/demo/binaries.ts";
import { findServerUser } from "../../deploy/demo/cluster.ts";
import { databaseUrl } from "../../deploy/demo/database.ts";
import { findMysqlPrograms } from "../services/mysql-programs.ts";
import { startMysql, type MysqlService } from "../services/mysql.ts";
import { createMysqlTables } from "./mysql-tables.ts";
import type { Sizes } from "./server.ts";

/** Nothing but the query under test should work while it runs, and no table should come from the disk. */
const settings = [
  "skip-log-bin",
  "innodb-buffer-pool-size=1G",
  "innodb-log-file-size=512M",
  "innodb-buffer-pool-load-at-startup=OFF",
  "innodb-buffer-pool-dump-at-shutdown=OFF",
  "default-time-zone=+00:00",
  "local-infile=ON",
];

function makeDataFolder(): string {
  const programs = findMysqlPrograms("mariadb");
  const name = programs.version.replaceAll(/[^A-Za-z0-9.]/g, "");
  const folder = chooseDataFolder(
    join(repositoryRoot, ".cache", "bench", `mariadb-${name}`),
  );
  if (existsSync(folder)) return folder;
  const user = findServerUser();
  const unfinished = `${folder}.unfinished`;
  // of an attempt that was cut off
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  mkdirSync(unfinished, { mode: 0o700 });
  if (user !== null) chownSync(unfinished, user.uid, user.gid);
  const [command, ...first] = programs.initialise;
  const result = spawnSync(
    command,
    [
      ...[...first, ...programs.base, `--datadir=${unfinished}`],
      ...["--auth-root-authentication-method=normal", "--skip-test-db"],
    ],
    { ...user, cwd: "/", encoding: "utf8", env: programs.environment },
  );
  if (result.status !== 0)
    throw new Error(`${command} failed: ${result.stdout}${result.stderr}`);
  renameSync(unfinished, folder);
  return folder;
}

async function start(dataFolder: string): Promise<MysqlService> {
  return startMysql({
    flavour: "mariadb",
    // its own data folder would go with it
    settings: [...settings, `datadir=${dataFolder}`],
  });
}

/** In good order, which writes all pages: a killed server would work on them at the next start. */
async function shutDown(service: MysqlService): Promise<void> {
  const connection = await mysql.createConnection(service.url);
  connection.on("error", () => {}); // the server hangs up
  await connection.query("SHUTDOWN").catch(() => {});
  connection.destroy();
  await waitUntilGone(service.pid);
  await service.stop();
}

/** Writing a gigabyte of pages takes seconds. */
const SHUTDOWN_MS_MAX = 60_000;
const SHUTDOWN_POLL_MS = 50;

async function waitUntilGone(pid: number | null): Promise<void> {
  const deadline = performance.now() + SHUTDOWN_MS_MAX;
  while (
    pid !== null &&
    existsSync(`/proc/${pid}`) &&
    performance.now() < deadline
  )
    await new Promise((done) => setTimeout(done, SHUTDOWN_POLL_MS));
}

function computeVersion(size: Sizes): string {
  const digest = createHash("sha256").update(JSON.stringify(size));
  for (const path of ["test/bench/mysql-tables.ts", "deploy/demo/words.ts"])
    digest.update(readFileSync(join(repositoryRoot, path)));
  return digest.digest("hex").slice(0, 16);
}

async function isMade(url: string, version: string): Promise<boolean> {
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query<mysql.RowDataPacket[]>(
      "SELECT version FROM complete",
    );
    return rows[0]?.["version"] === version;
  } finally {
    await connection.end();
  }
}

async function makeTables(
  adminUrl: string,
  size: Sizes,
  version: string,
): Promise<void> {
  console.log(
    `making ${size.lineitemRows} rows of lineitem and ${size.usersRows} of users`,
  );
  const startedAt = performance.now();
  const admin = await mysql.createConnection(adminUrl);
  try {
    await admin.query(`DROP DATABASE IF EXISTS ${size.name}`);
    await admin.query(`CREATE DATABASE ${size.name} CHARACTER SET utf8mb4`);
    await createMysqlTables(databaseUrl(adminUrl, size.name), size);
    // the mark of completeness comes last
    await admin.query(
      `CREATE TABLE ${size.name}.complete (version char(16) NOT NULL)`,
    );
    await admin.query(`INSERT INTO ${size.name}.complete VALUES (?)`, [
      version,
    ]);
  } finally {
    await admin.end();
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`made in ${seconds.toFixed(1)} s`);
}

export interface MysqlBenchServer {
  /** Of the database with both tables. */
  readonly url: string;
  readonly pid: number;
  readonly origin: string;
  stop(): Promise<void>;
}

export async function startMysqlBenchServer(
  size: Sizes,
): Promise<MysqlBenchServer> {
  const dataFolder = makeDataFolder();
  let service = await start(dataFolder);
  try {
    const version = computeVersion(size);
    const url = databaseUrl(service.url, size.name);
    // without the database or the mark, the question fails
    if (!(await isMade(url, version).catch(() => false))) {
      await makeTables(service.url, size, version);
      // pages are written now, not while something is measured
      await shutDown(service);
      service = await start(dataFolder);
    }
    const { pid, origin } = service;
    if (pid === null) throw new Error("the server is not ours");
    return {
      url: databaseUrl(service.url, size.name),
      pid,
      origin,
      stop: () => shutDown(service),
    };
  } catch (error) {
    await service.stop();
    throw error;
  }
}
