/** Which CPUs a run is bound to. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseCpus, parseCpuList } from "../../../daemon/limits/cpus.ts";

describe("a list of CPUs", () => {
  test.for([
    { text: "0", cpus: [0] },
    { text: "0-3", cpus: [0, 1, 2, 3] },
    { text: "0-1,4,6-7\n", cpus: [0, 1, 4, 6, 7] },
  ])("$text is read", ({ text, cpus }) =>
    expect(parseCpuList(text)).toEqual(cpus),
  );

  test.for(["", "3-1", "a", "1,", "-1", "1-2-3", "0-99999", "0-4294967295"])(
    "%s is none",
    (text) => expect(parseCpuList(text)).toBeNull(),
  );
});

describe("the CPUs of a run", () => {
  test("are those behind the run's before, and begin again at the end", () => {
    const allowed = [2, 3, 5, 7];
    expect([0, 1, 2].map((turn) => chooseCpus(allowed, 1, turn))).toEqual([
      [2],
      [3],
      [5],
    ]);
    expect([0, 1, 2].map((turn) => chooseCpus(allowed, 3, turn))).toEqual([
      [2, 3, 5],
      [2, 3, 7],
      [2, 5, 7],
    ]);
  });

  test("are as many as are wanted and allowed, each once, and none that is not allowed", () =>
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(1_000), { minLength: 1, maxLength: 64 }),
        fc.integer({ min: 1, max: 80 }),
        fc.nat(100_000),
        (allowed, count, turn) => {
          const chosen = chooseCpus(allowed, count, turn);
          return (
            new Set(chosen).size === Math.min(count, allowed.length) &&
            chosen.every((cpu) => allowed.includes(cpu))
          );
        },
      ),
    ));
});
