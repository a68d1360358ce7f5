/** Which run may begin beside those that are at work: counted here, asked by the queue's effect for each entry. */

export interface RunLimits {
  readonly runs: number;
  readonly perSource: number;
  readonly perDestination: number;
  /** Connections to one server. */
  readonly connectionsPerSource: number;
}

/** What a run takes while it is at work. */
export interface RunPermit {
  readonly sync: string;
  /** The server that it reads; runs of the same text share its limits. */
  readonly source: string;
  readonly destination: string;
  /** To the source's server, at most; 0 for one that waits for them once it has begun. */
  readonly connections: number;
  /** Lives in the daemon's own threads. */
  readonly isInline?: boolean;
}

interface Use {
  readonly runs: number;
  readonly connections: number;
}

const NONE: Use = { runs: 0, connections: 0 };

/** Permits that are given out, and those that can still be. */
export class PermitBook {
  readonly #limits: RunLimits;
  readonly #syncs = new Set<string>();
  readonly #sources = new Map<string, Use>();
  readonly #destinations = new Map<string, Use>();
  #runs = 0;

  /** @param beside connections to servers that are in use without a permit for them */
  constructor(
    limits: RunLimits,
    given: Iterable<RunPermit>,
    beside: ReadonlyMap<string, number> = new Map(),
  ) {
    this.#limits = limits;
    for (const [source, connections] of beside)
      this.#sources.set(source, { runs: 0, connections });
    for (const permit of given) this.#enter(permit);
  }

  get free(): number {
    return Math.max(0, this.#limits.runs - this.#runs);
  }

  /**
   * Gives the permit, or says no. A run that wants more connections than there may ever be is given them all: it has to
   * do with fewer, and nobody else reads that server meanwhile.
   */
  give(wanted: RunPermit): RunPermit | null {
    const { perSource, perDestination, connectionsPerSource } = this.#limits;
    const permit = {
      ...wanted,
      connections: Math.min(wanted.connections, connectionsPerSource),
    };
    const source = this.#sources.get(permit.source) ?? NONE;
    const destination = this.#destinations.get(permit.destination) ?? NONE;
    const fits =
      this.free > 0 &&
      !this.#syncs.has(permit.sync) &&
      source.runs < perSource &&
      source.connections + permit.connections <= connectionsPerSource &&
      destination.runs < perDestination;
    if (!fits) return null;
    this.#enter(permit);
    return permit;
  }

  #enter({ sync, source, destination, connections }: RunPermit): void {
    this.#runs++;
    this.#syncs.add(sync);
    add(this.#sources, source, connections);
    add(this.#destinations, destination, connections);
  }
}

function add(uses: Map<string, Use>, name: string, connections: number): void {
  const use = uses.get(name) ?? NONE;
  uses.set(name, {
    runs: use.runs + 1,
    connections: use.connections + connections,
  });
}
