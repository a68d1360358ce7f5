/** Which runs of the daemon live in its pool of threads, and what they need to begin there. */
import type { RunPermit } from "../../actors/daemon/permits.ts";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import { readScheme } from "../../connectors/sources/url.ts";
import type { InlineSettings } from "../config-daemon.ts";
import { hasLimits } from "../limits/limits.ts";
import type { Placement } from "../placement.ts";
import type { RunSummary, SyncRequest } from "../request.ts";
import { ConnectionQueue, type ConnectionQueueOptions } from "./connections.ts";
import { InlinePool } from "./pool.ts";
import type { Turns } from "./turns.ts";

/** Newest successes among which one of the whole sync is looked for. */
const RUNS_LOOKED_AT = 20;
/** The keeper's, the planner's and the reader's. */
const CONNECTIONS = 3;
/** Where sessions join only at the start, the keeper has another one for its locks, and there is a spare. */
const CONNECTIONS_JOINED = 5;

export interface InlineRunsOptions extends ConnectionQueueOptions {
  /** Null: no run lives here. */
  readonly settings: () => InlineSettings | null;
  /** In which what the runs tell is taken in. */
  readonly turns: Turns;
}

interface KnownSync {
  readonly syncId: string;
  readonly request: SyncRequest;
}

export class InlineRuns {
  readonly connections: ConnectionQueue;
  readonly #settings: () => InlineSettings | null;
  readonly #turns: Turns;
  /** Bytes of the last success of each sync; null: there is none. */
  readonly #bytes = new Map<string, number | null>();
  #pool: InlinePool | null = null;

  constructor({ settings, turns, ...options }: InlineRunsOptions) {
    this.#settings = settings;
    this.#turns = turns;
    this.connections = new ConnectionQueue(options);
  }

  /** Starts the threads, so that the first run need not wait for them. */
  warm(): void {
    if (this.#settings()) this.#openPool().warm();
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    this.#pool = null;
  }

  /**
   * By what the last success moved. A sync that has none may be of any size; a run that turns out to be large goes on
   * where it is.
   */
  isSmall(ledger: Ledger, { syncId, request }: KnownSync): boolean {
    const settings = this.#settings();
    // what a run may take of the machine is a matter of its own processes
    if (!settings || hasLimits(request.limits)) return false;
    // the engine that reads a log is a process, and lives as long as its run
    if (request.mode === "cdc") return false;
    let bytes = this.#bytes.get(syncId);
    if (bytes === undefined) {
      bytes = readLastBytes(ledger, syncId);
      this.#bytes.set(syncId, bytes);
    }
    return bytes === null ? settings.firstRuns : bytes <= settings.bytesMax;
  }

  note(
    { syncId, request }: KnownSync,
    { state, streams }: Pick<RunSummary, "state" | "streams">,
  ): void {
    if (state !== "succeeded" || isNarrowed(request)) return;
    const bytes = streams.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    this.#bytes.set(syncId, bytes);
  }

  /** One channel: whatever is small is read by one reader. */
  fit(request: SyncRequest): SyncRequest {
    return { ...request, channels: 1, readers: 1 };
  }

  /** Its connections are counted when it opens them, not when it is taken: until then it costs next to nothing. */
  fitPermit(permit: RunPermit): RunPermit {
    return { ...permit, connections: 0, isInline: true };
  }

  place({ source }: RunPermit, request: SyncRequest): Placement {
    const seat = this.#openPool().place();
    const wanted = countConnections(request);
    let free: (() => void) | null = null;
    return {
      spawn: (role, listener) => seat.spawn(role, listener),
      enter: async (signal) => {
        free ??= await this.connections.enter(source, wanted, signal);
      },
      leave: () => void seat.empty().then(() => free?.()),
    };
  }

  #openPool(): InlinePool {
    const threads = this.#settings()?.threads ?? 1;
    this.#pool ??= new InlinePool({ threads, turns: this.#turns });
    return this.#pool;
  }
}

/** What some rows of a sync take says nothing of the others. */
function isNarrowed({ narrowing }: Partial<SyncRequest>): boolean {
  return narrowing !== null && narrowing !== undefined;
}

function countConnections({ source: { url } }: SyncRequest): number {
  switch (readScheme(url)) {
    case "generator":
    case "kafka":
      return 0;
    case "postgres":
    case "postgresql":
      return CONNECTIONS;
    default:
      return CONNECTIONS_JOINED;
  }
}

function readLastBytes(ledger: Ledger, syncId: string): number | null {
  const last = ledger
    .listRuns({
      syncIds: [syncId],
      states: ["succeeded"],
      limit: RUNS_LOOKED_AT,
    })
    .find(
      ({ requestJson }) =>
        !isNarrowed(JSON.parse(requestJson) as Partial<SyncRequest>),
    );
  if (!last) return null;
  return ledger
    .durableOf(last.runId)
    .reduce((sum, { bytes }) => sum + bytes, 0);
}
