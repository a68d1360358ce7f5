import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chooseGainMin,
  govern,
  governorStart,
  HOLD_MS,
  type GovernorSample,
  type GovernorState,
} from "../../partitioning/governor.ts";

const STEP_MS = 100;

/** Runs the governor against a server whose rate is a function of the readers at work; returns the readers over time. */
function simulate(
  rateOf: (readers: number) => number,
  {
    ceiling = 8,
    durationMs = 20_000,
    changes = {} as Partial<GovernorSample>,
  } = {},
): number[] {
  let state: GovernorState = governorStart;
  let bytesTotal = 0;
  const history: number[] = [];
  for (let timeMs = 0; timeMs < durationMs; timeMs += STEP_MS) {
    const decided = govern(
      state,
      {
        timeMs,
        bytesTotal,
        readersActive: state.readers,
        cpuIdleFraction: 0.5,
        backpressureShare: 0,
        latencyBound: false,
        serverStrain: false,
        ...changes,
      },
      ceiling,
    );
    const step = decided.state.readers - state.readers;
    expect(step).toBe({ add: 1, keep: 0, remove: -1 }[decided.decision]);
    state = decided.state;
    history.push(state.readers);
    bytesTotal += rateOf(state.readers) * STEP_MS;
  }
  return history;
}

test("a server that scales gets readers up to the ceiling, and never more", () => {
  const history = simulate((readers) => readers * 100, { ceiling: 6 });
  expect(history[0]).toBe(1);
  expect(history.at(-1)).toBe(6);
  expect(Math.max(...history)).toBe(6);
});

test("a server that one reader fills keeps one", () => {
  const history = simulate(() => 100);
  expect(history.at(-1)).toBe(1);
  expect(Math.max(...history)).toBe(2);
  expect(history.filter((n) => n === 2).length * STEP_MS).toBeLessThan(3_000);
});

test("readers stop where the rate stops rising", () => {
  const history = simulate((readers) => Math.min(readers, 3) * 100);
  expect(history.at(-1)).toBe(3);
  expect(Math.max(...history)).toBe(4);
});

test("a refused reader is tried again only after the hold", () => {
  const history = simulate(() => 100, { durationMs: 3 * HOLD_MS });
  const tries = history.filter((n, i) => n === 2 && history[i - 1] === 1);
  expect(tries.length).toBeGreaterThanOrEqual(2);
  expect(tries.length).toBeLessThanOrEqual(3);
});

describe("none is added", () => {
  test.for([
    { name: "without idle CPU", changes: { cpuIdleFraction: 0.1 } },
    {
      name: "while the destination is the bottleneck",
      changes: { backpressureShare: 0.9 },
    },
    { name: "while the server is strained", changes: { serverStrain: true } },
    { name: "while readers are still starting", changes: { readersActive: 0 } },
  ])("$name", ({ changes }) => {
    const history = simulate((readers) => readers * 100, { changes });
    expect(Math.max(...history)).toBe(1);
  });
  test("before anything was read", () => {
    expect(Math.max(...simulate(() => 0))).toBe(1);
  });
});

test("waiting for the network is a reason for more readers, whatever the CPU does", () => {
  const changes = { cpuIdleFraction: 0, latencyBound: true };
  const history = simulate((readers) => readers * 100, { changes });
  expect(history.at(-1)).toBe(8);
});

test("strain takes readers away, down to one", () => {
  let state: GovernorState = { ...governorStart, readers: 5 };
  const sample = {
    timeMs: 0,
    bytesTotal: 0,
    readersActive: 5,
    cpuIdleFraction: 1,
    backpressureShare: 0,
    latencyBound: false,
    serverStrain: true,
  };
  const seen: number[] = [];
  for (let i = 0; i < 7; i += 1) {
    state = govern(state, { ...sample, timeMs: i * STEP_MS }, 8).state;
    seen.push(state.readers);
  }
  expect(seen).toEqual([4, 3, 2, 1, 1, 1, 1]);
});

test("a lower ceiling is obeyed", () => {
  const state = { ...governorStart, readers: 5 };
  const sample = {
    timeMs: 0,
    bytesTotal: 0,
    readersActive: 5,
    cpuIdleFraction: 1,
    backpressureShare: 0,
    latencyBound: false,
    serverStrain: false,
  };
  expect(govern(state, sample, 3).decision).toBe("remove");
});

test("the gain wanted is 10 %, and less where no reader could bring it", () => {
  expect(chooseGainMin(1)).toBe(0.1);
  expect(chooseGainMin(5)).toBe(0.1);
  expect(chooseGainMin(20)).toBe(0.025);
});

test("whatever is measured, between one reader and the ceiling work", () =>
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.array(
        fc.record({
          step: fc.nat(2_000),
          bytes: fc.nat(1e9),
          idle: fc.double({ min: 0, max: 1, noNaN: true }),
          waits: fc.double({ min: 0, max: 1, noNaN: true }),
          latencyBound: fc.boolean(),
          serverStrain: fc.boolean(),
          missing: fc.nat(2),
        }),
        { maxLength: 100 },
      ),
      (ceiling, samples) => {
        let state: GovernorState = governorStart;
        let timeMs = 0;
        let bytesTotal = 0;
        for (const sample of samples) {
          timeMs += sample.step;
          bytesTotal += sample.bytes;
          state = govern(
            state,
            {
              timeMs,
              bytesTotal,
              readersActive: Math.max(0, state.readers - sample.missing),
              cpuIdleFraction: sample.idle,
              backpressureShare: sample.waits,
              latencyBound: sample.latencyBound,
              serverStrain: sample.serverStrain,
            },
            ceiling,
          ).state;
          expect(state.readers).toBeGreaterThanOrEqual(1);
          expect(state.readers).toBeLessThanOrEqual(ceiling);
        }
      },
    ),
  ));
