import { expect, test } from "vitest";
import type { Placement } from "../../daemon/placement.ts";
import type { Child, ChildListener } from "../../daemon/processes.ts";
import {
  ORDERS_WAITING_MAX,
  settleOrders,
} from "../../daemon/settled-orders.ts";
import { ExtractError } from "../../proto/error.ts";

/** A ledger that is on disk when the test says so. */
class Disk {
  isSettled = true;
  #waiting: PromiseWithResolvers<void>[] = [];

  write(): void {
    this.isSettled = false;
  }

  settled(): Promise<void> {
    if (this.isSettled) return Promise.resolve();
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  async sync(error: Error | null = null): Promise<void> {
    this.isSettled = error === null;
    for (const { resolve, reject } of this.#waiting.splice(0))
      if (error) reject(error);
      else resolve();
    await new Promise((next) => setImmediate(next));
  }
}

function start(disk: Disk): {
  readonly child: Child;
  readonly did: string[];
  readonly facts: { readonly type: string }[];
} {
  const did: string[] = [];
  const facts: { readonly type: string }[] = [];
  const inner: Child = {
    ...{ role: "source", pid: 7, startTime: "b:1" },
    send: ({ type }) => void did.push(type),
    end: async () => void did.push("(end)"),
    kill: () => void did.push("(kill)"),
    leave: async () => void did.push("(leave)"),
    detach: () => void did.push("(detach)"),
  };
  const placement: Placement = {
    spawn: () => inner,
    enter: async () => {},
    leave: () => {},
  };
  const listener: ChildListener = {
    onFact: (fact) => void facts.push(fact),
    onProtocolMessage: () => {},
    onExit: () => {},
  };
  const child = settleOrders(placement, () => disk).spawn("source", listener);
  return { child, did, facts };
}

test("an order leaves at once where all is on disk", () => {
  const { child, did } = start(new Disk());
  child.send({ type: "a" });
  child.detach();
  expect(did).toEqual(["a", "(detach)"]);
  expect(child).toMatchObject({ role: "source", pid: 7, startTime: "b:1" });
});

test("orders wait for what they rest on, and leave in their order; a ping does not wait", async () => {
  const disk = new Disk();
  const { child, did } = start(disk);
  disk.write();
  child.send({ type: "a" });
  child.send({ type: "ping" });
  child.send({ type: "b" });
  child.detach();
  expect(did).toEqual(["ping"]);
  await disk.sync();
  expect(did).toEqual(["ping", "a", "b", "(detach)"]);
  child.send({ type: "c" });
  expect(did.at(-1)).toBe("c");
});

test("what is ordered while others wait waits for what was written meanwhile", async () => {
  const disk = new Disk();
  const { child, did } = start(disk);
  disk.write();
  child.send({ type: "a" });
  const synced = disk.sync();
  disk.write();
  child.send({ type: "b" });
  await synced;
  expect(did).toEqual(["a"]);
  await disk.sync();
  expect(did).toEqual(["a", "b"]);
});

test.for(["end", "kill"] as const)(
  "%s waits for nothing, and drops what waits",
  async (how) => {
    const disk = new Disk();
    const { child, did } = start(disk);
    disk.write();
    child.send({ type: "a" });
    await child[how]();
    await disk.sync();
    expect(did).toEqual([`(${how})`]);
  },
);

test("a disk that fails ends the attempt by name; nothing leaves", async () => {
  const disk = new Disk();
  const { child, did, facts } = start(disk);
  disk.write();
  child.send({ type: "a" });
  await disk.sync(new ExtractError("LEDGER_UNWRITABLE", "the disk is gone"));
  expect(did).toEqual([]);
  expect(facts).toMatchObject([
    { type: "process.failed", error: { code: "LEDGER_UNWRITABLE" } },
  ]);
});

test("no more than a bounded number waits", () => {
  const disk = new Disk();
  const { child, facts } = start(disk);
  disk.write();
  for (let i = 0; i <= ORDERS_WAITING_MAX; i += 1) child.send({ type: "a" });
  expect(facts).toMatchObject([{ error: { code: "LEDGER_UNWRITABLE" } }]);
});
