/**
 * One partition, from the queue to the acknowledgement of its last checkpoint. A retry goes on behind the last
 * checkpoint on the wire, and only after the destination has dropped what came behind it. An operator may have it wait
 * behind a checkpoint, or read again from there.
 */
import { assign, sendParent, setup } from "xstate";
import { errorCodes, type WireError } from "../../proto/error.ts";
import type { Partition, Position } from "../../proto/partition.ts";
import type { CursorWindow } from "../../proto/control.ts";
import type { ReadRef, SourceWorkerOrder } from "./worker-messages.ts";

export const ATTEMPTS_MAX = 8;
const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 10_000;

export interface ReaderInput {
  readonly range: Partition;
  readonly resumeAfter: Position | null;
  readonly where: string | null;
  readonly window: CursorWindow | null;
}

export interface ReaderContext extends ReaderInput {
  /** Counts from 1; every frame names it, so that what an earlier try left behind is never taken for this one's. */
  readonly attempt: number;
  /** Of the attempts, those that failed: the others gave a part of the range away. */
  readonly failures: number;
  readonly channel: number;
  readonly holdsChannel: boolean;
  /** The sequence behind the attempt's last checkpoint: from there a Discard takes back. */
  readonly checkpointSequence: number;
  /** Checkpoints on the wire that are not acknowledged yet, as `attempt/sequence`. */
  readonly inFlight: readonly string[];
  /** Told to stop or to let go: what has to be read again is left to a later run. */
  readonly isLeaving: boolean;
  /** Asked for the tail of its range: it stops, and goes on with what it is left. */
  readonly isYielding: boolean;
  /** Told to stop by an operator: whatever it is told next, it goes on behind its last checkpoint. */
  readonly isHalting: boolean;
  /** An operator has it wait. */
  readonly isPaused: boolean;
  readonly error: WireError | null;
}

export type ReaderEvent =
  | { readonly type: "channel.assigned"; readonly channel: number }
  | {
      readonly type: "checkpoint.ready";
      readonly attempt: number;
      readonly sequence: number;
      readonly position: Position | null;
    }
  | {
      readonly type: "checkpoint.acked";
      readonly attempt: number;
      readonly sequence: number;
    }
  | { readonly type: "read.done" }
  | { readonly type: "read.stopped" }
  | { readonly type: "read.failed"; readonly error: WireError }
  | { readonly type: "read.discarded" }
  | { readonly type: "reader.yield" }
  | { readonly type: "reader.resume"; readonly range: Partition }
  | { readonly type: "reader.stop" }
  | { readonly type: "reader.cancel" }
  /** By an operator; `reader.unpause` takes `reader.pause` back. */
  | { readonly type: "reader.pause" }
  | { readonly type: "reader.unpause" }
  | { readonly type: "reader.retry" };

/** What a reader tells the source process. */
export type ReaderNews =
  | { readonly type: "reader.queued"; readonly key: string }
  /** It waits for nobody's channel any more. */
  | { readonly type: "reader.paused"; readonly key: string }
  | {
      readonly type: "reader.released";
      readonly key: string;
      readonly channel: number;
    }
  | {
      readonly type: "reader.retried";
      readonly key: string;
      readonly attempt: number;
      readonly error: WireError | null;
    }
  | {
      /** All that it read is durable, and it waits to be told which range it keeps. */
      readonly type: "reader.yielded";
      readonly key: string;
      readonly resumeAfter: Position | null;
    }
  | {
      readonly type: "reader.finished";
      readonly key: string;
      readonly outcome: "done" | "stopped";
      /** The channel that it still held; null when it was released before. */
      readonly channel: number | null;
    }
  | {
      readonly type: "reader.failed";
      readonly key: string;
      readonly error: WireError | null;
      readonly channel: number | null;
    };

export function readerKey(ref: {
  readonly stream: number;
  readonly partition: number;
}): string {
  return `${ref.stream}/${ref.partition}`;
}

const refOf = (context: ReaderContext): ReadRef => ({
  stream: context.range.stream,
  partition: context.range.ordinal,
  attempt: context.attempt,
});
/** Has the destination drop what is behind the attempt's last checkpoint. */
const discardOf = (
  context: ReaderContext,
): { channel: number; order: SourceWorkerOrder } => ({
  channel: context.channel,
  order: {
    type: "read.discard",
    ...refOf(context),
    fromSequence: context.checkpointSequence,
  },
});
const keyOf = (context: ReaderContext): string =>
  readerKey({ stream: context.range.stream, partition: context.range.ordinal });
const heldChannel = (context: ReaderContext): number | null =>
  context.holdsChannel ? context.channel : null;

const reader = setup({
  types: {
    input: {} as ReaderInput,
    context: {} as ReaderContext,
    events: {} as ReaderEvent,
  },
  actions: {
    orderWorker: (
      _,
      _params: { channel: number; order: SourceWorkerOrder },
    ) => {
      throw new Error("orderWorker is not provided");
    },
    takeChannel: assign({
      channel: (_, params: { channel: number }) => params.channel,
      holdsChannel: true,
      checkpointSequence: 1,
      isYielding: false,
      isHalting: false,
      error: null,
    }),
    dropChannel: assign({ holdsChannel: false }),
    countAttempt: assign({ attempt: ({ context }) => context.attempt + 1 }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    noteLeaving: assign({ isLeaving: true }),
    noteYielding: assign({ isYielding: true }),
    noteHalting: assign({ isHalting: true }),
    notePaused: assign({ isPaused: true }),
    noteUnpaused: assign({ isPaused: false }),
    takeRange: assign({
      range: (_, params: { range: Partition }) => params.range,
    }),
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
    // the socket carries the checkpoint before any Discard, so the next try may start behind it
    moveResumePoint: assign(
      (
        { context },
        params: {
          attempt: number;
          sequence: number;
          position: Position | null;
        },
      ) => ({
        inFlight: [...context.inFlight, `${params.attempt}/${params.sequence}`],
        checkpointSequence: params.sequence + 1,
        resumeAfter: params.position ?? context.resumeAfter,
      }),
    ),
    settle: assign({
      inFlight: ({ context }, params: { attempt: number; sequence: number }) =>
        context.inFlight.filter(
          (one) => one !== `${params.attempt}/${params.sequence}`,
        ),
    }),
    releaseChannel: sendParent(({ context }) => ({
      type: "reader.released" as const,
      key: keyOf(context),
      channel: context.channel,
    })),
  },
  guards: {
    isRetryable: ({ context }, params: { error: WireError }) =>
      errorCodes[params.error.code].disposition === "retryPartition" &&
      context.failures + 1 < ATTEMPTS_MAX,
    hasError: ({ context }) => context.error !== null,
    nothingInFlight: ({ context }) => context.inFlight.length === 0,
    isLeaving: ({ context }) => context.isLeaving,
    isYielding: ({ context }) => context.isYielding && !context.isLeaving,
    isHalting: ({ context }) => context.isHalting && !context.isLeaving,
    isHaltedEarly: ({ context }, params: { error: WireError }) =>
      context.isHalting &&
      !context.isLeaving &&
      errorCodes[params.error.code].disposition === "retryPartition",
    isPaused: ({ context }) => context.isPaused,
    mayRetry: ({ context }) => !context.isPaused && !context.isLeaving,
    mayPause: ({ context }) => !context.isPaused && !context.isLeaving,
    mayUnpause: ({ context }) => context.isPaused && !context.isLeaving,
    isPausedWhole: ({ context }) =>
      context.isPaused && context.inFlight.length === 0,
    isYieldedWhole: ({ context }) =>
      context.isYielding && context.inFlight.length === 0,
  },
  delays: {
    backoff: ({ context }) =>
      Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** context.failures),
  },
});

/** On its way to be queued again: there it is seen whether it is to wait. */
const whenPaused = {
  "reader.pause": { guard: "mayPause", actions: "notePaused" },
  "reader.unpause": { guard: "mayUnpause", actions: "noteUnpaused" },
} as const;

/** It stops anyway, so that it can be asked for the tail of its range as well. */
const whenHalting = {
  ...whenPaused,
  "reader.yield": { actions: "noteYielding" },
} as const;

export const readerMachine = reader.createMachine({
  id: "reader",
  initial: "queued",
  context: ({ input }) => ({
    ...input,
    attempt: 1,
    failures: 0,
    channel: 0,
    holdsChannel: false,
    checkpointSequence: 1,
    inFlight: [],
    isLeaving: false,
    isYielding: false,
    isHalting: false,
    isPaused: false,
    error: null,
  }),
  on: {
    // acknowledgements come whenever the destination has synced, whatever the reader is doing by then
    "checkpoint.acked": {
      actions: { type: "settle", params: ({ event }) => event },
    },
  },
  states: {
    queued: {
      entry: sendParent(({ context }) => ({
        type: "reader.queued" as const,
        key: keyOf(context),
      })),
      on: {
        "channel.assigned": {
          target: "reading",
          actions: { type: "takeChannel", params: ({ event }) => event },
        },
        "reader.stop": "stopped",
        "reader.cancel": "stopped",
        "reader.pause": { target: "paused", actions: "notePaused" },
      },
    },
    // an operator has it wait: all that it read is durable, and its partition stays open
    paused: {
      entry: sendParent(({ context }) => ({
        type: "reader.paused" as const,
        key: keyOf(context),
      })),
      on: {
        // given on the way of the order: others take it
        "channel.assigned": {
          actions: sendParent(({ context, event }) => ({
            type: "reader.released" as const,
            key: keyOf(context),
            channel: event.channel,
          })),
        },
        "reader.unpause": { target: "queued", actions: "noteUnpaused" },
        "reader.stop": "stopped",
        "reader.cancel": "stopped",
      },
    },
    reading: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => ({
          channel: context.channel,
          order: {
            type: "read.start",
            ...refOf(context),
            range: context.range,
            resumeAfter: context.resumeAfter,
            where: context.where,
            window: context.window,
          },
        }),
      },
      on: {
        "checkpoint.ready": {
          actions: { type: "moveResumePoint", params: ({ event }) => event },
        },
        "read.done": "flushed",
        "read.stopped": [
          { guard: "isYielding", target: "yielding" },
          { guard: "isHalting", target: "yielding" },
          { target: "stopped" },
        ],
        "read.failed": [
          // a partition that cannot be resumed inside fails when it is stopped: no try of its own is used up by that
          {
            guard: { type: "isHaltedEarly", params: ({ event }) => event },
            target: "yielding",
          },
          {
            guard: { type: "isRetryable", params: ({ event }) => event },
            target: "discarding",
            actions: { type: "keepError", params: ({ event }) => event },
          },
          {
            target: "abandoning",
            actions: { type: "keepError", params: ({ event }) => event },
          },
        ],
        "reader.yield": {
          actions: [
            "noteYielding",
            {
              type: "orderWorker",
              params: ({ context }) => ({
                channel: context.channel,
                order: { type: "read.stop", ...refOf(context) },
              }),
            },
          ],
        },
        "reader.stop": {
          actions: [
            "noteLeaving",
            {
              type: "orderWorker",
              params: ({ context }) => ({
                channel: context.channel,
                order: { type: "read.stop", ...refOf(context) },
              }),
            },
          ],
        },
        "reader.cancel": "cancelling",
        "reader.pause": {
          guard: "mayPause",
          actions: [
            "notePaused",
            "noteHalting",
            {
              type: "orderWorker",
              params: ({ context }) => ({
                channel: context.channel,
                order: { type: "read.stop", ...refOf(context) },
              }),
            },
          ],
        },
        // it has been told to stop already: it goes on from its checkpoint
        "reader.unpause": { guard: "mayUnpause", actions: "noteUnpaused" },
        "reader.retry": { guard: "mayRetry", target: "restarting" },
      },
    },
    // an operator wants it read again: as a read that is cancelled, and then from its last checkpoint
    restarting: {
      entry: [
        "noteHalting",
        {
          type: "orderWorker",
          params: ({ context }) => ({
            channel: context.channel,
            order: { type: "read.cancel", ...refOf(context) },
          }),
        },
      ],
      on: {
        "checkpoint.ready": {
          actions: { type: "moveResumePoint", params: ({ event }) => event },
        },
        "read.done": "flushed",
        "read.stopped": "yielding",
        "read.failed": "yielding",
        "reader.stop": { actions: "noteLeaving" },
        "reader.cancel": { actions: "noteLeaving" },
        ...whenHalting,
      },
    },
    // the rows have left this process; only the acknowledgement of the last checkpoint makes them safe
    flushed: {
      entry: ["releaseChannel", "dropChannel"],
      always: { guard: "nothingInFlight", target: "done" },
      on: { "reader.cancel": "stopped", "reader.stop": "stopped" },
    },
    // everything read is behind a checkpoint; the channel may change only once the destination has said so
    yielding: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => discardOf(context),
      },
      on: {
        "read.discarded": [
          { guard: "isLeaving", target: "stopped" },
          {
            guard: "isYielding",
            target: "settling",
            actions: ["releaseChannel", "dropChannel"],
          },
          // nothing of what comes next is taken for this attempt's
          {
            target: "settling",
            actions: ["releaseChannel", "dropChannel", "countAttempt"],
          },
        ],
        "reader.stop": { actions: "noteLeaving" },
        "reader.cancel": { actions: "noteLeaving" },
        ...whenHalting,
      },
    },
    // on another channel a later checkpoint could be durable before these: a resume would begin behind rows that are lost
    settling: {
      always: [
        { guard: "isYieldedWhole", target: "yielded" },
        { guard: "isPausedWhole", target: "paused" },
        { guard: "nothingInFlight", target: "queued" },
      ],
      on: {
        "reader.stop": "stopped",
        "reader.cancel": "stopped",
        ...whenHalting,
      },
    },
    yielded: {
      entry: sendParent(({ context }) => ({
        type: "reader.yielded" as const,
        key: keyOf(context),
        resumeAfter: context.resumeAfter,
      })),
      on: {
        "reader.resume": [
          {
            guard: "isPaused",
            target: "paused",
            actions: [
              { type: "takeRange", params: ({ event }) => event },
              "countAttempt",
            ],
          },
          {
            target: "queued",
            actions: [
              { type: "takeRange", params: ({ event }) => event },
              "countAttempt",
            ],
          },
        ],
        "reader.stop": "stopped",
        "reader.cancel": "stopped",
        ...whenPaused,
      },
    },
    cancelling: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => ({
          channel: context.channel,
          order: { type: "read.cancel", ...refOf(context) },
        }),
      },
      on: {
        // one that was on its way before the order stays, and the Discard begins behind it
        "checkpoint.ready": {
          actions: { type: "moveResumePoint", params: ({ event }) => event },
        },
        "read.failed": "abandoning",
        "read.done": "abandoning",
        "read.stopped": "abandoning",
      },
    },
    // nothing is read again before the destination has said that the unsealed rows are gone
    discarding: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => discardOf(context),
      },
      on: {
        "read.discarded": [
          // a partition that cannot be resumed inside fails when it is stopped: there is no other try then
          { guard: "isLeaving", target: "stopped" },
          {
            target: "backingOff",
            actions: [
              assign({ isYielding: false }),
              sendParent(({ context }) => ({
                type: "reader.retried" as const,
                key: keyOf(context),
                attempt: context.attempt,
                error: context.error,
              })),
              "releaseChannel",
              "dropChannel",
            ],
          },
        ],
        "reader.stop": { actions: "noteLeaving" },
        "reader.cancel": { actions: "noteLeaving" },
        ...whenPaused,
      },
    },
    backingOff: {
      after: {
        backoff: {
          target: "settling",
          actions: ["countAttempt", "countFailure"],
        },
      },
      on: {
        "reader.stop": "stopped",
        "reader.cancel": "stopped",
        // nobody waits for the next try: a reader that is paused, or that is wanted at once
        "reader.pause": {
          guard: "mayPause",
          target: "settling",
          actions: ["notePaused", "countAttempt", "countFailure"],
        },
        "reader.retry": {
          guard: "mayRetry",
          target: "settling",
          actions: ["countAttempt", "countFailure"],
        },
        "reader.unpause": { guard: "mayUnpause", actions: "noteUnpaused" },
      },
    },
    // given up: the destination drops what is unsealed, then the channel is free for others
    abandoning: {
      entry: {
        type: "orderWorker",
        params: ({ context }) => discardOf(context),
      },
      on: {
        "read.discarded": [
          { guard: "hasError", target: "failed" },
          { target: "stopped" },
        ],
      },
    },
    done: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "reader.finished" as const,
        key: keyOf(context),
        outcome: "done" as const,
        channel: heldChannel(context),
      })),
    },
    stopped: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "reader.finished" as const,
        key: keyOf(context),
        outcome: "stopped" as const,
        channel: heldChannel(context),
      })),
    },
    failed: {
      type: "final",
      entry: sendParent(({ context }) => ({
        type: "reader.failed" as const,
        key: keyOf(context),
        error: context.error,
        channel: heldChannel(context),
      })),
    },
  },
});
