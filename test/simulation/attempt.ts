/** One attempt at a run: both processes' machines, their workers, and a bookkeeper that only counts. */
import { createActor, fromPromise } from "xstate";
import { checkpointCoordinatorMachine } from "../../actors/destination/checkpoint-coordinator.machine.ts";
import {
  destinationProcessMachine,
  type DestinationProcessEvent,
} from "../../actors/destination/destination-process.machine.ts";
import type { DestinationWorkerFact } from "../../actors/destination/worker-messages.ts";
import type { OrderSubject } from "../../actors/source/order-subject.ts";
import type { SourceProcessEvent } from "../../actors/source/source-process-context.ts";
import type {
  SourceWorkerFact,
  SourceWorkerOrder,
} from "../../actors/source/worker-messages.ts";
import type { ResumePlan } from "../../checkpoint/resume.ts";
import { EMPTY_SEED, stateJson } from "../../checkpoint/state.ts";
import type { StreamState } from "../../proto/checkpoint.ts";
import type {
  ActorOrder,
  DestinationFact,
  SourceFact,
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";
import type { Partition } from "../../proto/partition.ts";
import {
  createMemoryPair,
  type MemoryPair,
} from "../../transport/in-memory.ts";
import { createSource, settings } from "../actors/source/harness.ts";
import {
  runDestinationWorker,
  type SimulatedDisk,
} from "./destination-worker.ts";
import { SimulatedSourceWorker } from "./source-worker.ts";
import { describeTable, splitTable, type SimulatedTable } from "./table.ts";
import { Post, type World } from "./world.ts";

/** What goes wrong, from outside of the machines. */
export type Fate = "sourceWorker" | "destinationWorker" | "process" | "drain";

const MEDDLING_PROBABILITY = 0.1;

export interface AttemptOptions {
  readonly world: World;
  readonly epoch: number;
  readonly tables: ReadonlyMap<number, SimulatedTable>;
  /** As the ledger has them: a re-split changes one and adds one. */
  readonly partitions: Partition[];
  readonly resume: ResumePlan;
  readonly disk: SimulatedDisk;
  readonly readers: number;
  readonly fate: Fate | null;
  /** Somebody at the page pauses, resumes and retries for a while, whatever comes to hand. */
  readonly hasOperator: boolean;
}

export interface AttemptResult {
  readonly outcome: "finished" | "drained" | "failed" | "killed" | "hanging";
  readonly error: WireError | null;
  /** By stream, as they left: the texts that the bookkeeper would compare. */
  readonly sourceStates: ReadonlyMap<number, string[]>;
  readonly destinationStates: ReadonlyMap<number, string[]>;
  readonly streamsRead: ReadonlySet<number>;
}

export async function runAttempt({
  world,
  epoch,
  tables,
  partitions,
  resume,
  disk,
  readers,
  fate,
  hasOperator,
}: AttemptOptions): Promise<AttemptResult> {
  const sourceStates = new Map<number, string[]>();
  const destinationStates = new Map<number, string[]>();
  const streamsRead = new Set<number>();
  let outcome: AttemptResult["outcome"] | null = null;
  let error: WireError | null = null;
  let isDraining = false;
  const fail = (reason: WireError): void => {
    outcome ??= "failed";
    error ??= reason;
  };
  const keep = (states: Map<number, string[]>, state: StreamState): void => {
    const texts = states.get(state.stream) ?? [];
    states.set(state.stream, [...texts, stateJson(state)]);
  };

  const pairs = new Map<number, MemoryPair>();
  const sourceWorkers = new Map<number, Post<SourceWorkerOrder>>();
  const sourceFacts = new Map<number, Post<SourceWorkerFact>>();
  const destinationFacts = new Map<number, Post<DestinationWorkerFact>>();

  const receiveFromSource = (fact: SourceFact): void => {
    if (fact.type === "process.failed") fail(fact.error);
    else if (fact.type === "channel.listening")
      toDestination.send({
        type: "channel.connect",
        channel: fact.channel,
        path: fact.path,
      });
    else if (fact.type === "stream.read") {
      streamsRead.add(fact.stream);
      if (streamsRead.size === tables.size && !isDraining)
        toSource.send({ type: "source.finish" });
    } else if (fact.type === "partition.split") {
      const { giver } = fact;
      const { stream } = giver;
      const taker: Partition = {
        ...fact.taker,
        ordinal: partitions.filter((one) => one.stream === stream).length,
      };
      const at = partitions.findIndex(
        (one) => one.stream === stream && one.ordinal === giver.ordinal,
      );
      // one transaction of the ledger, before either side acts
      partitions.splice(at, 1, giver, taker);
      toSource.send({ type: "source.resplit", giver, taker });
    } else if (fact.type === "source.drained")
      toSource.send({ type: "source.finish" });
    else if (fact.type === "source.finished")
      toDestination.send({ type: "destination.finish" });
  };
  const fromSource = new Post<SourceFact>(world, receiveFromSource);
  const fromDestination = new Post<DestinationFact>(world, (fact) => {
    if (fact.type === "process.failed") fail(fact.error);
    else if (fact.type === "destination.finished")
      outcome ??= isDraining ? "drained" : "finished";
  });

  const source = createSource({
    clock: world.clock,
    channelsMax: settings.channelsMax,
    planStream: () => Promise.reject(new Error("streams are planned already")),
    findSplit: async ({ range, resumeAfter }) => {
      await world.turn();
      const table = tables.get(range.stream);
      return table ? splitTable(table, range, resumeAfter) : null;
    },
    startWorker: (channel) => {
      const facts = new Post<SourceWorkerFact>(world, (fact) =>
        source.send({ type: "worker.fact", channel, fact }),
      );
      sourceFacts.set(channel, facts);
      facts.send({ type: "channel.listening", path: `${channel}` });
    },
    orderWorker: (channel, order) => sourceWorkers.get(channel)?.send(order),
    report: (fact) => fromSource.send(fact),
    releaseState: (state) => keep(sourceStates, state),
  });
  source.subscribe({
    error: (cause) =>
      fail({ code: "INTERNAL", message: String(cause), details: {} }),
  });

  /** The destination's worker connects: from now on both ends are there. */
  const join = (channel: number): void => {
    const pair = createMemoryPair({
      channel,
      streams: [...tables.values()].map(describeTable),
    });
    pairs.set(channel, pair);
    const facts = sourceFacts.get(channel);
    if (!facts) throw new Error(`channel ${channel} was never announced`);
    const worker = new SimulatedSourceWorker(
      world,
      tables,
      pair.source,
      (fact) => facts.send(fact),
    );
    sourceWorkers.set(
      channel,
      new Post(world, (order) => worker.follow(order)),
    );
    facts.send({ type: "channel.connected" });
    const told = new Post<DestinationWorkerFact>(world, (fact) =>
      destination.send({ type: "worker.fact", channel, fact }),
    );
    destinationFacts.set(channel, told);
    told.send({ type: "channel.joined" });
    runDestinationWorker(world, disk, epoch, pair.destination, (fact) =>
      told.send(fact),
    );
  };
  const destination = createActor(
    destinationProcessMachine.provide({
      actors: {
        openDestination: fromPromise(() => world.turn()),
        checkpointCoordinator: checkpointCoordinatorMachine.provide({
          actions: {
            releaseState: (_, { state }) => keep(destinationStates, state),
          },
        }),
      },
      actions: {
        report: (_, fact) => fromDestination.send(fact),
        startWorker: (_, { channel }) => world.later(() => join(channel)),
        makeStreamKnown: () => {},
        askStorage: () => {},
      },
    }),
    { clock: world.clock },
  );
  destination.subscribe({
    error: (cause) =>
      fail({ code: "INTERNAL", message: String(cause), details: {} }),
  });

  const toSource = new Post<SourceProcessEvent>(world, (order) =>
    source.send(order),
  );
  const toDestination = new Post<DestinationProcessEvent>(world, (order) =>
    destination.send(order),
  );

  source.start();
  destination.start();
  const attempt = { runId: "run1", epoch };
  toDestination.send({
    type: "destination.open",
    settings: {
      attempt,
      syncId: "sync1",
      config: { kind: "file" },
      frameBytesMax: 1,
      times: { ...settings.times, connectDeadlineMs: 15_000 },
      checkpointDeadlineMs: 60_000,
      inspect: false,
    },
  });
  source.send({
    type: "source.open",
    settings: { ...settings, attempt, readers, partitionBytesMin: 16 },
  });
  await world.run(() => source.getSnapshot().value === "opened");
  source.send({
    type: "source.discover",
    snapshot: null,
    include: [],
    exclude: [],
    columns: null,
    numbers: null,
  });
  await world.run(
    () =>
      source.getSnapshot().value === "serving" &&
      destination.getSnapshot().value === "serving",
  );
  for (const [stream, table] of tables) {
    const seed = resume.seeds.get(stream) ?? EMPTY_SEED;
    // as the bookkeeper orders it: the destination first
    destination.send({
      type: "stream.begin",
      stream: { schema: describeTable(table), generation: 1, planVersion: 1 },
      seed,
    });
    toSource.send({
      type: "source.read",
      stream,
      partitions: partitions.filter((one) => one.stream === stream),
      orders: resume.orders.filter((order) => order.stream === stream),
      seed,
      where: null,
      window: null,
    });
  }

  const strike = (): void => {
    const channel = world.draw(1, Math.max(1, pairs.size));
    const broken: WireError = {
      code: "CHANNEL_BROKEN",
      message: `the worker of channel ${channel} ended`,
      details: { channel },
    };
    if (fate === "drain") {
      isDraining = true;
      toSource.send({ type: "source.drain" });
    } else if (fate === "process") outcome ??= "killed";
    else if (fate === "sourceWorker")
      sourceFacts.get(channel)?.send({ type: "channel.broken", error: broken });
    else if (fate === "destinationWorker")
      destinationFacts
        .get(channel)
        ?.send({ type: "channel.broken", error: broken });
  };
  let stepsLeft = world.draw(20, 400);
  let meddlingLeft = hasOperator ? world.draw(20, 400) : 0;
  const giveOrder = (subject: OrderSubject, order: ActorOrder): void =>
    toSource.send({ type: "actor.order", id: 1, subject, order });
  const meddle = (): void => {
    const range = partitions[world.draw(0, partitions.length - 1)];
    if (!range) return;
    const { stream, ordinal } = range;
    const subjects: OrderSubject[] = [
      { kind: "reader", key: `${stream}/${ordinal}` },
      { kind: "reader", key: `${stream}/${ordinal}` },
      { kind: "stream", stream },
      { kind: "channel", channel: world.draw(1, settings.channelsMax) },
    ];
    const orders: ActorOrder[] = ["pause", "resume", "retry"];
    giveOrder(
      subjects[world.draw(0, subjects.length - 1)] ?? {
        kind: "none",
        actor: "",
      },
      orders[world.draw(0, orders.length - 1)] ?? "resume",
    );
  };
  const stopMeddling = (): void => {
    meddlingLeft = 0;
    for (const stream of tables.keys())
      giveOrder({ kind: "stream", stream }, "resume");
    for (const { stream, ordinal } of partitions)
      giveOrder({ kind: "reader", key: `${stream}/${ordinal}` }, "resume");
    for (let channel = 1; channel <= settings.channelsMax; channel += 1)
      giveOrder({ kind: "channel", channel }, "resume");
  };
  const isOver = (): boolean => {
    stepsLeft -= 1;
    if (fate !== null && stepsLeft === 0) strike();
    if (meddlingLeft > 0) {
      meddlingLeft -= 1;
      if (meddlingLeft === 0) stopMeddling();
      else if (world.happens(MEDDLING_PROBABILITY)) meddle();
    }
    return outcome !== null;
  };
  let isEnded = await world.run(isOver);
  // all that is left may wait for the operator
  if (!isEnded && meddlingLeft > 0) {
    stopMeddling();
    isEnded = await world.run(isOver);
  }
  if (!isEnded) outcome = "hanging";

  source.stop();
  destination.stop();
  world.forget();
  // what was on its way to the disk when the processes died has arrived there or has not
  for (const chain of disk.sealing)
    while (chain.length > 0 && world.happens(0.5)) chain.shift()?.();
  disk.sealing.clear();
  return {
    outcome: outcome ?? "hanging",
    error,
    sourceStates,
    destinationStates,
    streamsRead,
  };
}
