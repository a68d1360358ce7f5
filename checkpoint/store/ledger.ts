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
import { LedgerDatabase } from "./database.ts";
import * as durable from "./durable.ts";
import * as generations from "./generations.ts";
import type * as records from "./records.ts";
import * as plans from "./plans.ts";
import * as released from "./released.ts";
import * as runs from "./runs.ts";
import * as streams from "./streams.ts";
import * as timeline from "./timeline.ts";

export class Ledger {
  readonly #db: LedgerDatabase;

  private constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  /**
   * @throws ExtractError RUN_NOT_FOUND where there is none and `create` is false; LEDGER_CORRUPT with the path when the
   *   file is not a ledger, damaged, or of a newer version; DESTINATION_UNWRITABLE
   */
  static open(path: string, options: { readonly create: boolean }): Ledger {
    return new Ledger(new LedgerDatabase(path, options));
  }

  /** May be called again. */
  close(): void {
    this.#db.close();
  }

  /** Absolute. */
  get path(): string {
    return this.#db.path;
  }

  /** Drawn when the ledger was made: for manifests, since generations are numbered alike in every ledger. */
  get id(): string {
    return this.#db.id;
  }

  /** All writes that `work` makes, or none; `work` is done when it returns (no promise). */
  transaction<Result>(work: () => Result): Result {
    return this.#db.transaction(work);
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

  listRuns({ limit }: { readonly limit: number }): records.RunRecord[] {
    return runs.listRuns(this.#db, limit);
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

  eventsOf(runId: string): records.EventRecord[] {
    return timeline.eventsOf(this.#db, runId);
  }
}
