import { setTimeout as sleep } from "node:timers/promises";
import { createActor } from "xstate";
import { describe, expect, test } from "vitest";
import { fromEffect, giveEffects } from "../../../../actors/effects.ts";
import { messageSourceMachine } from "../../../../actors/source/messages/message-source.machine.ts";
import { statsEmitterMachine } from "../../../../actors/stats-emitter.machine.ts";
import type {
  SourceFact,
  SourceOrder,
  SourceSettings,
} from "../../../../proto/control.ts";
import { ExtractError } from "../../../../proto/error.ts";

type OrderOf<Type extends SourceOrder["type"]> = Extract<
  SourceOrder,
  { type: Type }
>;
type Discovered = Extract<SourceFact, { type: "source.discovered" }>;
interface Reading {
  readonly order: OrderOf<"source.messages">;
  readonly lanes: readonly {
    readonly stream: number;
    readonly partition: number;
  }[];
}

/** A machine whose effects are written down, and whose reading is ended by the test. */
function startSource({ opens = true } = {}) {
  const facts: SourceFact[] = [];
  const calls: string[] = [];
  const reading = Promise.withResolvers<void>();
  const machine = giveEffects(messageSourceMachine, {
    actors: {
      openSource: fromEffect<void, SourceSettings>(async () => {
        if (!opens)
          throw new ExtractError("CONNECTOR_CONFIG_ERROR", "the key is wrong");
      }),
      discover: fromEffect<Discovered, OrderOf<"source.discover">>(
        async () => ({
          type: "source.discovered",
          streams: [],
          warnings: [],
          problems: [],
        }),
      ),
      readMessages: fromEffect<void, Reading>(({ input }) => {
        calls.push(`read ${JSON.stringify(input.lanes)}`);
        return reading.promise;
      }),
      statsEmitter: statsEmitterMachine.provide({
        actions: { emitStats: () => {} },
      }),
    },
    actions: {
      report: (_, fact) => void facts.push(fact),
      planStream: (_, { stream }) => void calls.push(`plan ${stream}`),
      openChannel: () => void calls.push("open"),
      endChannel: () => void calls.push("end"),
      seedStream: (_, { stream }) => void calls.push(`seed ${stream}`),
      leaveStream: (_, { stream }) => void calls.push(`leave ${stream}`),
      stopReading: () => void calls.push("stop"),
      countPartition: () => {},
      reportStreamRead: (_, { stream }) => void calls.push(`whole ${stream}`),
      emitStats: () => {},
    },
  });
  const actor = createActor(machine);
  actor.start();
  const send = (event: object) => actor.send(event as never);
  const order = (streams: number[]) =>
    send({
      type: "source.messages",
      streams: streams.map((stream) => ({ stream })),
      syncId: 1,
      states: null,
      keepsStates: false,
    });
  const read = (stream: number, partitions: number[] = [0]) =>
    send({
      type: "source.read",
      stream,
      partitions: [],
      orders: partitions.map((partition) => ({ stream, partition })),
    });
  return { actor, facts, calls, send, order, read, reading };
}

async function startServing() {
  const source = startSource();
  source.send({ type: "source.open", settings: {} });
  await sleep(0);
  source.send({ type: "source.discover" });
  await sleep(0);
  return source;
}

const value = ({ actor }: ReturnType<typeof startSource>): unknown =>
  actor.getSnapshot().value;

describe("the source process of a connector", () => {
  test("reads once every stream is ordered or has left, over its channel", async () => {
    const source = await startServing();
    const { calls, send, order, read } = source;
    order([1, 2, 3]);
    read(1, [0, 1]);
    send({ type: "log.leave", stream: 3 });
    expect(calls).not.toContain("open");
    read(2);
    expect(calls.at(-1)).toBe("open");
    send({ type: "channel.listening", path: "/x" });
    send({ type: "channel.connected" });
    await sleep(0);
    expect(calls.at(-1)).toBe(
      'read [{"stream":1,"partition":0},{"stream":1,"partition":1},{"stream":2,"partition":0}]',
    );
  });

  test("begins as well where the streams are ordered before it is told how to read them", async () => {
    const { calls, order, read } = await startServing();
    read(1);
    order([1]);
    expect(calls.at(-1)).toBe("open");
  });

  test("starts no connector where earlier attempts have read all of it", async () => {
    const source = await startServing();
    const { calls, order, read, send, facts } = source;
    order([1]);
    read(1, []);
    expect(calls).toContain("whole 1");
    expect(calls).not.toContain("open");
    send({ type: "source.finish" });
    expect(facts.at(-1)).toEqual({ type: "source.finished" });
  });

  test("calls a stream read when the last checkpoints of all its partitions are acknowledged", async () => {
    const { calls, send, order, read } = await startServing();
    order([1]);
    read(1, [0, 1]);
    send({ type: "channel.connected" });
    const at = (partition: number, sequence: number, last = false) => ({
      ...{ stream: 1, partition, attempt: 1, sequence, last },
    });
    for (const place of [at(0, 2), at(0, 5, true), at(1, 3, true)])
      send({ type: "checkpoint.ready", ...place });
    for (const place of [at(0, 2), at(0, 5)])
      send({ type: "checkpoint.acked", ...place });
    expect(calls).not.toContain("whole 1");
    send({ type: "checkpoint.acked", ...at(1, 3) });
    expect(calls).toContain("whole 1");
  });

  test("is drained once the read that it stops has ended", async () => {
    const { calls, facts, send, order, read, reading } = await startServing();
    order([1]);
    read(1);
    send({ type: "channel.connected" });
    send({ type: "source.drain" });
    expect(calls).toContain("stop");
    expect(facts.at(-1)?.type).not.toBe("source.drained");
    reading.resolve();
    await sleep(0);
    expect(facts.at(-1)).toEqual({ type: "source.drained" });
    send({ type: "source.finish" });
    expect(calls.at(-1)).toBe("end");
    send({ type: "channel.closed" });
    expect(facts.at(-1)).toEqual({ type: "source.finished" });
  });

  test("fails with the reason of whatever fails it", async () => {
    const unopened = startSource({ opens: false });
    unopened.send({ type: "source.open", settings: {} });
    await sleep(0);
    expect(unopened.facts.at(-1)).toMatchObject({
      type: "process.failed",
      error: { code: "CONNECTOR_CONFIG_ERROR" },
    });
    const source = await startServing();
    source.order([1]);
    source.read(1);
    source.send({ type: "channel.connected" });
    source.reading.reject(new ExtractError("CONNECTOR_SILENT", "for 3600 s"));
    await sleep(0);
    expect(value(source)).toBe("failed");
    expect(source.facts.at(-1)).toMatchObject({
      error: { code: "CONNECTOR_SILENT" },
    });
    const broken = await startServing();
    broken.send({
      type: "channel.broken",
      error: { code: "CHANNEL_BROKEN", message: "", details: {} },
    });
    expect(value(broken)).toBe("failed");
  });

  test("refuses an operator's order with the reason", async () => {
    const { facts, send } = await startServing();
    send({ type: "source.order", id: 4, to: { stream: 1 }, order: "pause" });
    expect(facts.at(-1)).toMatchObject({ type: "source.ordered", id: 4 });
    expect(facts.at(-1)).toHaveProperty("refusal", expect.any(String));
  });
});
