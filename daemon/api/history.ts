/** Runs as the ledger has them, found by what a caller may name. */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { QueuedRun } from "../../checkpoint/store/queue.ts";
import type { RunRecord } from "../../checkpoint/store/records.ts";
import { ExtractError } from "../../proto/error.ts";
import type { DaemonService, SyncView } from "../service/types.ts";
import { parseObject, type RunView } from "./views.ts";

/** What the API reads of the ledger; it writes nothing but through the service. */
export type History = Pick<
  Ledger,
  | "listRuns"
  | "findRun"
  | "streamsOf"
  | "planOf"
  | "partitionsOf"
  | "durableOf"
  | "releasedOf"
  | "eventsOf"
  | "processesOf"
  | "snapshotsOf"
  | "queuedOf"
  | "queuedOfRun"
  | "countQueue"
  | "daemonEventsOf"
  | "countRuns"
  | "countStreamRuns"
  | "listStreamRuns"
  | "streamNamesOf"
>;

/** Finished runs whose rows are remembered: they no longer change, and counting reads every checkpoint. */
const ROWS_KNOWN_MAX = 10_000;

export class RunFinder {
  readonly #service: DaemonService;
  readonly #history: History;
  readonly #rows = new Map<string, number>();

  constructor(service: DaemonService, history: History) {
    this.#service = service;
    this.#history = history;
  }

  /** @throws ExtractError SYNC_NOT_FOUND */
  findSync(name: string): SyncView {
    const found = this.#service.findSync(name);
    if (found) return found;
    throw new ExtractError("SYNC_NOT_FOUND", `no sync is called ${name}`, {
      sync: name,
    });
  }

  /** @throws ExtractError RUN_NOT_FOUND */
  findQueueEntry(queueId: string): QueuedRun {
    return this.#history.queuedOf(queueId);
  }

  /** @throws ExtractError RUN_NOT_FOUND, also for a queue entry that has not become a run yet */
  findRun(id: string): RunRecord {
    if (!id.startsWith("q-")) return this.#history.findRun(id);
    const { runId } = this.findQueueEntry(id);
    if (runId !== null) return this.#history.findRun(runId);
    throw new ExtractError("RUN_NOT_FOUND", `${id} has not begun yet`, {
      run: id,
    });
  }

  view(run: RunRecord): RunView {
    const { runId, syncId, mode, state, epoch, startedAt, finishedAt, error } =
      run;
    const name = parseObject(run.requestJson)?.["name"];
    return {
      runId,
      syncId,
      sync: typeof name === "string" ? name : null,
      queueId: this.#history.queuedOfRun(runId)?.queueId ?? null,
      mode,
      state,
      epoch,
      startedAt,
      finishedAt,
      rows: this.#countRows(run),
      error,
    };
  }

  findLive(runId: string) {
    return this.#service.liveRun(runId);
  }

  #countRows({ runId, epoch, finishedAt }: RunRecord): number {
    const live = this.findLive(runId);
    if (live)
      return live.streams.reduce(
        (sum, { rowsDurable }) => sum + rowsDurable,
        0,
      );
    const key = `${runId}/${epoch}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const rows = this.#history
      .durableOf(runId)
      .reduce((sum, report) => sum + report.rows, 0);
    if (finishedAt !== null) {
      const oldest = this.#rows.keys().next().value;
      if (this.#rows.size >= ROWS_KNOWN_MAX && oldest !== undefined)
        this.#rows.delete(oldest);
      this.#rows.set(key, rows);
    }
    return rows;
  }
}
