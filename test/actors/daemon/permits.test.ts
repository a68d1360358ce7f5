import fc from "fast-check";
import { expect, test } from "vitest";
import {
  PermitBook,
  type RunLimits,
  type RunPermit,
} from "../../../actors/daemon/permits.ts";

const limits: RunLimits = {
  runs: 4,
  perSource: 2,
  perDestination: 3,
  connectionsPerSource: 10,
};

const permit = (over: Partial<RunPermit> = {}): RunPermit => ({
  sync: "a",
  source: "pg",
  destination: "out",
  connections: 3,
  ...over,
});

test.for([
  { name: "the first", given: [], wanted: permit(), fits: true },
  {
    name: "a second run of a sync",
    given: [permit()],
    wanted: permit({ source: "other", destination: "else" }),
    fits: false,
  },
  {
    name: "a third run of a server",
    given: [permit(), permit({ sync: "b" })],
    wanted: permit({ sync: "c" }),
    fits: false,
  },
  {
    name: "a run of another server",
    given: [permit(), permit({ sync: "b" })],
    wanted: permit({ sync: "c", source: "mysql" }),
    fits: true,
  },
  {
    name: "more connections than are left",
    given: [permit({ connections: 8 })],
    wanted: permit({ sync: "b" }),
    fits: false,
  },
  {
    name: "as many connections as are left",
    given: [permit({ connections: 7 })],
    wanted: permit({ sync: "b" }),
    fits: true,
  },
])("$name: $fits", ({ given, wanted, fits }) => {
  expect(new PermitBook(limits, given).give(wanted) !== null).toBe(fits);
});

test("a run that wants more connections than there may be is given all, and is alone with its server", () => {
  const book = new PermitBook(limits, []);
  expect(book.give(permit({ connections: 50 }))?.connections).toBe(10);
  expect(book.give(permit({ sync: "b", connections: 1 }))).toBeNull();
  expect(book.give(permit({ sync: "c", source: "mysql" }))).not.toBeNull();
});

test("whatever is asked for, what was given is within all limits", () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          sync: fc.constantFrom("a", "b", "c", "d", "e", "f"),
          source: fc.constantFrom("pg", "mysql"),
          destination: fc.constantFrom("out", "s3"),
          connections: fc.integer({ min: 0, max: 20 }),
        }),
        { maxLength: 30 },
      ),
      (asked) => {
        const book = new PermitBook(limits, []);
        const given = asked.flatMap((one) => book.give(one) ?? []);
        const count = (of: (one: RunPermit) => string) =>
          Map.groupBy(given, of);
        expect(given.length).toBeLessThanOrEqual(limits.runs);
        for (const group of count(({ sync }) => sync).values())
          expect(group).toHaveLength(1);
        for (const group of count(({ destination }) => destination).values())
          expect(group.length).toBeLessThanOrEqual(limits.perDestination);
        for (const group of count(({ source }) => source).values()) {
          expect(group.length).toBeLessThanOrEqual(limits.perSource);
          const connections = group.reduce(
            (sum, one) => sum + one.connections,
            0,
          );
          expect(connections).toBeLessThanOrEqual(limits.connectionsPerSource);
        }
      },
    ),
  ));
