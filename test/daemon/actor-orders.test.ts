import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createActor, createMachine } from "xstate";
import { ActorOrders } from "../../daemon/actor-orders.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const reader = { process: "source", thread: 0, id: "x:7" };

function start(isStarted = true) {
  const sent: { readonly id: number }[] = [];
  const told: string[] = [];
  const root = createActor(createMachine({ id: "run" })).start();
  const orders = new ActorOrders({
    root,
    sendToSource: (order) => {
      if (!isStarted) throw new Error("not started");
      sent.push(order);
    },
    onFollowed: (message) => told.push(message),
  });
  return { orders, sent, told, root };
}

test("an order is followed when the source says so, and it is told", async () => {
  const { orders, sent, told } = start();
  const outcome = orders.give(reader, "pause");
  expect(sent).toEqual([
    { type: "source.order", id: 1, to: { actor: "x:7" }, order: "pause" },
  ]);
  orders.answer({
    type: "source.ordered",
    ...{ id: 1, subject: "partition 1/0", refusal: null },
  });
  expect(await outcome).toBe("followed");
  expect(told).toEqual(["partition 1/0 was paused by an operator"]);
});

test("a refusal has the source's reason, and answers its own order only", async () => {
  const { orders } = start();
  const first = orders.give(reader, "pause");
  const second = orders.give(reader, "retry");
  const refusal = { type: "source.ordered", subject: "partition 1/0" } as const;
  orders.answer({ ...refusal, id: 2, refusal: "it is paused" });
  orders.answer({ ...refusal, id: 1, refusal: null });
  await expect(second).rejects.toMatchObject({
    code: "RUN_STATE",
    message: "partition 1/0 cannot be told to retry: it is paused",
  });
  expect(await first).toBe("followed");
});

test("an order that nobody answers is refused within seconds", async () => {
  const { orders } = start();
  const outcome = expect(orders.give(reader, "pause")).rejects.toThrow(
    "no answer within 5000 ms",
  );
  await vi.advanceTimersByTimeAsync(5_000);
  await outcome;
});

test("what waits for an answer is refused with the end of the attempt, and at once where the source is not started", async () => {
  const { orders } = start();
  const outcome = expect(orders.give(reader, "pause")).rejects.toThrow(
    "the attempt has ended",
  );
  orders.end();
  await outcome;
  await expect(start(false).orders.give(reader, "pause")).rejects.toThrow(
    "not started yet",
  );
});

test("actors that only follow are refused with the way out, and those of the bookkeeper stand for the run", async () => {
  const { orders, root } = start();
  for (const actor of [
    { process: "destination", thread: 2, id: "x:3" },
    { process: "keeper", thread: 0, id: "x:1" },
    { ...reader, thread: 1 },
  ])
    await expect(orders.give(actor, "pause")).rejects.toThrow(
      "tell a partition's reader, a stream, or the run",
    );
  expect(
    await orders.give(
      { process: "bookkeeper", thread: 0, id: root.sessionId },
      "cancel",
    ),
  ).toBe("forRun");
});
