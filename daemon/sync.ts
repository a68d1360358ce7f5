/** A sync from request to summary: the bookkeeper living for one run. */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { createActor } from "xstate";
import {
  bookkeeperMachine,
  type AttemptOutput,
} from "../actors/daemon/bookkeeper.machine.ts";
import { fromEffect } from "../actors/effects.ts";
import { createInspector, type Inspector } from "../actors/inspect.ts";
import { Ledger } from "../checkpoint/store/ledger.ts";
import type { RunLock } from "../checkpoint/store/locks.ts";
import { isPostgresLedger } from "../checkpoint/store/postgres-url.ts";
import {
  endProcesses,
  processStartTime,
} from "../checkpoint/store/process-identity.ts";
import type { RunRecord } from "../checkpoint/store/records.ts";
import {
  findSourceKind,
  identifyDatabase,
  redactUrl,
} from "../connectors/sources/url.ts";
import type {
  ActorOrder,
  LogOpenOrder,
  MapperSettings,
  RangeFilter,
  StateGroupWire,
} from "../proto/control.ts";
import { errorCodes, toWireError, type WireError } from "../proto/error.ts";
import { refused } from "./actor-orders.ts";
import { countSockets } from "./architecture-decider.ts";
import { listArchitectures, resolveSourceUrl } from "./architectures.ts";
import { Attempt } from "./attempt.ts";
import {
  countChannels,
  replacesAll,
  startsOver,
} from "./airbyte/destination-request.ts";
import { airbyteDestinationDefaults } from "../connectors/destinations/airbyte/config.ts";
import {
  configOf,
  defaultLedgerPath,
  nameDestination,
} from "./destinations.ts";
import { fingerprintRequest, identifySync, recordRequest } from "./identity.ts";
import { KeeperHold } from "./keeper-hold.ts";
import { LogNews } from "./log-news.ts";
import { LimitedProcesses } from "./limits/limited-processes.ts";
import { hasLimits } from "./limits/limits.ts";
import { ownProcesses, type Placement } from "./placement.ts";
import type {
  RunEvent,
  ActorName,
  OrderOutcome,
  RunHandle,
  RunSummary,
  SyncRequest,
} from "./request.ts";
import { RunBook } from "./run-book.ts";
import type { RunMessages } from "./run-messages.ts";
import {
  createRunFolder,
  createSocketFolder,
  leaveRunFolder,
  removeRunFolder,
  type RunFolder,
} from "./run-folder.ts";
import { settleOrders } from "./settled-orders.ts";
import { RunTally } from "./tally.ts";
import { TraceFile } from "./trace-file.ts";

const HANDSHAKE_MS = 15_000;
const PROBES_PER_DEADLINE = 5;
const CHECKPOINT_DEADLINE_MS = 600_000;
/** The batch target and its header beside one row of the largest size. */
const FRAME_BYTES_SLACK = 8 * 1024 * 1024;

class SyncRun {
  readonly #request: SyncRequest;
  readonly #observe: (event: RunEvent) => void;
  readonly #startedAt = performance.now();
  readonly #trace: TraceFile | null;
  /** Of this process, and where the records of the others pass; null: nobody looks on. */
  readonly inspector: Inspector | null;
  /** Null: this run opens the ledger, locks it, and closes it. */
  readonly #shared: Ledger | null;
  readonly #planOf: string | null;
  readonly #messages: RunMessages | null;
  readonly #onSourceStates: NonNullable<RunOptions["onSourceStates"]> | null;
  /** Somebody else's connector reads the source. */
  readonly #isForeign: boolean;
  readonly #onBegun: NonNullable<RunOptions["onBegun"]>;
  readonly #placement: Placement;
  /** Aborted by a stop that comes before an attempt. */
  readonly #entering = new AbortController();
  #stopped: "interrupted" | "aborted" | null = null;
  /** The run was in the middle of a commit when its log was given up: nothing else of it is done. */
  #isCommitOnly = false;
  #lock: RunLock | null = null;
  #ledger: Ledger | null = null;
  #folder: RunFolder | null = null;
  /** Of the attempt before. */
  #last: AttemptOutput | null = null;
  /** What a run before has copied is not there any more. */
  #beginsAnew = false;
  #keeper: KeeperHold | null = null;
  #run: { runId: string; epoch: number; isResumed: boolean } | null = null;
  #attempt: Attempt | null = null;
  #tally: RunTally | null = null;
  /** Of each attempt. */
  readonly #news: LogNews[] = [];

  constructor(
    request: SyncRequest,
    observe: (event: RunEvent) => void,
    {
      onInspected = null,
      ledger = null,
      planOf = null,
      onBegun = () => {},
      placement = ownProcesses,
      messages = null,
      onSourceStates = null,
    }: RunOptions,
  ) {
    this.#request = request;
    this.#observe = observe;
    const chosen = hasLimits(request.limits)
      ? new LimitedProcesses(request.limits, (message) => this.#warn(message))
      : placement;
    this.#placement = settleOrders(chosen, () => given(this.#ledger));
    this.#shared = ledger;
    this.#planOf = planOf;
    this.#messages = messages;
    this.#onSourceStates = onSourceStates;
    this.#isForeign = findSourceKind(request.source.url) === "airbyte";
    this.#onBegun = onBegun;
    this.#trace =
      request.tracePath === null
        ? null
        : new TraceFile(request.tracePath, ({ message }) =>
            this.#warn(`the trace ends here: ${message}`),
          );
    this.inspector =
      this.#trace === null && onInspected === null
        ? null
        : createInspector({ process: "bookkeeper", thread: 0 }, (lines) => {
            this.#trace?.write(lines);
            onInspected?.(lines);
            return true;
          });
  }

  get #ledgerPath(): string {
    const { ledgerPath, destination } = this.#request;
    return ledgerPath ?? defaultLedgerPath(nameDestination(destination));
  }

  #countQuarantined(): Pick<RunSummary, "quarantined"> {
    const events = this.#news.reduce((sum, one) => sum + one.quarantined, 0);
    const { runId = "" } = this.#run ?? {};
    return events === 0
      ? {}
      : { quarantined: { events, path: this.#quarantinePath(runId) } };
  }

  /** Beside the ledger, or where it would be if it were a file. */
  #quarantinePath(runId: string): string {
    const ledger = /^postgres(ql)?:/.test(this.#ledgerPath)
      ? defaultLedgerPath(nameDestination(this.#request.destination))
      : this.#ledgerPath;
    return join(dirname(ledger), "quarantine", `${runId}.jsonl`);
  }

  /** Takes the lock, opens the ledger, sees that nobody of an earlier attempt is at work, and begins. */
  async open(): Promise<void> {
    const { source, destination, mode, name } = this.#request;
    identifyDatabase(source.url);
    const ledger =
      this.#shared ?? Ledger.open(this.#ledgerPath, { create: true });
    this.#ledger = ledger;
    const syncId = identifySync(this.#request);
    // who shares a file with us is locked out of all of it already; a database only by sync
    if (!this.#shared || isPostgresLedger(ledger.path))
      this.#lock = ledger.acquireRunLock(syncId);
    this.#folder = createRunFolder();
    if (!this.#folder.isInMemory) {
      this.#warn(
        `no folder in memory was found, sockets are in ${this.#folder.path}: this costs speed`,
      );
    }
    this.#keeper = new KeeperHold({
      ledger,
      placement: this.#placement,
      folder: this.#folder.path,
      graceMs: this.#request.snapshotGraceMs,
      inspect: this.inspector !== null,
    });
    const unfinished = ledger.findUnfinishedRun(syncId);
    const resumed = unfinished && (await this.#takeOver(ledger, unfinished));
    const owner = {
      pid: process.pid,
      pidStartTime: processStartTime(process.pid),
      runDir: this.#folder.path,
    };
    // whoever asked for the run names it in the same transaction: there is no run that nobody asked for
    this.#run = ledger.transaction(() => {
      ledger.upsertSync({
        id: syncId,
        name,
        source: redactUrl(source.url),
        destination: nameDestination(destination),
      });
      if (!resumed) this.#messages?.log?.fill(ledger, syncId, owner);
      const run = resumed
        ? {
            runId: resumed.runId,
            epoch: ledger.beginAttempt(resumed.runId, owner),
            isResumed: true,
          }
        : {
            ...ledger.beginRun({
              syncId,
              mode,
              requestJson: recordRequest(this.#request),
              ...owner,
            }),
            isResumed: false,
          };
      this.#onBegun(run.runId);
      return run;
    });
  }

  /** The unfinished run when it is to be gone on with; null when a new one begins. */
  async #takeOver(
    ledger: Ledger,
    unfinished: RunRecord,
  ): Promise<RunRecord | null> {
    const left = ledger
      .processesOf(unfinished.runId)
      .filter(({ role }) => role !== "keeper");
    await endProcesses(left);
    removeRunFolderUnlessKept(
      unfinished.runDir,
      ledger.snapshotsOf(unfinished.runId).at(-1)?.keeperSocket ?? null,
    );
    const isCommitting = ledger
      .streamsOf(unfinished.runId)
      .some(({ state }) => state === "committing");
    if (isCommitting) {
      this.#isCommitOnly = this.#isResync(ledger);
      if (this.#request.restart || this.#isCommitOnly) {
        this.#warn(
          `run ${unfinished.runId} was in the middle of a commit and is finished first; run again to begin anew`,
        );
      }
      return unfinished;
    }
    // it failed before it knew its tables: there is nothing to go on with, and nothing to say
    if (ledger.streamsOf(unfinished.runId).length === 0) return null;
    if (this.#request.restart || this.#isResync(ledger)) return null;
    if (unfinished.error?.code === "RUN_OUTDATED") return null;
    if (startsOver(this.#request, ledger, unfinished.runId)) {
      this.#beginsAnew = true;
      return null;
    }
    const isSame =
      fingerprintRequest(unfinished.requestJson) ===
      fingerprintRequest(recordRequest(this.#request));
    if (!isSame) {
      this.#warn(
        `run ${unfinished.runId} was asked for something else and is not gone on with`,
      );
      return null;
    }
    return unfinished;
  }

  /** The log that the sync has is not gone on with. */
  #isResync(ledger: Ledger): boolean {
    const { mode, log } = this.#request;
    if (mode !== "cdc") return false;
    const known = ledger.logOf(identifySync(this.#request));
    return log.resync || known?.stage === "givenUp";
  }

  async attempt(number: number): Promise<AttemptOutput> {
    try {
      await this.#placement.enter(this.#entering.signal);
    } catch (error) {
      if (this.#stopped === null) throw error;
    }
    if (this.#stopped !== null) return { outcome: this.#stopped, error: null };
    const ledger = given(this.#ledger);
    const keeper = given(this.#keeper);
    const run = given(this.#run);
    // it cannot be gone on with: the next run begins anew
    if (this.#last && startsOver(this.#request, ledger, run.runId))
      return this.#last;
    const folder = given(this.#folder);
    if (number > 1) {
      run.epoch = ledger.beginAttempt(run.runId, {
        pid: process.pid,
        pidStartTime: processStartTime(process.pid),
        runDir: folder.path,
      });
      run.isResumed = true;
    }
    const { runId, epoch, isResumed } = run;
    keeper.beginAttempt({ runId, epoch });
    const { mode, where, cursor, cursorLagSeconds, tables, exclude, columns } =
      this.#request;
    const architecture = listArchitectures(this.#request);
    const { narrowing } = this.#request;
    const isLogged = mode === "cdc";
    const held = isLogged ? this.#openLog(ledger, { runId, epoch }) : null;
    if (this.#isCommitOnly) this.#leaveUncommitted(ledger, { runId, epoch });
    const log = this.#isCommitOnly ? null : held;
    const book = new RunBook({
      ledger,
      syncId: identifySync(this.#request),
      runId,
      epoch,
      mode,
      naming: this.#request.naming,
      where,
      cursor:
        cursor === null || isNarrowed(narrowing)
          ? null
          : { column: cursor, lagSeconds: cursorLagSeconds },
      isLogged,
      filledColumns: this.#request.log.filledColumns,
      isResumed,
      messages: this.#messages,
      isForeign: this.#isForeign,
      schemaChanges: {
        policy: this.#request.schemaChanges,
        accepted: this.#request.acceptSchemaChanges,
      },
    });
    const tally = new RunTally(book, this.#request, this.#observe);
    this.#tally = tally;
    const attempt = new Attempt(
      {
        ledger,
        book,
        keeper,
        placement: this.#placement,
        source: this.#sourceSettings(
          createSocketFolder(folder.path, epoch),
          { runId, epoch },
          book.heldColumns,
          held,
        ),
        destination: {
          ...this.#destinationSettings({ runId, epoch }),
          config: await configOf(
            this.#request,
            join(folder.path, `connector-${epoch}`),
          ),
        },
        selection: { include: tables, exclude, columns },
        log: log && {
          order: { ...log, include: tables, exclude, copied: book.copied },
          isContinuous: this.#request.log.continuous,
          news: this.#createNews(ledger, { runId, epoch }),
        },
        streams: narrowing?.streams ?? null,
        planOf: this.#planOf,
        messages: this.#messages,
        isForeign: this.#isForeign,
        keepsStates: this.#onSourceStates !== null,
        probeDeadlineMs: this.#request.probeDeadlineMs,
        inspector: this.inspector,
        architecture,
      },
      {
        onResumed: ({ rowsKept, rowsToReadAgain }, snapshotKept) => {
          this.#observe({
            type: "run.started",
            runId,
            epoch,
            resumed: isResumed
              ? { rowsKept, rowsToReadAgain, snapshotKept }
              : null,
            architecture,
          });
        },
        onPlanned: (stream) => tally.tellPlanned(stream),
        onProgress: (progress) => tally.addProgress(progress),
        onDurable: (stream, rows, bytes) =>
          tally.addDurable(stream, rows, bytes),
        onMeasured: (fact) => tally.addMeasured(fact),
        onRecorded: (stream, index) => tally.noteRecorded(stream, index),
        onStreamRead: (fact) => tally.noteRead(fact),
        onWarning: (message) => this.#warn(message),
        onSchemaChanged: ({ ref, difference, refusal }) => {
          ledger.recordEvent(
            runId,
            "schema.changed",
            JSON.stringify({ ...ref, difference, refusal }),
          );
          this.#observe({
            type: "schema.changed",
            stream: ref,
            difference,
            refusal,
          });
        },
        onStreamEnded: (stream) => tally.tellEnded(stream),
        onSourceStates: (groups) => this.#onSourceStates?.(groups),
        onConnectorTold: ({ kind, level, stream, message }) => {
          const of = stream === null ? null : (book.find(stream)?.ref ?? null);
          const named = of ? { namespace: of.namespace, name: of.name } : {};
          ledger.recordEvent(
            runId,
            `connector.${kind}`,
            JSON.stringify({ ...named, level, message }),
          );
          if (kind === "log") this.#warn(`the connector says: ${message}`);
        },
      },
    );
    this.#attempt = attempt;
    // it came while this was made ready
    this.#passStop();
    const result = await attempt.run();
    this.#attempt = null;
    // who keeps readers from a table may wait for the keeper's own lock on it: behind this one the table is free
    const errors = [result.error, ...book.streams.map(({ error }) => error)];
    const isInTheWay = (error: WireError | null) =>
      error !== null && errorCodes[error.code].disposition === "retryAttempt";
    if (errors.some(isInTheWay)) keeper.forget();
    this.#last = result;
    return result;
  }

  /** What holds the log at the source has its names in the ledger before it is made. */
  #openLog(
    ledger: Ledger,
    { runId, epoch }: { runId: string; epoch: number },
  ): Omit<LogOpenOrder, "include" | "exclude" | "copied"> {
    const syncId = identifySync(this.#request);
    if (!given(this.#run).isResumed) this.#resetLog(ledger, { runId, epoch });
    const known = ledger.logOf(syncId);
    const { slot, publication, sourceEpoch, identity, position, offset } =
      known?.stage === "ready" || (known && this.#isCommitOnly)
        ? known
        : ledger.beginLog(
            runId,
            epoch,
            this.#messages?.log?.names ?? nameLog(ledger.id, syncId),
          );
    const entry = this.#messages?.log?.entry ?? null;
    if (entry !== null) ledger.enterLog(runId, epoch, entry);
    return {
      slot,
      publication,
      sourceEpoch,
      known:
        identity === null || position === null
          ? null
          : { identity, position, offset },
    };
  }

  /** Of a run whose log is given up only what was in the middle of its commit is finished. */
  #leaveUncommitted(
    ledger: Ledger,
    { runId, epoch }: { runId: string; epoch: number },
  ): void {
    for (const { number, state } of ledger.streamsOf(runId))
      if (state !== "committing" && state !== "committed" && state !== "failed")
        ledger.setStreamState(runId, epoch, number, "failed", {
          code: "LOG_GIVEN_UP",
          message: "it was not read to its end when the log was given up",
          details: {},
        });
  }

  /** A log that is not followed any more: every table is copied again. */
  #resetLog(ledger: Ledger, attempt: { runId: string; epoch: number }): void {
    const syncId = identifySync(this.#request);
    const known = ledger.logOf(syncId);
    const reason =
      known?.givenUp ??
      (this.#request.log.resync ? "somebody has asked for it" : null) ??
      (this.#beginsAnew
        ? "an earlier run was cut, and the destination begins with a table anew each time"
        : null);
    if (known === null || reason === null) return;
    ledger.resetLog(syncId);
    this.#createNews(ledger, attempt).noteEvent(
      "log.resync",
      `every table is copied again, and a new log begins: ${reason}`,
    );
  }

  #createNews(
    ledger: Ledger,
    { runId, epoch }: { runId: string; epoch: number },
  ): LogNews {
    const { budget, onUndecodable } = this.#request.log;
    const quarantine =
      onUndecodable === "quarantine" ? this.#quarantinePath(runId) : null;
    const news = new LogNews(
      { epoch, budget, quarantine },
      this.#observe,
      (kind, details) => ledger.recordEvent(runId, kind, details),
    );
    this.#news.push(news);
    return news;
  }

  #sourceSettings(
    socketDir: string,
    attempt: { runId: string; epoch: number },
    heldColumns: MapperSettings["heldColumns"],
    log: Omit<LogOpenOrder, "include" | "exclude" | "copied"> | null,
  ) {
    const request = this.#request;
    const cpus = request.limits.cpus ?? availableParallelism();
    return {
      attempt,
      url: resolveSourceUrl(request.source.url),
      socketDir,
      // a foreign source has the one channel that it opens itself
      channelsMax: this.#isForeign
        ? 0
        : request.destination.kind === "airbyte"
          ? countChannels(request.destination, request.mode === "cdc")
          : countSockets({
              ...{ override: request.channels, sourceCpus: cpus },
              destinationCpus: cpus,
            }),
      readers: request.readers,
      checkpointEveryMs: request.checkpointEverySeconds * 1000,
      rowBytesMax: request.rowBytesMax,
      policy: request.unrepresentable,
      partitionBy: request.partitionBy,
      partitionBytesMin: request.partitionBytesMin,
      mappers: describeMappers(request, heldColumns),
      ...(log
        ? {
            log: {
              slot: log.slot,
              publication: log.publication,
              sourceEpoch: log.sourceEpoch,
              checkpointEveryMs: request.log.checkpointEverySeconds * 1000,
              budget: request.log.budget,
              ...(request.log.transactionId ? { transactionId: true } : {}),
              ...(this.#messages?.log ? { isLedgerBrief: true } : {}),
              ...(request.log.onUndecodable === "quarantine"
                ? { quarantine: this.#quarantinePath(attempt.runId) }
                : {}),
            },
          }
        : {}),
      ranges: describeRanges(request),
      times: this.#times(),
      inspect: this.inspector !== null,
    };
  }

  #destinationSettings(attempt: { runId: string; epoch: number }) {
    const request = this.#request;
    return {
      attempt,
      // generations count from 1 in every ledger: only with the ledger's own name is a manifest known to be ours
      syncId: `${given(this.#ledger).id}-${identifySync(request)}`,
      frameBytesMax: request.rowBytesMax + FRAME_BYTES_SLACK,
      times: { ...this.#times(), connectDeadlineMs: HANDSHAKE_MS },
      checkpointDeadlineMs:
        request.destination.kind === "airbyte"
          ? (request.destination.deadlines.stateMs ??
            airbyteDestinationDefaults.stateMs)
          : CHECKPOINT_DEADLINE_MS,
      inspect: this.inspector !== null,
    };
  }

  #times() {
    const { probeDeadlineMs } = this.#request;
    return {
      handshakeMs: HANDSHAKE_MS,
      probeMs: probeDeadlineMs / PROBES_PER_DEADLINE,
      probeDeadlineMs,
    };
  }

  stop(): void {
    if (this.#attempt) this.#attempt.stop();
    else this.#stopEntering("interrupted");
  }

  abort(): void {
    if (this.#attempt) this.#attempt.abort();
    else this.#stopEntering("aborted");
  }

  #passStop(): void {
    if (this.#stopped === "interrupted") this.#attempt?.stop();
    if (this.#stopped === "aborted") this.#attempt?.abort();
  }

  #stopEntering(outcome: "interrupted" | "aborted"): void {
    this.#stopped = outcome;
    this.#entering.abort();
  }

  async orderActor(actor: ActorName, order: ActorOrder): Promise<OrderOutcome> {
    if (this.#attempt) return this.#attempt.orderActor(actor, order);
    if (actor.process === "bookkeeper") return "forRun";
    throw refused("the actor", order, "its processes are not at work now");
  }

  announceRetry(message: string, attempt: number): void {
    this.#warn(`${message}; attempt ${attempt} begins`);
  }

  async close(last: AttemptOutput): Promise<RunSummary> {
    const isOver =
      last.outcome === "succeeded" || last.outcome === "partlyFailed";
    const run = this.#run;
    let error = last.error;
    if (run && this.#ledger) {
      try {
        this.#ledger.finishRun(run.runId, run.epoch, ledgerState(last), error);
        // what is told of its end is not taken back
        await this.#ledger.settled();
      } catch (cause) {
        error ??= toWireError(cause);
      }
    }
    const summary: RunSummary = {
      runId: run?.runId ?? "",
      epoch: run?.epoch ?? 0,
      ...(this.#tally ?? emptyTally).summarize(last.outcome, error),
      elapsedMs: performance.now() - this.#startedAt,
      snapshots:
        run && this.#ledger ? this.#ledger.snapshotsOf(run.runId).length : 0,
      ...(run && isOver && this.#ledger?.logCutOf(run.runId)
        ? { isCut: true }
        : {}),
      ...this.#countQuarantined(),
    };
    this.#keeper?.letGo(isOver ? "release" : "leave");
    this.#placement.leave();
    const keeperSockets =
      run && this.#ledger
        ? this.#ledger
            .snapshotsOf(run.runId)
            .map(({ keeperSocket }) => keeperSocket)
        : [];
    // a keeper that was adopted lives in the folder of the attempt that started it
    if (isOver)
      for (const socket of keeperSockets) removeRunFolder(dirname(socket));
    if (this.#folder)
      removeRunFolderUnlessKept(
        this.#folder.path,
        isOver ? null : (keeperSockets.at(-1) ?? null),
      );
    if (!this.#shared) this.#ledger?.close();
    this.#lock?.release();
    return summary;
  }

  /** After the last step of the last machine. */
  async endInspection(): Promise<void> {
    this.inspector?.flush();
    await this.#trace?.close();
  }

  #warn(message: string): void {
    this.#observe({ type: "warning", message });
  }
}

/** Of this sync of this ledger alone: what the server has under them is never another's. */
function nameLog(
  ledgerId: string,
  syncId: string,
): { readonly slot: string; readonly publication: string } {
  const name = createHash("sha256")
    .update(JSON.stringify([ledgerId, syncId]))
    .digest("hex")
    .slice(0, 24);
  return { slot: `millrace_${name}`, publication: `millrace_${name}` };
}

function describeMappers(
  { mappers, mode, cursor }: SyncRequest,
  heldColumns: MapperSettings["heldColumns"],
): MapperSettings | null {
  if (mappers.length === 0) return null;
  return {
    sets: mappers.map(({ tables, steps }) => ({
      tables: tables ?? null,
      steps,
    })),
    isMerged: mode === "incremental-append-dedupe",
    cursor,
    heldColumns,
  };
}

/** Whether a run moves some rows only: its cursor stays, since there are others beside them. */
function isNarrowed(narrowing: SyncRequest["narrowing"]): boolean {
  return (
    narrowing !== null &&
    (narrowing.ranges.length > 0 || narrowing.window !== null)
  );
}

function describeRanges({ narrowing, cursor }: SyncRequest): RangeFilter[] {
  const ranges = (narrowing?.ranges ?? []).map(
    ({ stream, column, from, until }): RangeFilter => ({
      ...{ stream, column, from },
      to: until,
      bounds: "[)",
    }),
  );
  const window = narrowing?.window ?? null;
  if (window !== null && cursor !== null)
    ranges.push({ stream: "*", column: cursor, ...window, bounds: "(]" });
  return ranges;
}

const emptyTally = {
  summarize: (
    outcome: AttemptOutput["outcome"],
    error: AttemptOutput["error"],
  ) => RunTally.summarizeNothing(outcome, error),
};

function given<T>(value: T | null): T {
  if (value === null) throw new Error("the run is not open");
  return value;
}

function ledgerState(
  last: AttemptOutput,
): "succeeded" | "partlyFailed" | "failed" | "interrupted" {
  return last.outcome === "aborted" ? "interrupted" : last.outcome;
}

/** A keeper that is left to its grace is found by its socket: its folder stays, and goes with the next attempt. */
function removeRunFolderUnlessKept(
  folder: string,
  keeperSocket: string | null,
): void {
  if (keeperSocket !== null && dirname(keeperSocket) === folder)
    leaveRunFolder(folder);
  else removeRunFolder(folder);
}

export interface RunOptions {
  /**
   * Given the inspection records of all processes of the run as they come: JSON of `InspectionRecord`, each closed by a
   * newline. Null: the machines are not inspected, unless the request wants a trace.
   */
  readonly onInspected?: ((lines: string) => void) | null;
  /**
   * A ledger that several runs share. Whoever gives it closes it, and sees to it that a sync has no two of its own runs
   * at once; of a file it holds the run lock as well. Null: the run opens and locks the one of its request.
   */
  readonly ledger?: Ledger | null;
  /** A run whose recorded plans are read by, where the tables have the columns that they had then. */
  readonly planOf?: string | null;
  /**
   * The run is in the ledger with what this writes there, or neither is: it is called within that transaction. What it
   * throws ends the run.
   */
  readonly onBegun?: (runId: string) => void;
  /** Absent: processes of their own. */
  readonly placement?: Placement;
  /** Of an executable of the Airbyte protocol. */
  readonly messages?: RunMessages | null;
  /** Given the states of a foreign source, each one, once all that it covers is in the ledger. Null: nobody wants them. */
  readonly onSourceStates?:
    | ((groups: readonly StateGroupWire[]) => void)
    | null;
}

/**
 * Runs a sync, or goes on with its unfinished run. Faults of the world are in the summary; `done` rejects only for our
 * own.
 */
export function startRun(
  request: SyncRequest,
  observe: (event: RunEvent) => void,
  options: RunOptions = {},
): RunHandle {
  const run = new SyncRun(request, observe, options);
  const { promise, resolve, reject } = Promise.withResolvers<RunSummary>();
  let summary: RunSummary | null = null;
  const bookkeeper = createActor(
    bookkeeperMachine.provide({
      actors: {
        openRun: fromEffect(() => run.open()),
        attemptRun: fromEffect(({ input }) => run.attempt(input.attempt)),
        closeRun: fromEffect(async ({ input }) => {
          summary = await run.close(input.last);
        }),
      },
      actions: {
        stopAttempt: () => run.stop(),
        abortAttempt: () => run.abort(),
        announceRetry: (_, { error, attempt }) =>
          run.announceRetry(error?.message ?? "the attempt failed", attempt),
      },
    }),
    { input: { attemptsMax: replacesAll(request) ? 1 : request.attemptsMax } },
  );
  bookkeeper.subscribe({
    next: (state) => {
      if (state.status !== "done") return;
      const { last } = state.context;
      // not before this step is told as well
      setImmediate(() => {
        run.endInspection().then(() => {
          if (summary) {
            observe({ type: "run.finished", summary });
            resolve(summary);
          } else
            reject(
              new Error(last?.error?.message ?? "the run could not be closed"),
            );
        }, reject);
      });
    },
    error: (error) => void run.endInspection().finally(() => reject(error)),
  });
  run.inspector?.watch(bookkeeper);
  bookkeeper.start();
  return {
    done: promise,
    stop: () => bookkeeper.send({ type: "run.stop" }),
    abort: () => bookkeeper.send({ type: "run.abort" }),
    orderActor: (actor, order) => run.orderActor(actor, order),
  };
}
