/**
 * A real MySQL and a real MariaDB for the tests: those that TEST_MYSQL_URL and TEST_MARIADB_URL name, else servers of
 * our own for the time of the run. They listen on loopback only and cannot outlive the process that started them.
 */
import { spawnSync } from "node:child_process";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mysql from "mysql2/promise";
import { chooseDataFolder } from "../../deploy/demo/binaries.ts";
import { findFreePort, findServerUser } from "../../deploy/demo/cluster.ts";
import { keep } from "./keeper.ts";
import {
  findMysqlPrograms,
  type MysqlFlavour,
  type MysqlPrograms,
} from "./mysql-programs.ts";
import { findCacheFolder } from "./postgres.ts";

export type { MysqlFlavour } from "./mysql-programs.ts";

export interface MysqlService {
  /** User `root`, database `mysql`. */
  readonly url: string;
  readonly flavour: MysqlFlavour;
  /** Where it comes from, for the report. */
  readonly origin: string;
  /** Of the server; null where it is not ours. */
  readonly pid: number | null;
  /** Its data and its socket; null where it is not ours. */
  readonly folder: string | null;
  /** Ends the server if it is ours. */
  stop(): Promise<void>;
}

/** How often it is asked whether it accepts connections. */
const START_POLL_MS = 25;
/** Another process may take the port between the probe and the bind. */
const PORT_ATTEMPTS_MAX = 5;

/** Nothing of a test has to survive a crash, so nothing waits for the disk; row events and GTIDs are as CDC wants them. */
const testSettings: Readonly<Record<MysqlFlavour, readonly string[]>> = {
  mysql: ["mysqlx=OFF", "gtid-mode=ON", "enforce-gtid-consistency=ON"],
  mariadb: ["gtid-strict-mode=1"],
};
const commonSettings = [
  "server-id=1",
  "log-bin=binlog",
  "binlog-format=ROW",
  "binlog-row-image=FULL",
  "binlog-row-metadata=FULL",
  "sync-binlog=0",
  "innodb-flush-log-at-trx-commit=0",
  "innodb-doublewrite=0",
  "innodb-buffer-pool-size=128M",
  "innodb-log-file-size=48M",
  "max-connections=300",
];

/**
 * Starts a server of our own in a temporary folder.
 * @param settings further options of the server, without the dashes, which win over the test's own
 * @throws Error when there are no programs for it, or it does not start
 */
export async function startMysql({
  flavour,
  settings = [],
}: {
  flavour: MysqlFlavour;
  settings?: readonly string[];
}): Promise<MysqlService> {
  const programs = findMysqlPrograms(flavour);
  for (let attempt = 1; ; attempt += 1) {
    const folder = mkdtempSync(join(tmpdir(), `millrace-${flavour}-`));
    try {
      makeDataFolder(flavour, programs, folder);
      const port = await findFreePort();
      return await launch(flavour, programs, { folder, port, settings });
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      const portTaken = /Address already in use|TCP\/IP port/.test(
        String(error),
      );
      if (!portTaken || attempt >= PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

/** MySQL takes four seconds to initialise: that is done once and copied. */
function makeDataFolder(
  flavour: MysqlFlavour,
  programs: MysqlPrograms,
  folder: string,
): void {
  const user = findServerUser();
  if (user !== null) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  if (flavour === "mariadb") {
    initialise(programs, data, [
      "--auth-root-authentication-method=normal",
      "--skip-test-db",
    ]);
    return;
  }
  const template = chooseDataFolder(
    join(findCacheFolder(), `mysql-data-${programs.version}`),
  );
  if (!existsSync(template)) {
    const unfinished = join(folder, "template");
    initialise(programs, unfinished, [
      "--initialize-insecure",
      "--innodb-log-file-size=48M",
    ]);
    // the server's uuid, which each is to make for itself
    rmSync(join(unfinished, "auto.cnf"), { force: true });
    mkdirSync(join(template, ".."), { recursive: true });
    const beside = `${template}.${process.pid}`;
    try {
      copyFolder(unfinished, beside);
      renameSync(beside, template);
    } catch (error) {
      rmSync(beside, { recursive: true, force: true });
      if (!existsSync(template)) throw error; // else another process was faster
    }
    renameSync(unfinished, data);
    return;
  }
  copyFolder(template, data);
  if (user !== null)
    spawnSync("chown", ["-R", `${user.uid}:${user.gid}`, data]);
}

function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
}

function initialise(
  programs: MysqlPrograms,
  data: string,
  options: readonly string[],
): void {
  const user = findServerUser();
  mkdirSync(data, { mode: 0o700 });
  if (user !== null) chownSync(data, user.uid, user.gid);
  const [command, ...first] = programs.initialise;
  const result = spawnSync(
    command,
    [...first, ...programs.base, `--datadir=${data}`, ...options],
    { ...user, cwd: "/", encoding: "utf8", env: programs.environment },
  );
  if (result.status !== 0) {
    throw new Error(
      `${command} failed: ${result.error?.message ?? ""}${result.stdout}${result.stderr}`,
    );
  }
}

async function launch(
  flavour: MysqlFlavour,
  programs: MysqlPrograms,
  {
    folder,
    port,
    settings,
  }: { folder: string; port: number; settings: readonly string[] },
): Promise<MysqlService> {
  const options = [
    `datadir=${join(folder, "data")}`,
    `socket=${join(folder, "mysql.sock")}`,
    `pid-file=${join(folder, "mysql.pid")}`,
    "bind-address=127.0.0.1",
    `port=${port}`,
    ...commonSettings,
    ...testSettings[flavour],
    ...settings,
  ].map((option) => `--${option}`);
  const url = `mysql://root@127.0.0.1:${port}/mysql`;
  const { pid, end } = await keep(
    flavour,
    folder,
    [programs.server, ...programs.base, ...options],
    () => canConnect(url),
    {
      ...findServerUser(),
      env: programs.environment,
      pollMs: START_POLL_MS,
    },
  );
  const stop = async () => {
    await end();
    // the shell removes it as the server's user, who may not remove its own entry in the folder above
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, flavour, origin: programs.origin, pid, folder, stop };
}

async function canConnect(url: string): Promise<boolean> {
  try {
    const connection = await mysql.createConnection(url);
    await connection.end();
    return true;
  } catch {
    return false;
  }
}

/** The server that a test run uses: the given one, else our own. */
export async function provideMysql(
  flavour: MysqlFlavour,
): Promise<MysqlService> {
  const name = flavour === "mysql" ? "TEST_MYSQL_URL" : "TEST_MARIADB_URL";
  const url = process.env[name] ?? "";
  if (url === "") return startMysql({ flavour });
  return {
    url,
    flavour,
    origin: name,
    pid: null,
    folder: null,
    stop: async () => {},
  };
}
