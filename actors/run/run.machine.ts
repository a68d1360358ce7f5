/**
 * One attempt at one run: starts the processes, takes them through discovery, snapshot, recovery and reading, commits
 * stream by stream, and ends them. Everything it knows of the world comes as events; everything it does is named here
 * and given by `daemon/`.
 */
import { assign, enqueueActions, setup } from "xstate";
import type {
  DestinationFact,
  KeeperFact,
  SnapshotWire,
  SourceFact,
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";
import { tell } from "../enqueue.ts";
import {
  streamRunMachine,
  type StreamRunInput,
  type StreamRunNews,
} from "./stream-run.machine.ts";

export type Role = "source" | "destination" | "keeper";

export interface RunInput {
  readonly startDeadlineMs: number;
  readonly closeDeadlineMs: number;
}

type StreamFactName =
  | "stream.planned"
  | "stream.read"
  | "stream.failed"
  | "stream.verified"
  | "stream.published"
  | "stream.superseded";

type Fact = SourceFact | DestinationFact | KeeperFact;

/** Facts that belong to one stream, and go to its machine. */
export type StreamFact = Extract<Fact, { type: StreamFactName }>;

export type RunEvent =
  | Extract<
      Fact,
      {
        type:
          | "source.connected"
          | "source.discovered"
          | "destination.opened"
          | "destination.recovered"
          | "destination.cleaned"
          | "snapshot.opened"
          | "snapshot.locked"
          | "snapshot.lost"
          | "channel.listening"
          | "source.drained"
          | "source.finished"
          | "destination.finished";
      }
    >
  | { readonly type: "stream.fact"; readonly fact: StreamFact }
  | {
      readonly type: "state.recorded";
      readonly stream: number;
      readonly index: number;
    }
  | {
      readonly type: "run.registered";
      /** Streams that are not read, by what the sync allows. */
      readonly refused?: number;
      readonly streams: readonly StreamRunInput[];
    }
  | { readonly type: "run.fault"; readonly error: WireError }
  | {
      readonly type: "process.exited";
      readonly role: Role;
      readonly description: string;
    }
  | {
      readonly type: "process.silent";
      readonly role: Role;
      readonly deadlineMs: number;
    }
  | { readonly type: "run.stop" }
  | { readonly type: "run.abort" }
  | StreamRunNews;

/** The final states, as the command line and the ledger name them. */
export type RunOutcome =
  | "succeeded"
  | "partlyFailed"
  | "interrupted"
  | "aborted"
  | "failed";

interface RunContext extends RunInput {
  readonly isSourceConnected: boolean;
  readonly isDestinationOpen: boolean;
  readonly snapshot: SnapshotWire | null;
  readonly streamsLeft: number;
  readonly streamsFailed: number;
  readonly problems: number;
  readonly sourceEnded: boolean;
  readonly destinationEnded: boolean;
  readonly isStopping: boolean;
  readonly error: WireError | null;
}

const aborted: WireError = {
  code: "PROCESS_DIED",
  message: "the run was aborted",
  details: {},
};

export const runMachine = setup({
  types: {
    input: {} as RunInput,
    context: {} as RunContext,
    events: {} as RunEvent,
    children: {} as Record<string, "streamRun">,
  },
  actors: { streamRun: streamRunMachine },
  actions: {
    startProcesses: () => {
      throw new Error("startProcesses is not provided");
    },
    orderDiscover: (_, _params: { snapshot: SnapshotWire }) => {
      throw new Error("orderDiscover is not provided");
    },
    // the tables and their children, locked against DDL under the snapshot
    orderLocks: (
      _,
      _params: Extract<SourceFact, { type: "source.discovered" }>,
    ) => {
      throw new Error("orderLocks is not provided");
    },
    orderRecover: (
      _,
      _params: Extract<KeeperFact, { type: "snapshot.locked" }>,
    ) => {
      throw new Error("orderRecover is not provided");
    },
    // merges what the destination found, decides what is read again, and orders the clean-up
    orderClean: (
      _,
      _params: Extract<DestinationFact, { type: "destination.recovered" }>,
    ) => {
      throw new Error("orderClean is not provided");
    },
    // answered by run.registered
    registerStreams: () => {
      throw new Error("registerStreams is not provided");
    },
    joinChannel: (_, _params: { channel: number; path: string }) => {
      throw new Error("joinChannel is not provided");
    },
    orderDrain: () => {
      throw new Error("orderDrain is not provided");
    },
    orderFinish: (_, _params: { role: Exclude<Role, "keeper"> }) => {
      throw new Error("orderFinish is not provided");
    },
    endProcesses: () => {
      throw new Error("endProcesses is not provided");
    },
    loseSnapshot: () => {
      throw new Error("loseSnapshot is not provided");
    },
    keepError: assign({
      error: ({ context }, params: { error: WireError }) =>
        context.error ?? params.error,
    }),
  },
  guards: {
    isReady: ({ context }) =>
      context.isSourceConnected &&
      context.isDestinationOpen &&
      context.snapshot !== null,
    noStreamsLeft: ({ context }) => context.streamsLeft === 0,
    hasEnded: ({ context }, params: { role: Role }) =>
      (params.role === "source" && context.sourceEnded) ||
      (params.role === "destination" && context.destinationEnded),
    allEnded: ({ context }) => context.sourceEnded && context.destinationEnded,
    wasStopped: ({ context }) => context.isStopping && context.streamsLeft > 0,
    someFailed: ({ context }) => context.streamsFailed + context.problems > 0,
  },
  delays: {
    startDeadline: ({ context }) => context.startDeadlineMs,
    closeDeadline: ({ context }) => context.closeDeadlineMs,
  },
}).createMachine({
  id: "run",
  initial: "starting",
  context: ({ input }) => ({
    ...input,
    isSourceConnected: false,
    isDestinationOpen: false,
    snapshot: null,
    streamsLeft: 0,
    streamsFailed: 0,
    problems: 0,
    sourceEnded: false,
    destinationEnded: false,
    isStopping: false,
    error: null,
  }),
  on: {
    "run.fault": {
      target: ".failed",
      actions: { type: "keepError", params: ({ event }) => event },
    },
    "run.abort": {
      target: ".aborted",
      actions: { type: "keepError", params: { error: aborted } },
    },
    "snapshot.lost": {
      target: ".failed",
      actions: [
        "loseSnapshot",
        { type: "keepError", params: ({ event }) => event },
      ],
    },
    // what has done its work may take its time to leave, or leave
    "process.silent": [
      { guard: { type: "hasEnded", params: ({ event }) => event } },
      {
        target: ".failed",
        actions: {
          type: "keepError",
          params: ({ event }) => ({
            error: {
              code: "PEER_STALLED" as const,
              message: `the ${event.role} process gave no sign of life for ${event.deadlineMs} ms`,
              details: { role: event.role },
            },
          }),
        },
      },
    ],
    "process.exited": [
      { guard: { type: "hasEnded", params: ({ event }) => event } },
      {
        target: ".failed",
        actions: {
          type: "keepError",
          params: ({ event }) => ({
            error: {
              code: "PROCESS_DIED" as const,
              message: `the ${event.role} process ended early: ${event.description}`,
              details: { role: event.role },
            },
          }),
        },
      },
    ],
    "channel.listening": {
      actions: { type: "joinChannel", params: ({ event }) => event },
    },
    "source.finished": { actions: assign({ sourceEnded: true }) },
    "destination.finished": { actions: assign({ destinationEnded: true }) },
  },
  states: {
    starting: {
      entry: "startProcesses",
      always: { guard: "isReady", target: "discovering" },
      after: {
        startDeadline: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ context }) => ({
              error: {
                code: "CHANNEL_START_TIMEOUT" as const,
                message: `not ready within ${context.startDeadlineMs} ms: ${[
                  context.isSourceConnected ? "" : "source",
                  context.isDestinationOpen ? "" : "destination",
                  context.snapshot ? "" : "snapshot",
                ]
                  .filter(Boolean)
                  .join(", ")}`,
                details: {},
              },
            }),
          },
        },
      },
      on: {
        "source.connected": { actions: assign({ isSourceConnected: true }) },
        "destination.opened": { actions: assign({ isDestinationOpen: true }) },
        "snapshot.opened": {
          actions: assign({ snapshot: ({ event }) => event.snapshot }),
        },
        "run.stop": "interrupted",
      },
    },
    discovering: {
      entry: {
        type: "orderDiscover",
        params: ({ context }) => {
          if (!context.snapshot)
            throw new Error("discovering without a snapshot");
          return { snapshot: context.snapshot };
        },
      },
      on: {
        "source.discovered": {
          target: "locking",
          actions: [
            assign({ problems: ({ event }) => event.problems.length }),
            { type: "orderLocks", params: ({ event }) => event },
          ],
        },
        "run.stop": "interrupted",
      },
    },
    locking: {
      on: {
        "snapshot.locked": {
          target: "recovering",
          actions: [
            assign({
              problems: ({ context, event }) =>
                context.problems + event.problems.length,
            }),
            { type: "orderRecover", params: ({ event }) => event },
          ],
        },
        "run.stop": "interrupted",
      },
    },
    recovering: {
      on: {
        "destination.recovered": {
          target: "cleaning",
          actions: [
            assign({
              problems: ({ context, event }) =>
                context.problems + event.problems.length,
            }),
            { type: "orderClean", params: ({ event }) => event },
          ],
        },
        "run.stop": "interrupted",
      },
    },
    cleaning: {
      on: {
        "destination.cleaned": { target: "moving", actions: "registerStreams" },
        "run.stop": "interrupted",
      },
    },
    moving: {
      initial: "registering",
      states: {
        registering: {
          on: {
            "run.stop": "#run.interrupted",
            "run.registered": {
              target: "reading",
              actions: enqueueActions(({ enqueue, context, event }) => {
                enqueue.assign({
                  streamsLeft: event.streams.length,
                  problems: context.problems + (event.refused ?? 0),
                });
                for (const input of event.streams) {
                  enqueue.spawnChild("streamRun", {
                    id: `streamRun:${input.stream}`,
                    systemId: `streamRun:${input.stream}`,
                    input,
                  });
                }
              }),
            },
          },
        },
        reading: {
          always: { guard: "noStreamsLeft", target: "#run.closing" },
          on: {
            "run.stop": {
              target: "draining",
              actions: assign({ isStopping: true }),
            },
          },
        },
        // what is durable at a checkpoint stays; partitions stop at the next one
        draining: {
          entry: "orderDrain",
          always: { guard: "noStreamsLeft", target: "#run.closing" },
          on: { "source.drained": "#run.closing" },
        },
      },
      on: {
        "stream.fact": {
          actions: enqueueActions(({ enqueue, event, system }) => {
            tell(
              enqueue,
              system.get(`streamRun:${event.fact.stream}`),
              event.fact,
            );
          }),
        },
        "state.recorded": {
          actions: enqueueActions(({ enqueue, event, system }) => {
            tell(enqueue, system.get(`streamRun:${event.stream}`), {
              type: "state.recorded",
              index: event.index,
            });
          }),
        },
        "streamRun.ended": {
          actions: assign({
            streamsLeft: ({ context }) => context.streamsLeft - 1,
            streamsFailed: ({ context, event }) =>
              context.streamsFailed + (event.outcome === "failed" ? 1 : 0),
          }),
        },
      },
    },
    // the source first: until it has ended it may announce a channel, which the destination has to join
    closing: {
      entry: { type: "orderFinish", params: { role: "source" } },
      always: { guard: "allEnded", target: "judging" },
      after: {
        closeDeadline: {
          target: "failed",
          actions: {
            type: "keepError",
            params: ({ context }) => ({
              error: {
                code: "PEER_STALLED" as const,
                message: `the ${context.sourceEnded ? "destination" : "source"} did not end within ${context.closeDeadlineMs} ms`,
                details: {},
              },
            }),
          },
        },
      },
      on: {
        "source.finished": {
          actions: [
            assign({ sourceEnded: true }),
            { type: "orderFinish", params: { role: "destination" } },
          ],
        },
        // all is read that is going to be read
        "snapshot.lost": { actions: "loseSnapshot" },
        "run.stop": {},
      },
    },
    judging: {
      always: [
        { guard: "wasStopped", target: "interrupted" },
        { guard: "someFailed", target: "partlyFailed" },
        { target: "succeeded" },
      ],
    },
    succeeded: { type: "final" },
    partlyFailed: { type: "final" },
    interrupted: { type: "final", entry: "endProcesses" },
    aborted: { type: "final", entry: "endProcesses" },
    failed: { type: "final", entry: "endProcesses" },
  },
});
