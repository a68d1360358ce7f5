/** Starts a server, prints its process id and waits to be killed. */
import { startCluster } from "../../deploy/demo/cluster.ts";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findPrograms } from "./postgres.ts";

const cluster = await startCluster({
  binFolder: findPrograms(null).binFolder,
  dataFolder: mkdtempSync(join(tmpdir(), "millrace-pg-")),
  settings: ["fsync=off"],
  temporary: true,
});
console.log(cluster.pid);
setInterval(() => {}, 60_000);
