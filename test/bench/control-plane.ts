/**
 * How much of the CPU goes into deciding rather than moving: the share of V8's profile samples, over all processes and
 * workers of a sync, whose stack holds the actor library, `actors/` or `checkpoint/`. See `README.md` of this folder.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "../../deploy/demo/cluster.ts";
import { buildWithMaps, millraceCommand } from "./contenders.ts";
import {
  addProfile,
  createLocator,
  createShares,
  type CpuProfile,
  type Shares,
} from "./cpu-profile.ts";
import { measureCommand, type Measurement } from "./measure.ts";
import { writeResults } from "./report.ts";
import { ensureTables, sizes } from "./server.ts";

/** The goal that the design sets for the control plane. */
const SHARE_MAX = 0.02;
/** A one-row sync is the cost of starting: what is left of the share beside it grows with the rows. */
const tables = ["one_row", "lineitem"] as const;
/** V8's own interval is longer, and the start is short. */
const SAMPLE_INTERVAL_US = 250;

async function runSync(
  { url, table, serverPid }: { url: string; table: string; serverPid: number },
  folder: string,
  options: string | null,
): Promise<Measurement> {
  const out = mkdtempSync(join(folder, "out-"));
  const result = await measureCommand({
    command: millraceCommand("sync", url, out, "--table", table),
    env: options === null ? {} : { NODE_OPTIONS: options },
    cwd: folder,
    serverPids: [serverPid],
    outputFolder: null,
  });
  rmSync(out, { recursive: true, force: true });
  if (result.exitCode !== 0)
    throw new Error(`the sync failed: ${result.output}`);
  return result;
}

async function profileSync(
  target: { url: string; table: string; serverPid: number },
  folder: string,
): Promise<Shares> {
  const profiles = join(folder, `profiles-${target.table}`);
  await runSync(
    target,
    folder,
    `--cpu-prof --cpu-prof-interval=${SAMPLE_INTERVAL_US} --cpu-prof-dir=${profiles}`,
  );
  const shares = createShares();
  const locate = createLocator();
  for (const name of readdirSync(profiles)) {
    const text = readFileSync(join(profiles, name), "utf8");
    addProfile(shares, JSON.parse(text) as CpuProfile, locate);
  }
  return shares;
}

function print(title: string, sums: Record<string, number>, all: number): void {
  console.log(title);
  for (const [name, samples] of Object.entries(sums).toSorted(
    ([, a], [, b]) => b - a,
  ))
    console.log(`  ${name.padEnd(32)} ${percent(samples / all)}`);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2).padStart(6)} %`;
}

export async function measureControlPlane(
  server: Cluster,
  quick: boolean,
): Promise<boolean> {
  buildWithMaps();
  const url = await ensureTables(server.url, quick ? sizes.quick : sizes.full);
  const folder = mkdtempSync(join(tmpdir(), "millrace-profile-"));
  try {
    const [start, whole] = tables.map((table) => ({
      url,
      table,
      serverPid: server.pid,
    }));
    // compiled code is kept from one run to the next, and most runs are not the first
    const bare = await runSync(start!, folder, null);
    const started = await profileSync(start!, folder);
    const shares = await profileSync(whole!, folder);
    const share = shares.control / shares.busy;
    const rows = quick ? sizes.quick.lineitemRows : sizes.full.lineitemRows;
    console.log(
      `${rows} rows, ${shares.busy} busy samples of ${SAMPLE_INTERVAL_US} µs; a sync of one row has ${started.busy}`,
    );
    print("the stack holds", shares.byPlane, shares.busy);
    print("whose work these were", shares.byOwner, shares.busy);
    print("and all busy samples", shares.busyByOwner, shares.busy);
    console.log(
      `control plane: ${percent(share)} (goal: at most ${SHARE_MAX * 100} %)`,
    );
    console.log(
      `of it a sync of one row has ${percent(started.control / shares.control)}; beyond that ${percent((shares.control - started.control) / (shares.busy - started.busy))} of what the rows cost`,
    );
    console.log(
      `every figure: ${writeResults("control-plane", { rows, started, shares, othersShare: bare.othersShare })}`,
    );
    return shares.busy > 0 && share <= SHARE_MAX;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
