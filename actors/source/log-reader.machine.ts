/**
 * The changes of all streams of a run, in the order of the source's log, over one channel. It waits until every stream
 * is ordered to be read or has failed, reads, and ends where the ledger says that the run's log ends: only then are the
 * last checkpoints made. A fault of the log ends the attempt; the next one goes on behind what is durable.
 */
import { assign, sendParent, setup } from "xstate";
import type { LogConnector, LogEntry, LogPlace } from "../../proto/control.ts";
import { unexplained, type WireError } from "../../proto/error.ts";
import type { LogJoin, SourceWorkerOrder } from "./worker-messages.ts";

export interface LogReaderInput {
  readonly streams: readonly number[];
  readonly from: LogPlace;
  readonly until: string | null;
  readonly discoveredAt: string;
  readonly end: string | null;
  readonly connector: LogConnector;
  /** The log ends where tables come to it that this run copies. */
  readonly entry: LogEntry | null;
}

interface LogReaderContext extends LogReaderInput {
  /** Streams that are neither ordered nor have left. */
  readonly missing: readonly number[];
  readonly joined: readonly LogJoin[];
  /** Rows of some tables are read beside. */
  readonly isCopying: boolean;
  readonly channel: number | null;
  /** Of each stream whose last checkpoint is on the wire, the sequence of that; it leaves when it is acknowledged. */
  readonly lasts: Readonly<Record<number, number>>;
  readonly error: WireError | null;
}

type CheckpointNews = {
  readonly stream: number;
  readonly sequence: number;
};

export type LogReaderEvent =
  | { readonly type: "channel.assigned"; readonly channel: number }
  | ({
      readonly type: "log.join";
      /** Rows of its table are read beside. */
      readonly isCopied: boolean;
    } & LogJoin)
  | { readonly type: "log.leave"; readonly stream: number }
  | { readonly type: "log.stop" }
  | { readonly type: "log.end"; readonly position: string }
  | { readonly type: "log.committed"; readonly group: number }
  | { readonly type: "log.release" }
  | { readonly type: "log.pace"; readonly checkpointEveryMs: number }
  /** The attempt is stopped: what has been read stays for the next one. */
  | { readonly type: "log.cancel" }
  | ({
      readonly type: "checkpoint.ready";
      readonly last: boolean;
    } & CheckpointNews)
  | ({ readonly type: "checkpoint.acked" } & CheckpointNews)
  /** The engine is gone, and so is what it held at the source. */
  | { readonly type: "log.closed" }
  | { readonly type: "log.failed"; readonly error: WireError };

export type LogReaderNews =
  /** All that is going to be ordered is. */
  | { readonly type: "logReader.gathered" }
  /** All changes of the stream are durable. */
  | { readonly type: "logReader.streamRead"; readonly stream: number }
  | { readonly type: "logReader.done" }
  | { readonly type: "logReader.failed"; readonly error: WireError };

function toWorker(
  { channel }: LogReaderContext,
  order: SourceWorkerOrder,
): { channel: number; order: SourceWorkerOrder } {
  if (channel === null) throw new Error("a log is read over a channel");
  return { channel, order };
}

export const logReaderMachine = setup({
  types: {
    input: {} as LogReaderInput,
    context: {} as LogReaderContext,
    events: {} as LogReaderEvent,
  },
  actions: {
    orderWorker: (
      _,
      _params: { channel: number; order: SourceWorkerOrder },
    ) => {
      throw new Error("orderWorker is not provided");
    },
    join: assign(
      (
        { context },
        {
          stream,
          partition,
          after,
          visible,
          isCopied,
        }: LogJoin & { isCopied: boolean },
      ) => ({
        missing: context.missing.filter((one) => one !== stream),
        joined: [...context.joined, { stream, partition, after, visible }],
        isCopying: context.isCopying || isCopied,
      }),
    ),
    leave: assign(({ context }, { stream }: { stream: number }) => ({
      missing: context.missing.filter((one) => one !== stream),
      joined: context.joined.filter((one) => one.stream !== stream),
    })),
    noteLast: assign(
      ({ context }, params: CheckpointNews & { readonly last: boolean }) => ({
        lasts: params.last
          ? { ...context.lasts, [params.stream]: params.sequence }
          : context.lasts,
      }),
    ),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  guards: {
    isLast: ({ context }, { stream, sequence }: CheckpointNews) =>
      context.lasts[stream] === sequence,
    isGathered: ({ context }) =>
      context.channel !== null && context.missing.length === 0,
    isAlone: ({ context }) => context.joined.length === 0,
  },
}).createMachine({
  id: "logReader",
  initial: "gathering",
  context: ({ input }) => ({
    ...input,
    missing: input.streams,
    joined: [],
    isCopying: false,
    channel: null,
    lasts: {},
    error: null,
  }),
  on: {
    "checkpoint.acked": {
      guard: { type: "isLast", params: ({ event }) => event },
      actions: sendParent(({ event }) => ({
        type: "logReader.streamRead" as const,
        stream: event.stream,
      })),
    },
    "log.failed": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
  },
  states: {
    gathering: {
      always: { guard: "isGathered", target: "beginning" },
      on: {
        "channel.assigned": {
          actions: assign({ channel: ({ event }) => event.channel }),
        },
        "log.join": {
          actions: { type: "join", params: ({ event }) => event },
        },
        "log.leave": {
          actions: { type: "leave", params: ({ event }) => event },
        },
        "log.stop": "done",
        "log.cancel": "done",
      },
    },
    beginning: {
      entry: sendParent({ type: "logReader.gathered" as const }),
      always: [{ guard: "isAlone", target: "done" }, { target: "reading" }],
    },
    reading: {
      entry: {
        type: "orderWorker",
        params: ({ context }) =>
          toWorker(context, {
            type: "log.start",
            streams: context.joined,
            from: context.from,
            // what was begun is ended where it was begun
            until: context.end ?? context.until,
            // what comes behind an entry needs what the tables are there
            isHeld:
              context.end === null &&
              context.entry === null &&
              context.isCopying,
            discoveredAt: context.discoveredAt,
            connector: context.connector,
            entry: context.entry,
          }),
      },
      on: {
        "checkpoint.ready": {
          actions: { type: "noteLast", params: ({ event }) => event },
        },
        "log.leave": {
          actions: [
            { type: "leave", params: ({ event }) => event },
            {
              type: "orderWorker",
              params: ({ context, event }) => toWorker(context, event),
            },
          ],
        },
        "log.committed": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.stop": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.release": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.pace": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.end": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.cancel": "closing",
        "log.closed": "done",
      },
    },
    // at the next commit, behind a checkpoint
    closing: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => toWorker(context, { type: "log.cancel" }),
      },
      on: {
        "checkpoint.ready": {
          actions: { type: "noteLast", params: ({ event }) => event },
        },
        "log.committed": {
          actions: {
            type: "orderWorker",
            params: ({ context, event }) => toWorker(context, event),
          },
        },
        "log.closed": "done",
      },
    },
    done: {
      entry: sendParent({ type: "logReader.done" as const }),
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "logReader.failed" as const,
        error: context.error ?? unexplained,
      })),
    },
  },
});
