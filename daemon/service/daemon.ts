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
import { PermitBook } from "../../actors/daemon/permits.ts";
import {
  runQueueMachine,
  type RunStop,
  type TakeInput,
  type TakeOutput,
  type TakenRun,
} from "../../actors/daemon/run-queue.machine.ts";
import { schedulerMachine } from "../../actors/daemon/scheduler.machine.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun, QueueState } from "../../checkpoint/store/queue.ts";
import type { InspectionRecord } from "../../proto/control.ts";
import { ExtractError, type WireError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import type { DaemonSettings } from "../config-daemon.ts";
import type { MillraceConfig } from "../config.ts";
import type { RunEvent } from "../request.ts";
import { describeChanges } from "./config-changes.ts";
import { HeldRun } from "./held-run.ts";
import { describePermit } from "./permit.ts";
import { openQueueLedger, type OpenedLedger } from "./open-ledger.ts";
import { findNextDue } from "./due.ts";
import { prepareRun } from "./prepare.ts";
import { SyncCatalogue } from "./catalogue.ts";
import {
  checkScope,
  isWhole,
  readScope,
  uniteScopes,
  writeScope,
  wholeScope,
} from "./scope.ts";
import type {
  DaemonEvent,
  DaemonService,
  InspectionListener,
  LiveRun,
  RunOrder,
  SyncView,
  TriggerOrder,
  TriggerOrigin,
  TriggerReceipt,
} from "./types.ts";

/** A daemon that has been silent for so long has its runs taken over. */
export const LEASE_MS = 30_000;
const LEASE_RENEWED_MS = 10_000;

const LISTED_MAX = 1_000;

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

type LinesListener = (runId: string, lines: string) => void;

/** Without what the daemon adds. */
type Detached<T> = T extends unknown ? Omit<T, "sequence" | "at"> : never;

export class Daemon implements DaemonService {
  readonly id = `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(4).toString("hex")}`;
  readonly startedAt = Date.now();
  readonly #hooks: DaemonHooks;
  readonly #actor: Actor<typeof daemonMachine>;
  readonly #held = new Map<string, HeldRun>();
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  readonly #inspectors = new Set<LinesListener>();
  #fronts: Fronts;
  #config: MillraceConfig;
  #catalogue: SyncCatalogue;
  #opened: OpenedLedger | null = null;
  #renewal: NodeJS.Timeout | null = null;
  #sequence = 0;
  #isDraining = false;

  /** @param config of a file with a `daemon` */
  constructor(config: MillraceConfig, hooks: DaemonHooks) {
    this.#config = config;
    this.#hooks = hooks;
    this.#catalogue = new SyncCatalogue(config);
    this.#fronts = noFronts;
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
            takeRuns: fromPromise(async ({ input }) => this.#take(input)),
            runEntry: this.#runEntry(),
          },
          actions: {
            giveBack: (_, { taken }) => this.#giveBack(taken),
            reportTrouble: (_, { error }) =>
              this.#trouble("the queue could not be read", error),
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
          this.#emit({ type: "daemon.draining" });
        },
        enqueueDue: (_, { sync, dueAt }) =>
          this.#guard(`the schedule of ${sync}`, () =>
            this.#enqueueDue(sync, dueAt),
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
    this.#renewal = setInterval(() => this.#renew(), LEASE_RENEWED_MS);
    return this.#listScheduled();
  }

  async #close(): Promise<void> {
    if (this.#renewal) clearInterval(this.#renewal);
    try {
      await this.#fronts.close();
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

  /** Leases are by the ledger's clock; one that somebody else has now is a run that must not go on here. */
  #renew(): void {
    this.#guard("the leases", () => {
      const believed = [...this.#held.values()].map(({ entry }) => entry);
      const { held, lost } = this.ledger.renewLeases(
        this.id,
        LEASE_MS,
        believed,
      );
      for (const queueId of lost) this.#held.get(queueId)?.stop("lost", true);
      for (const { queueId, epoch } of held)
        if (!this.#held.has(queueId)) this.ledger.requeue(queueId, epoch, null);
    });
  }

  // The queue

  async #take({ limits, held }: TakeInput): Promise<TakeOutput> {
    const book = new PermitBook(
      limits,
      held.map(({ permit }) => permit),
    );
    const taken: TakenRun[] = [];
    if (book.free > 0) {
      const permits = new Map<string, TakenRun["permit"]>();
      const entries = this.ledger.takeQueued(this.id, {
        leaseMs: LEASE_MS,
        limit: book.free,
        accepts: (entry) => {
          const permit = this.#permitOf(book, entry);
          if (permit) permits.set(entry.queueId, permit);
          return permit !== null;
        },
      });
      for (const entry of entries) {
        const permit = permits.get(entry.queueId);
        if (permit) taken.push(this.#hold(entry, permit));
      }
    }
    const nextDueAt = this.ledger.nextDueAt();
    return {
      taken,
      nextInMs:
        nextDueAt === null ? null : Math.max(0, nextDueAt - this.ledger.now()),
    };
  }

  /** What is no sync of this configuration waits for a daemon or a file that has it. */
  #permitOf(
    book: PermitBook,
    entry: Pick<QueuedRun, "sync">,
  ): TakenRun["permit"] | null {
    const request = this.#catalogue.find(entry.sync)?.request;
    return request ? book.give(describePermit(entry.sync, request)) : null;
  }

  #hold(entry: QueuedRun, permit: TakenRun["permit"]): TakenRun {
    const { retry } = this.#settings;
    // as configured now: what is reloaded later is for later runs
    const sync = this.#catalogue.get(entry.sync);
    const run = new HeldRun(
      {
        ledger: this.ledger,
        entry,
        permit,
        retry,
        prepare: () => {
          const prepared = prepareRun(this.ledger, sync, entry, permit);
          const onInspected = (lines: string) => run.noteInspected(lines);
          return {
            ...prepared,
            options: {
              ...prepared.options,
              onInspected: this.#inspectors.size === 0 ? null : onInspected,
            },
          };
        },
      },
      {
        onEvent: (held, event) => this.#tellRun(held, event),
        onInspected: (runId, lines) => this.#tellInspected(runId, lines),
        onState: ({ entry: { queueId, sync: name } }, state) =>
          this.#tellQueue(queueId, name, state),
      },
    );
    this.#held.set(entry.queueId, run);
    return { queueId: entry.queueId, permit };
  }

  #runEntry() {
    return fromCallback<{ type: RunStop }, TakenRun>(
      ({ input: { queueId }, sendBack, receive }) => {
        const run = this.#held.get(queueId);
        if (!run) {
          sendBack({ type: "entry.ended", queueId });
          return;
        }
        receive(({ type }) => run.stop("drain", type === "run.abort"));
        this.#tellQueue(queueId, run.entry.sync, "taken");
        void run.run().then(() => {
          this.#held.delete(queueId);
          if (run.fault !== null)
            this.#trouble(
              `the run of ${queueId} (${run.entry.sync})`,
              run.fault,
            );
          sendBack({ type: "entry.ended", queueId });
        });
      },
    );
  }

  #giveBack(taken: readonly TakenRun[]): void {
    for (const { queueId } of taken) {
      const run = this.#held.get(queueId);
      this.#held.delete(queueId);
      this.#guard(queueId, () => {
        if (run)
          this.ledger.requeue(
            queueId,
            run.entry.epoch,
            null,
            run.entry.errorJson,
          );
      });
    }
  }

  #wake(): void {
    this.#actor.send({ type: "queue.changed" });
  }

  // Triggers

  trigger(order: TriggerOrder): TriggerReceipt {
    const sync = this.#catalogue.get(order.sync);
    checkScope(order.scope, sync.request);
    const { origin } = order;
    const enqueued = this.ledger.enqueue({
      sync: order.sync,
      key: order.key,
      originJson: JSON.stringify(origin),
      scopeJson: writeScope(order.scope),
      dueAt: null,
      message:
        origin.kind === "kafka"
          ? {
              topic: origin.topic,
              partition: origin.partition,
              offset: origin.offset,
            }
          : null,
      mergeScope: uniteScopes,
    });
    if (enqueued.result === "queued")
      this.#tellQueue(enqueued.queueId, order.sync, "queued");
    this.#wake();
    return enqueued;
  }

  /** What is still to be done, or waits, covers what comes due: a sync never runs twice at once. */
  #enqueueDue(sync: string, dueAt: number): void {
    const { ledger } = this;
    const queueId = ledger.transaction(() => {
      if (!ledger.recordScheduled(sync, dueAt)) return null;
      if (ledger.pausedSyncs().includes(sync)) return null;
      const unfinished = ledger.listQueue({
        sync,
        states: ["queued", "taken", "paused"],
        limit: LISTED_MAX,
      });
      if (unfinished.some(({ scopeJson }) => isWhole(readScope(scopeJson))))
        return null;
      const origin: TriggerOrigin = { kind: "schedule", dueAt };
      return this.#record(sync, origin, writeScope(wholeScope)).queueId;
    });
    if (queueId === null) return;
    this.#tellQueue(queueId, sync, "queued");
    this.#wake();
  }

  replay(run: string, caller: string): TriggerReceipt {
    const { runId, syncId } = this.ledger.findRun(this.#runIdOf(run));
    const sync = this.#catalogue.getById(syncId, runId);
    const origin: TriggerOrigin = { kind: "replay", ofRun: runId, caller };
    const receipt = this.#record(sync.name, origin, writeScope(wholeScope));
    this.#tellQueue(receipt.queueId, sync.name, "queued");
    this.#wake();
    return receipt;
  }

  #record(
    sync: string,
    origin: TriggerOrigin,
    scopeJson: string,
  ): TriggerReceipt {
    return this.ledger.enqueue({
      sync,
      key: null,
      originJson: JSON.stringify(origin),
      scopeJson,
      dueAt: null,
      message: null,
    });
  }

  // Orders

  order(run: string, order: RunOrder, caller: string): void {
    const entry = this.#entryOf(run);
    const held = this.#held.get(entry.queueId);
    switch (order) {
      case "pause":
      case "cancel":
        if (held) held.order(order);
        else if (order === "pause") this.ledger.pauseQueued(entry.queueId);
        else this.ledger.cancelQueued(entry.queueId);
        if (!held)
          this.#tellQueue(
            entry.queueId,
            entry.sync,
            order === "pause" ? "paused" : "cancelled",
          );
        break;
      case "resume":
        this.ledger.resumeQueued(entry.queueId);
        this.#tellQueue(entry.queueId, entry.sync, "queued");
        break;
      case "retry":
        this.#retry(entry, caller);
        break;
    }
    this.#wake();
  }

  /** What is over begins again as a new entry, which goes on with the run where that can be; what waits need not wait. */
  #retry(entry: QueuedRun, caller: string): void {
    const { queueId, sync, state, runId, scopeJson } = entry;
    const ofRun = runId ?? queueId;
    const origin: TriggerOrigin = { kind: "retry", ofRun, caller };
    if (state === "taken" || state === "succeeded")
      throw new ExtractError("RUN_STATE", `${queueId} is ${state}`, {
        queueId,
        state,
      });
    const receipt = this.ledger.transaction(() => {
      if (state === "queued" || state === "paused")
        this.ledger.cancelQueued(queueId);
      return this.#record(sync, origin, scopeJson);
    });
    this.#tellQueue(receipt.queueId, sync, "queued");
  }

  #runIdOf(run: string): string {
    if (!run.startsWith("q-")) return run;
    const { runId } = this.ledger.queuedOf(run);
    if (runId !== null) return runId;
    throw new ExtractError("RUN_STATE", `${run} has not become a run yet`, {
      queueId: run,
    });
  }

  #entryOf(run: string): QueuedRun {
    if (run.startsWith("q-")) return this.ledger.queuedOf(run);
    const { runId } = this.ledger.findRun(run);
    const entry = this.ledger.queuedOfRun(runId);
    if (entry) return entry;
    throw new ExtractError(
      "RUN_STATE",
      `run ${runId} was not begun by a daemon; replay it, or trigger its sync`,
      { run: runId },
    );
  }

  orderActor(
    runId: string,
    actor: {
      readonly process: string;
      readonly thread: number;
      readonly id: string;
    },
    order: RunOrder,
  ): void {
    const held = [...this.#held.values()].find((run) => run.runId === runId);
    if (!held)
      throw new ExtractError("RUN_STATE", `run ${runId} is not at work here`, {
        run: runId,
      });
    held.orderActor(actor, order);
  }

  pauseSync(sync: string): void {
    this.#catalogue.get(sync);
    this.ledger.pauseSync(sync);
    this.#emit({ type: "sync.paused", sync });
  }

  resumeSync(sync: string): void {
    this.#catalogue.get(sync);
    this.ledger.resumeSync(sync);
    this.#emit({ type: "sync.resumed", sync });
    this.#wake();
  }

  resetStream(sync: string, stream: string): void {
    const { syncId } = this.#catalogue.get(sync);
    const place = findStream(this.ledger, syncId, stream);
    this.ledger.resetStream(syncId, place.namespace, place.name);
    this.ledger.recordDaemonEvent(
      sync,
      "stream.reset",
      JSON.stringify({ stream: `${place.namespace}.${place.name}` }),
    );
  }

  // Looking

  listSyncs(): readonly SyncView[] {
    const paused = new Set(this.ledger.pausedSyncs());
    const { nextRuns } = this.#actor.getSnapshot().context;
    return this.#catalogue.list().map((sync) => ({
      name: sync.name,
      syncId: sync.syncId,
      source: sync.source,
      destination: sync.destination,
      mode: sync.request.mode,
      schedule: sync.schedule,
      nextRunAt: nextRuns[sync.name] ?? null,
      isPaused: paused.has(sync.name),
      queued: this.ledger.countQueue(sync.name).queued,
      running: [...this.#held.values()]
        .filter(({ entry }) => entry.sync === sync.name)
        .map(({ runId, entry }) => runId ?? entry.queueId),
      lastRun:
        this.ledger.listRuns({ syncIds: [sync.syncId], limit: 1 })[0] ?? null,
    }));
  }

  listQueue(filter: {
    readonly sync: string | null;
    readonly states: readonly QueueState[] | null;
    readonly limit: number;
  }): readonly QueuedRun[] {
    return this.ledger.listQueue(filter);
  }

  liveRuns(): readonly LiveRun[] {
    return [...this.#held.values()].map((run) => run.describe());
  }

  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  inspect(listener: InspectionListener): () => void {
    return this.inspectLines((runId, lines) => {
      const records = lines
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as InspectionRecord);
      listener(runId, records);
    });
  }

  /** The same as they come: JSON lines, which nobody has read. Runs that begin while nobody listens are not inspected. */
  inspectLines(listener: LinesListener): () => void {
    this.#inspectors.add(listener);
    return () => this.#inspectors.delete(listener);
  }

  // Telling

  #tellQueue(queueId: string, sync: string, state: QueueState): void {
    this.#emit({ type: "queue.changed", queueId, sync, state });
  }

  #tellRun({ entry, runId }: HeldRun, event: RunEvent): void {
    const { queueId, sync } = entry;
    this.#emit({ type: "run.event", queueId, sync, runId, event });
  }

  #tellInspected(runId: string, lines: string): void {
    for (const listener of this.#inspectors)
      this.#guard("an inspector", () => listener(runId, lines));
  }

  #emit(news: Detached<DaemonEvent>): void {
    const event = {
      sequence: ++this.#sequence,
      at: Date.now(),
      ...news,
    } as DaemonEvent;
    for (const listener of this.#listeners)
      this.#guard("a subscriber", () => listener(event));
  }

  /** What goes wrong in one part is told, and ends no other. */
  #guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#trouble(what, error);
    }
  }

  #trouble(what: string, error: unknown): void {
    const words = error instanceof Error ? error.message : String(error);
    this.#hooks.onTrouble(`${what}: ${words}`);
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
      JSON.stringify({ changes: changes.slice(0, LISTED_MAX) }),
    );
    this.#emit({ type: "config.reloaded", changes });
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

/**
 * A stream that runs of the sync have met, by `table` or `schema.table`.
 * @throws ExtractError TRIGGER_INVALID for none, or for more than one
 */
function findStream(
  ledger: Ledger,
  syncId: string,
  stream: string,
): { readonly namespace: string; readonly name: string } {
  const [last] = ledger.listRuns({ syncIds: [syncId], limit: 1 });
  const known = last ? ledger.streamsOf(last.runId) : [];
  const found = known.filter(
    ({ namespace, name }) =>
      stream === name || stream === `${namespace}.${name}`,
  );
  const [one] = found;
  if (one && found.length === 1) return one;
  const names = known.map(({ namespace, name }) => `${namespace}.${name}`);
  const nearest = nearestNames(stream, names)[0];
  throw new ExtractError(
    "TRIGGER_INVALID",
    one
      ? `${stream} is more than one stream; name its schema`
      : `the last run moved no stream ${stream}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
    { stream },
  );
}
