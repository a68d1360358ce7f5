/**
 * The daemon: gives its machines their effects, and is what API, queues, inspector and command line speak to. What it
 * knows of runs is in the ledger; what is only here is lost with it, and nothing is missed for that.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { createActor, fromCallback, fromPromise, type Actor } from "xstate";
import {
  daemonMachine,
  type Scheduled,
} from "../../actors/daemon/daemon.machine.ts";
import {
  runQueueMachine,
  type EntriesOrder,
} from "../../actors/daemon/run-queue.machine.ts";
import { schedulerMachine } from "../../actors/daemon/scheduler.machine.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun, QueueState } from "../../checkpoint/store/queue.ts";
import { ExtractError, type WireError } from "../../proto/error.ts";
import type { DaemonSettings } from "../config-daemon.ts";
import type { MillraceConfig } from "../config.ts";
import type { ConnectionFigures } from "../inline/connections.ts";
import { InlineRuns } from "../inline/inline-runs.ts";
import { Turns } from "../inline/turns.ts";
import { SyncCatalogue, type CatalogueSync } from "./catalogue.ts";
import { describeChanges } from "./config-changes.ts";
import { findNextDue } from "./due.ts";
import { HeldRuns, LEASE_RENEWED_MS } from "./held-runs.ts";
import { openQueueLedger, type OpenedLedger } from "./open-ledger.ts";
import { Orders } from "./orders.ts";
import { readPause } from "./schema-pause.ts";
import { Telling } from "./telling.ts";
import { Triggers } from "./triggers.ts";
import type {
  DaemonEvent,
  DaemonService,
  InspectionListener,
  LiveRun,
  RunOrder,
  SyncView,
  TriggerOrder,
  TriggerReceipt,
} from "./types.ts";

/** Changes of a configuration that the timeline lists. */
const CHANGES_LISTED_MAX = 1_000;

/** What stands between this daemon and the world; they are opened when it can serve, and closed when it is done. */
export interface Fronts {
  open(): Promise<void>;
  /** No new orders from queues. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

export interface DaemonHooks {
  /** The daemon serves; also after every start of fronts. */
  onReady(): void;
  /** For the log: nothing that stops the daemon. */
  onTrouble(message: string): void;
}

export class Daemon implements DaemonService {
  readonly id = `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(4).toString("hex")}`;
  readonly startedAt = Date.now();
  readonly #hooks: DaemonHooks;
  readonly #actor: Actor<typeof daemonMachine>;
  readonly #telling: Telling;
  readonly #inline: InlineRuns;
  readonly #held: HeldRuns;
  readonly #triggers: Triggers;
  readonly #orders: Orders;
  #fronts: Fronts;
  #config: MillraceConfig;
  #catalogue: SyncCatalogue;
  #opened: OpenedLedger | null = null;
  #renewal: NodeJS.Timeout | null = null;
  #isDraining = false;

  /** @param config of a file with a `daemon` */
  constructor(config: MillraceConfig, hooks: DaemonHooks) {
    this.#config = config;
    this.#hooks = hooks;
    this.#catalogue = new SyncCatalogue(config);
    this.#fronts = noFronts;
    this.#telling = new Telling((message) => hooks.onTrouble(message));
    const around = {
      ledger: () => this.ledger,
      telling: this.#telling,
      onState: (queueId: string, sync: string, state: QueueState) =>
        this.#telling.tell({ type: "queue.changed", queueId, sync, state }),
      wake: () => this.#actor.send({ type: "queue.changed" }),
    };
    const turns = new Turns();
    this.#inline = new InlineRuns({
      turns,
      settings: () => this.#settings.inline,
      limit: () => this.#settings.limits.connectionsPerSource,
      takenBeside: (server) => this.#held.countConnections(server),
      onFree: around.wake,
    });
    this.#held = new HeldRuns({
      ...around,
      inline: this.#inline,
      turns,
      isAlone: () => this.#opened?.isAlone ?? false,
      daemonId: this.id,
      catalogue: () => this.#catalogue,
      retry: () => this.#settings.retry,
    });
    this.#triggers = new Triggers(around);
    this.#orders = new Orders({
      ...around,
      held: this.#held,
      triggers: this.#triggers,
    });
    const { limits, drainMs } = this.#settings;
    this.#actor = createActor(this.#provide(), { input: { limits, drainMs } });
  }

  /** Before `run`. */
  set fronts(fronts: Fronts) {
    this.#fronts = fronts;
  }

  get #settings(): DaemonSettings {
    return settingsOf(this.#config);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Of the runs that share this process, and of those that wait to. */
  get connectionFigures(): ConnectionFigures {
    return this.#inline.connections.figures;
  }

  get config(): MillraceConfig {
    return this.#config;
  }

  /** Of this daemon's runs, for reading. */
  get ledger(): Ledger {
    if (this.#opened) return this.#opened.ledger;
    throw new ExtractError("RUN_STATE", "the daemon has no ledger open");
  }

  /** Serves until it is stopped. Gives what it ended with: null in good order. */
  run(): Promise<WireError | null> {
    return new Promise((resolve, reject) => {
      this.#actor.subscribe({
        next: ({ status, output }) => {
          if (status === "done") resolve(output?.error ?? null);
        },
        error: reject,
      });
      this.#actor.start();
    });
  }

  /** The first call drains, the second one ends all runs at once. */
  stop(): void {
    this.#actor.send({ type: "daemon.stop" });
  }

  #provide(): typeof daemonMachine {
    return daemonMachine.provide({
      actors: {
        openDaemon: fromPromise(async () => this.#open()),
        openFronts: fromPromise(() => this.#fronts.open()),
        quietFronts: fromPromise(() => this.#fronts.quiet()),
        closeDaemon: fromPromise(() => this.#close()),
        runQueue: runQueueMachine.provide({
          actors: {
            takeRuns: fromPromise(({ input }) => this.#held.take(input)),
            runEntries: this.#runEntries(),
          },
          actions: {
            giveBack: (_, { taken }) => this.#held.giveBack(taken),
            reportTrouble: (_, { error }) =>
              this.#telling.trouble("the queue could not be read", error),
          },
        }),
        scheduler: schedulerMachine.provide({
          actors: {
            planNext: fromPromise(async ({ input }) => {
              const schedule = this.#config.schedules.get(input.sync);
              const now = Date.now();
              return schedule
                ? findNextDue(schedule, input.chooseAfter(now), now)
                : { dueAt: null, beginsAt: null, now };
            }),
            readClock: fromPromise(async () => Date.now()),
          },
        }),
      },
      actions: {
        tellReady: () => this.#hooks.onReady(),
        tellDraining: () => {
          this.#isDraining = true;
          this.#telling.tell({ type: "daemon.draining" });
        },
        enqueueDue: (_, { sync, dueAt }) =>
          this.#telling.guard(`the schedule of ${sync}`, () =>
            this.#triggers.enqueueDue(sync, dueAt),
          ),
      },
    }) as typeof daemonMachine;
  }

  // Opening and closing

  #open(): readonly Scheduled[] {
    this.#opened = openQueueLedger(this.#config);
    const { ledger } = this.#opened;
    // whoever held the run lock before is gone, and what it had taken waits again
    if (this.#opened.isAlone) ledger.releaseLeases(null);
    this.#renewal = setInterval(() => this.#held.renew(), LEASE_RENEWED_MS);
    this.#inline.warm();
    return this.#listScheduled();
  }

  async #close(): Promise<void> {
    if (this.#renewal) clearInterval(this.#renewal);
    try {
      await this.#fronts.close();
      await this.#inline.close();
    } finally {
      this.#opened?.close();
      this.#opened = null;
    }
  }

  #listScheduled(): Scheduled[] {
    return [...this.#config.schedules].map(([sync, schedule]) => ({
      sync,
      version: JSON.stringify(schedule),
      lastDueAt: this.ledger.lastScheduled(sync),
    }));
  }

  #runEntries() {
    return fromCallback<EntriesOrder>(({ sendBack, receive }) => {
      const end = (queueId: string) =>
        sendBack({ type: "entry.ended", queueId });
      receive((order) => {
        if (order.type !== "entry.begin") {
          this.#held.stopAll(order.type === "run.abort");
          return;
        }
        const { queueId } = order.run;
        const run = this.#held.find(queueId);
        if (run) void this.#held.work(run).then(() => end(queueId));
        else end(queueId);
      });
    });
  }

  /** Keeps runs of the sync waiting until the answer is called; null while one is at work here. */
  reserveSync(sync: string): (() => void) | null {
    return this.#held.reserve(sync);
  }

  settled(): Promise<void> {
    return this.ledger.settled();
  }

  // Triggers

  trigger(order: TriggerOrder): TriggerReceipt {
    return this.#triggers.trigger(this.#catalogue.get(order.sync), order);
  }

  replay(run: string, caller: string): TriggerReceipt {
    const { runId, syncId } = this.ledger.findRun(this.#orders.runIdOf(run));
    const { name } = this.#catalogue.getById(syncId, runId);
    return this.#triggers.replay(name, runId, caller);
  }

  // Orders

  order(run: string, order: RunOrder, caller: string): void {
    this.#orders.order(run, order, caller);
  }

  async orderActor(
    runId: string,
    actor: {
      readonly process: string;
      readonly thread: number;
      readonly id: string;
    },
    order: RunOrder,
  ): Promise<void> {
    const held = this.#held.findRun(runId);
    if (!held)
      throw new ExtractError("RUN_STATE", `run ${runId} is not at work here`, {
        run: runId,
      });
    return held.orderActor(actor, order);
  }

  pauseSync(sync: string, caller: string | null = null): void {
    this.#orders.pauseSync(this.#catalogue.get(sync), caller);
  }

  resumeSync(sync: string, caller: string | null = null): void {
    this.#orders.resumeSync(this.#catalogue.get(sync), caller);
  }

  resetStream(
    sync: string,
    stream: string,
    caller: string | null = null,
  ): void {
    this.#orders.resetStream(this.#catalogue.get(sync), stream, caller);
  }

  backfillStream(sync: string, stream: string, caller: string): TriggerReceipt {
    return this.#orders.backfillStream(
      this.#catalogue.get(sync),
      stream,
      caller,
    );
  }

  // Looking

  /** As they are configured now, with their secrets. */
  get requests(): ReturnType<SyncCatalogue["list"]> {
    return this.#catalogue.list();
  }

  /** What the ledger is asked for is asked when it is looked at: of thousands, most callers look for one. */
  listSyncs(): readonly SyncView[] {
    const paused = new Set(this.ledger.pausedSyncs());
    return this.#catalogue
      .list()
      .map((sync) => this.#view(sync, paused.has(sync.name)));
  }

  findSync(name: string): SyncView | null {
    const sync = this.#catalogue.find(name);
    return sync && this.#view(sync, this.ledger.syncStateOf(name).isPaused);
  }

  #view(sync: CatalogueSync, isPaused: boolean): SyncView {
    const held = this.#held;
    const { ledger } = this;
    const { name, syncId } = sync;
    const { nextRuns } = this.#actor.getSnapshot().context;
    return {
      ...{ name, syncId, isPaused },
      source: sync.source,
      destination: sync.destination,
      mode: sync.request.mode,
      schedule: sync.schedule,
      nextRunAt: nextRuns[name] ?? null,
      pause: isPaused ? readPause(ledger.syncStateOf(name).reasonJson) : null,
      get queued() {
        return ledger.countQueue(name).queued;
      },
      get running() {
        return held
          .ofSync(name)
          .map(({ runId, entry }) => runId ?? entry.queueId);
      },
      get lastRun() {
        return ledger.listRuns({ syncIds: [syncId], limit: 1 })[0] ?? null;
      },
    };
  }

  listQueue(filter: {
    readonly sync: string | null;
    readonly states: readonly QueueState[] | null;
    readonly limit: number;
  }): readonly QueuedRun[] {
    return this.ledger.listQueue(filter);
  }

  liveRuns(): readonly LiveRun[] {
    return this.#held.describe();
  }

  liveRun(runId: string): LiveRun | null {
    return this.#held.findRun(runId)?.describe() ?? null;
  }

  subscribe(listener: (event: DaemonEvent) => void): () => void {
    return this.#telling.subscribe(listener);
  }

  inspect(listener: InspectionListener): () => void {
    return this.#telling.inspect(listener);
  }

  /** The same as they come: JSON lines, which nobody has read. Runs that begin while nobody listens are not inspected. */
  inspectLines(listener: (runId: string, lines: string) => void): () => void {
    return this.#telling.inspectLines(listener);
  }

  // Configuration

  /** Takes a new configuration; runs at work keep theirs. Gives what it changes, in words. */
  reload(config: MillraceConfig): readonly string[] {
    const before = this.#config;
    const changes = describeChanges(before, config);
    const { limits, drainMs } = settingsOf(config);
    const catalogue = new SyncCatalogue(config);
    this.#config = config;
    this.#catalogue = catalogue;
    this.#actor.send({
      type: "config.changed",
      limits,
      drainMs,
      schedules: this.#listScheduled(),
    });
    this.ledger.recordDaemonEvent(
      null,
      "config.reloaded",
      JSON.stringify({ changes: changes.slice(0, CHANGES_LISTED_MAX) }),
    );
    this.#telling.tell({ type: "config.reloaded", changes });
    return changes;
  }
}

const noFronts: Fronts = {
  open: async () => {},
  quiet: async () => {},
  close: async () => {},
};

/** @throws ExtractError CONFIG_INVALID for a file that no daemon is meant to read */
function settingsOf({ daemon, file }: MillraceConfig): DaemonSettings {
  if (daemon) return daemon;
  throw new ExtractError(
    "CONFIG_INVALID",
    `${file} has no \`daemon\`; \`daemon: {}\` takes all defaults`,
  );
}
