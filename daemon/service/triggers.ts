/** How runs come to be wanted: triggers, schedules, and past runs that are to be repeated. Each is an entry of the queue. */
import { createHash } from "node:crypto";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueueRequest, QueueState } from "../../checkpoint/store/queue.ts";
import type { CatalogueSync } from "./catalogue.ts";
import {
  checkScope,
  isWhole,
  readScope,
  uniteScopes,
  wholeScope,
  writeScope,
} from "./scope.ts";
import type {
  RunScope,
  TriggerOrder,
  TriggerOrigin,
  TriggerReceipt,
} from "./types.ts";

/** Entries of one sync that a due schedule looks through. */
const LISTED_MAX = 1_000;

export interface TriggerSurroundings {
  readonly ledger: () => Ledger;
  readonly onState: (queueId: string, sync: string, state: QueueState) => void;
  /** Something can be taken from the queue. */
  readonly wake: () => void;
}

/** Equal for equal orders of one caller; null where it may not come again. */
export function identifyRequest({
  idempotencyKey,
  origin,
  ...order
}: TriggerOrder): QueueRequest | null {
  if (typeof idempotencyKey !== "string" || origin.kind !== "api") return null;
  const { sync, key, scope } = order;
  const text = JSON.stringify([sync, key, writeScope(scope)]);
  const fingerprint = createHash("sha256").update(text).digest("hex");
  return { caller: origin.caller, key: idempotencyKey, fingerprint };
}

export class Triggers {
  readonly #around: TriggerSurroundings;

  constructor(around: TriggerSurroundings) {
    this.#around = around;
  }

  get #ledger(): Ledger {
    return this.#around.ledger();
  }

  trigger({ request }: CatalogueSync, order: TriggerOrder): TriggerReceipt {
    checkScope(order.scope, request);
    const { origin } = order;
    const enqueued = this.#ledger.enqueue({
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
              writtenAt: origin.writtenAt,
            }
          : null,
      request: identifyRequest(order),
      mergeScope: uniteScopes,
    });
    if (enqueued.result === "queued")
      this.#around.onState(enqueued.queueId, order.sync, "queued");
    this.#around.wake();
    return enqueued;
  }

  /** What is still to be done, or waits, covers what comes due: a sync never runs twice at once. */
  enqueueDue(sync: string, dueAt: number): void {
    const ledger = this.#ledger;
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
      return this.record(sync, origin, wholeScope).queueId;
    });
    if (queueId !== null) this.tellQueued(queueId, sync);
  }

  replay(sync: string, ofRun: string, caller: string): TriggerReceipt {
    const receipt = this.record(
      sync,
      { kind: "replay", ofRun, caller },
      wholeScope,
    );
    this.tellQueued(receipt.queueId, sync);
    return receipt;
  }

  /** Into the queue; to be told by `tellQueued` once the transaction around it is done. */
  record(sync: string, origin: TriggerOrigin, scope: RunScope): TriggerReceipt {
    return this.#ledger.enqueue({
      sync,
      key: null,
      originJson: JSON.stringify(origin),
      scopeJson: writeScope(scope),
      dueAt: null,
      message: null,
    });
  }

  tellQueued(queueId: string, sync: string): void {
    this.#around.onState(queueId, sync, "queued");
    this.#around.wake();
  }
}
