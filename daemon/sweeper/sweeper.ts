/**
 * The daemon's sweeper: at its start and every hour it removes what dead runs have left, here and at the destinations.
 * One sync after the other, each under its lock and only while none of its runs is at work.
 */
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { RunLock } from "../../checkpoint/store/locks.ts";
import { isPostgresLedger } from "../../checkpoint/store/postgres-url.ts";
import {
  ExtractError,
  toWireError,
  type WireError,
} from "../../proto/error.ts";
import { nameDestination } from "../destinations.ts";
import type { SyncRequest } from "../request.ts";
import { sweepRunFolders } from "./run-folders.ts";
import { sweepSync, type SyncSweep } from "./sweep-sync.ts";
import { nameTable } from "../../proto/table-name.ts";

const SWEPT_EVERY_MS = 3_600_000;
/** Things named in one event of the timeline; the others are counted. */
const NAMED_MAX = 50;
const MESSAGE_LENGTH_MAX = 4_000;

export interface SweepableSync {
  readonly name: string;
  readonly syncId: string;
  readonly request: SyncRequest;
}

export interface SweeperInput {
  readonly ledger: Ledger;
  /** As configured now. */
  readonly listSyncs: () => readonly SweepableSync[];
  /** Keeps runs of the sync from beginning until the answer is called; null while one is at work. */
  readonly reserve: (sync: string) => (() => void) | null;
  /** Folders under which run folders are looked for; left out: the usual ones. */
  readonly places?: readonly string[];
  readonly onSwept: (news: SweepNews) => void;
  /** Without secrets. */
  readonly cover: (text: string) => string;
}

export type SweepNews =
  | { readonly kind: "folders"; readonly removed: readonly string[] }
  | {
      readonly kind: "sync";
      readonly sync: string;
      readonly sweep: SyncSweep;
    }
  | {
      readonly kind: "failed";
      /** Null: the run folders. */
      readonly sync: string | null;
      readonly error: WireError;
    };

export class Sweeper {
  readonly #input: SweeperInput;
  readonly #stopping = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #sweep: Promise<void> | null = null;

  /** Begins at once. */
  constructor(input: SweeperInput) {
    this.#input = input;
    this.#timer = setInterval(() => this.#begin(), SWEPT_EVERY_MS);
    this.#timer.unref();
    this.#begin();
  }

  /** What is being removed is left as it is; the next sweep goes on. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#sweep;
  }

  #begin(): void {
    if (this.#sweep !== null) return;
    this.#sweep = this.#sweepAll().finally(() => (this.#sweep = null));
  }

  async #sweepAll(): Promise<void> {
    await this.#guard(null, () => this.#sweepFolders());
    for (const sync of this.#input.listSyncs()) {
      if (this.#stopping.signal.aborted) return;
      await this.#guard(sync.name, () => this.#sweepSync(sync));
    }
  }

  async #sweepFolders(): Promise<void> {
    const { places, ledger } = this.#input;
    const { removed, faults } = await sweepRunFolders(
      places === undefined ? {} : { places },
    );
    if (removed.length > 0) {
      ledger.recordDaemonEvent(
        null,
        "sweep.folders",
        JSON.stringify({
          count: removed.length,
          folders: removed.slice(0, NAMED_MAX),
        }),
      );
      this.#input.onSwept({ kind: "folders", removed });
    }
    if (faults.length > 0)
      throw new ExtractError(
        "DESTINATION_FAILED",
        `folders of dead runs cannot be removed: ${faults.slice(0, NAMED_MAX).join("; ")}`,
      );
  }

  async #sweepSync({ name, syncId, request }: SweepableSync): Promise<void> {
    const { ledger } = this.#input;
    // asked for first: most often there is nothing, and then nobody is kept waiting
    if (ledger.listOver(syncId).length === 0) return;
    const release = this.#input.reserve(name);
    if (release === null) return;
    let lock: RunLock | null = null;
    try {
      lock = takeLock(ledger, syncId);
      const sweep = await sweepSync({
        ledger,
        syncId,
        present: request,
        place: nameDestination(request.destination),
        isDry: false,
        signal: this.#stopping.signal,
      });
      if (sweep === null || sweep.outcome === "busy") return;
      ledger.recordDaemonEvent(name, "sweep.cleaned", describeSweep(sweep));
      this.#input.onSwept({ kind: "sync", sync: name, sweep });
    } finally {
      lock?.release();
      release();
    }
  }

  /** What goes wrong with one sync is told, and keeps no other waiting. */
  async #guard(sync: string | null, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (caught) {
      const wire = toWireError(caught);
      // another daemon runs it just now; or this one is leaving
      if (wire.code === "RUN_LOCKED" || this.#stopping.signal.aborted) return;
      const error = {
        code: wire.code,
        message: this.#input.cover(wire.message).slice(0, MESSAGE_LENGTH_MAX),
        details: {},
      };
      this.#input.onSwept({ kind: "failed", sync, error });
      try {
        this.#input.ledger.recordDaemonEvent(
          sync,
          "sweep.failed",
          JSON.stringify({ error }),
        );
      } catch {
        // a ledger that cannot be written says so to the runs as well
      }
    }
  }
}

/** The daemon has a ledger in a file for itself, and its lock with it. */
function takeLock(ledger: Ledger, syncId: string): RunLock | null {
  return isPostgresLedger(ledger.path) ? ledger.acquireRunLock(syncId) : null;
}

function describeSweep({ removed, generations }: SyncSweep): string {
  return JSON.stringify({
    removed,
    count: generations.length,
    generations: generations
      .slice(0, NAMED_MAX)
      .map(({ namespace, name, generation, runId, state }) => ({
        stream: nameTable({ namespace, name }),
        generation,
        run: runId,
        state,
      })),
  });
}
