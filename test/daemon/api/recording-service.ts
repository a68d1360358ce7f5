/**
 * A daemon without runs: what is triggered waits in a real ledger, and orders are written down. For what the API does
 * by itself; what a daemon makes of it is tested with one.
 */
import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import { identifyRequest } from "../../../daemon/service/triggers.ts";
import type { QueueState } from "../../../checkpoint/store/queue.ts";
import { ExtractError } from "../../../proto/error.ts";
import type {
  DaemonEvent,
  DaemonService,
  LiveRun,
  RunOrder,
  SyncView,
  TriggerOrder,
  TriggerReceipt,
} from "../../../daemon/service/types.ts";

type Unsent<Event> = Event extends unknown
  ? Omit<Event, "sequence" | "at">
  : never;

export class RecordingService implements DaemonService {
  readonly id = "d-test";
  readonly startedAt = 1_795_239_846_000;
  readonly orders: unknown[] = [];
  readonly live: LiveRun[] = [];
  isDraining = false;
  syncs: readonly SyncView[];
  /** Thrown by the next call that orders something. */
  fault: Error | null = null;
  readonly #ledger: Ledger;
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  #sequence = 0;

  constructor(ledger: Ledger, syncs: readonly SyncView[]) {
    this.#ledger = ledger;
    this.syncs = syncs;
  }

  tell(event: Unsent<DaemonEvent>): void {
    this.#sequence += 1;
    const told = { sequence: this.#sequence, at: Date.now(), ...event };
    for (const listener of this.#listeners) listener(told as DaemonEvent);
  }

  listSyncs(): readonly SyncView[] {
    return this.syncs;
  }

  findSync(name: string): SyncView | null {
    return this.syncs.find((sync) => sync.name === name) ?? null;
  }

  liveRun(runId: string): LiveRun | null {
    return this.live.find((run) => run.runId === runId) ?? null;
  }

  settled(): Promise<void> {
    return this.#ledger.settled();
  }

  trigger(order: TriggerOrder): TriggerReceipt {
    this.#note("trigger", order);
    const receipt = this.#ledger.enqueue({
      sync: order.sync,
      key: order.key,
      originJson: JSON.stringify(order.origin),
      scopeJson: JSON.stringify(order.scope),
      dueAt: null,
      message: null,
      request: identifyRequest(order),
    });
    const { queueId } = receipt;
    this.tell({
      type: "queue.changed",
      queueId,
      sync: order.sync,
      state: "queued",
    });
    return receipt;
  }

  listQueue(filter: {
    readonly sync: string | null;
    readonly states: readonly QueueState[] | null;
    readonly limit: number;
  }) {
    return this.#ledger.listQueue(filter);
  }

  liveRuns(): readonly LiveRun[] {
    return this.live;
  }

  order(run: string, order: RunOrder, caller: string): void {
    this.#findRun(run);
    this.#note(order, { run, caller });
  }

  replay(run: string, caller: string): TriggerReceipt {
    this.#findRun(run);
    this.#note("replay", { run, caller });
    return { queueId: "q-1", result: "queued" };
  }

  pauseSync(sync: string): void {
    this.#note("pauseSync", sync);
  }

  resumeSync(sync: string): void {
    this.#note("resumeSync", sync);
  }

  resetStream(sync: string, stream: string): void {
    this.#note("resetStream", { sync, stream });
  }

  backfillStream(sync: string, stream: string, caller: string): TriggerReceipt {
    this.#note("backfillStream", { sync, stream, caller });
    return { queueId: "q-1", result: "queued" };
  }

  async orderActor(
    ...given: Parameters<DaemonService["orderActor"]>
  ): Promise<void> {
    this.#note("orderActor", given);
  }

  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  inspect(): () => void {
    return () => {};
  }

  #findRun(run: string): void {
    if (run.startsWith("q-")) this.#ledger.queuedOf(run);
    else this.#ledger.findRun(run);
  }

  #note(order: string, given: unknown): void {
    if (this.fault !== null) {
      const fault = this.fault;
      this.fault = null;
      throw fault;
    }
    this.orders.push({ order, given });
  }
}

export const refused = new ExtractError(
  "RUN_STATE",
  "r-1 is succeeded, which cannot be paused",
  { state: "succeeded" },
);
