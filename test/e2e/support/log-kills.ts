/**
 * Processes die at random moments, the engine among them: whoever runs the sync again gets every change once. All seeds
 * of a file share one database and one sync, and each goes on with what the one before has left, since a start of the
 * engine is what costs time. Some begin anew, under the transactions, so that snapshots are killed as well. Where the
 * sync goes on without end, its processes outlive a seed; where it catches up, each seed ends with a run that was whole.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import "../../services/debezium.setup.ts";
import { commitOf } from "../../../proto/log-position.ts";
import { leaveOutIfLate } from "../../fixtures/late.ts";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import { Destination, signal, type Role, type Running } from "./command.ts";
import { findEngine } from "./engine-process.ts";
import { replayFiles } from "./log-replay.ts";
import { readSource } from "./log-workload.ts";
import type { LoggedSource, LoggedWork, UseSource } from "./logged-source.ts";
import { createRandom, pick } from "./random.ts";

export interface Kills {
  /** Of the seeds; each file has its own. */
  readonly first: number;
  /** Unless more are asked for by CDC_SEEDS. */
  readonly seeds: number;
  readonly mode: "cdc" | "continuous";
  readonly destination: "files" | "postgres";
}

const RUNS_MAX = 12;
/** By then what was killed is at work again. */
const KILL_MS_MAX = 2_000;
const ANEW_SHARE = 0.25;
const COLUMN_SHARE = 0.3;
/** The last change of a seed is copied within this, whatever has to start again, or never. */
const COPIED_MS_MAX = 90_000;
const POLL_MS = 50;

type Victim = Role | "engine";
const victims: readonly Victim[] = [
  ...(["bookkeeper", "source", "destination", "keeper"] as const),
  ...(["engine", "engine", "source"] as const),
];

/** One sync, and all that belongs to it. */
class Scene {
  readonly source: LoggedSource;
  readonly work: LoggedWork;
  readonly destination = new Destination();
  /** Null: into files. */
  readonly #copy: PostgresFixture | null;
  readonly #mode: Kills["mode"];
  #running: Running | null = null;
  #runs = 0;
  /** What was done in this seed. */
  log: string[] = [];

  constructor(
    source: LoggedSource,
    work: LoggedWork,
    copy: PostgresFixture | null,
    mode: Kills["mode"],
  ) {
    this.source = source;
    this.work = work;
    this.#copy = copy;
    this.#mode = mode;
  }

  beginSeed(): void {
    this.log = [];
    this.#runs = 0;
  }

  get #hint(): string {
    return this.log.join("; ");
  }

  /** The run that is at work; another one where that has ended as it may. */
  async run(isAnew = false): Promise<Running> {
    const before = this.#running;
    if (before !== null && !before.isOver()) return before;
    if (before !== null) {
      const { code, signal: by, stderr } = await before.ended;
      this.log.push(`ended with ${code ?? by}`);
      // 3: worth retrying; no code: killed
      const isAsItMay = code === 0 || code === 3 || code === null;
      expect(isAsItMay, `${this.#hint}\n${stderr}`).toBe(true);
    }
    this.#runs += 1;
    if (this.#runs > RUNS_MAX) expect.fail(`too many runs: ${this.#hint}`);
    if (isAnew) this.log.push("anew");
    const { destination, source } = this;
    this.#running = destination.start(
      ...["sync", source.url, this.#copy?.url ?? destination.root],
      ...["--mode", this.#mode, "--checkpoint-every", "200ms"],
      ...["--partition-by", "key", "--readers", "2", "--channels", "2"],
      // a column that comes while nobody is at work waits for the snapshot of the one that was killed
      ...["--snapshot-grace", "10s"],
      ...(this.#copy === null ? [] : ["--ledger", destination.ledgerPath]),
      ...(isAnew ? ["--resync"] : []),
    );
    return this.#running;
  }

  /** Within some tries: not everybody is there all the time. */
  async kill(random: () => number): Promise<void> {
    for (let tries = 0; tries < 20; tries++) {
      const running = await this.run();
      const waitMs = Math.round(random() * KILL_MS_MAX);
      await Promise.race([sleep(waitMs), running.ended]);
      const victim = pick(random, victims);
      const pid =
        victim === "engine"
          ? findEngine(running.find("source"))
          : running.find(victim);
      if (pid === null || !signal(pid, "SIGKILL")) continue;
      this.log.push(`${victim} after ${waitMs} ms`);
      if (victim === "bookkeeper") await running.ended;
      return;
    }
  }

  async beginAnew(): Promise<void> {
    if (this.#running && !this.#running.isOver()) {
      signal(this.#running.pid, "SIGKILL");
      await this.#running.ended;
    }
    await this.run(true);
  }

  /** The ledger has everything up to there; a run that went on with an earlier one may end before. */
  hasReached(place: string): boolean {
    const position = this.destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run ? (ledger.logOf(run.syncId)?.position ?? null) : null;
    });
    return position !== null && commitOf(position) >= place;
  }

  /** Until the copy is the source; no transaction is under way. */
  async expectCopied(): Promise<void> {
    const end = await this.source.now();
    const deadline = Date.now() + COPIED_MS_MAX;
    for (;;) {
      const running = await this.run();
      if (this.#mode === "cdc") await running.ended;
      const isOver = this.#mode === "continuous" || running.isOver();
      if (isOver && this.hasReached(end)) {
        // readers are shown it behind the ledger
        const isLast = this.#mode === "cdc" && (await running.ended).code === 0;
        if (isLast || Date.now() > deadline) return this.#compare(true);
        if (
          await this.#compare(false).then(
            () => true,
            () => false,
          )
        )
          return;
      } else if (Date.now() > deadline) {
        expect.fail(
          `not copied up to ${end}: ${this.#hint}\n${running.stderr()}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  async #compare(isLast: boolean): Promise<void> {
    for (const table of this.work.tables) {
      const found = this.#copy
        ? await readSource(this.#copy, table)
        : await replayFiles(this.destination.root, table, {
            isOneSnapshot: false,
          });
      const wanted = await this.source.read(table);
      if (isLast) expect(found, `${table.name}, ${this.#hint}`).toEqual(wanted);
      else if (found.join("\n") !== wanted.join("\n"))
        throw new Error("not yet");
    }
  }

  /** What goes on without end is ended in good order, once it is at work. */
  async stop(): Promise<void> {
    // where no seed was played the first run begins only here
    await this.work.pause();
    await this.expectCopied();
    const running = await this.run();
    if (this.#mode === "continuous") signal(running.pid, "SIGTERM");
    const { code, stderr } = await running.ended;
    expect(code, stderr).toBe(0);
  }
}

async function playSeed(scene: Scene, seed: number, isFirst: boolean) {
  const { work } = scene;
  const random = createRandom(seed);
  scene.beginSeed();
  scene.log.push(`seed ${seed}`);
  if (!isFirst) {
    work.goOn(seed);
    if (random() < ANEW_SHARE) await scene.beginAnew();
  }
  const kills = random() < 0.25 ? 2 : 1;
  for (let i = 0; i < kills; i++) await scene.kill(random);
  if (random() < COLUMN_SHARE) {
    await work.addColumn();
    scene.log.push("a column more");
  }
  await sleep(random() * 500);
  await work.pause();
  await scene.expectCopied();
}

export function describeKills(
  { first, seeds, mode, destination }: Kills,
  useSource: UseSource,
): void {
  const count = Number(process.env["CDC_SEEDS"] ?? seeds);
  describe(`SIGKILL at a random moment while the log is followed (${mode}) into ${destination}`, () => {
    let scene: Scene | null = null;
    const left = Promise.withResolvers<void>();
    let scenery: Promise<void> = Promise.resolve();

    beforeAll(async () => {
      if (inject("debezium").programs === null) return;
      const made = Promise.withResolvers<Scene>();
      const open = (copy: PostgresFixture | null) =>
        useSource(async (source) => {
          const work = await source.work(first);
          const opened = new Scene(source, work, copy, mode);
          made.resolve(opened);
          await left.promise;
          try {
            await work.end();
          } finally {
            await opened.destination.dispose();
          }
        });
      const copyUrl = inject("postgresUrl") ?? "";
      scenery =
        destination === "files" ? open(null) : withDatabase(copyUrl, open);
      scenery.catch((error: unknown) => made.reject(error));
      scene = await made.promise;
    });
    afterAll(async () => {
      left.resolve();
      await scenery;
    });

    const all = Array.from({ length: count }, (_, i) => first + i);
    test.for(all)(
      "is complete, whatever is killed: seed %i",
      async (seed, { skip, task }) => {
        if (scene === null) return skip(inject("debezium").reason);
        leaveOutIfLate({ skip, task }, seed === first);
        await playSeed(scene, seed, seed === first);
      },
    );

    test("and can be ended in good order", async ({ skip }) => {
      if (scene === null) return skip(inject("debezium").reason);
      await scene.stop();
    });
  });
}
