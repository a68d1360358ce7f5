/** A primary and a hot standby of it, made by copying the primary's folder while it is shut down. */
import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  findServerUser,
  startCluster,
  type Cluster,
} from "../../deploy/demo/cluster.ts";
import { findPrograms } from "./postgres.ts";

export interface Replicated {
  readonly primary: Cluster;
  readonly standby: Cluster;
  stop(): Promise<void>;
}

/** Vacuum is the tests' own, since it is what a standby's readers may have to give way to. */
const settings = ["fsync=off", "autovacuum=off", "shared_buffers=64MB"];

/** @param standbySettings further `-c` settings of the standby */
export async function startReplicated(
  standbySettings: readonly string[],
): Promise<Replicated> {
  const { binFolder } = findPrograms(null);
  const [primaryFolder, standbyFolder] = ["primary", "standby"].map((name) =>
    mkdtempSync(join(tmpdir(), `millrace-${name}-`)),
  ) as [string, string];
  const seed = await startCluster({
    ...{ binFolder, settings },
    dataFolder: primaryFolder,
    temporary: false,
  });
  await seed.stop();
  execFileSync("cp", ["-a", `${primaryFolder}/.`, standbyFolder]);
  const mark = join(standbyFolder, "standby.signal");
  writeFileSync(mark, "");
  const user = findServerUser();
  if (user !== null) chownSync(mark, user.uid, user.gid);
  const primary = await startCluster({
    ...{ binFolder, settings },
    dataFolder: primaryFolder,
    temporary: true,
  });
  const standby = await startCluster({
    binFolder,
    settings: [
      ...settings,
      `primary_conninfo=host=127.0.0.1 port=${primary.port} user=postgres`,
      ...standbySettings,
    ],
    dataFolder: standbyFolder,
    temporary: true,
  });
  return {
    primary,
    standby,
    stop: async () => {
      await standby.stop();
      await primary.stop();
    },
  };
}
