/** The benchmark's own Postgres and its tables, kept between runs. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type pg from "pg";
import {
  chooseDataFolder,
  repositoryRoot,
} from "../../deploy/demo/binaries.ts";
import { startCluster, type Cluster } from "../../deploy/demo/cluster.ts";
import { databaseUrl, ensureDatabase } from "../../deploy/demo/database.ts";
import { LINES_PER_ORDER, createLineitem } from "../../deploy/demo/lineitem.ts";
import { findPrograms } from "../services/postgres.ts";
import { createUsers } from "./users.ts";

/** Nothing but the query under test should work while it runs. */
const settings = [
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "autovacuum=off",
  "shared_buffers=256MB",
  "max_wal_size=8GB",
  "checkpoint_timeout=1h",
  "max_connections=100",
  "bgwriter_lru_maxpages=0",
];

export interface BenchServer extends Cluster {
  readonly binFolder: string;
}

export async function startBenchServer(): Promise<BenchServer> {
  const { binFolder, origin } = findPrograms(null);
  const name = basename(origin).replaceAll(/[^A-Za-z0-9]/g, "");
  const dataFolder = chooseDataFolder(
    join(repositoryRoot, ".cache", "bench", `postgres-${name}`),
  );
  mkdirSync(dirname(dataFolder), { recursive: true });
  const cluster = await startCluster({
    binFolder,
    dataFolder,
    settings,
    temporary: false,
  });
  console.log(`Postgres ${origin} on 127.0.0.1:${cluster.port}`);
  return { ...cluster, binFolder };
}

export interface Sizes {
  /** Of the database. */
  readonly name: string;
  readonly lineitemRows: number;
  /** 0: no such table. */
  readonly usersRows: number;
}

export const sizes = {
  full: { name: "bench", lineitemRows: 3_000_000, usersRows: 1_000_000 },
  quick: { name: "bench_quick", lineitemRows: 300_000, usersRows: 100_000 },
  growth: { name: "bench_growth", lineitemRows: 12_000_000, usersRows: 0 },
} as const satisfies Record<string, Sizes>;

function computeVersion(size: Sizes): string {
  const digest = createHash("sha256").update(JSON.stringify(size));
  for (const path of [
    "test/bench/users.ts",
    "deploy/demo/lineitem.ts",
    "deploy/demo/words.ts",
  ])
    digest.update(readFileSync(join(repositoryRoot, path)));
  return digest.digest("hex").slice(0, 16);
}

/** @returns the URL of a database with `lineitem`, `users` and `one_row`, vacuumed and analysed */
export async function ensureTables(
  adminUrl: string,
  size: Sizes,
): Promise<string> {
  const startedAt = performance.now();
  const made = await ensureDatabase(
    { adminUrl, name: size.name, version: computeVersion(size), anew: false },
    async (client: pg.Client) => {
      console.log(
        `making ${size.lineitemRows} rows of lineitem and ${size.usersRows} of users`,
      );
      await createLineitem(client, size.lineitemRows / LINES_PER_ORDER);
      if (size.usersRows > 0) await createUsers(client, size.usersRows);
      await client.query(
        "CREATE TABLE one_row AS SELECT 1 AS id, 'one'::text AS name; ALTER TABLE one_row ADD PRIMARY KEY (id)",
      );
      await client.query("VACUUM (FREEZE, ANALYZE)");
      await client.query("CHECKPOINT");
    },
  );
  if (made) {
    const seconds = (performance.now() - startedAt) / 1000;
    console.log(`made in ${seconds.toFixed(1)} s`);
  }
  return databaseUrl(adminUrl, size.name);
}
