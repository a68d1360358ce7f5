/**
 * The states of socket mode, put in order. Records and states travel by different sockets, so a state may come before its
 * records or long behind them; it counts once all states before it do and every record that it speaks of has arrived.
 * Pure: one of a stream, or one of all streams where states are global.
 */
import { ExtractError } from "../../proto/error.ts";

export interface PartitionState {
  /** From 1, each one more. */
  readonly id: number;
  /** What it covers: names of partitions, with the stream of each where it says so. */
  readonly partitions: readonly string[];
  /** Records of these together. */
  readonly recordCount: number;
  /** The state itself, as JSON. */
  readonly body: string;
}

/** States that wait for others, or for their records. */
const WAITING_MAX = 100_000;

export class PartitionStates {
  readonly #of: string;
  readonly #waiting = new Map<number, PartitionState>();
  /** Bodies of those that have left are not kept: a repeat is told by its id. */
  #next = 1;

  /** @param of whose they are, for people */
  constructor(of: string) {
    this.#of = of;
  }

  get next(): number {
    return this.#next;
  }

  /** Whether some have come and not left. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * The same state may come twice, by stdout and by a socket.
   * @throws ExtractError CONNECTOR_MESSAGE_INVALID where two differ under one id
   */
  add(state: PartitionState): void {
    if (state.id < this.#next) return;
    const known = this.#waiting.get(state.id);
    if (known !== undefined) {
      if (known.body !== state.body)
        throw new ExtractError(
          "CONNECTOR_MESSAGE_INVALID",
          `two states of ${this.#of} have the id ${state.id} and differ`,
          { id: state.id },
        );
      return;
    }
    if (this.#waiting.size >= WAITING_MAX)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `${WAITING_MAX} states of ${this.#of} wait for the state ${this.#next}, which has not come`,
        { id: this.#next },
      );
    this.#waiting.set(state.id, state);
  }

  /**
   * The next state, if it has come and its records have. Null: it is not its time.
   * @param countOf records of a partition that have arrived
   * @throws ExtractError CONNECTOR_COUNT_MISMATCH where more have arrived than it counts
   */
  take(countOf: (partition: string) => number): PartitionState | null {
    const state = this.#waiting.get(this.#next);
    if (state === undefined) return null;
    const arrived = sum(state, countOf);
    if (arrived > state.recordCount) throw this.#mismatch(state, arrived);
    if (arrived < state.recordCount) return null;
    this.#waiting.delete(state.id);
    this.#next += 1;
    return state;
  }

  /**
   * Everything has arrived that ever will.
   * @throws ExtractError CONNECTOR_COUNT_MISMATCH, CONNECTOR_STATE_MISSING for the state that stands in the way
   */
  end(countOf: (partition: string) => number): void {
    if (this.#waiting.size === 0) return;
    const state = this.#waiting.get(this.#next);
    if (state) throw this.#mismatch(state, sum(state, countOf));
    const [after = 0] = [...this.#waiting.keys()].toSorted((a, b) => a - b);
    throw new ExtractError(
      "CONNECTOR_STATE_MISSING",
      `state ${this.#next} of ${this.#of} never came, and state ${after} did: what is behind it cannot be told to be complete`,
      { id: this.#next },
    );
  }

  #mismatch(state: PartitionState, arrived: number): ExtractError {
    return countMismatch(
      `state ${state.id} of ${this.#of}`,
      state.recordCount,
      arrived,
    );
  }
}

function sum(
  { partitions }: PartitionState,
  countOf: (partition: string) => number,
): number {
  return partitions.reduce((total, one) => total + countOf(one), 0);
}

/** @param what counts, for people */
export function countMismatch(
  what: string,
  counted: number,
  arrived: number,
): ExtractError {
  return new ExtractError(
    "CONNECTOR_COUNT_MISMATCH",
    `${what} counts ${counted} records, and ${arrived} have arrived`,
    { counted, arrived },
  );
}
