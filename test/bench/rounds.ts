/** One round of one contender, and the interleaving of all. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../arrows.ts";
import type { Contender } from "./contenders.ts";
import { measureCommand } from "./measure.ts";
import type { Round } from "./report.ts";
import {
  findDifference,
  measureServer,
  type BenchTable,
  type Figures,
} from "./verify.ts";

/** On the checkout's own disk, because being durable there is part of the work. */
function makeOutputFolder(): string {
  const parent = join(repositoryRoot, ".cache", "bench");
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, "out-"));
}

export interface Target {
  readonly serverPids: readonly number[];
  readonly url: string;
  readonly table: BenchTable;
}

async function runRound(
  contender: Contender,
  target: Target & { round: number },
  expected: Figures,
): Promise<Round> {
  const { serverPids, url, table, round } = target;
  const folder = makeOutputFolder();
  const job = { url, table, folder };
  const written = contender.locateOutput?.(job) ?? folder;
  try {
    const command = await contender.prepare(job);
    const measured = await measureCommand({
      command,
      ...(contender.env === undefined ? {} : { env: contender.env }),
      cwd: folder,
      serverPids,
      outputFolder: contender.writes ? written : null,
    });
    const fault =
      measured.exitCode !== 0
        ? `exit code ${measured.exitCode}: ${measured.output.trim().split("\n").at(-1)}`
        : contender.writes
          ? await findDifference(expected, written, table)
          : null;
    return {
      ...measured,
      contender: contender.name,
      table,
      round,
      rows: Number(expected.get("rows")),
      fault,
    };
  } finally {
    rmSync(written, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A B C A B C …, so that a slow minute of the machine meets all alike. The first pass warms the server's caches and
 * is not counted.
 */
export async function runRounds(
  target: Target,
  contenders: readonly Contender[],
  roundCount: number,
): Promise<Round[]> {
  const { url, table } = target;
  const expected = await measureServer(url, table);
  const rounds: Round[] = [];
  for (let round = 0; round <= roundCount; round += 1) {
    for (const contender of contenders) {
      // the whole table has been read just now: one warm-up of one contender is enough
      if (round === 0 && contender !== contenders[0]) continue;
      const result = await runRound(contender, { ...target, round }, expected);
      if (round === 0) continue;
      rounds.push(result);
      console.log(
        `  ${table} ${round}/${roundCount} ${contender.name}: ` +
          (result.fault ??
            `${result.wallSeconds.toFixed(2)} s, CPU ${result.clientCpuSeconds.toFixed(2)} s${result.dirty ? `, dirty (others ${(result.othersShare * 100).toFixed(0)} %)` : ""}`),
      );
    }
  }
  return rounds;
}
