/** What the root of the source process is made of: its types, its actors, and the effects that `main.ts` gives it. */
import { assign, fromPromise, setup } from "xstate";
import type {
  SnapshotWire,
  SourceFact,
  SourceSettings,
} from "../../proto/control.ts";
import { endsStreamOnly, type WireError } from "../../proto/error.ts";
import type { Partition } from "../../proto/partition.ts";
import { statsEmitterMachine } from "../stats-emitter.machine.ts";
import { sourceChannelMachine } from "./channel.machine.ts";
import { logGuardMachine } from "./log-guard.machine.ts";
import { logReaderMachine } from "./log-reader.machine.ts";
import { partitionerMachine } from "./partitioner.machine.ts";
import { readerMachine } from "./reader.machine.ts";
import { resplitterMachine } from "./resplitter.machine.ts";
import {
  streamOfKey,
  type Discovered,
  type DiscoverOrder,
  type ReadStreamOrder,
  type SourceProcessContext,
  type SourceProcessEvent,
} from "./source-process-context.ts";
import type { SourceWorkerFact, SourceWorkerOrder } from "./worker-messages.ts";

export const sourceProcessBase = setup({
  types: {
    context: {} as SourceProcessContext,
    events: {} as SourceProcessEvent,
  },
  actors: {
    openSource: fromPromise<{ serverVersion: number }, SourceSettings>(() =>
      Promise.reject(new Error("openSource is not provided")),
    ),
    discover: fromPromise<Discovered, DiscoverOrder>(() =>
      Promise.reject(new Error("discover is not provided")),
    ),
    reader: readerMachine,
    channel: sourceChannelMachine,
    logReader: logReaderMachine,
    logGuard: logGuardMachine,
    partitioner: partitionerMachine,
    resplitter: resplitterMachine,
    statsEmitter: statsEmitterMachine,
  },
  actions: {
    report: (_, _params: SourceFact) => {
      throw new Error("report is not provided");
    },
    startWorker: (_, _params: { channel: number; isLog?: boolean }) => {
      throw new Error("startWorker is not provided");
    },
    useSnapshot: (_, _params: { snapshot: SnapshotWire | null }) => {
      throw new Error("useSnapshot is not provided");
    },
    // nothing is held at the server any more that its users would wait for
    leaveSnapshot: () => {
      throw new Error("leaveSnapshot is not provided");
    },
    seedStream: (_, _params: ReadStreamOrder) => {
      throw new Error("seedStream is not provided");
    },
    // allots the index in the one place there is for it, and passes it to the worker that waits for it
    allotIndex: (
      _,
      _params: {
        channel: number;
        fact: Extract<SourceWorkerFact, { type: "checkpoint.ready" }>;
      },
    ) => {
      throw new Error("allotIndex is not provided");
    },
    settleCheckpoint: (
      _,
      _params: Extract<SourceWorkerFact, { type: "checkpoint.acked" }>,
    ) => {
      throw new Error("settleCheckpoint is not provided");
    },
    countRead: (
      _,
      _params: Extract<
        SourceWorkerFact,
        { type: "read.progress" | "value.nulled" }
      >,
    ) => {
      throw new Error("countRead is not provided");
    },
    countPartition: (_, _params: { stream: number }) => {
      throw new Error("countPartition is not provided");
    },
    reportStreamRead: (_, _params: { stream: number }) => {
      throw new Error("reportStreamRead is not provided");
    },
    orderWorker: (
      _,
      _params: { channel: number; order: SourceWorkerOrder },
    ) => {
      throw new Error("orderWorker is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  guards: {
    canSplit: (_, _params: { range: Partition }): boolean => {
      throw new Error("canSplit is not provided");
    },
    endsStreamOnly: ({ context }, { error }: { error: WireError | null }) =>
      error !== null &&
      endsStreamOnly(error.code, context.settings?.log !== undefined),
    streamAlreadyFailed: ({ context }, params: { key: string }) =>
      context.failedStreams.includes(streamOfKey(params.key)),
    allReadersGone: ({ context }) =>
      context.readersAlive === 0 && context.log?.isDone !== false,
    allChannelsClosed: ({ context }) =>
      context.channelsClosed >= context.channelsOpened,
  },
});
