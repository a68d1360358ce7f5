import fc from "fast-check";
import { expect, test } from "vitest";
import { Turns } from "../../../../connectors/destinations/airbyte/turns.ts";

test("one channel has a turn at a time, and whoever asked first gets it first", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(1, 2, 3, null)), (steps) => {
      const given: number[] = [];
      const turns = new Turns((channel) => given.push(channel));
      const asked: number[] = [];
      let ended = 0;
      for (const step of steps) {
        if (step === null) {
          // only who has a turn ends it
          if (given.length > ended) ended += 1;
          else continue;
          turns.endTurn();
        } else if (!asked.slice(given.length).includes(step)) {
          asked.push(step);
          turns.want(step);
        }
        expect(given).toEqual(asked.slice(0, given.length));
        expect(given.length).toBe(Math.min(asked.length, ended + 1));
      }
    }),
  );
});
