import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  judgePressure,
  noPressure,
  type LogPressure,
} from "../../../actors/source/log-pressure.ts";
import {
  LOG_STEPS,
  reaches,
  type LogBudget,
} from "../../../proto/log-budget.ts";

const budget: LogBudget = {
  bytes: 1000,
  shareOf: { warn: 0.5, hurry: 0.7, pause: 0.85, giveUp: 1 },
  patienceMs: 100,
};

/** The steps after each of these sizes, one every 60 ms. */
function steps(
  sizes: readonly (number | null)[],
  given: Partial<LogBudget> = {},
  limitBytes: number | null = null,
): string[] {
  let pressure: LogPressure = noPressure;
  return sizes.map((retainedBytes, at) => {
    pressure = judgePressure(
      pressure,
      { ...budget, ...given },
      { retainedBytes, limitBytes },
      at * 60,
    );
    return pressure.step;
  });
}

describe("what is done about a log that its source keeps too much of", () => {
  test.for([
    {
      name: "each step is taken at its share",
      sizes: [499, 500, 699, 700, 849, 850, 999],
      expected: ["calm", "warn", "warn", "hurry", "hurry", "pause", "pause"],
    },
    {
      name: "one that jumps takes the largest step at once",
      sizes: [0, 900],
      expected: ["calm", "pause"],
    },
    {
      name: "a step is taken back well below where it was taken",
      sizes: [850, 700, 681, 679, 561, 559, 399],
      expected: ["pause", "pause", "pause", "hurry", "hurry", "warn", "calm"],
    },
    {
      name: "what is not known changes nothing",
      sizes: [700, null, null],
      expected: ["hurry", "hurry", "hurry"],
    },
    {
      name: "it is given up once it has not become shorter within the patience",
      sizes: [1000, 1000, 1001, 1002],
      expected: ["pause", "pause", "giveUp", "giveUp"],
    },
    {
      name: "one that becomes shorter is not given up, however large it is",
      sizes: [9000, 8000, 7000, 6000, 5000, 4000],
      expected: ["pause", "pause", "pause", "pause", "pause", "pause"],
    },
    {
      name: "the patience begins anew with each time that it is too much",
      sizes: [1000, 1000, 900, 1000, 1000, 1000],
      expected: ["pause", "pause", "pause", "pause", "pause", "giveUp"],
    },
    {
      name: "what is given up stays so",
      sizes: [1000, 1000, 1000, 0],
      expected: ["pause", "pause", "giveUp", "giveUp"],
    },
  ])("$name", ({ sizes, expected }) => {
    expect(steps(sizes)).toEqual(expected);
  });

  test("a step that is not to be taken is not, and the others are", () => {
    const shareOf = { warn: null, hurry: 0.7, pause: null, giveUp: null };
    expect(steps([600, 900, 5000, 5000, 5000], { shareOf })).toEqual([
      "calm",
      "hurry",
      "hurry",
      "hurry",
      "hurry",
    ]);
  });

  test("a source that forgets by itself beyond less sets the budget", () => {
    expect(steps([90, 140, 200], {}, 200)).toEqual(["calm", "hurry", "pause"]);
  });

  describe("that the source removes by age", () => {
    const limitSeconds = 100;
    /** Of so many bytes each, and of what age. */
    const stepsOf = (measures: readonly (readonly [number, number])[]) => {
      let pressure: LogPressure = noPressure;
      return measures.map(([retainedBytes, seconds], at) => {
        pressure = judgePressure(
          pressure,
          budget,
          { retainedBytes, limitBytes: null, age: { seconds, limitSeconds } },
          at * 60,
        );
        return pressure.step;
      });
    };

    test.for([
      {
        name: "takes each step at its share of that age, too, and the larger of both counts",
        measures: [
          [0, 49],
          [0, 50],
          [0, 70],
          [0, 85],
          [0, 39],
          [500, 0],
        ],
        expected: ["calm", "warn", "hurry", "pause", "calm", "warn"],
      },
      {
        name: "is given up when it is about to be removed, and is not read on",
        measures: [
          [9, 100],
          [9, 100],
          [9, 101],
        ],
        expected: ["pause", "pause", "giveUp"],
      },
      {
        name: "is not given up while it is read on, within a part or from part to part",
        measures: [
          [9, 100],
          [8, 100],
          [7, 101],
          [7, 100],
          [8, 99],
          [9, 98],
        ],
        expected: ["pause", "pause", "pause", "pause", "pause", "pause"],
      },
      {
        name: "is given up for its bytes, however young it becomes",
        measures: [
          [1000, 90],
          [1000, 80],
          [1000, 70],
        ],
        expected: ["pause", "pause", "giveUp"],
      },
    ] as const)("$name", ({ measures, expected }) => {
      expect(stepsOf(measures)).toEqual(expected);
    });
  });

  test("no step is skipped over for one that is larger, and none is taken below the share of its relief", () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 30 }),
        (sizes) => {
          let pressure: LogPressure = noPressure;
          sizes.forEach((retainedBytes, at) => {
            pressure = judgePressure(
              pressure,
              budget,
              { retainedBytes, limitBytes: null },
              at * 60,
            );
            if (pressure.step === "giveUp") return;
            for (const step of LOG_STEPS.slice(1, 4) as (
              | "warn"
              | "hurry"
              | "pause"
            )[]) {
              const from = (budget.shareOf[step] ?? 0) * budget.bytes;
              if (retainedBytes >= from)
                expect(reaches(pressure.step, step)).toBe(true);
              if (retainedBytes < from * 0.8)
                expect(reaches(pressure.step, step)).toBe(false);
            }
          });
        },
      ),
    ));
});
