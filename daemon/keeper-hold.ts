/**
 * The bookkeeper's hold on its keeper: started once for all attempts, adopted when an earlier bookkeeper left one alive,
 * let go of when the run is over, and left to its grace when it is not.
 */
import { join } from "node:path";
import type { Ledger } from "../checkpoint/store/ledger.ts";
import { processStartTime } from "../checkpoint/store/process-identity.ts";
import type {
  KeeperFact,
  KeeperOrder,
  LogOpenOrder,
  SnapshotWire,
} from "../proto/control.ts";
import { toWireError } from "../proto/error.ts";
import type { Placement } from "./placement.ts";
import { adoptKeeper, type Child, type ChildListener } from "./processes.ts";

export interface KeeperHoldOptions {
  readonly ledger: Ledger;
  readonly placement: Placement;
  readonly folder: string;
  readonly graceMs: number;
  readonly inspect: boolean;
}

export class KeeperHold {
  readonly #options: KeeperHoldOptions;
  #child: Child | null = null;
  #opened: Extract<KeeperFact, { type: "snapshot.opened" }> | null = null;
  #socketPath = "";
  #attempt: { readonly runId: string; readonly epoch: number } | null = null;
  #listen: (fact: KeeperFact) => void = () => {};
  #watch: (child: Child) => void = () => {};
  #log: LogOpenOrder | null = null;
  #isForgotten = false;
  /** Where to begin anew when the keeper that was adopted has nothing that can still be joined. */
  #adoptedUrl: string | null = null;

  constructor(options: KeeperHoldOptions) {
    this.#options = options;
  }

  beginAttempt(attempt: {
    readonly runId: string;
    readonly epoch: number;
  }): void {
    this.#attempt = attempt;
  }

  /**
   * Opens a snapshot, or tells of the one that is still held. `watch` is given the process as soon as it is known.
   * @param log what is to hold the source's log before; null: nothing
   */
  open(
    url: string,
    log: LogOpenOrder | null,
    listen: (fact: KeeperFact) => void,
    watch: (child: Child) => void,
  ): void {
    this.#listen = listen;
    this.#watch = watch;
    this.#log = log;
    this.#open(url).catch((error: unknown) => {
      this.#listen({ type: "process.failed", error: toWireError(error) });
    });
  }

  async #open(url: string): Promise<void> {
    if (this.#opened?.joins === "at-the-start") this.forget();
    if (this.#child && this.#opened) {
      const opened = this.#opened;
      this.#watch(this.#child);
      setImmediate(() => this.#listen(opened));
      return;
    }
    const [last] = this.#recorded().slice(-1);
    if (last && !this.#isForgotten) {
      this.#socketPath = last.keeperSocket;
      this.#child = await adoptKeeper(
        last.keeperSocket,
        { pid: last.keeperPid, startTime: last.keeperStart },
        this.#listener(),
      );
      if (this.#child) {
        this.#adoptedUrl = url;
        if (this.#options.inspect) this.send({ type: "keeper.inspect" });
        this.#watch(this.#child);
        return;
      }
    }
    this.#start(url);
  }

  #start(url: string): void {
    const { folder, graceMs, placement } = this.#options;
    this.#opened = null;
    this.#adoptedUrl = null;
    this.#socketPath = join(folder, "keeper.sock");
    this.#child = placement.spawn("keeper", this.#listener());
    this.#watch(this.#child);
    if (this.#options.inspect) this.send({ type: "keeper.inspect" });
    this.send({ type: "keeper.hold", graceMs, socketPath: this.#socketPath });
    const log = this.#log;
    this.send({ type: "snapshot.open", url, ...(log ? { log } : {}) });
  }

  #listener(): ChildListener {
    return {
      onFact: (fact) => {
        const known = fact as KeeperFact;
        if (known.type === "snapshot.opened") {
          if (known.joins === "at-the-start" && this.#adoptedUrl !== null) {
            const url = this.#adoptedUrl;
            this.forget();
            this.#start(url);
            return;
          }
          this.#opened = known;
        }
        this.#listen(known);
      },
      onProtocolMessage: () => {},
      onExit: (description) => {
        if (!this.#child) return;
        this.forget();
        this.#listen({
          type: "snapshot.lost",
          error: {
            code: "SOURCE_SNAPSHOT_LOST",
            message: `the keeper ended: ${description}`,
            details: {},
          },
        });
      },
    };
  }

  #recorded(): ReturnType<Ledger["snapshotsOf"]> {
    const attempt = this.#attempt;
    return attempt ? this.#options.ledger.snapshotsOf(attempt.runId) : [];
  }

  /** Whether this snapshot is the one that the run's last attempt read under. */
  isKept(snapshot: SnapshotWire): boolean {
    const last = this.#recorded().at(-1);
    return (
      last !== undefined &&
      last.id === snapshot.id &&
      last.visible === snapshot.visible
    );
  }

  /** Writes a new snapshot into the ledger, once what was read under the one before has been decided on. */
  record(): void {
    const attempt = this.#attempt;
    const snapshot = this.#opened?.snapshot;
    const child = this.#child;
    if (!attempt || !snapshot || !child || this.isKept(snapshot)) return;
    this.#options.ledger.recordSnapshot(attempt.runId, attempt.epoch, {
      ...snapshot,
      ...identify(child),
      keeperSocket: this.#socketPath,
    });
  }

  send(order: KeeperOrder): void {
    this.#child?.send(order);
  }

  /** The snapshot is gone: the next attempt begins with a new one. */
  forget(): void {
    const child = this.#child;
    this.#child = null;
    this.#opened = null;
    this.#isForgotten = true;
    child?.send({ type: "keeper.release" } as { type: string });
    child?.detach();
  }

  /** A keeper that no longer answers would keep its locks for ever: it is killed, and its snapshot goes with it. */
  kill(): void {
    const child = this.#child;
    this.forget();
    child?.kill();
  }

  /** The run is over (`release`), or may be resumed within the grace. */
  letGo(how: "release" | "leave"): void {
    const child = this.#child;
    this.#child = null;
    if (how === "release")
      child?.send({ type: "keeper.release" } as { type: string });
    child?.detach();
  }
}

/** One without a process of its own is as alive as this one, and nobody listens on its socket. */
function identify({ pid, startTime }: Child): {
  readonly keeperPid: number;
  readonly keeperStart: string | null;
} {
  return pid === null
    ? { keeperPid: process.pid, keeperStart: processStartTime(process.pid) }
    : { keeperPid: pid, keeperStart: startTime };
}
