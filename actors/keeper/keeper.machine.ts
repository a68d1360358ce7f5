/**
 * Holds the snapshot that all readers share. It outlives a bookkeeper that dies by `graceMs`, so that a resume finds the
 * snapshot alive, and then lets go: it never holds back the server's vacuum for longer.
 */
import { assign, fromPromise, setup } from "xstate";
import type { KeeperFact, KeeperOrder } from "../../proto/control.ts";
import { toWireError, type WireError } from "../../proto/error.ts";

type Relations = Extract<KeeperOrder, { type: "snapshot.lock" }>["relations"];
type OpenOrder = Pick<
  Extract<KeeperOrder, { type: "snapshot.open" }>,
  "url" | "log"
>;
type Opened = Extract<KeeperFact, { type: "snapshot.opened" }>;
type Problems = Extract<KeeperFact, { type: "snapshot.locked" }>["problems"];

export type KeeperEvent =
  | Exclude<KeeperOrder, { type: "ping" | "keeper.inspect" }>
  | { readonly type: "bookkeeper.gone" }
  | { readonly type: "bookkeeper.came" }
  | { readonly type: "connection.lost"; readonly error: WireError };

interface KeeperContext {
  readonly graceMs: number;
  readonly opened: Opened | null;
  readonly error: WireError | null;
}

/** What a bookkeeper that has come later is told: the snapshot is here already. */
function describeHeld({
  context,
}: {
  readonly context: KeeperContext;
}): KeeperFact {
  const { opened } = context;
  if (!opened) throw new Error("a keeper was adopted without a snapshot");
  return opened;
}

export const keeperMachine = setup({
  types: { context: {} as KeeperContext, events: {} as KeeperEvent },
  actors: {
    openSnapshot: fromPromise<Opened, OpenOrder>(() =>
      Promise.reject(new Error("openSnapshot is not provided")),
    ),
    lockRelations: fromPromise<Problems, { relations: Relations }>(() =>
      Promise.reject(new Error("lockRelations is not provided")),
    ),
  },
  actions: {
    report: (_, _params: KeeperFact) => {
      throw new Error("report is not provided");
    },
    listen: (_, _params: { socketPath: string }) => {
      throw new Error("listen is not provided");
    },
    letGo: () => {
      throw new Error("letGo is not provided");
    },
    keepError: assign({
      error: (_, params: { error: WireError }) => params.error,
    }),
  },
  delays: { grace: ({ context }) => context.graceMs },
}).createMachine({
  id: "keeper",
  initial: "waiting",
  context: { graceMs: 0, opened: null, error: null },
  on: {
    "keeper.release": ".released",
    "keeper.hold": {
      actions: [
        assign({ graceMs: ({ event }) => event.graceMs }),
        { type: "listen", params: ({ event }) => event },
      ],
    },
    "connection.lost": {
      target: ".lost",
      actions: { type: "keepError", params: ({ event }) => event },
    },
  },
  states: {
    waiting: {
      on: { "snapshot.open": "opening", "bookkeeper.gone": "released" },
    },
    opening: {
      invoke: {
        id: "openSnapshot",
        src: "openSnapshot",
        input: ({ event }) => {
          if (event.type !== "snapshot.open")
            throw new Error(`opening after ${event.type}`);
          return event;
        },
        onDone: {
          target: "holding",
          actions: [
            assign({ opened: ({ event }) => event.output }),
            { type: "report", params: ({ event }) => event.output },
          ],
        },
        onError: {
          target: "lost",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
      on: { "bookkeeper.gone": "released" },
    },
    holding: {
      on: {
        "snapshot.lock": "locking",
        "bookkeeper.gone": "orphaned",
        "bookkeeper.came": {
          actions: { type: "report", params: describeHeld },
        },
      },
    },
    locking: {
      invoke: {
        id: "lockRelations",
        src: "lockRelations",
        input: ({ event }) => {
          if (event.type !== "snapshot.lock")
            throw new Error(`locking after ${event.type}`);
          return { relations: event.relations };
        },
        onDone: {
          target: "holding",
          actions: {
            type: "report",
            params: ({ event }) => ({
              type: "snapshot.locked",
              problems: event.output,
            }),
          },
        },
        onError: {
          target: "lost",
          actions: {
            type: "keepError",
            params: ({ event }) => ({ error: toWireError(event.error) }),
          },
        },
      },
      on: {
        "bookkeeper.gone": "orphaned",
        // another attempt asks anew, and is not to take these locks for its own
        "snapshot.lock": { target: "locking", reenter: true },
        "bookkeeper.came": {
          target: "holding",
          actions: { type: "report", params: describeHeld },
        },
      },
    },
    orphaned: {
      after: { grace: "released" },
      on: {
        "bookkeeper.came": {
          target: "holding",
          actions: { type: "report", params: describeHeld },
        },
      },
    },
    released: { type: "final", entry: "letGo" },
    lost: {
      type: "final",
      entry: [
        {
          type: "report",
          params: ({ context }) => ({
            type: "snapshot.lost",
            error: context.error ?? {
              code: "SOURCE_SNAPSHOT_LOST",
              message: "the snapshot is gone",
              details: {},
            },
          }),
        },
        "letGo",
      ],
    },
  },
});
