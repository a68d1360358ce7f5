/** Connections of runs that live in this process: they wait here for theirs, in the order in which they came. */
import type { RunPermit } from "../../actors/daemon/permits.ts";

export interface ConnectionFigures {
  /** Runs that have theirs, and the connections that they have. */
  readonly runs: number;
  readonly connections: number;
  readonly waiting: number;
  /** Runs that were let in so far, and how long they had waited, in milliseconds. */
  readonly entered: number;
  readonly waitedMs: number;
  readonly waitedMsMax: number;
}

interface Waiting {
  readonly connections: number;
  readonly since: number;
  enter(): void;
}

export interface ConnectionQueueOptions {
  /** Connections to one server, of all runs together. Asked each time: it may be configured anew. */
  readonly limit: () => number;
  /** What runs with processes of their own have of this server's. */
  readonly takenBeside: (server: string) => number;
  /** Connections came free that were kept back for somebody else. */
  readonly onFree: () => void;
}

export class ConnectionQueue {
  readonly #options: ConnectionQueueOptions;
  readonly #used = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting[]>();
  /** Kept back for a run with processes of its own, which needs them all at once. */
  readonly #kept = new Map<string, number>();
  #runs = 0;
  #entered = 0;
  #waitedMs = 0;
  #waitedMsMax = 0;

  constructor(options: ConnectionQueueOptions) {
    this.#options = options;
  }

  /** In use by runs of this queue. */
  get used(): ReadonlyMap<string, number> {
    return this.#used;
  }

  get figures(): ConnectionFigures {
    const sum = (values: Iterable<number>): number =>
      [...values].reduce((total, one) => total + one, 0);
    return {
      runs: this.#runs,
      connections: sum(this.#used.values()),
      waiting: sum([...this.#waiting.values()].map(({ length }) => length)),
      entered: this.#entered,
      waitedMs: this.#waitedMs,
      waitedMsMax: this.#waitedMsMax,
    };
  }

  /**
   * Gives what has to be called once the connections are closed. More than there may ever be are given when nobody else
   * has any.
   * @throws what `signal` is aborted with
   */
  async enter(
    server: string,
    connections: number,
    signal: AbortSignal,
  ): Promise<() => void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const since = performance.now();
    const waiting: Waiting = { connections, since, enter: resolve };
    const line = this.#lineOf(server);
    line.push(waiting);
    const leave = (): void => {
      const place = line.indexOf(waiting);
      if (place < 0) return;
      line.splice(place, 1);
      this.#admit(server);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#admit(server);
    await promise;
    signal.removeEventListener("abort", leave);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#runs -= 1;
      this.#add(server, -connections);
      this.#admit(server);
      if (this.#kept.size > 0) this.#options.onFree();
    };
  }

  /** Nobody enters while fewer than these would be left for others; the first one who asks counts. */
  keepBack({ source, connections }: Pick<RunPermit, "source" | "connections">) {
    if (connections > 0 && !this.#kept.has(source))
      this.#kept.set(source, Math.min(connections, this.#options.limit()));
  }

  /** Nothing is kept back any more. */
  letIn(): void {
    if (this.#kept.size === 0) return;
    this.#kept.clear();
    this.recount();
  }

  /** After whatever changed what others have, or the limit. */
  recount(): void {
    for (const server of this.#waiting.keys()) this.#admit(server);
  }

  #lineOf(server: string): Waiting[] {
    const known = this.#waiting.get(server);
    if (known) return known;
    const fresh: Waiting[] = [];
    this.#waiting.set(server, fresh);
    return fresh;
  }

  #add(server: string, connections: number): void {
    this.#used.set(server, (this.#used.get(server) ?? 0) + connections);
  }

  #admit(server: string): void {
    const line = this.#lineOf(server);
    for (;;) {
      const next = line[0];
      if (!next || !this.#fits(server, next.connections)) return;
      line.shift();
      this.#runs += 1;
      this.#add(server, next.connections);
      const waitedMs = performance.now() - next.since;
      this.#entered += 1;
      this.#waitedMs += waitedMs;
      this.#waitedMsMax = Math.max(this.#waitedMsMax, waitedMs);
      next.enter();
    }
  }

  #fits(server: string, connections: number): boolean {
    const used = this.#used.get(server) ?? 0;
    const beside = this.#options.takenBeside(server);
    if (connections === 0 || used + beside === 0) return true;
    const kept = this.#kept.get(server) ?? 0;
    return used + beside + kept + connections <= this.#options.limit();
  }
}
