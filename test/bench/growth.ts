/** Whether memory depends on the table: the same sync at 3 M and at 12 M rows. */
import type { Cluster } from "../../deploy/demo/cluster.ts";
import { millrace } from "./contenders.ts";
import { renderRounds, writeResults, type Round } from "./report.ts";
import { runRounds } from "./rounds.ts";
import { ensureTables, sizes } from "./server.ts";

/** Four times the rows may cost this much more: garbage that is collected late, and one line per row group. */
const GROWTH_SHARE_MAX = 0.25;

export async function measureGrowth(server: Cluster): Promise<boolean> {
  const rounds: Round[] = [];
  for (const size of [sizes.full, sizes.growth]) {
    const url = await ensureTables(server.url, size);
    const contender = {
      ...millrace,
      name: `millrace, ${size.lineitemRows / 1e6} M rows`,
    };
    const target = {
      serverPids: [server.pid],
      url,
      table: "lineitem",
    } as const;
    rounds.push(...(await runRounds(target, [contender], 2)));
  }
  for (const line of renderRounds(rounds)) console.log(line);
  const peak = (rows: number) =>
    Math.max(
      ...rounds
        .filter((round) => round.contender.includes(` ${rows / 1e6} M`))
        .map(({ peakMb }) => peakMb),
    );
  const growth =
    peak(sizes.growth.lineitemRows) / peak(sizes.full.lineitemRows) - 1;
  console.log(
    `memory of all processes grew by ${(growth * 100).toFixed(0)} % (at most ${GROWTH_SHARE_MAX * 100} %)`,
  );
  console.log(`every figure: ${writeResults("growth", rounds)}`);
  return (
    growth <= GROWTH_SHARE_MAX && rounds.every(({ fault }) => fault === null)
  );
}
