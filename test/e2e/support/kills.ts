/** Processes die at random moments; whoever runs the sync again gets every row once. A failure names its seed. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { describe, expect } from "vitest";
import { leaveOutIfLate } from "../../fixtures/late.ts";
import type { PostgresFixture } from "../../fixtures/postgres.ts";
import { signal, waitFor, type Destination, type Role } from "./command.ts";
import { test } from "./fixtures.ts";
import { expectComplete, expectNothingLeft } from "./outcome.ts";
import { createRandom, pick } from "./random.ts";
import {
  accounts,
  createTables,
  digestFiles,
  digestTable,
  lines,
  regions,
  visits,
  type Digest,
  type TableSpec,
} from "./tables.ts";
import {
  SURVIVORS,
  findSurvivors,
  prepareForWriter,
  startWriter,
} from "./writer.ts";

const RUNS_MAX = 8;
/** Of the seeds' runs, at least this share has to have met a kill: else the moments are chosen badly. */
const KILLED_SHARE_MIN = 0.5;

const options = [
  ...["--partition-by", "key", "--checkpoint-every", "100ms"],
  ...["--readers", "2", "--channels", "2"],
];

interface Kills {
  readonly random: () => number;
  readonly roles: readonly Role[];
  /** A run without kills takes about this long: later ones would meet nothing. */
  readonly withinMs: number;
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
      const waitMs = Math.round(random() * kills.withinMs);
      const role = pick(random, roles);
      await Promise.race([sleep(waitMs), run.ended]);
      const pid = run.find(role);
      if (pid === null || !signal(pid, "SIGKILL")) continue;
      kills.count -= 1;
      log.push(`run ${turn}: ${role} after ${waitMs} ms`);
      if (role === "bookkeeper") break;
    }
    const { code, signal: by, stderr } = await run.ended;
    if (code === 0) return;
    log.push(`run ${turn} ended with ${code ?? by}`);
    expect([3, null], `${log.join("; ")}\n${stderr}`).toContain(code);
  }
  expect.fail(`not done after ${RUNS_MAX} runs: ${log.join("; ")}`);
}

const everyRole = [
  ...(["bookkeeper", "bookkeeper"] as const),
  ...(["source", "destination", "keeper"] as const),
];

function listSeeds(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function chooseTables(seed: number): TableSpec[] {
  return [[accounts, lines, visits][seed % 3] ?? visits, regions];
}

/** How long a run takes that nobody disturbs, start-up included, in ms. */
async function measureRun(
  destination: Destination,
  url: string,
): Promise<number> {
  const began = performance.now();
  const chosen = ["--table", "lines"];
  const { code, stderr } = await destination.run(
    "sync",
    url,
    destination.root,
    ...chosen,
    ...options,
  );
  expect(code, stderr).toBe(0);
  return performance.now() - began;
}

/** Seeds `first` to `last`; the files run beside each other. */
export function describeKills(first: number, last: number): void {
  const seeds = listSeeds(first, last);
  describe("SIGKILL at a random moment", () => {
    const digests = new Map<TableSpec, Digest>();
    let withinMs = 0;
    let seedsRun = 0;
    let seedsKilled = 0;

    test("a run that nobody disturbs copies every row", async ({
      database,
      destination,
    }) => {
      await createTables(database.query);
      for (const table of [accounts, lines, visits, regions])
        digests.set(table, await digestTable(database.query, table));
      withinMs = await measureRun(destination, database.url);
      const copied = [...digests].filter(([table]) => table === lines);
      await expectComplete(destination, new Map(copied), "undisturbed");
    });

    test.for(seeds)(
      "seed %i: no row is lost and none is there twice",
      async (seed, { database, destination, skip, task }) => {
        leaveOutIfLate({ skip, task }, seed === seeds[0]);
        const random = createRandom(seed);
        const kills: Kills = {
          random,
          roles: everyRole,
          withinMs,
          count: 1 + Math.floor(random() * 3),
          log: [],
        };
        const chosen = chooseTables(seed);
        const began = performance.now();
        await runThroughKills(destination, database.url, chosen, kills);
        seedsRun += 1;
        if (kills.log.length > 0) seedsKilled += 1;
        // the machine may have become less busy: moments behind the end of a run meet nothing
        else withinMs = Math.min(withinMs, performance.now() - began);
        await expectComplete(
          destination,
          new Map([...digests].filter(([table]) => chosen.includes(table))),
          `seed ${seed}: ${kills.log.join("; ")}`,
        );
      },
    );

    test("most of the kills met a run", ({ skip }) => {
      if (seedsRun < seeds.length / 2)
        skip("a share of few seeds says nothing: the run was late");
      expect(seedsKilled / seedsRun).toBeGreaterThan(KILLED_SHARE_MIN);
    });
  });
}

/** What the run's snapshot holds, read beside the run while its keeper lives. */
async function digestSnapshot(
  { url }: PostgresFixture,
  destination: Destination,
  tables: readonly TableSpec[],
): Promise<Map<TableSpec, Digest>> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    const { id } = await waitFor("a snapshot", () =>
      destination.snapshots().at(-1),
    );
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await client.query(`SET TRANSACTION SNAPSHOT '${id}'`);
    const query: PostgresFixture["query"] = async (sql) =>
      (await client.query(sql)).rows as never;
    const digests = new Map<TableSpec, Digest>();
    for (const table of tables)
      digests.set(table, await digestTable(query, table));
    return digests;
  } finally {
    await client.end();
  }
}

export function describeKillsWithWriter(first: number, last: number): void {
  const seeds = listSeeds(first, last);
  describe("SIGKILL while a writer is at work", () => {
    const changing = [accounts, lines, visits];
    let withinMs = 0;

    test("a run that nobody disturbs holds its snapshot", async ({
      database,
      destination,
    }) => {
      await database.query(
        "DROP TABLE IF EXISTS accounts, lines, visits, regions",
      );
      await createTables(database.query);
      for (const table of changing)
        await prepareForWriter(database.query, table);
      const writer = await startWriter(database.url, changing);
      withinMs = await measureRun(destination, database.url);
      expect(await writer.stop()).toBeGreaterThan(0);
    });

    test.for(seeds)(
      "seed %i: the files are what the one snapshot holds",
      async (seed, { database, destination, skip, task }) => {
        leaveOutIfLate({ skip, task }, seed === seeds[0]);
        const random = createRandom(seed);
        const kills: Kills = {
          random,
          roles: everyRole.filter((role) => role !== "keeper"),
          withinMs,
          count: 1 + Math.floor(random() * 3),
          log: [],
        };
        const writer = await startWriter(database.url, changing);
        const content = digestSnapshot(database, destination, changing);
        content.catch(() => {});
        try {
          await runThroughKills(destination, database.url, changing, kills);
        } finally {
          await writer.stop();
        }
        const hint = `seed ${seed}: ${kills.log.join("; ")}`;
        expect(destination.snapshots(), hint).toHaveLength(1);
        await expectComplete(destination, await content, hint);
      },
    );

    test.for(seeds)(
      "seed %i: rows that live through it are there once, even if snapshots are lost",
      async (seed, { database, destination, skip, task }) => {
        leaveOutIfLate({ skip, task }, seed === seeds[0]);
        const random = createRandom(seed);
        const kills: Kills = {
          random,
          roles: ["keeper", ...everyRole],
          withinMs,
          count: 2 + Math.floor(random() * 2),
          log: [],
        };
        const writer = await startWriter(database.url, changing);
        try {
          await runThroughKills(destination, database.url, changing, kills);
        } finally {
          await writer.stop();
        }
        const hint = `seed ${seed}: ${kills.log.join("; ")}`;
        for (const table of changing) {
          const { rows, keys } = await digestFiles(destination.root, table);
          expect(keys, `keys of ${table.name}, ${hint}`).toBe(rows);
          expect(
            await findSurvivors(destination.root, table),
            `${table.name}, ${hint}`,
          ).toEqual({ rows: SURVIVORS, numbers: SURVIVORS });
        }
        expectNothingLeft(destination, hint);
      },
    );
  });
}
