/**
 * One run that this daemon holds, from its place in the queue to the end of its attempt, and what becomes of that place.
 * What goes wrong with it, and be it the ledger, ends this run and no other.
 */
import type { RunPermit } from "../../actors/daemon/permits.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun, QueueState } from "../../checkpoint/store/queue.ts";
import {
  errorCodes,
  ExtractError,
  toWireError,
  type WireError,
} from "../../proto/error.ts";
import type { RetrySettings } from "../config-daemon.ts";
import { refused } from "../actor-orders.ts";
import type {
  ActorName,
  RunEvent,
  RunHandle,
  RunSummary,
  SyncRequest,
} from "../request.ts";
import { startRun, type RunOptions } from "../sync.ts";
import { RunProgress } from "./run-progress.ts";
import type { LiveRun, RunOrder } from "./types.ts";

const RETRYABLE_EXIT_CODE = 3;

/** Why a run is stopped before its end; `lost`: another daemon has it. */
type StopReason = "drain" | "pause" | "cancel" | "lost";

export interface HeldRunInput {
  readonly ledger: Ledger;
  readonly entry: QueuedRun;
  readonly permit: RunPermit;
  readonly retry: RetrySettings;
  /** May throw what keeps the run from beginning. */
  readonly prepare: () => {
    readonly request: SyncRequest;
    readonly options: RunOptions;
  };
}

export interface HeldRunEvents {
  onEvent(run: HeldRun, event: RunEvent): void;
  onInspected(runId: string, lines: string): void;
  /** With what it ended; before its entry is settled. */
  onEnded(run: HeldRun, summary: RunSummary): void;
  onState(run: HeldRun, state: QueueState): void;
}

export class HeldRun {
  readonly #input: HeldRunInput;
  readonly #events: HeldRunEvents;
  readonly #progress = new RunProgress();
  readonly #startedAt = Date.now();
  #handle: RunHandle | null = null;
  #runId: string | null = null;
  #reason: StopReason | null = null;
  #isStarted = false;
  #isContinuous = false;
  #isAborted = false;
  /** A fault of ours or of the ledger, which outweighs what the run itself ended with. */
  #fault: unknown = null;
  #earlyLines = "";

  constructor(input: HeldRunInput, events: HeldRunEvents) {
    this.#input = input;
    this.#events = events;
  }

  get entry(): QueuedRun {
    return this.#input.entry;
  }

  get runId(): string | null {
    return this.#runId;
  }

  describe(): LiveRun {
    const { queueId, sync } = this.entry;
    return {
      runId: this.#runId,
      queueId,
      sync,
      state: this.#describeState(),
      startedAt: this.#startedAt,
      streams: this.#progress.streams,
    };
  }

  #describeState(): LiveRun["state"] {
    if (this.#reason === "cancel") return "cancelling";
    if (this.#reason !== null) return "pausing";
    return this.#isStarted ? "running" : "starting";
  }

  /** Never rejects. The ledger's entry is settled when this resolves, unless the ledger itself refused. */
  async run(): Promise<void> {
    let summary: RunSummary | null = null;
    try {
      const { request, options } = this.#input.prepare();
      this.#isContinuous = request.log.continuous;
      this.#handle = startRun(request, (event) => this.#observe(event), {
        ...options,
        ledger: this.#input.ledger,
        onBegun: (runId) => this.#begin(runId),
      });
      if (this.#isAborted) this.#handle.abort();
      else if (this.#reason !== null) this.#handle.stop();
      summary = await this.#handle.done;
    } catch (error) {
      this.#fault ??= error;
    }
    this.#handle = null;
    try {
      if (summary && this.#reason !== "lost")
        this.#events.onEnded(this, summary);
      this.#settle(summary);
    } catch (error) {
      // the lease runs out, and whoever takes the entry then goes on with its run
      this.#fault = error;
    }
  }

  /** What kept the entry from being settled, or the run from being begun. */
  get fault(): unknown {
    return this.#fault;
  }

  /** @throws ExtractError RUN_STATE */
  order(order: Extract<RunOrder, "pause" | "cancel">): void {
    if (order === "cancel") {
      // asked a second time, it does not wait for checkpoints any more
      if (this.#reason === "cancel") return this.stop("cancel", true);
      return this.stop("cancel", false);
    }
    if (this.#reason !== null)
      throw new ExtractError(
        "RUN_STATE",
        `${this.entry.queueId} is being stopped already`,
        { queueId: this.entry.queueId },
      );
    this.stop("pause", false);
  }

  /**
   * Readers, streams and sockets take orders of their own; the bookkeeper's other machines decide for the whole run.
   * @throws ExtractError RUN_STATE with the reason
   */
  async orderActor(actor: ActorName, order: RunOrder): Promise<void> {
    const isStopping = this.#reason !== null;
    if (isStopping && actor.process !== "bookkeeper")
      throw refused("the actor", order, "its run is being stopped");
    const outcome =
      this.#handle && !isStopping
        ? await this.#handle.orderActor(actor, order)
        : "forRun";
    if (outcome === "followed") return;
    if (order !== "pause" && order !== "cancel")
      throw refused(
        "the actor",
        order,
        "it stands for the run, which is at work; pause or cancel it, or tell a reader or a stream",
      );
    this.order(order);
  }

  stop(reason: StopReason, isAtOnce: boolean): void {
    // a cancelled run stays cancelled when the daemon drains
    if (reason !== "drain" || this.#reason === null) this.#reason = reason;
    if (isAtOnce) {
      this.#isAborted = true;
      this.#handle?.abort();
    } else this.#handle?.stop();
  }

  #observe(event: RunEvent): void {
    try {
      if (event.type === "run.started") this.#isStarted = true;
      this.#progress.note(event);
      this.#events.onEvent(this, event);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** A run that the ledger does not let us hold must not go on. */
  #giveUp(error: unknown): void {
    this.#fault ??= error;
    this.stop(isFenced(error) ? "lost" : "drain", true);
  }

  /** The entry names its run from here on, also where that ends before it has read anything. */
  #begin(runId: string): void {
    try {
      this.#bind(runId);
    } catch (error) {
      this.#giveUp(error);
      throw error;
    }
  }

  #bind(runId: string): void {
    const { ledger, entry } = this.#input;
    if (this.#runId === runId) return;
    if (entry.runId !== runId)
      ledger.bindRun(entry.queueId, entry.epoch, runId);
    this.#runId = runId;
    if (this.#earlyLines !== "")
      this.#events.onInspected(runId, this.#earlyLines);
    this.#earlyLines = "";
  }

  /** Of this run's processes; what comes before its name is known waits for it. */
  noteInspected(lines: string): void {
    if (this.#runId !== null) this.#events.onInspected(this.#runId, lines);
    else if (this.#earlyLines.length < EARLY_LINES_MAX)
      this.#earlyLines += lines;
  }

  /** Another run follows at once: the log goes on, and was to be followed on. */
  #goesOn({ isCut }: RunSummary): boolean {
    return (isCut === true || this.#isContinuous) && this.#reason !== "cancel";
  }

  #settle(summary: RunSummary | null): void {
    const { ledger, entry } = this.#input;
    const { queueId, epoch } = entry;
    if (this.#reason === "lost") return;
    const error = describeError(summary, this.#fault);
    const finish = (state: "succeeded" | "failed" | "cancelled") => {
      ledger.finishQueued(
        queueId,
        epoch,
        state,
        error && JSON.stringify(error),
      );
      this.#events.onState(this, state);
    };
    if (summary?.state === "succeeded" && !this.#goesOn(summary))
      return finish("succeeded");
    if (this.#reason === "cancel") return finish("cancelled");
    if (this.#reason === "pause") {
      ledger.pauseTaken(queueId, epoch);
      return this.#events.onState(this, "paused");
    }
    if (this.#reason === "drain" && summary?.state !== "partlyFailed") {
      ledger.requeue(queueId, epoch, null, entry.errorJson);
      return this.#events.onState(this, "queued");
    }
    if (summary?.state === "succeeded") {
      ledger.requeue(queueId, epoch, null, null);
      return this.#events.onState(this, "queued");
    }
    const { retry } = this.#input;
    const wait = (times: number, noted: WireError): void => {
      const backoffMs = Math.min(
        retry.backoffMaxMs,
        retry.backoffMinMs * 2 ** (times - 1),
      );
      const dueAt = ledger.now() + backoffMs;
      ledger.requeue(queueId, epoch, dueAt, JSON.stringify(noted));
      this.#events.onState(this, "queued");
    };
    const failures = countFailures(entry);
    // somebody else runs the sync: nothing was begun, so nothing has failed, and it is waited for without an end
    if (this.#runId === null && error !== null && isSyncLocked(error)) {
      const waits = Math.min(countOf(entry, "waits") + 1, WAITS_COUNTED_MAX);
      return wait(waits, note(error, { failures, waits }));
    }
    if (!isWorthRetrying(summary, error) || failures + 1 >= retry.attempts)
      return finish("failed");
    wait(
      failures + 1,
      note(error ?? toWireError(new Error("the run gave no reason")), {
        failures: failures + 1,
      }),
    );
  }
}

/** By then the back-off has long reached its largest. */
const WAITS_COUNTED_MAX = 40;

/** The lock of one sync in a shared ledger says since when it is held; a process that cannot be ended does not. */
function isSyncLocked({ code, details }: WireError): boolean {
  return code === "RUN_LOCKED" && "since" in details;
}

/** Characters of inspection records that are kept for a run without a name. */
const EARLY_LINES_MAX = 1024 * 1024;

function isFenced(error: unknown): boolean {
  return error instanceof ExtractError && error.code === "LEDGER_FENCED";
}

function describeError(
  summary: RunSummary | null,
  fault: unknown,
): WireError | null {
  if (fault !== null) return toWireError(fault);
  if (summary === null) return null;
  return (
    summary.error ??
    summary.streams.find(({ error }) => error !== null)?.error ??
    null
  );
}

function isWorthRetrying(
  summary: RunSummary | null,
  error: WireError | null,
): boolean {
  if (summary) return summary.exitCode === RETRYABLE_EXIT_CODE;
  return (
    error !== null && errorCodes[error.code].exitCode === RETRYABLE_EXIT_CODE
  );
}

/** How often it has failed for now; being stopped by a daemon that leaves is no failure. */
function countFailures(entry: QueuedRun): number {
  return countOf(entry, "failures");
}

function countOf({ errorJson }: QueuedRun, what: "failures" | "waits"): number {
  if (errorJson === null) return 0;
  const { details } = JSON.parse(errorJson) as WireError;
  const count = details[what];
  return typeof count === "number" ? count : 0;
}

function note(
  error: WireError,
  counts: { readonly failures: number; readonly waits?: number },
): WireError {
  return { ...error, details: { ...error.details, ...counts } };
}
