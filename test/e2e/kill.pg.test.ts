/** Processes die at random moments; whoever runs the sync again gets every row once. A failure names its seed. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { signal, type Destination, type Role } from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import { expectComplete } from "./support/outcome.ts";
import { createRandom, pick } from "./support/random.ts";
import {
  accounts,
  createTables,
  digestTable,
  lines,
  regions,
  visits,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";
import { startWriter } from "./support/writer.ts";

const SEEDS = Array.from({ length: 30 }, (_, i) => i + 1);
const SEEDS_WITH_WRITER = Array.from({ length: 6 }, (_, i) => i + 101);
const RUNS_MAX = 8;
/** A run without kills takes about this long, in ms: later kills would meet nothing. */
const KILL_AFTER_MS_MAX = 2_500;

const options = [
  ...["--partition-by", "key", "--checkpoint-every", "100ms"],
  ...["--readers", "2", "--channels", "2"],
];

interface Kills {
  readonly random: () => number;
  readonly roles: readonly Role[];
  count: number;
  readonly log: string[];
}

/** Runs the sync until it succeeds, and kills what the seed says on the way. */
async function runThroughKills(
  destination: Destination,
  url: string,
  tables: readonly TableSpec[],
  kills: Kills,
): Promise<void> {
  const { random, roles, log } = kills;
  const chosen = tables.flatMap(({ name }) => ["--table", name]);
  for (let turn = 1; turn <= RUNS_MAX; turn += 1) {
    const t0 = performance.now();
    const isResumable = destination.look(
      (ledger) => ledger.listRuns({ limit: 1 }).length > 0,
    );
    const run =
      isResumable && random() < 0.5
        ? destination.start("resume", destination.root)
        : destination.start(
            "sync",
            url,
            destination.root,
            ...chosen,
            ...options,
          );
    while (kills.count > 0 && !run.isOver()) {
      const waitMs = Math.round(random() * KILL_AFTER_MS_MAX);
      const role = pick(random, roles);
      await Promise.race([sleep(waitMs), run.ended]);
      const pid = run.find(role);
      if (pid === null || !signal(pid, "SIGKILL")) continue;
      kills.count -= 1;
      log.push(`run ${turn}: ${role} after ${waitMs} ms`);
      if (role === "bookkeeper") break;
    }
    const { code, signal: by, stderr } = await run.ended;
    console.log(
      turn,
      Math.round(performance.now() - t0),
      code ?? by,
      log.at(-1),
      run.events
        .filter((e) => e.type === "warning" || e.type === "run.started")
        .map((e) => JSON.stringify(e).slice(0, 200)),
    );
    if (code === 0) return;
    log.push(`run ${turn} ended with ${code ?? by}`);
    expect([3, null], `${log.join("; ")}\n${stderr}`).toContain(code);
  }
  expect.fail(`not done after ${RUNS_MAX} runs: ${log.join("; ")}`);
}

describe("SIGKILL at a random moment", () => {
  const digests = new Map<TableSpec, Digest>();

  test.for(SEEDS)(
    "seed %i: no row is lost and none is there twice",
    async (seed, { database, destination }) => {
      if (digests.size === 0) {
        await createTables(database.query);
        for (const table of [accounts, lines, visits, regions])
          digests.set(table, await digestTable(database.query, table));
      }
      const random = createRandom(seed);
      const kills: Kills = {
        random,
        roles: ["bookkeeper", "bookkeeper", "source", "destination", "keeper"],
        count: 1 + Math.floor(random() * 3),
        log: [],
      };
      const chosen = [seed % 2 === 0 ? accounts : lines, visits, regions];
      await runThroughKills(destination, database.url, chosen, kills);
      await expectComplete(
        destination,
        new Map([...digests].filter(([table]) => chosen.includes(table))),
        `seed ${seed}: ${kills.log.join("; ")}`,
      );
    },
  );
});
