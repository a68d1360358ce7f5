/** What a sync costs before the first row: one row, start to exit. */
import type { Cluster } from "../../deploy/demo/cluster.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { millraceCommand } from "./contenders.ts";
import { measureCommand, type Measurement } from "./measure.ts";
import { findMedian, writeResults } from "./report.ts";
import { ensureTables, sizes } from "./server.ts";

export async function measureSmall(
  server: Cluster,
  roundCount: number,
): Promise<boolean> {
  const url = await ensureTables(server.url, sizes.quick);
  const commands = {
    "sync of one row": (folder: string) =>
      millraceCommand("sync", url, folder, "--table", "one_row"),
    // the floor: the same Node with nothing to do
    "node, doing nothing": () => [process.execPath, "-e", ""],
  };
  const rounds: (Measurement & { name: string })[] = [];
  for (let round = 0; round <= roundCount; round += 1) {
    for (const [name, build] of Object.entries(commands)) {
      const folder = mkdtempSync(join(tmpdir(), "millrace-small-"));
      try {
        const result = await measureCommand({
          command: build(folder),
          cwd: folder,
          serverPids: [server.pid],
          outputFolder: folder,
        });
        if (result.exitCode !== 0) {
          console.log(`${name} failed: ${result.output}`);
          return false;
        }
        // the first reads the programs from disk
        if (round > 0) rounds.push({ ...result, name });
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  }
  for (const name of Object.keys(commands)) {
    const own = rounds.filter((round) => round.name === name);
    const median = (pick: (round: Measurement) => number) =>
      findMedian(own.map(pick));
    console.log(
      `${name.padEnd(20)} wall ${median((r) => r.wallSeconds).toFixed(3)} s, ` +
        `CPU ${median((r) => r.clientCpuSeconds).toFixed(3)} s, ${median((r) => r.peakMb).toFixed(0)} MB at most`,
    );
  }
  console.log(`every figure: ${writeResults("small", rounds)}`);
  return true;
}
