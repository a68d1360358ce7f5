/**
 * The ledger: what this installation knows of its runs, on disk when a call returns. Every write of a run names its
 * epoch, and is refused with LEDGER_FENCED once a newer attempt has begun. A call costs one fsync; `transaction`
 * lets several share one.
 */
import type {
  DurableReport,
  SealedFile,
  StreamState,
} from "../../proto/checkpoint.ts";
import type { WireError } from "../../proto/error.ts";
import type { Partition, Plan } from "../../proto/partition.ts";
import type { ResumePlan } from "../resume.ts";
import * as commits from "./commit.ts";
import * as daemonEvents from "./daemon-events.ts";
import type { LedgerDatabase } from "./database.ts";
import * as durable from "./durable.ts";
import * as generations from "./generations.ts";
import {
  lastSchemasOf,
  streamNamesOf,
  type LastSchema,
  type StreamName,
} from "./last-schemas.ts";
import * as history from "./history.ts";
import type * as records from "./records.ts";
import { acquireRunLock, type RunLock } from "./locks.ts";
import * as plans from "./plans.ts";
import { PostgresDatabase, type PostgresOptions } from "./postgres-database.ts";
import { isPostgresLedger } from "./postgres-url.ts";
import * as logs from "./logs.ts";
import * as leases from "./queue-leases.ts";
import * as queueList from "./queue-list.ts";
import * as queueSeen from "./queue-seen.ts";
import * as queue from "./queue.ts";
import * as released from "./released.ts";
import * as runs from "./runs.ts";
import { SqliteDatabase, type SqliteOptions } from "./sqlite-database.ts";
import * as streams from "./streams.ts";
import * as sourceStates from "./source-states.ts";
import * as sweeps from "./sweeps.ts";
import { acquireSyncLock } from "./sync-locks.ts";
import * as syncStates from "./sync-states.ts";
import * as timeline from "./timeline.ts";

export class Ledger {
  readonly #db: LedgerDatabase;
  /** Those that are rows in it, and cannot be let go once it is closed. */
  readonly #locks = new Set<RunLock>();

  private constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  /**
   * `path`: of a file, or the URL of a Postgres, in which it is the schema `millrace`.
   * @throws ExtractError RUN_NOT_FOUND where there is none and `create` is false; LEDGER_CORRUPT with the path when the
   *   file is not a ledger, damaged, or of a newer version; DESTINATION_UNWRITABLE; LEDGER_UNREACHABLE
   */
  static open(path: string, options: PostgresOptions & SqliteOptions): Ledger {
    return new Ledger(
      isPostgresLedger(path)
        ? new PostgresDatabase(path, options)
        : new SqliteDatabase(path, options),
    );
  }

  /** May be called again. */
  close(): void {
    for (const lock of this.#locks) lock.release();
    this.#db.close();
  }

  /** Absolute; a URL, without its password, for one in Postgres. */
  get path(): string {
    return this.#db.path;
  }

  /** Drawn when the ledger was made: for manifests, since generations are numbered alike in every ledger. */
  get id(): string {
    return this.#db.id;
  }

  /** Whether all that was committed is on disk: always, unless commits are gathered. */
  get isSettled(): boolean {
    return this.#db.isSettled;
  }

  /**
   * Resolves once all that is committed now is on disk. Nothing that rests on it may be let out into the world before.
   * @throws ExtractError LEDGER_UNWRITABLE
   */
  settled(): Promise<void> {
    return this.#db.settled();
  }

  /** All writes that `work` makes, or none; `work` is done when it returns (no promise). */
  transaction<Result>(work: () => Result): Result {
    return this.#db.transaction(work);
  }

  /** The same of one attempt's writes; those of other runs are not held up by it, where the database can do so. */
  fenced<Result>(runId: string, epoch: number, work: () => Result): Result {
    return this.#db.fenced(runId, epoch, work);
  }

  /** Milliseconds since the Unix epoch, by the clock of the ledger's database: what leases and queue go by. */
  now(): number {
    return this.#db.now();
  }

  /**
   * Lets one run at a time work: with the whole ledger when it is a file, with this sync when it is in Postgres.
   * @throws ExtractError RUN_LOCKED naming who does
   */
  acquireRunLock(syncId: string): RunLock {
    if (!isPostgresLedger(this.path)) return acquireRunLock(this.path);
    const held = acquireSyncLock(this.#db, syncId);
    const release = (): void => {
      this.#locks.delete(lock);
      held.release();
    };
    const lock: RunLock = { ...held, release };
    this.#locks.add(lock);
    return lock;
  }

  // Syncs and runs

  upsertSync(sync: records.SyncRecord): void {
    runs.upsertSync(this.#db, sync);
  }

  beginRun(run: records.NewRun): ReturnType<typeof runs.beginRun> {
    return runs.beginRun(this.#db, run);
  }

  beginAttempt(runId: string, owner: records.AttemptOwner): number {
    return runs.beginAttempt(this.#db, runId, owner);
  }

  findUnfinishedRun(syncId: string): records.RunRecord | null {
    return runs.findUnfinishedRun(this.#db, syncId);
  }

  findRun(idOrPrefix: string): records.RunRecord {
    return runs.findRun(this.#db, idOrPrefix);
  }

  listRuns(filter: history.RunFilter): records.RunRecord[] {
    return history.listRuns(this.#db, filter);
  }

  countRuns(syncId: string, since: number): history.RunCounts {
    return history.countRuns(this.#db, syncId, since);
  }

  listStreamRuns(
    syncId: string,
    stream: { readonly namespace: string; readonly name: string },
    page: { readonly before?: string | null; readonly limit: number },
  ): history.StreamRunRecord[] {
    return history.listStreamRuns(this.#db, syncId, stream, page);
  }

  countStreamRuns(
    syncId: string,
    stream: { readonly namespace: string; readonly name: string },
    since: number,
  ): history.StreamCounts {
    return history.countStreamRuns(this.#db, syncId, stream, since);
  }

  finishRun(
    runId: string,
    epoch: number,
    state: Exclude<records.RunState, "running" | "abandoned">,
    error: WireError | null,
  ): void {
    runs.finishRun(this.#db, runId, epoch, state, error);
  }

  recordProcess(
    runId: string,
    epoch: number,
    role: string,
    pid: number,
    pidStartTime: string | null,
  ): void {
    runs.recordProcess(this.#db, runId, epoch, { role, pid, pidStartTime });
  }

  processesOf(runId: string): records.ProcessRecord[] {
    return runs.processesOf(this.#db, runId);
  }

  // Streams, plans, partitions

  putStream(runId: string, epoch: number, stream: records.NewStream): void {
    streams.putStream(this.#db, runId, epoch, stream);
  }

  putPlan(
    runId: string,
    epoch: number,
    plan: Plan,
  ): ReturnType<typeof plans.putPlan> {
    return plans.putPlan(this.#db, runId, epoch, plan);
  }

  startStreamOver(runId: string, epoch: number, stream: number): SealedFile[] {
    return plans.startStreamOver(this.#db, runId, epoch, stream);
  }

  replacePlan(
    runId: string,
    epoch: number,
    plan: Plan,
  ): ReturnType<typeof plans.replacePlan> {
    return plans.replacePlan(this.#db, runId, epoch, plan);
  }

  applyResume(runId: string, epoch: number, resume: ResumePlan): void {
    plans.applyResume(this.#db, runId, epoch, resume);
  }

  splitPartition(
    runId: string,
    epoch: number,
    giver: Partition,
    taker: Omit<Partition, "ordinal">,
  ): Partition {
    return plans.splitPartition(this.#db, runId, epoch, giver, taker);
  }

  setStreamState(
    runId: string,
    epoch: number,
    stream: number,
    state: Exclude<records.StreamProgress, "committed">,
    error: WireError | null = null,
  ): void {
    streams.setStreamState(this.#db, runId, epoch, stream, state, error);
  }

  streamsOf(runId: string): records.StreamRecord[] {
    return streams.streamsOf(this.#db, runId);
  }

  planOf(runId: string, stream: number): Plan | null {
    return plans.planOf(this.#db, runId, stream);
  }

  partitionsOf(runId: string, stream: number | null = null): Partition[] {
    return plans.partitionsOf(this.#db, runId, stream);
  }

  commitStream(
    runId: string,
    epoch: number,
    stream: number,
    { cursorState = null }: { readonly cursorState?: string | null } = {},
  ): ReturnType<typeof commits.commitStream> {
    return commits.commitStream(this.#db, runId, epoch, stream, cursorState);
  }

  recordRemoved(
    runId: string,
    epoch: number,
    stream: number,
    removed: readonly number[],
  ): void {
    commits.recordRemoved(this.#db, runId, epoch, stream, removed);
  }

  cursorState(syncId: string, namespace: string, name: string): string | null {
    return commits.cursorState(this.#db, syncId, namespace, name);
  }

  streamNamesOf(syncId: string): StreamName[] {
    return streamNamesOf(this.#db, syncId);
  }

  lastSchemasOf(syncId: string): LastSchema[] {
    return lastSchemasOf(this.#db, syncId);
  }

  // Generations and intents

  nextGeneration(syncId: string, namespace: string, name: string): number {
    return generations.nextGeneration(this.#db, syncId, namespace, name);
  }

  generationsOf(
    syncId: string,
    namespace: string,
    name: string,
  ): records.GenerationRecord[] {
    return generations.generationsOf(this.#db, syncId, namespace, name);
  }

  isKnownGeneration(
    syncId: string,
    namespace: string,
    name: string,
    generation: number,
  ): boolean {
    return generations.isKnownGeneration(
      this.#db,
      syncId,
      namespace,
      name,
      generation,
    );
  }

  intentsOf(of: generations.IntentsWanted): records.Intent[] {
    return generations.intentsOf(this.#db, of);
  }

  /** Null: of all syncs. */
  listOver(syncId: string | null): sweeps.GenerationOver[] {
    return sweeps.listOver(this.#db, syncId);
  }

  recordSwept(generations: readonly sweeps.GenerationOver[]): void {
    sweeps.recordSwept(this.#db, generations);
  }

  // Checkpoints

  recordDurable(runId: string, epoch: number, report: DurableReport): void {
    durable.recordDurable(this.#db, runId, epoch, report);
  }

  recordReleased(
    runId: string,
    epoch: number,
    state: StreamState,
    sourceJson: string,
    destinationJson: string,
  ): void {
    released.recordReleased(
      this.#db,
      runId,
      epoch,
      state,
      sourceJson,
      destinationJson,
    );
  }

  releasedOf(runId: string, epoch: number, stream: number): StreamState | null {
    return released.releasedOf(this.#db, runId, epoch, stream);
  }

  durableOf(runId: string, stream: number | null = null): DurableReport[] {
    return durable.durableOf(this.#db, runId, stream);
  }

  dropDurable(
    runId: string,
    epoch: number,
    reports: readonly DurableReport[],
  ): void {
    durable.dropDurable(this.#db, runId, epoch, reports);
  }

  mergeRecovered(
    runId: string,
    epoch: number,
    reports: readonly DurableReport[],
  ): records.Recovery {
    return durable.mergeRecovered(this.#db, runId, epoch, reports);
  }

  // States of foreign sources

  recordSourceState(
    runId: string,
    epoch: number,
    group: Parameters<typeof sourceStates.recordSourceState>[3],
  ): void {
    sourceStates.recordSourceState(this.#db, runId, epoch, group);
  }

  /** In the order in which they were given. */
  sourceStatesOf(runId: string): sourceStates.SourceStateRecord[] {
    return sourceStates.sourceStatesOf(this.#db, runId);
  }

  // Logs

  beginLog(runId: string, epoch: number, names: logs.LogNames): logs.LogRecord {
    return logs.beginLog(this.#db, runId, epoch, names);
  }

  openLog(
    runId: string,
    epoch: number,
    opened: Parameters<typeof logs.openLog>[3],
  ): void {
    logs.openLog(this.#db, runId, epoch, opened);
  }

  advanceLog(
    runId: string,
    epoch: number,
    to: Parameters<typeof logs.advanceLog>[3],
  ): void {
    logs.advanceLog(this.#db, runId, epoch, to);
  }

  logOf(syncId: string): logs.LogRecord | null {
    return logs.logOf(this.#db, syncId);
  }

  resetLog(syncId: string): void {
    logs.resetLog(this.#db, syncId);
  }

  giveUpLog(runId: string, epoch: number, reason: string): void {
    logs.giveUpLog(this.#db, runId, epoch, reason);
  }

  endLog(
    runId: string,
    epoch: number,
    position: string,
    cutBy: string | null = null,
  ): string {
    return logs.endLog(this.#db, runId, epoch, position, cutBy);
  }

  logCutOf(runId: string): string | null {
    return logs.logCutOf(this.#db, runId);
  }

  forgetStreamLog(
    runId: string,
    epoch: number,
    stream: Parameters<typeof logs.forgetStreamLog>[3],
  ): void {
    logs.forgetStreamLog(this.#db, runId, epoch, stream);
  }

  /** @returns what the run's first attempt has decided */
  enterLog(
    runId: string,
    epoch: number,
    entry: logs.LogEntryRecord | null,
  ): logs.LogEntryRecord | null {
    return logs.enterLog(this.#db, runId, epoch, entry);
  }

  logEndOf(runId: string): string | null {
    return logs.logEndOf(this.#db, runId);
  }

  // Snapshots and the timeline

  recordSnapshot(
    runId: string,
    epoch: number,
    snapshot: records.SnapshotRecord,
  ): void {
    timeline.recordSnapshot(this.#db, runId, epoch, snapshot);
  }

  snapshotsOf(runId: string): ReturnType<typeof timeline.snapshotsOf> {
    return timeline.snapshotsOf(this.#db, runId);
  }

  recordEvent(runId: string, kind: string, detailsJson: string): void {
    timeline.recordEvent(this.#db, runId, kind, detailsJson);
  }

  eventsOf(
    runId: string,
    filter: timeline.EventFilter = {},
  ): records.EventRecord[] {
    return timeline.eventsOf(this.#db, runId, filter);
  }

  // The queue

  enqueue(entry: queue.NewQueuedRun): queue.Enqueued {
    return queue.enqueue(this.#db, entry);
  }

  forgetMessages(
    place: queue.QueueMessage,
  ): ReturnType<typeof queueSeen.forgetMessages> {
    return queueSeen.forgetMessages(this.#db, place);
  }

  takeQueued(daemon: string, options: leases.TakeOptions): queue.QueuedRun[] {
    return leases.takeQueued(this.#db, daemon, options);
  }

  renewLeases(
    daemon: string,
    leaseMs: number,
    believed: readonly leases.HeldEntry[] = [],
  ): ReturnType<typeof leases.renewLeases> {
    return leases.renewLeases(this.#db, daemon, leaseMs, believed);
  }

  expireLeases(): queue.QueuedRun[] {
    return leases.expireLeases(this.#db);
  }

  /** Null: of all daemons. */
  releaseLeases(daemon: string | null): queue.QueuedRun[] {
    return leases.releaseLeases(this.#db, daemon);
  }

  bindRun(queueId: string, epoch: number, runId: string): void {
    queue.bindRun(this.#db, queueId, epoch, runId);
  }

  finishQueued(
    queueId: string,
    epoch: number,
    state: "succeeded" | "failed" | "cancelled",
    errorJson: string | null,
  ): void {
    queue.finishQueued(this.#db, queueId, epoch, state, errorJson);
  }

  requeue(
    queueId: string,
    epoch: number,
    dueAt: number | null,
    errorJson: string | null = null,
  ): void {
    queue.requeue(this.#db, queueId, epoch, dueAt, errorJson);
  }

  pauseTaken(queueId: string, epoch: number): void {
    queue.pauseTaken(this.#db, queueId, epoch);
  }

  pauseQueued(queueId: string): void {
    queue.pauseQueued(this.#db, queueId);
  }

  resumeQueued(queueId: string): void {
    queue.resumeQueued(this.#db, queueId);
  }

  cancelQueued(queueId: string): void {
    queue.cancelQueued(this.#db, queueId);
  }

  queuedOf(queueId: string): queue.QueuedRun {
    return queue.queuedOf(this.#db, queueId);
  }

  queuedOfRun(runId: string): queue.QueuedRun | null {
    return queueList.queuedOfRun(this.#db, runId);
  }

  listQueue(filter: queueList.QueueFilter): queue.QueuedRun[] {
    return queueList.listQueue(this.#db, filter);
  }

  countQueue(
    sync: string | null = null,
  ): ReturnType<typeof queueList.countQueue> {
    return queueList.countQueue(this.#db, sync);
  }

  nextDueAt(): number | null {
    return queueList.nextDueAt(this.#db);
  }

  // Syncs by name, and their streams

  pauseSync(name: string, reasonJson: string | null = null): void {
    syncStates.pauseSync(this.#db, name, reasonJson);
  }

  resumeSync(name: string): void {
    syncStates.resumeSync(this.#db, name);
  }

  setAgreement(name: string, agreementJson: string | null): void {
    syncStates.setAgreement(this.#db, name, agreementJson);
  }

  syncStateOf(name: string): syncStates.SyncState {
    return syncStates.syncStateOf(this.#db, name);
  }

  pausedSyncs(): string[] {
    return syncStates.pausedSyncs(this.#db);
  }

  lastScheduled(name: string): number | null {
    return syncStates.lastScheduled(this.#db, name);
  }

  recordScheduled(name: string, at: number): boolean {
    return syncStates.recordScheduled(this.#db, name, at);
  }

  resetStream(syncId: string, namespace: string, name: string): void {
    syncStates.resetStream(this.#db, syncId, namespace, name);
  }

  isStreamReset(runId: string, namespace: string, name: string): boolean {
    return syncStates.isStreamReset(this.#db, runId, namespace, name);
  }

  // Daemons

  recordDaemonEvent(
    sync: string | null,
    kind: string,
    detailsJson: string,
  ): void {
    daemonEvents.recordDaemonEvent(this.#db, sync, kind, detailsJson);
  }

  daemonEventsOf(
    filter: daemonEvents.DaemonEventFilter,
  ): daemonEvents.DaemonEventRecord[] {
    return daemonEvents.daemonEventsOf(this.#db, filter);
  }
}
