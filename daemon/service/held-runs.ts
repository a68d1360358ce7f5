/** The runs that this daemon holds: taken from the queue within its limits, kept by leases, given back when it leaves. */
import { PermitBook, type RunPermit } from "../../actors/daemon/permits.ts";
import type {
  TakeInput,
  TakeOutput,
  TakenRun,
} from "../../actors/daemon/run-queue.machine.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import { QueuePlace } from "../../checkpoint/store/queue-leases.ts";
import type { QueuedRun, QueueState } from "../../checkpoint/store/queue.ts";
import type { RetrySettings } from "../config-daemon.ts";
import type { InlineRuns } from "../inline/inline-runs.ts";
import type { Turns } from "../inline/turns.ts";
import type { SyncCatalogue } from "./catalogue.ts";
import { HeldRun } from "./held-run.ts";
import { describePermit } from "./permit.ts";
import { prepareRun } from "./prepare.ts";
import { SchemaWatch } from "./schema-watch.ts";
import type { Telling } from "./telling.ts";
import type { LiveRun } from "./types.ts";

/** A daemon that has been silent for so long has its runs taken over. */
const LEASE_MS = 30_000;
export const LEASE_RENEWED_MS = 10_000;
/** Runs that are taken in one transaction. */
const TAKEN_AT_ONCE = 8;
/** After so long the queue is looked through from its oldest entry on. */
const LOOKED_THROUGH_EVERY_MS = 5_000;

export interface HeldRunsSurroundings {
  readonly daemonId: string;
  readonly ledger: () => Ledger;
  /** As configured now: what is reloaded later is for later runs. */
  readonly catalogue: () => SyncCatalogue;
  readonly retry: () => RetrySettings;
  readonly inline: InlineRuns;
  /** In which runs begin. */
  readonly turns: Turns;
  /** Nobody else takes from this queue, or adds to it. */
  readonly isAlone: () => boolean;
  readonly telling: Telling;
  readonly onState: (queueId: string, sync: string, state: QueueState) => void;
  /** Something can be taken from the queue. */
  readonly wake: () => void;
}

export class HeldRuns {
  readonly #around: HeldRunsSurroundings;
  readonly #runs = new Map<string, HeldRun>();
  /** Of those with processes of their own. */
  readonly #permits = new Map<string, RunPermit>();
  /** Names of syncs of which no run may begin just now. */
  readonly #reserved = new Set<string>();
  readonly #place = new QueuePlace();
  #placedAt = -Infinity;

  constructor(around: HeldRunsSurroundings) {
    this.#around = around;
  }

  get #ledger(): Ledger {
    return this.#around.ledger();
  }

  find(queueId: string): HeldRun | null {
    return this.#runs.get(queueId) ?? null;
  }

  findRun(runId: string): HeldRun | null {
    return this.list().find((run) => run.runId === runId) ?? null;
  }

  list(): readonly HeldRun[] {
    return [...this.#runs.values()];
  }

  ofSync(sync: string): readonly HeldRun[] {
    return this.list().filter(({ entry }) => entry.sync === sync);
  }

  describe(): readonly LiveRun[] {
    return this.list().map((run) => run.describe());
  }

  async take({ limits, held }: TakeInput): Promise<TakeOutput> {
    const book = new PermitBook(
      limits,
      held.map(({ permit }) => permit),
      this.#around.inline.connections.used,
    );
    this.#around.inline.connections.letIn();
    const limit = Math.min(book.free, TAKEN_AT_ONCE);
    const taken: TakenRun[] = [];
    if (limit > 0) {
      const permits = new Map<string, RunPermit>();
      const entries = this.#takeQueued(limit, (entry) => {
        const permit = this.#permitOf(book, entry);
        if (permit) permits.set(entry.queueId, permit);
        return permit !== null;
      });
      for (const entry of entries) {
        const permit = permits.get(entry.queueId);
        if (permit) taken.push(this.#hold(entry, permit));
      }
    }
    if (limit > 0 && taken.length === limit) return { taken, nextInMs: 0 };
    const nextDueAt = this.#ledger.nextDueAt();
    return {
      taken,
      nextInMs:
        nextDueAt === null ? null : Math.max(0, nextDueAt - this.#ledger.now()),
    };
  }

  /** Thousands may wait for runs of their own syncs: they are not looked at anew for each run that ends. */
  #takeQueued(
    limit: number,
    accepts: (entry: Pick<QueuedRun, "queueId" | "sync">) => boolean,
  ): QueuedRun[] {
    const now = performance.now();
    if (
      !this.#around.isAlone() ||
      now - this.#placedAt > LOOKED_THROUGH_EVERY_MS
    ) {
      this.#place.forget();
      this.#placedAt = now;
    }
    try {
      return this.#ledger.takeQueued(this.#around.daemonId, {
        ...{ leaseMs: LEASE_MS, limit, accepts },
        place: this.#place,
      });
    } catch (error) {
      this.#place.forget();
      throw error;
    }
  }

  /** Entries of the sync that were passed over may be taken now. */
  free(sync: string): void {
    this.#place.freed.add(sync);
  }

  /** What is no sync of this configuration waits for a daemon or a file that has it. */
  #permitOf(
    book: PermitBook,
    entry: Pick<QueuedRun, "sync">,
  ): RunPermit | null {
    if (this.#reserved.has(entry.sync)) return null;
    const sync = this.#around.catalogue().find(entry.sync);
    if (!sync) return null;
    const { inline } = this.#around;
    const permit = describePermit(entry.sync, sync.request);
    if (inline.isSmall(this.#ledger, sync))
      return book.give(inline.fitPermit(permit));
    const given = book.give(permit);
    // those that come in one by one would leave it waiting for ever
    if (!given) inline.connections.keepBack(permit);
    return given;
  }

  /** Of runs with processes of their own. */
  countConnections(server: string): number {
    let count = 0;
    for (const { source, connections } of this.#permits.values())
      if (source === server) count += connections;
    return count;
  }

  #hold(entry: QueuedRun, permit: RunPermit): TakenRun {
    const { telling, onState, inline } = this.#around;
    const sync = this.#around.catalogue().get(entry.sync);
    const ledger = this.#ledger;
    const watch = new SchemaWatch(ledger, sync, entry, (why) =>
      telling.tell({ type: "sync.paused", sync: entry.sync, why }),
    );
    const run = new HeldRun(
      {
        ledger,
        entry,
        permit,
        retry: this.#around.retry(),
        prepare: () => {
          const { request, options } = prepareRun(ledger, sync, entry, permit);
          const onInspected = (lines: string) => run.noteInspected(lines);
          return {
            request: permit.isInline ? inline.fit(request) : request,
            options: {
              ...options,
              ...(permit.isInline && {
                placement: inline.place(permit, request),
              }),
              onInspected: telling.isInspected ? onInspected : null,
            },
          };
        },
      },
      {
        onEvent: ({ runId }, event) => {
          watch.note(event);
          if (event.type === "run.finished") inline.note(sync, event.summary);
          const { queueId, sync: name } = entry;
          telling.tell({
            type: "run.event",
            queueId,
            sync: name,
            runId,
            event,
          });
        },
        onInspected: (runId, lines) => telling.tellInspected(runId, lines),
        onEnded: (_, summary) => watch.settle(summary),
        onState: (_, state) => onState(entry.queueId, entry.sync, state),
      },
    );
    this.#runs.set(entry.queueId, run);
    if (!permit.isInline) this.#permits.set(entry.queueId, permit);
    return { queueId: entry.queueId, permit };
  }

  /** Does a run that was taken, to its end. */
  async work(run: HeldRun): Promise<void> {
    const { queueId, sync } = run.entry;
    this.#around.onState(queueId, sync, "taken");
    await new Promise<void>((begin) => this.#around.turns.add(begin));
    await run.run();
    this.#forget(queueId);
    if (run.fault !== null)
      this.#around.telling.trouble(
        `the run of ${queueId} (${sync})`,
        run.fault,
      );
  }

  #forget(queueId: string): void {
    const sync = this.#runs.get(queueId)?.entry.sync;
    this.#runs.delete(queueId);
    if (sync !== undefined) this.free(sync);
    if (this.#permits.delete(queueId))
      this.#around.inline.connections.recount();
  }

  /** Of a daemon that leaves. */
  stopAll(isAtOnce: boolean): void {
    for (const run of this.list()) run.stop("drain", isAtOnce);
  }

  /** What was taken and not begun. */
  giveBack(taken: readonly TakenRun[]): void {
    for (const { queueId } of taken) {
      const run = this.#runs.get(queueId);
      this.#forget(queueId);
      if (!run) continue;
      const { epoch, errorJson } = run.entry;
      this.#around.telling.guard(queueId, () =>
        this.#ledger.requeue(queueId, epoch, null, errorJson),
      );
    }
  }

  /** Leases are by the ledger's clock; one that somebody else has now is a run that must not go on here. */
  renew(): void {
    const { telling, daemonId } = this.#around;
    telling.guard("the leases", () => {
      const { held, lost } = this.#ledger.renewLeases(
        daemonId,
        LEASE_MS,
        this.list().map(({ entry }) => entry),
      );
      for (const queueId of lost) this.#runs.get(queueId)?.stop("lost", true);
      for (const { queueId, epoch } of held)
        if (!this.#runs.has(queueId))
          this.#ledger.requeue(queueId, epoch, null);
    });
  }

  /** Keeps runs of the sync waiting until the answer is called; null while one is at work here. */
  reserve(sync: string): (() => void) | null {
    if (this.ofSync(sync).length > 0 || this.#reserved.has(sync)) return null;
    this.#reserved.add(sync);
    return () => {
      this.#reserved.delete(sync);
      this.free(sync);
      this.#around.wake();
    };
  }
}
