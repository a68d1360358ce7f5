import { expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  SimulatedClock,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import {
  keeperMachine,
  type KeeperEvent,
} from "../../../actors/keeper/keeper.machine.ts";
import type { KeeperFact, KeeperOrder } from "../../../proto/control.ts";
import { ExtractError, type WireError } from "../../../proto/error.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof keeperMachine>>;
type Event =
  | EventFrom<typeof keeperMachine>["type"]
  | "opened"
  | "openFailed"
  | "locked"
  | "lockFailed"
  | "grace";

type Opened = Extract<KeeperFact, { type: "snapshot.opened" }>;
type Relations = Extract<KeeperOrder, { type: "snapshot.lock" }>["relations"];
type Problems = Extract<KeeperFact, { type: "snapshot.locked" }>["problems"];

const opened: Opened = {
  type: "snapshot.opened",
  snapshot: { id: "00000003-1", visible: "7:7:" },
  openTransactions: {
    oldestSeconds: 0,
    complete: true,
    measuredAt: "2026-01-01 00:00:00+00",
  },
  joins: "any-time",
};
const refused = new ExtractError("SOURCE_UNREACHABLE", "connection refused");
const error: WireError = {
  code: "SOURCE_SNAPSHOT_LOST",
  message: "the transaction is gone",
  details: {},
};
const relations = [{ schema: "public", name: "t", oid: 7, fileNode: 7 }];

const events: Record<Event, AnyEvent> = {
  "snapshot.open": { type: "snapshot.open", url: "postgres://localhost/x" },
  "snapshot.lock": { type: "snapshot.lock", relations },
  "keeper.hold": {
    type: "keeper.hold",
    graceMs: 60_000,
    socketPath: "/run/keeper.sock",
  },
  "keeper.release": { type: "keeper.release" },
  "bookkeeper.gone": { type: "bookkeeper.gone" },
  "bookkeeper.came": { type: "bookkeeper.came" },
  "connection.lost": { type: "connection.lost", error },
  opened: doneBy("openSnapshot", opened),
  openFailed: failedBy("openSnapshot", refused),
  locked: doneBy("lockRelations", []),
  lockFailed: failedBy("lockRelations", refused),
  grace: { type: "xstate.after.grace.keeper.orphaned" },
};

describeTable<
  typeof keeperMachine,
  State,
  Exclude<State, "released" | "lost">,
  Event
>({
  machine: keeperMachine,
  events,
  contextOf: () => ({ graceMs: 60_000, opened, error: null }),
  // prettier-ignore
  nextState: {
    waiting: {
      "snapshot.open": "opening", "snapshot.lock": "waiting", "keeper.hold": "waiting",
      "keeper.release": "released", "bookkeeper.gone": "released", "bookkeeper.came": "waiting",
      "connection.lost": "lost", opened: "waiting", openFailed: "waiting", locked: "waiting",
      lockFailed: "waiting", grace: "waiting",
    },
    opening: {
      "snapshot.open": "opening", "snapshot.lock": "opening", "keeper.hold": "opening",
      "keeper.release": "released", "bookkeeper.gone": "released", "bookkeeper.came": "opening",
      "connection.lost": "lost", opened: "holding", openFailed: "lost", locked: "opening",
      lockFailed: "opening", grace: "opening",
    },
    holding: {
      "snapshot.open": "holding", "snapshot.lock": "locking", "keeper.hold": "holding",
      "keeper.release": "released", "bookkeeper.gone": "orphaned", "bookkeeper.came": "holding",
      "connection.lost": "lost", opened: "holding", openFailed: "holding", locked: "holding",
      lockFailed: "holding", grace: "holding",
    },
    locking: {
      "snapshot.open": "locking", "snapshot.lock": "locking", "keeper.hold": "locking",
      "keeper.release": "released", "bookkeeper.gone": "orphaned", "bookkeeper.came": "holding",
      "connection.lost": "lost", opened: "locking", openFailed: "locking", locked: "holding",
      lockFailed: "lost", grace: "locking",
    },
    orphaned: {
      "snapshot.open": "orphaned", "snapshot.lock": "orphaned", "keeper.hold": "orphaned",
      "keeper.release": "released", "bookkeeper.gone": "orphaned", "bookkeeper.came": "holding",
      "connection.lost": "lost", opened: "orphaned", openFailed: "orphaned", locked: "orphaned",
      lockFailed: "orphaned", grace: "released",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(keeperMachine, { events: Object.values(events) }),
  ).toEqual(Object.keys(keeperMachine.states).toSorted());
});

async function hold() {
  const facts: KeeperFact[] = [];
  const locks = Promise.withResolvers<Problems>();
  let releases = 0;
  const clock = new SimulatedClock();
  const keeper = createActor(
    keeperMachine.provide({
      actors: {
        openSnapshot: fromPromise<Opened, { url: string }>(async () => opened),
        lockRelations: fromPromise<Problems, { relations: Relations }>(
          () => locks.promise,
        ),
      },
      actions: {
        report: (_, fact) => facts.push(fact),
        listen: () => {},
        letGo: () => (releases += 1),
      },
    }),
    { clock },
  ).start();
  const send = (...sent: KeeperEvent[]): void => {
    for (const event of sent) keeper.send(event);
  };
  send(
    { type: "keeper.hold", graceMs: 60_000, socketPath: "/run/keeper.sock" },
    { type: "snapshot.open", url: "postgres://localhost/x" },
  );
  await settle();
  return {
    facts,
    locks,
    clock,
    send,
    countReleases: () => releases,
    state: () => keeper.getSnapshot().value,
  };
}

test("without a bookkeeper the snapshot is held for the grace, and not longer", async () => {
  const keeper = await hold();
  keeper.send({ type: "bookkeeper.gone" });
  keeper.clock.increment(59_999);
  expect(keeper.countReleases()).toBe(0);
  keeper.clock.increment(1);
  expect(keeper.countReleases()).toBe(1);
});

test("a bookkeeper that comes within the grace finds the same snapshot, and the grace begins anew with its end", async () => {
  const keeper = await hold();
  keeper.send({ type: "bookkeeper.gone" });
  keeper.clock.increment(59_000);
  keeper.send({ type: "bookkeeper.came" });
  expect(keeper.facts).toEqual([opened, opened]);
  keeper.clock.increment(3_600_000);
  keeper.send({ type: "bookkeeper.gone" });
  keeper.clock.increment(59_999);
  expect(keeper.state()).toBe("orphaned");
});

test("a new bookkeeper does not take the locks of the one before for its own", async () => {
  const keeper = await hold();
  keeper.send(
    { type: "snapshot.lock", relations },
    { type: "bookkeeper.came" },
  );
  keeper.locks.resolve([]);
  await settle();
  expect(keeper.facts.map(({ type }) => type)).not.toContain("snapshot.locked");
  keeper.send({ type: "snapshot.lock", relations });
  await settle();
  expect(keeper.facts.at(-1)).toEqual({
    type: "snapshot.locked",
    problems: [],
  });
});

test("a lost connection is told before the process lets go", async () => {
  const keeper = await hold();
  keeper.send({ type: "connection.lost", error });
  expect(keeper.facts.at(-1)).toEqual({ type: "snapshot.lost", error });
  expect(keeper.countReleases()).toBe(1);
});

test("a server that is not there loses the snapshot with its reason", async () => {
  const facts: KeeperFact[] = [];
  const keeper = createActor(
    keeperMachine.provide({
      actors: { openSnapshot: fromPromise(() => Promise.reject(refused)) },
      actions: { report: (_, fact) => facts.push(fact), letGo: () => {} },
    }),
  ).start();
  keeper.send({ type: "snapshot.open", url: "postgres://localhost/x" });
  await settle();
  expect(facts).toMatchObject([
    { type: "snapshot.lost", error: { code: "SOURCE_UNREACHABLE" } },
  ]);
});
