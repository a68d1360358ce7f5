/** What is measured beside each other: the same table of the same server, to zstd Parquet in the same folder. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import pg from "pg";
import { repositoryRoot, toolEnv, toolFolder } from "../arrows.ts";
import type { BenchTable } from "./verify.ts";

export interface Job {
  readonly url: string;
  readonly table: BenchTable;
  /** Exists and is empty. */
  readonly folder: string;
}

export interface Contender {
  readonly name: string;
  /** Whether it writes Parquet that is to be compared. */
  readonly writes: boolean;
  /** Beside this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its files are, when they are not in the job's folder. */
  locateOutput?(job: Job): string;
  prepare(job: Job): Promise<readonly string[]> | readonly string[];
}

/** The published form: `dist/` under the project's Node. */
export function millraceCommand(...args: readonly string[]): string[] {
  return [
    join(toolFolder, "node"),
    join(repositoryRoot, "bin", "millrace.js"),
    ...args,
  ];
}

/** The published form, and what tells where its functions come from. */
export function buildWithMaps(): void {
  const { status, stderr } = spawnSync(
    join(toolFolder, "rolldown"),
    ["-c", "--sourcemap", "hidden"],
    { cwd: repositoryRoot, env: toolEnv, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`the build failed: ${stderr}`);
}

function createMillrace(
  name: string,
  ...options: readonly string[]
): Contender {
  return {
    name,
    writes: true,
    prepare: ({ url, table, folder }) =>
      millraceCommand("sync", url, folder, "--table", table, ...options),
  };
}

/** With every event and state of every actor written down, as people run it who want to see. */
export const watched = ["--trace", "/dev/null"] as const;

export const millrace = createMillrace("millrace", ...watched);

/** What looking on costs is the difference to the first. */
export const millraceUnwatched = createMillrace("millrace, inspection off");

/** The same again, under another name: how far the two differ is the noise of this run. */
export const millraceAgain: Contender = { ...millrace, name: "millrace (A/A)" };

/**
 * How fast a C client can throw the rows away: two connections, each half of the table's pages.
 * @param psql null where there is none: no such contender
 */
export function listDrains(psql: string | null): Contender[] {
  if (psql === null) return [];
  const prepare = async ({ url, table }: Job) => {
    const middle = Math.floor((await countPages(url, table)) / 2);
    const halves = ["<", ">="].map(
      (comparison) =>
        `"$1" -X "$2" -c "COPY (SELECT * FROM ${table} WHERE ctid ${comparison} '(${middle},0)') TO STDOUT (FORMAT binary)" >/dev/null`,
    );
    const both = `${halves[0]} & first=$!; ${halves[1]} && wait "$first"`;
    return ["bash", "-c", both, "drain", psql, url];
  };
  return [{ name: "psql COPY binary, 2 connections", writes: false, prepare }];
}

/** The server's own client program, which Debian's `psql` only wraps in Perl; else the one in the path. */
export function findPsql(binFolder: string): string | null {
  return (
    [join(binFolder, "psql"), "psql"].find(
      (program) => spawnSync(program, ["--version"]).status === 0,
    ) ?? null
  );
}

async function countPages(url: string, table: BenchTable): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ pages: number }>(
      "SELECT relpages AS pages FROM pg_class WHERE oid = $1::regclass",
      [table],
    );
    return rows[0]?.pages ?? 0;
  } finally {
    await client.end();
  }
}
