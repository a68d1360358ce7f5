/** Processes die at random moments, the engine among them: whoever runs the sync again gets every change once. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject } from "vitest";
import { withDatabase } from "../../fixtures/postgres.ts";
import { signal, type Destination, type Role } from "./command.ts";
import { findEngine } from "./engine-process.ts";
import { expectSame, options, test } from "./log-fixtures.ts";
import {
  accounts,
  createLoggedTables,
  LogWorkload,
  readSource,
  visits,
} from "./log-workload.ts";
import { createRandom, pick } from "./random.ts";

/** Of each file that runs them; more by option. */
const SEEDS = Number(process.env["CDC_SEEDS"] ?? 7);
const RUNS_MAX = 8;

type Victim = Role | "engine";
const victims: readonly Victim[] = [
  ...(["bookkeeper", "source", "destination", "keeper"] as const),
  ...(["engine", "engine", "bookkeeper"] as const),
];

/** Runs the sync until it succeeds, and kills what the seed says on the way. */
async function runThroughKills(
  destination: Destination,
  sync: readonly string[],
  random: () => number,
  killsMax: number,
): Promise<string[]> {
  const log: string[] = [];
  let kills = killsMax;
  for (let turn = 1; turn <= RUNS_MAX; turn += 1) {
    const run = destination.start(...sync);
    while (kills > 0 && !run.isOver()) {
      const waitMs = Math.round(random() * 2_500);
      const victim = pick(random, victims);
      await Promise.race([sleep(waitMs), run.ended]);
      const pid =
        victim === "engine" ? findEngine(run.find("source")) : run.find(victim);
      if (pid === null || !signal(pid, "SIGKILL")) continue;
      kills -= 1;
      log.push(`run ${turn}: ${victim} after ${waitMs} ms`);
      if (victim === "bookkeeper") break;
    }
    const late = setTimeout(() => {
      console.error(
        `run ${turn} hangs: ${log.join("; ")}\n${run.stderr()}\n${JSON.stringify(run.events.filter(({ type }) => type !== "stream.progress")).slice(0, 3000)}`,
        JSON.stringify(
          destination.look((ledger) =>
            ledger
              .listRuns({ limit: 3 })
              .map(({ runId, state, syncId }) => [
                runId,
                state,
                ledger.logOf(syncId),
                ledger
                  .durableOf(runId)
                  .map((d) => [
                    d.stream,
                    d.partition,
                    d.index,
                    d.last,
                    d.position,
                  ]),
              ]),
          ),
        ).slice(0, 3000),
      );
    }, 60_000);
    const { code, signal: by, stderr } = await run.ended;
    clearTimeout(late);
    if (code === 0) return log;
    log.push(`run ${turn} ended with ${code ?? by}`);
    expect([3, null], `${log.join("; ")}\n${stderr}`).toContain(code);
  }
  expect.fail(`not done after ${RUNS_MAX} runs: ${log.join("; ")}`);
}

/** @param first of the seeds; each file has its own */
export function describeKills(first: number): void {
  describe("SIGKILL at a random moment while the log is followed", () => {
    test.for(Array.from({ length: SEEDS }, (_, i) => first + i))(
      "is complete, whatever is killed: seed %i",
      async (seed, { source, destination }) => {
        await createLoggedTables(source);
        const sync = ["sync", source.url, destination.root, ...options];
        const random = createRandom(seed);
        const workload = await LogWorkload.start(source.url, seed);
        const first = await runThroughKills(
          destination,
          sync,
          random,
          1 + Math.floor(random() * 2),
        );
        if (random() < 0.5) await workload.addColumn(source.query);
        const second =
          random() < 0.5
            ? await runThroughKills(destination, sync, random, 1)
            : [];
        await workload.end();
        const last = await destination.run(...sync);
        const hint = `seed ${seed}: ${[...first, "–", ...second].join("; ")}`;
        expect(last.code, `${hint}\n${last.stderr}`).toBe(0);
        await expectSame(
          source,
          destination,
          [accounts, workload.linesNow, visits],
          hint,
        );
      },
    );

    test.for([first + 500, first + 501])(
      "keeps a copy in Postgres, whatever is killed: seed %i",
      async (seed, { source, destination }) => {
        await withDatabase(inject("postgresUrl") ?? "", async (copy) => {
          const sync = [
            ...["sync", source.url, copy.url, ...options],
            ...["--ledger", destination.ledgerPath],
          ];
          await createLoggedTables(source);
          const random = createRandom(seed);
          const workload = await LogWorkload.start(source.url, seed);
          const killed = await runThroughKills(destination, sync, random, 2);
          await workload.addColumn(source.query);
          await workload.end();
          const last = await destination.run(...sync);
          const hint = `seed ${seed}: ${killed.join("; ")}`;
          expect(last.code, `${hint}\n${last.stderr}`).toBe(0);
          for (const table of [accounts, workload.linesNow, visits])
            expect(
              await readSource(copy, table),
              `${table.name}, ${hint}`,
            ).toEqual(await readSource(source, table));
        });
      },
    );
  });
}
