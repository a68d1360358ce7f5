/**
 * Calls the hooks of syncs when their runs are over. That a hook is due is recorded before it is called, and that it was
 * called after: a daemon that dies in between calls it again when it starts, so a hook is called at least once.
 */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { RunSummary } from "../request.ts";
import type { DaemonEvent, DaemonService } from "../service/types.ts";
import type { AfterRunHook } from "./config.ts";
import {
  callHook,
  describeRun,
  isDue,
  type HookOutcome,
  type HookPayload,
} from "./hook.ts";

/** Hooks that are called at once; the others wait. */
const CALLED_AT_ONCE_MAX = 4;
/** Runs of a sync that are looked through for hooks that an earlier daemon has not called. */
const RUNS_LOOKED_AT = 20;

const DUE = "hook.due";
const ENDED = "hook.ended";

export interface AfterRunsInput {
  readonly service: Pick<DaemonService, "subscribe" | "listSyncs">;
  readonly ledger: Pick<Ledger, "recordEvent" | "eventsOf" | "listRuns">;
  /** As configured now. */
  readonly hookOf: (sync: string) => AfterRunHook | null;
  /** Without secrets. */
  readonly cover: (text: string) => string;
  readonly onEnded: (payload: HookPayload, outcome: HookOutcome) => void;
}

interface Waiting {
  readonly hook: AfterRunHook;
  readonly payload: HookPayload;
}

export class AfterRuns {
  readonly #input: AfterRunsInput;
  readonly #summaries = new Map<string, RunSummary>();
  readonly #waiting: Waiting[] = [];
  readonly #calls = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #unsubscribe: () => void;

  constructor(input: AfterRunsInput) {
    this.#input = input;
    this.#unsubscribe = input.service.subscribe((event) => this.#hear(event));
    this.#recall();
  }

  /** Hooks that are at work are waited for until their own time is over, unless `isAtOnce`. */
  async close(isAtOnce = false): Promise<void> {
    this.#unsubscribe();
    if (isAtOnce) this.#stopping.abort();
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  #hear(event: DaemonEvent): void {
    if (event.type === "run.event") {
      if (event.event.type === "run.finished")
        this.#summaries.set(event.queueId, event.event.summary);
      return;
    }
    if (event.type !== "queue.changed") return;
    const { queueId, sync, state } = event;
    if (state !== "succeeded" && state !== "failed" && state !== "cancelled") {
      // it goes on later: what it ended with for now is nobody's end
      if (state !== "taken") this.#summaries.delete(queueId);
      return;
    }
    const summary = this.#summaries.get(queueId) ?? null;
    this.#summaries.delete(queueId);
    const hook = this.#input.hookOf(sync);
    const end =
      summary?.state === "partlyFailed" && state !== "cancelled"
        ? "partlyFailed"
        : state;
    if (!hook || !isDue(hook, end)) return;
    const runId = summary?.runId ?? null;
    const payload = describeRun(sync, runId, end, summary);
    if (runId !== null)
      this.#input.ledger.recordEvent(runId, DUE, JSON.stringify(payload));
    this.#add({ hook, payload });
  }

  /** What an earlier daemon has recorded as due and not as called. */
  #recall(): void {
    const { service, ledger, hookOf } = this.#input;
    for (const { name, syncId } of service.listSyncs()) {
      const hook = hookOf(name);
      if (!hook) continue;
      const runs = ledger.listRuns({
        syncIds: [syncId],
        limit: RUNS_LOOKED_AT,
      });
      for (const { runId } of runs.toReversed()) {
        const events = ledger.eventsOf(runId);
        const due = events.findLast(({ kind }) => kind === DUE);
        const ended = events.filter(({ kind }) => kind === ENDED).length;
        if (due && events.filter(({ kind }) => kind === DUE).length > ended)
          this.#add({
            hook,
            payload: JSON.parse(due.detailsJson) as HookPayload,
          });
      }
    }
  }

  #add(one: Waiting): void {
    this.#waiting.push(one);
    this.#callNext();
  }

  #callNext(): void {
    if (this.#calls.size >= CALLED_AT_ONCE_MAX) return;
    const next = this.#waiting.shift();
    if (!next) return;
    const call = this.#call(next).finally(() => {
      this.#calls.delete(call);
      this.#callNext();
    });
    this.#calls.add(call);
    this.#callNext();
  }

  async #call({ hook, payload }: Waiting): Promise<void> {
    const { ledger, onEnded, cover } = this.#input;
    const called = await callHook(hook, payload, this.#stopping.signal);
    // one that was cut off by the end of this daemon is called again by the next
    if (this.#stopping.signal.aborted && !called.succeeded) return;
    const outcome = {
      ...called,
      result: cover(called.result),
      answer: cover(called.answer),
    };
    if (payload.runId !== null)
      ledger.recordEvent(payload.runId, ENDED, JSON.stringify(outcome));
    onEnded(payload, outcome);
  }
}
