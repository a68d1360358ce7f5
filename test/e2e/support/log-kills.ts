/**
 * Processes die at random moments, the engine among them: whoever runs the sync again gets every change once. All seeds
 * of a file share one database and one sync, and each goes on with what the one before has left: a start of the engine
 * is what costs time. Some begin anew, under the transactions, so that snapshots are killed as well.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import "../../services/debezium.setup.ts";
import { commitOf } from "../../../proto/log-position.ts";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import { Destination, signal, type Role } from "./command.ts";
import { findEngine } from "./engine-process.ts";
import { options } from "./log-fixtures.ts";
import { replayFiles } from "./log-replay.ts";
import { readSource } from "./log-workload.ts";
import type { LoggedSource, LoggedWork, UseSource } from "./logged-source.ts";
import { createRandom, pick } from "./random.ts";

export interface Kills {
  /** Of the seeds; each file has its own. */
  readonly first: number;
  /** Unless more are asked for by CDC_SEEDS. */
  readonly seeds: number;
  readonly destination: "files" | "postgres";
}

const RUNS_MAX = 8;
/** By then a run has a JVM, its snapshot and a good part of its log. */
const KILL_MS_MAX = 2_500;
const ANEW_SHARE = 0.25;
/** A run that takes longer tells what it is at. */
const HANGS_MS = 60_000;

type Victim = Role | "engine";
const victims: readonly Victim[] = [
  ...(["bookkeeper", "source", "destination", "keeper"] as const),
  ...(["engine", "engine", "bookkeeper"] as const),
];

/** One sync, and all that belongs to it. */
interface Scene {
  readonly source: LoggedSource;
  readonly work: LoggedWork;
  readonly destination: Destination;
  /** Null: into files. */
  readonly copy: PostgresFixture | null;
}

/** Runs the sync until it succeeds, and kills what the seed says on the way. @returns what was done */
async function runThroughKills(
  { destination, source, copy }: Scene,
  random: () => number,
  plan: { readonly kills: number; readonly isAnew: boolean },
): Promise<string[]> {
  const sync = [
    ...["sync", source.url, copy?.url ?? destination.root, ...options],
    ...(copy === null ? [] : ["--ledger", destination.ledgerPath]),
  ];
  const log: string[] = [];
  let { kills } = plan;
  for (let turn = 1; turn <= RUNS_MAX; turn += 1) {
    const isAnew = plan.isAnew && turn === 1;
    if (isAnew) log.push("anew");
    const run = destination.start(...sync, ...(isAnew ? ["--resync"] : []));
    while (kills > 0 && !run.isOver()) {
      const waitMs = Math.round(random() * KILL_MS_MAX);
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
      const news = run.events.filter(({ type }) => type !== "stream.progress");
      console.error(
        `run ${turn} hangs: ${log.join("; ")}\n${run.stderr()}\n${JSON.stringify(news).slice(0, 3000)}`,
      );
    }, HANGS_MS);
    const { code, signal: by, stderr } = await run.ended;
    clearTimeout(late);
    if (code === 0) return log;
    log.push(`run ${turn} ended with ${code ?? by}`);
    expect([3, null], `${log.join("; ")}\n${stderr}`).toContain(code);
  }
  expect.fail(`not done after ${RUNS_MAX} runs: ${log.join("; ")}`);
}

/** The sync has followed the log up to there; a run that went on with an earlier one may end before. */
function hasReached({ destination }: Scene, place: string): boolean {
  const position = destination.look((ledger) => {
    const [run] = ledger.listRuns({ limit: 1 });
    return run ? (ledger.logOf(run.syncId)?.position ?? null) : null;
  });
  return position !== null && commitOf(position) >= place;
}

async function playSeed(scene: Scene, seed: number, isFirst: boolean) {
  const { work, source } = scene;
  const random = createRandom(seed);
  if (!isFirst) work.goOn(seed);
  const log = await runThroughKills(scene, random, {
    kills: 1 + Math.floor(random() * 2),
    isAnew: !isFirst && random() < ANEW_SHARE,
  });
  if (random() < 0.3) {
    await work.addColumn();
    log.push("a column more");
  }
  await work.pause();
  const end = await source.now();
  // the last changes as well may be killed on their way
  let kills = random() < 0.3 ? 1 : 0;
  do {
    log.push("–");
    log.push(
      ...(await runThroughKills(scene, random, { kills, isAnew: false })),
    );
    kills = 0;
  } while (!hasReached(scene, end));
  await expectCopied(scene, `seed ${seed}: ${log.join("; ")}`);
}

async function expectCopied(
  { source, work, destination, copy }: Scene,
  hint: string,
): Promise<void> {
  for (const table of work.tables) {
    const found = copy
      ? await readSource(copy, table)
      : await replayFiles(destination.root, table, { isOneSnapshot: false });
    expect(found, `${table.name}, ${hint}`).toEqual(await source.read(table));
  }
}

export function describeKills(
  { first, seeds, destination: kind }: Kills,
  useSource: UseSource,
): void {
  const count = Number(process.env["CDC_SEEDS"] ?? seeds);
  describe(`SIGKILL at a random moment while the log is followed, into ${kind}`, () => {
    let scene: Scene | null = null;
    const left = Promise.withResolvers<void>();
    let scenery: Promise<void> = Promise.resolve();

    beforeAll(async () => {
      if (inject("debezium").programs === null) return;
      const made = Promise.withResolvers<Scene>();
      const destination = new Destination();
      const open = async (copy: PostgresFixture | null) =>
        useSource(async (source) => {
          const work = await source.work(first);
          made.resolve({ source, work, destination, copy });
          await left.promise;
          await work.end();
          await destination.dispose();
        });
      const copyUrl = inject("postgresUrl") ?? "";
      scenery = kind === "files" ? open(null) : withDatabase(copyUrl, open);
      scenery.catch((error: unknown) => made.reject(error));
      scene = await made.promise;
    });
    afterAll(async () => {
      left.resolve();
      await scenery;
    });

    test.for(Array.from({ length: count }, (_, i) => first + i))(
      "is complete, whatever is killed: seed %i",
      async (seed, { skip }) => {
        if (scene === null) return skip(inject("debezium").reason);
        await playSeed(scene, seed, seed === first);
      },
    );
  });
}
