/**
 * The rivals on MySQL, each in the fastest way that its own documentation shows for two cores. They come from PyPI, each
 * into an environment of its own; nothing is fetched while they run.
 */
import { join } from "node:path";
import type { Contender, Job } from "./contenders.ts";
import { installPython } from "../services/python.ts";
import { locateScript } from "./rivals.ts";

export const connectorxName = "ConnectorX 0.4.6 + pyarrow";

/**
 * An integer column to cut by, over two connections. `users` has none with an index: each connection would read the whole
 * table, which takes ConnectorX longer than one that reads it once.
 */
const cutColumn = { lineitem: "l_orderkey", users: "" } as const;

interface Rival {
  readonly name: string;
  readonly packages: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** @param bin the environment's folder of programs */
  command(bin: string, job: Job, path: string): readonly string[];
}

const byScript =
  (file: string): Rival["command"] =>
  (bin, { url, table }, path) => [
    ...[join(bin, "python"), locateScript(file)],
    ...[url, table, cutColumn[table], path],
  ];

const rivals: readonly Rival[] = [
  {
    name: connectorxName,
    packages: ["connectorx==0.4.6", "pyarrow==26.0.1"],
    command: byScript("connectorx_read"),
  },
  {
    name: "DuckDB 1.5.5, 2 threads",
    packages: ["duckdb==1.5.5", "duckdb-extension-mysql-scanner==1.5.5"],
    command: byScript("duckdb_mysql"),
  },
  {
    // it writes Snappy, and knows no other codec
    name: "ingestr 0.15.9",
    packages: ["ingestr==0.15.9"],
    // nobody is told of this run
    env: { DISABLE_TELEMETRY: "true", TELEMETRY_OPTOUT: "true" },
    command: (bin, { url, table }, path) => [
      ...[join(bin, "ingestr"), "ingest", "--yes", "--progress", "log"],
      ...["--source-uri", url, "--source-table", table],
      ...["--dest-uri", `parquet://${path}`, "--dest-table", table],
    ],
  },
];

export function listMysqlRivals(): Contender[] {
  const found: Contender[] = [];
  for (const { name, packages, env = {}, command } of rivals) {
    let bin: string;
    try {
      bin = installPython("bench", packages);
    } catch (error) {
      const reason = (error as Error).message.split("\n")[0];
      console.log(`${name} is left out, for it cannot be installed: ${reason}`);
      continue;
    }
    found.push({
      name,
      writes: true,
      env,
      prepare: (job) => command(bin, job, join(job.folder, "rows.parquet")),
    });
  }
  return found;
}
