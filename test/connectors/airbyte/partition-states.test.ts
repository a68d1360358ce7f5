import fc from "fast-check";
import { expect, test } from "vitest";
import { PartitionStates } from "../../../connectors/airbyte/partition-states.ts";

const counts = fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 8 });

test("in whatever order records and states come, and however often: each state leaves once, in its order, with all its records", () => {
  fc.assert(
    fc.property(counts, fc.infiniteStream(fc.nat()), (rows, draw) => {
      const next = (below: number): number =>
        (draw.next().value as number) % below;
      const events: (() => void)[] = [];
      const arrived = new Map<string, number>();
      const states = new PartitionStates("things");
      const left: number[] = [];
      const countOf = (name: string): number => arrived.get(name) ?? 0;
      const take = (): void => {
        for (;;) {
          const state = states.take(countOf);
          if (state === null) return;
          expect(countOf(`p${state.id}`)).toBe(state.recordCount);
          left.push(state.id);
        }
      };
      for (const [index, recordCount] of rows.entries()) {
        const id = index + 1;
        const name = `p${id}`;
        const state = { id, partitions: [name], recordCount, body: name };
        for (let copy = 0; copy <= next(2); copy++)
          events.push(() => states.add(state));
        for (let row = 0; row < recordCount; row++)
          events.push(() => arrived.set(name, countOf(name) + 1));
      }
      while (events.length > 0) {
        events.splice(next(events.length), 1)[0]?.();
        take();
      }
      states.end(countOf);
      expect(left).toEqual(rows.map((_, index) => index + 1));
    }),
  );
});

const one = { id: 1, partitions: ["a"], recordCount: 2, body: "{}" };

test("more records than a state counts are an error at once, fewer at the end", () => {
  const states = new PartitionStates("things");
  states.add(one);
  expect(states.take(() => 1)).toBeNull();
  expect(() => states.end(() => 1)).toThrow(
    /state 1 of things counts 2 records, and 1 have arrived/,
  );
  expect(() => states.take(() => 3)).toThrow(
    /state 1 of things counts 2 records, and 3 have arrived/,
  );
});

test("a hole is told by its number", () => {
  const states = new PartitionStates("things");
  states.add({ ...one, id: 3 });
  expect(states.take(() => 2)).toBeNull();
  expect(() => states.end(() => 2)).toThrow(/state 1 of things never came/);
});

test("two states under one number are the same, or an error", () => {
  const states = new PartitionStates("things");
  states.add(one);
  states.add(one);
  expect(() => states.add({ ...one, body: "[]" })).toThrow(/differ/);
});
