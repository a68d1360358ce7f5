/**
 * The rivals, each in the fastest way that its own documentation shows for two cores. They come from PyPI into a
 * virtual environment of the cache folder; nothing is fetched while they run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPython } from "../services/python.ts";
import type { Contender, Job } from "./contenders.ts";

const packages = [
  "duckdb==1.5.5",
  "duckdb-extension-postgres-scanner==1.5.5",
  "connectorx==0.4.6",
  "pyarrow==26.0.1",
  "adbc-driver-postgresql==1.13.0",
  "adbc-driver-manager==1.13.0",
  "rivet-cli==0.32.2",
];

export const locateScript = (name: string) =>
  fileURLToPath(new URL(`./rivals/${name}.py`, import.meta.url));

/** An integer column that cuts the table evenly. */
const cutColumn = { lineitem: "l_orderkey", users: "account_no" } as const;

export function listRivals(): Contender[] {
  const bin = installPython("bench", packages);
  const python = join(bin, "python");
  const byScript = (name: string, file: string): Contender => ({
    name,
    writes: true,
    prepare: ({ url, table, folder }) => [
      ...[python, locateScript(file), url, table, cutColumn[table]],
      join(folder, `${table}.parquet`),
    ],
  });
  return [
    byScript("DuckDB 1.5.5, 2 threads", "duckdb_copy"),
    byScript("ConnectorX 0.4.6, 2 partitions", "connectorx_read"),
    byScript("ADBC 1.13 + pyarrow", "adbc_stream"),
    {
      name: "Rivet 0.32.2, 2 workers",
      writes: true,
      prepare: (job) => [
        join(bin, "rivet"),
        ...["run", "--no-notify", "--config", writeRivetConfig(job)],
      ],
    },
  ];
}

/** JSON is YAML. Chunks want a numeric column, which both tables have. */
function writeRivetConfig({ url, table, folder }: Job): string {
  const work = join(folder, "rivet");
  mkdirSync(work);
  const path = join(work, "rivet.yaml");
  const config = {
    source: {
      type: "postgres",
      url,
      environment: "local",
      tuning: { profile: "fast" },
    },
    exports: [
      {
        name: table,
        table: `public.${table}`,
        mode: "chunked",
        chunk_column: cutColumn[table],
        chunk_count: 2,
        parallel: 2,
        format: "parquet",
        compression: "zstd",
        destination: { type: "local", path: folder },
      },
    ],
  };
  writeFileSync(path, JSON.stringify(config, null, 2));
  return path;
}
