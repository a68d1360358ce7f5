/** What operators order: of runs by their place in the queue, of syncs by name, of streams. */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun } from "../../checkpoint/store/queue.ts";
import { ExtractError } from "../../proto/error.ts";
import { nearestNames } from "../../proto/nearest.ts";
import type { CatalogueSync } from "./catalogue.ts";
import type { HeldRuns } from "./held-runs.ts";
import { agree, explainPause } from "./schema-pause.ts";
import { readScope, wholeScope } from "./scope.ts";
import type { Triggers } from "./triggers.ts";
import type { Telling } from "./telling.ts";
import type { RunOrder, TriggerOrigin, TriggerReceipt } from "./types.ts";
import { nameTable } from "../../proto/table-name.ts";

export interface OrderSurroundings {
  readonly ledger: () => Ledger;
  readonly held: HeldRuns;
  readonly triggers: Triggers;
  readonly telling: Telling;
  readonly wake: () => void;
}

export class Orders {
  readonly #around: OrderSurroundings;

  constructor(around: OrderSurroundings) {
    this.#around = around;
  }

  get #ledger(): Ledger {
    return this.#around.ledger();
  }

  order(run: string, order: RunOrder, caller: string): void {
    const entry = this.#entryOf(run);
    const { queueId } = entry;
    const held = this.#around.held.find(queueId);
    const tell = (state: QueuedRun["state"]) =>
      this.#around.telling.tell({
        type: "queue.changed",
        queueId,
        sync: entry.sync,
        state,
      });
    switch (order) {
      case "pause":
        if (held) held.order(order);
        else {
          this.#ledger.pauseQueued(queueId);
          tell("paused");
        }
        break;
      case "cancel":
        if (held) held.order(order);
        else {
          this.#ledger.cancelQueued(queueId);
          tell("cancelled");
        }
        break;
      case "resume":
        this.#ledger.resumeQueued(queueId);
        this.#around.held.free(entry.sync);
        tell("queued");
        break;
      case "retry":
        this.#retry(entry, caller);
        break;
    }
    this.#around.wake();
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
    const { triggers } = this.#around;
    const receipt = this.#ledger.transaction(() => {
      if (state === "queued" || state === "paused")
        this.#ledger.cancelQueued(queueId);
      return triggers.record(sync, origin, readScope(scopeJson));
    });
    triggers.tellQueued(receipt.queueId, sync);
  }

  /** @throws ExtractError RUN_STATE for an entry that is no run yet */
  runIdOf(run: string): string {
    if (!run.startsWith("q-")) return run;
    const { runId } = this.#ledger.queuedOf(run);
    if (runId !== null) return runId;
    throw new ExtractError("RUN_STATE", `${run} has not become a run yet`, {
      queueId: run,
    });
  }

  #entryOf(run: string): QueuedRun {
    if (run.startsWith("q-")) return this.#ledger.queuedOf(run);
    const { runId } = this.#ledger.findRun(run);
    const entry = this.#ledger.queuedOfRun(runId);
    if (entry) return entry;
    throw new ExtractError(
      "RUN_STATE",
      `run ${runId} was not begun by a daemon; replay it, or trigger its sync`,
      { run: runId },
    );
  }

  pauseSync({ name }: CatalogueSync, caller: string | null): void {
    const ledger = this.#ledger;
    ledger.transaction(() => {
      ledger.pauseSync(name);
      ledger.recordDaemonEvent(name, "sync.paused", JSON.stringify({ caller }));
    });
    this.#around.telling.tell({ type: "sync.paused", sync: name, why: null });
  }

  /** Of one that waits for somebody to agree to what its tables have become, this is the agreement. */
  resumeSync({ name }: CatalogueSync, caller: string | null): void {
    const ledger = this.#ledger;
    ledger.transaction(() => {
      const pause = agree(ledger, name);
      ledger.resumeSync(name);
      ledger.recordDaemonEvent(
        name,
        pause === null ? "sync.resumed" : "schema.agreed",
        JSON.stringify({
          caller,
          ...(pause === null ? {} : { to: explainPause(pause) }),
        }),
      );
    });
    this.#around.telling.tell({ type: "sync.resumed", sync: name });
    this.#around.held.free(name);
    this.#around.wake();
  }

  resetStream(
    sync: CatalogueSync,
    stream: string,
    caller: string | null,
  ): void {
    this.#ledger.transaction(() => this.#reset(sync, stream, caller));
  }

  /** The stream is copied whole by a run of its own, and that copy takes the place of the one that is there. */
  backfillStream(
    sync: CatalogueSync,
    stream: string,
    caller: string,
  ): TriggerReceipt {
    const { triggers } = this.#around;
    const receipt = this.#ledger.transaction(() => {
      const name = this.#reset(sync, stream, caller);
      const origin: TriggerOrigin = { kind: "api", caller };
      return triggers.record(sync.name, origin, {
        ...wholeScope,
        streams: [name],
      });
    });
    triggers.tellQueued(receipt.queueId, sync.name);
    return receipt;
  }

  #reset(
    { name: sync, syncId }: CatalogueSync,
    stream: string,
    caller: string | null,
  ): string {
    const ledger = this.#ledger;
    const place = findStream(ledger, syncId, stream);
    const name = nameTable(place);
    ledger.resetStream(syncId, place.namespace, place.name);
    ledger.recordDaemonEvent(
      sync,
      "stream.reset",
      JSON.stringify({ stream: name, caller }),
    );
    return name;
  }
}

/**
 * A stream that any run of the sync has met, by `table` or `schema.table`.
 * @throws ExtractError TRIGGER_INVALID for none, or for more than one
 */
export function findStream(
  ledger: Pick<Ledger, "streamNamesOf">,
  syncId: string,
  stream: string,
): ReturnType<Ledger["streamNamesOf"]>[number] {
  const known = ledger.streamNamesOf(syncId);
  const found = known.filter(
    ({ namespace, name }) =>
      stream === name || stream === nameTable({ namespace, name }),
  );
  const [one] = found;
  if (one && found.length === 1) return one;
  const names = known.map(({ namespace, name }) =>
    nameTable({ namespace, name }),
  );
  const nearest = nearestNames(stream, names)[0];
  throw new ExtractError(
    "TRIGGER_INVALID",
    one
      ? `${stream} is more than one stream; name its schema`
      : `no run has met a stream ${stream}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
    { stream },
  );
}
