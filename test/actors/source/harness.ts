/** The source process's machines with effects that are written down, and workers that the test plays. */
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { sourceChannelMachine } from "../../../actors/source/channel.machine.ts";
import { SourceCheckpoints } from "../../../actors/source/checkpoints.ts";
import {
  logGuardMachine,
  type Measured,
} from "../../../actors/source/log-guard.machine.ts";
import { logReaderMachine } from "../../../actors/source/log-reader.machine.ts";
import { partitionerMachine } from "../../../actors/source/partitioner.machine.ts";
import { readerMachine } from "../../../actors/source/reader.machine.ts";
import {
  resplitterMachine,
  type FindSplitInput,
  type FoundSplit,
} from "../../../actors/source/resplitter.machine.ts";
import type {
  Discovered,
  DiscoverOrder,
  SourceProcessEvent,
} from "../../../actors/source/source-process-context.ts";
import { sourceProcessMachine } from "../../../actors/source/source-process.machine.ts";
import type {
  ReadRef,
  SourceWorkerFact,
  SourceWorkerOrder,
} from "../../../actors/source/worker-messages.ts";
import { statsEmitterMachine } from "../../../actors/stats-emitter.machine.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { StreamState } from "../../../proto/checkpoint.ts";
import type { SourceFact, SourceSettings } from "../../../proto/control.ts";
import type { Plan } from "../../../proto/partition.ts";
import { settle } from "../recorder.ts";

export const settings: SourceSettings = {
  attempt: { runId: "run1", epoch: 1 },
  url: "postgres://localhost/shop",
  socketDir: "/run/millrace",
  channelsMax: 4,
  readers: null,
  checkpointEveryMs: 1000,
  rowBytesMax: 1,
  policy: "error",
  partitionBy: "auto",
  mappers: null,
  partitionBytesMin: 1_000_000,
  times: { handshakeMs: 15_000, probeMs: 1, probeDeadlineMs: 1 },
  inspect: false,
};

/** An order to a worker, with the channel that it serves. */
export type Ordered = SourceWorkerOrder & { readonly channel: number };

export interface SourceEffects {
  /** How many have joined the snapshot. */
  readonly channelsMax: number;
  readonly planStream: (stream: number) => Promise<Plan>;
  readonly findSplit?: (input: FindSplitInput) => Promise<FoundSplit | null>;
  readonly startWorker: (channel: number) => void;
  readonly orderWorker: (channel: number, order: SourceWorkerOrder) => void;
  readonly dropLog?: () => void;
  readonly report: (fact: SourceFact) => void;
  readonly releaseState: (state: StreamState) => void;
  readonly clock: SimulatedClock;
}

export function createSource(effects: SourceEffects) {
  const checkpoints = new SourceCheckpoints(settings.attempt.epoch);
  const orderWorker = (
    _: unknown,
    params: { channel: number; order: SourceWorkerOrder },
  ): void => effects.orderWorker(params.channel, params.order);
  const machine = sourceProcessMachine.provide({
    actors: {
      openSource: fromPromise(async () => ({ serverVersion: 150_000 })),
      discover: fromPromise<Discovered, DiscoverOrder>(async () => ({
        fact: {
          type: "source.discovered",
          streams: [],
          warnings: [],
          problems: [],
        },
        channelsMax: effects.channelsMax,
      })),
      reader: readerMachine.provide({ actions: { orderWorker } }),
      channel: sourceChannelMachine.provide({
        actions: {
          orderEnd: (_, { channel }) =>
            effects.orderWorker(channel, { type: "channel.end" }),
        },
      }),
      logReader: logReaderMachine.provide({ actions: { orderWorker } }),
      logGuard: logGuardMachine.provide({
        actors: {
          // the test says what it finds
          measureLog: fromPromise<Measured>(() => new Promise(() => {})),
          dropLog: fromPromise(async () => effects.dropLog?.()),
        },
      }),
      partitioner: partitionerMachine.provide({
        actors: {
          planStream: fromPromise(async ({ input: { stream } }) => ({
            plan: await effects.planStream(stream),
            window: null,
          })),
        },
      }),
      resplitter: resplitterMachine.provide({
        actors: {
          findSplit: fromPromise(
            async ({ input }) => (await effects.findSplit?.(input)) ?? null,
          ),
        },
      }),
      statsEmitter: statsEmitterMachine.provide({
        actions: { emitStats: () => {} },
      }),
    },
    guards: { canSplit: () => true },
    actions: {
      report: (_, fact) => effects.report(fact),
      startWorker: (_, { channel }) => effects.startWorker(channel),
      useSnapshot: () => {},
      leaveSnapshot: () => {},
      seedStream: (_, { stream, seed }) => checkpoints.begin(stream, seed),
      allotIndex: (_, { channel, fact: { type: _type, ...place } }) => {
        const { stream, partition, attempt, sequence } = place;
        effects.orderWorker(channel, {
          type: "checkpoint.index",
          stream,
          partition,
          attempt,
          sequence,
          index: checkpoints.allot(place),
        });
      },
      settleCheckpoint: (_, ack) => {
        for (const state of checkpoints.acknowledge(ack))
          effects.releaseState(state);
      },
      countRead: () => {},
      countPartition: () => {},
      reportStreamRead: (_, { stream }) =>
        effects.report({
          type: "stream.read",
          stream,
          index: checkpoints.lastIndex(stream),
          valuesNulled: {},
        }),
      orderWorker,
    },
  });
  return createActor(machine, { clock: effects.clock });
}

/** A source that serves, its first channel connected; the test plays the workers. */
export async function startSource(
  given: Partial<SourceSettings> = {},
  plans: Readonly<Record<number, Plan | Error>> = {},
  findSplit?: SourceEffects["findSplit"],
  channelsJoined: number | null = null,
) {
  const facts: SourceFact[] = [];
  const orders: Ordered[] = [];
  const workers: number[] = [];
  const clock = new SimulatedClock();
  const root = createSource({
    clock,
    channelsMax: channelsJoined ?? given.channelsMax ?? settings.channelsMax,
    ...(findSplit ? { findSplit } : {}),
    planStream: async (stream) => {
      const plan = plans[stream];
      if (!plan) throw new Error(`no plan for stream ${stream}`);
      if (plan instanceof Error) throw plan;
      return plan;
    },
    startWorker: (channel) => workers.push(channel),
    orderWorker: (channel, order) => orders.push({ ...order, channel }),
    report: (fact) => facts.push(fact),
    releaseState: () => {},
  });
  root.start();
  const send = (...sent: readonly SourceProcessEvent[]): void => {
    for (const event of sent) root.send(event);
  };
  const tell = (channel: number, fact: SourceWorkerFact): void =>
    root.send({ type: "worker.fact", channel, fact });
  const connect = (channel: number): void => {
    tell(channel, { type: "channel.listening", path: `/run/s${channel}` });
    tell(channel, { type: "channel.connected" });
  };
  send({ type: "source.open", settings: { ...settings, ...given } });
  await settle();
  send({
    type: "source.discover",
    snapshot: null,
    include: [],
    exclude: [],
    columns: null,
    numbers: null,
  });
  await settle();
  if (workers.length > 0) connect(1);
  const read = ({ stream, partitions }: Plan): void =>
    send({
      type: "source.read",
      stream,
      partitions,
      orders: partitions.map(({ ordinal }) => ({
        stream,
        partition: ordinal,
        resumeAfter: null,
      })),
      seed: EMPTY_SEED,
      where: null,
      window: null,
    });
  const starts = () => orders.filter((order) => order.type === "read.start");
  /** The last read that a channel was given. */
  const readOn = (channel: number): ReadRef => {
    const order = starts().findLast((one) => one.channel === channel);
    if (!order) throw new Error(`nothing is read on channel ${channel}`);
    const { stream, partition, attempt } = order;
    return { stream, partition, attempt };
  };
  /** Reads what a channel was given to its end, and has it acknowledged. */
  const finish = (channel: number): void => {
    const ref = readOn(channel);
    tell(channel, {
      type: "checkpoint.ready",
      ...ref,
      sequence: 2,
      position: null,
      rows: 1,
      bytes: 8,
      last: true,
    });
    tell(channel, { type: "read.done", ...ref });
    tell(channel, {
      type: "checkpoint.acked",
      ...ref,
      sequence: 2,
      rows: 1,
      bytes: 8,
    });
  };
  return {
    facts,
    orders,
    workers,
    clock,
    send,
    tell,
    connect,
    read,
    starts,
    readOn,
    finish,
    state: () => root.getSnapshot().value,
    context: () => root.getSnapshot().context,
  };
}
