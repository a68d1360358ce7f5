import { createActor } from "xstate";
import { describe, expect, test } from "vitest";
import { giveEffects } from "../../../actors/effects.ts";
import { logReaderMachine } from "../../../actors/source/log-reader.machine.ts";
import type { SourceWorkerOrder } from "../../../actors/source/worker-messages.ts";
import type { WireError } from "../../../proto/error.ts";
import { hostOf } from "./log-host.ts";

const from = { position: "p0", offset: "o0", history: [] };
const broken: WireError = {
  code: "PROCESS_DIED",
  message: "the engine is gone",
  details: {},
};

function startReader(streams: readonly number[] = [1, 2]) {
  const orders: SourceWorkerOrder[] = [];
  const machine = giveEffects(logReaderMachine, {
    actions: { orderWorker: (_, { order }) => void orders.push(order) },
  });
  const { host, news } = hostOf(machine, {
    streams,
    from,
    until: "p9",
    discoveredAt: "p1",
    connector: "postgresql",
    entry: null,
    end: null,
  });
  const actor = createActor(host);
  actor.start();
  const send = (event: object) =>
    actor.getSnapshot().children["logReader"]?.send(event as never);
  const join = (stream: number) =>
    send({
      type: "log.join",
      stream,
      partition: 3,
      after: `p${stream}`,
      visible: null,
      isCopied: stream === 1,
    });
  return { orders, news, send, join };
}

describe("the reader of the log", () => {
  test("begins once it has its channel and every stream is ordered or has left", () => {
    const { orders, news, send, join } = startReader([1, 2, 3]);
    join(1);
    send({ type: "channel.assigned", channel: 7 });
    send({ type: "log.leave", stream: 3 });
    expect(orders).toEqual([]);
    join(2);
    expect(news()).toEqual([{ type: "logReader.gathered" }]);
    expect(orders).toEqual([
      {
        type: "log.start",
        streams: [
          { stream: 1, partition: 3, after: "p1", visible: null },
          { stream: 2, partition: 3, after: "p2", visible: null },
        ],
        from,
        until: "p9",
        isHeld: true,
        discoveredAt: "p1",
        connector: "postgresql",
        entry: null,
      },
    ]);
  });

  test("calls a stream read when its last checkpoint is acknowledged, and no other", () => {
    const { news, send, join } = startReader([1]);
    send({ type: "channel.assigned", channel: 7 });
    join(1);
    const checkpoint = { stream: 1, sequence: 4, last: false };
    send({ type: "checkpoint.ready", ...checkpoint });
    send({ type: "checkpoint.acked", ...checkpoint });
    send({ type: "checkpoint.ready", ...checkpoint, sequence: 9, last: true });
    send({ type: "checkpoint.acked", ...checkpoint, sequence: 7 });
    expect(news()).toEqual([{ type: "logReader.gathered" }]);
    send({ type: "checkpoint.acked", ...checkpoint, sequence: 9 });
    expect(news().at(-1)).toEqual({ type: "logReader.streamRead", stream: 1 });
  });

  test("passes on what the ledger has and where the run's log ends", () => {
    const { orders, send, join } = startReader([1]);
    send({ type: "channel.assigned", channel: 7 });
    join(1);
    const told = [
      { type: "log.committed", group: 1 },
      { type: "log.stop" },
      { type: "log.release" },
      { type: "log.pace", checkpointEveryMs: 50 },
      { type: "log.end", position: "p5" },
    ];
    for (const event of told) send(event);
    expect(orders.slice(1)).toEqual(told);
  });

  test("leaves behind a checkpoint when it is cancelled, and is done when the engine is gone", () => {
    const { orders, news, send, join } = startReader([1]);
    send({ type: "channel.assigned", channel: 7 });
    join(1);
    send({ type: "log.cancel" });
    expect(orders.at(-1)).toEqual({ type: "log.cancel" });
    expect(news()).toHaveLength(1);
    send({ type: "log.closed" });
    expect(news().at(-1)).toEqual({ type: "logReader.done" });
  });

  test("has nothing to do where all streams have left, or where it is cancelled before it began", () => {
    const alone = startReader([1]);
    alone.send({ type: "log.leave", stream: 1 });
    alone.send({ type: "channel.assigned", channel: 7 });
    expect(alone.news().at(-1)).toEqual({ type: "logReader.done" });
    expect(alone.orders).toEqual([]);
    const early = startReader([1]);
    early.send({ type: "log.cancel" });
    expect(early.news()).toEqual([{ type: "logReader.done" }]);
  });

  test("tells of a fault, whatever it was doing", () => {
    const { news, send } = startReader([1]);
    send({ type: "log.failed", error: broken });
    expect(news()).toEqual([{ type: "logReader.failed", error: broken }]);
  });
});
