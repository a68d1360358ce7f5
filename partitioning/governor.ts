/**
 * How many readers work at once. Measured, not configured: one more as long as that raises the rate, one less when it
 * did not or the server shows strain. Pure: time and counters come in with each sample.
 */
import assert from "node:assert/strict";

/** A rate is taken over this time at least. */
const WINDOW_MS = 500;
/** After a change the first bytes come late (connection, first page): not counted. */
const SETTLE_MS = 250;
/** A reader that brought nothing, or strain, is not tried again for this long. */
export const HOLD_MS = 15_000;
/** What one more reader must bring; less where even a perfect one brings less than twice that. */
const GAIN_MIN = 0.1;
/** Idle CPU of this machine below which another reader only takes from the others. */
const CPU_IDLE_MIN = 0.15;
/** Share of the time that readers wait for the destination, above which more reading is of no use. */
const BACKPRESSURE_MAX = 0.5;

export interface GovernorSample {
  /** Monotonic clock. */
  readonly timeMs: number;
  /** Of all readers, ever growing. */
  readonly bytesTotal: number;
  readonly readersActive: number;
  /** Of this machine, 0 to 1. */
  readonly cpuIdleFraction: number;
  /** Share of the time since the last sample that readers waited for the destination, 0 to 1. */
  readonly backpressureShare: number;
  /** Readers wait for the network's round trips, not for work: a busy CPU is no reason against one more. */
  readonly latencyBound: boolean;
  /** The server refuses connections, cancels, or takes much longer than before. */
  readonly serverStrain: boolean;
}

export interface GovernorState {
  readonly phase:
    | { readonly name: "measuring" }
    /** One reader more than before: does it bring what it should? */
    | { readonly name: "trying"; readonly rateBefore: number };
  /** Readers that ought to work now. */
  readonly readers: number;
  /** Where the window begins; null: with the next sample. */
  readonly windowStart: {
    readonly timeMs: number;
    readonly bytesTotal: number;
  } | null;
  /** Changes settle until then. */
  readonly settleUntilMs: number;
  /** No reader is added before. */
  readonly holdUntilMs: number;
}

export type GovernorDecision = "add" | "keep" | "remove";

export const governorStart: GovernorState = {
  phase: { name: "measuring" },
  readers: 1,
  windowStart: null,
  settleUntilMs: 0,
  holdUntilMs: 0,
};

/** The rate must grow by this share when `readers` become one more. Perfect scaling brings 1 / readers. */
export function chooseGainMin(readers: number): number {
  return Math.min(GAIN_MIN, 0.5 / readers);
}

/** @param ceiling readers that may work at once, at least 1: channels and connection budget */
export function govern(
  state: GovernorState,
  sample: GovernorSample,
  ceiling: number,
): { readonly state: GovernorState; readonly decision: GovernorDecision } {
  assert(ceiling >= 1, "at least one reader");
  const { timeMs, bytesTotal } = sample;
  const change = (
    by: -1 | 1,
    phase: GovernorState["phase"],
    hold: boolean,
  ) => ({
    state: {
      phase,
      readers: state.readers + by,
      windowStart: null,
      settleUntilMs: timeMs + SETTLE_MS,
      holdUntilMs: hold ? timeMs + HOLD_MS : state.holdUntilMs,
    },
    decision: by === 1 ? ("add" as const) : ("remove" as const),
  });
  const keep = (changes: Partial<GovernorState>) => ({
    state: { ...state, ...changes },
    decision: "keep" as const,
  });
  const measuring = { name: "measuring" } as const;

  if (state.readers > ceiling) return change(-1, measuring, false);
  if (sample.serverStrain) {
    return state.readers > 1
      ? change(-1, measuring, true)
      : keep({
          phase: measuring,
          windowStart: null,
          holdUntilMs: timeMs + HOLD_MS,
        });
  }
  // no rate while a reader is still starting, or has no partition left
  if (timeMs < state.settleUntilMs || sample.readersActive !== state.readers) {
    return keep({ windowStart: null });
  }
  const { windowStart } = state;
  if (windowStart === null) {
    return keep({ windowStart: { timeMs, bytesTotal } });
  }
  const elapsedMs = timeMs - windowStart.timeMs;
  if (elapsedMs < WINDOW_MS) return keep({});
  const rate = (bytesTotal - windowStart.bytesTotal) / elapsedMs;
  if (state.phase.name === "trying") {
    const { rateBefore } = state.phase;
    const gainMin = chooseGainMin(state.readers - 1);
    if (rate < rateBefore * (1 + gainMin)) return change(-1, measuring, true);
  }
  const canAdd =
    state.readers < ceiling &&
    timeMs >= state.holdUntilMs &&
    rate > 0 &&
    sample.backpressureShare <= BACKPRESSURE_MAX &&
    (sample.latencyBound || sample.cpuIdleFraction >= CPU_IDLE_MIN);
  if (canAdd) return change(1, { name: "trying", rateBefore: rate }, false);
  return keep({ phase: measuring, windowStart: { timeMs, bytesTotal } });
}
