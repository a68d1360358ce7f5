import { describe, expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  SimulatedClock,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import {
  runMachine,
  type RunEvent,
  type RunOutcome,
} from "../../../actors/run/run.machine.ts";
import {
  streamRunMachine,
  type StreamRunInput,
} from "../../../actors/run/stream-run.machine.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { WireError } from "../../../proto/error.ts";
import { settle } from "../recorder.ts";
import { makePlan } from "../source/partitions.ts";
import {
  describeTable,
  listReachable,
  nameState,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof runMachine>>;
type Final = RunOutcome;
type Event =
  | EventFrom<typeof runMachine>["type"]
  | "startDeadline"
  | "closeDeadline";

const error: WireError = {
  code: "DESTINATION_FULL",
  message: "no space left on device",
  details: {},
};
const snapshot = { id: "00000003-1", visible: "7:7:" };
const openTransactions = {
  oldestSeconds: 0,
  complete: true,
  measuredAt: "2026-01-01 00:00:00+00",
};
const input = { startDeadlineMs: 60_000, closeDeadlineMs: 120_000 };
const streamInput: StreamRunInput = {
  stream: 1,
  work: {
    partitions: makePlan(1, 1).partitions,
    orders: [],
    seed: EMPTY_SEED,
    window: null,
  },
  isCommitting: false,
};

const events: { [Name in Event]: AnyEvent } = {
  "source.connected": { type: "source.connected", serverVersion: 150_000 },
  "source.discovered": {
    type: "source.discovered",
    streams: [],
    warnings: [],
    problems: [],
  },
  "destination.opened": { type: "destination.opened" },
  "destination.recovered": {
    type: "destination.recovered",
    reports: [],
    problems: [],
    strangers: [],
  },
  "destination.cleaned": { type: "destination.cleaned", removed: 0 },
  "snapshot.opened": { type: "snapshot.opened", snapshot, openTransactions },
  "snapshot.locked": { type: "snapshot.locked", problems: [] },
  "snapshot.lost": { type: "snapshot.lost", error },
  "channel.listening": {
    type: "channel.listening",
    channel: 1,
    path: "/run/socket_1",
  },
  "source.drained": { type: "source.drained" },
  "source.finished": { type: "source.finished" },
  "destination.finished": { type: "destination.finished" },
  "stream.fact": {
    type: "stream.fact",
    fact: { type: "stream.read", stream: 1, index: 1, valuesNulled: {} },
  },
  "state.recorded": { type: "state.recorded", stream: 1, index: 1 },
  "run.registered": { type: "run.registered", streams: [streamInput] },
  "run.fault": { type: "run.fault", error },
  "process.exited": {
    type: "process.exited",
    role: "destination",
    description: "signal SIGKILL",
  },
  "process.silent": {
    type: "process.silent",
    role: "source",
    deadlineMs: 30_000,
  },
  "run.stop": { type: "run.stop" },
  "run.abort": { type: "run.abort" },
  "streamRun.ended": {
    type: "streamRun.ended",
    stream: 1,
    outcome: "committed",
    error: null,
  },
  startDeadline: { type: "xstate.after.startDeadline.run.starting" },
  closeDeadline: { type: "xstate.after.closeDeadline.run.closing" },
};

describeTable<
  typeof runMachine,
  State,
  Exclude<State, Final | "moving" | "judging">,
  Event
>({
  machine: runMachine,
  events,
  contextOf: () => ({
    ...input,
    isSourceConnected: false,
    isDestinationOpen: false,
    snapshot,
    streamsLeft: 2,
    streamsFailed: 0,
    problems: 0,
    sourceEnded: false,
    destinationEnded: false,
    isStopping: false,
    error: null,
  }),
  // prettier-ignore
  nextState: {
    starting: {
      "source.connected": "starting", "source.discovered": "starting", "destination.opened": "starting",
      "destination.recovered": "starting", "destination.cleaned": "starting", "snapshot.opened": "starting",
      "snapshot.locked": "starting", "snapshot.lost": "failed", "channel.listening": "starting",
      "source.drained": "starting", "source.finished": "starting", "destination.finished": "starting",
      "stream.fact": "starting", "state.recorded": "starting", "run.registered": "starting",
      "run.fault": "failed", "process.exited": "failed", "process.silent": "failed",
      "run.stop": "interrupted", "run.abort": "aborted", "streamRun.ended": "starting",
      startDeadline: "failed", closeDeadline: "starting",
    },
    discovering: {
      "source.connected": "discovering", "source.discovered": "locking", "destination.opened": "discovering",
      "destination.recovered": "discovering", "destination.cleaned": "discovering",
      "snapshot.opened": "discovering", "snapshot.locked": "discovering", "snapshot.lost": "failed",
      "channel.listening": "discovering", "source.drained": "discovering", "source.finished": "discovering",
      "destination.finished": "discovering", "stream.fact": "discovering", "state.recorded": "discovering",
      "run.registered": "discovering", "run.fault": "failed", "process.exited": "failed",
      "process.silent": "failed", "run.stop": "interrupted", "run.abort": "aborted",
      "streamRun.ended": "discovering", startDeadline: "discovering", closeDeadline: "discovering",
    },
    locking: {
      "source.connected": "locking", "source.discovered": "locking", "destination.opened": "locking",
      "destination.recovered": "locking", "destination.cleaned": "locking", "snapshot.opened": "locking",
      "snapshot.locked": "recovering", "snapshot.lost": "failed", "channel.listening": "locking",
      "source.drained": "locking", "source.finished": "locking", "destination.finished": "locking",
      "stream.fact": "locking", "state.recorded": "locking", "run.registered": "locking",
      "run.fault": "failed", "process.exited": "failed", "process.silent": "failed",
      "run.stop": "interrupted", "run.abort": "aborted", "streamRun.ended": "locking",
      startDeadline: "locking", closeDeadline: "locking",
    },
    recovering: {
      "source.connected": "recovering", "source.discovered": "recovering", "destination.opened": "recovering",
      "destination.recovered": "cleaning", "destination.cleaned": "recovering",
      "snapshot.opened": "recovering", "snapshot.locked": "recovering", "snapshot.lost": "failed",
      "channel.listening": "recovering", "source.drained": "recovering", "source.finished": "recovering",
      "destination.finished": "recovering", "stream.fact": "recovering", "state.recorded": "recovering",
      "run.registered": "recovering", "run.fault": "failed", "process.exited": "failed",
      "process.silent": "failed", "run.stop": "interrupted", "run.abort": "aborted",
      "streamRun.ended": "recovering", startDeadline: "recovering", closeDeadline: "recovering",
    },
    cleaning: {
      "source.connected": "cleaning", "source.discovered": "cleaning", "destination.opened": "cleaning",
      "destination.recovered": "cleaning", "destination.cleaned": "moving.registering",
      "snapshot.opened": "cleaning", "snapshot.locked": "cleaning", "snapshot.lost": "failed",
      "channel.listening": "cleaning", "source.drained": "cleaning", "source.finished": "cleaning",
      "destination.finished": "cleaning", "stream.fact": "cleaning", "state.recorded": "cleaning",
      "run.registered": "cleaning", "run.fault": "failed", "process.exited": "failed",
      "process.silent": "failed", "run.stop": "interrupted", "run.abort": "aborted",
      "streamRun.ended": "cleaning", startDeadline: "cleaning", closeDeadline: "cleaning",
    },
    "moving.registering": {
      "source.connected": "moving.registering", "source.discovered": "moving.registering",
      "destination.opened": "moving.registering", "destination.recovered": "moving.registering",
      "destination.cleaned": "moving.registering", "snapshot.opened": "moving.registering",
      "snapshot.locked": "moving.registering", "snapshot.lost": "failed",
      "channel.listening": "moving.registering", "source.drained": "moving.registering",
      "source.finished": "moving.registering", "destination.finished": "moving.registering",
      "stream.fact": "moving.registering", "state.recorded": "moving.registering",
      "run.registered": "moving.reading", "run.fault": "failed", "process.exited": "failed",
      "process.silent": "failed", "run.stop": "interrupted", "run.abort": "aborted",
      "streamRun.ended": "moving.registering", startDeadline: "moving.registering",
      closeDeadline: "moving.registering",
    },
    "moving.reading": {
      "source.connected": "moving.reading", "source.discovered": "moving.reading",
      "destination.opened": "moving.reading", "destination.recovered": "moving.reading",
      "destination.cleaned": "moving.reading", "snapshot.opened": "moving.reading",
      "snapshot.locked": "moving.reading", "snapshot.lost": "failed", "channel.listening": "moving.reading",
      "source.drained": "moving.reading", "source.finished": "moving.reading",
      "destination.finished": "moving.reading", "stream.fact": "moving.reading",
      "state.recorded": "moving.reading", "run.registered": "moving.reading", "run.fault": "failed",
      "process.exited": "failed", "process.silent": "failed", "run.stop": "moving.draining",
      "run.abort": "aborted", "streamRun.ended": "moving.reading", startDeadline: "moving.reading",
      closeDeadline: "moving.reading",
    },
    "moving.draining": {
      "source.connected": "moving.draining", "source.discovered": "moving.draining",
      "destination.opened": "moving.draining", "destination.recovered": "moving.draining",
      "destination.cleaned": "moving.draining", "snapshot.opened": "moving.draining",
      "snapshot.locked": "moving.draining", "snapshot.lost": "failed", "channel.listening": "moving.draining",
      "source.drained": "closing", "source.finished": "moving.draining",
      "destination.finished": "moving.draining", "stream.fact": "moving.draining",
      "state.recorded": "moving.draining", "run.registered": "moving.draining", "run.fault": "failed",
      "process.exited": "failed", "process.silent": "failed", "run.stop": "moving.draining",
      "run.abort": "aborted", "streamRun.ended": "moving.draining", startDeadline: "moving.draining",
      closeDeadline: "moving.draining",
    },
    closing: {
      "source.connected": "closing", "source.discovered": "closing", "destination.opened": "closing",
      "destination.recovered": "closing", "destination.cleaned": "closing", "snapshot.opened": "closing",
      "snapshot.locked": "closing", "snapshot.lost": "closing", "channel.listening": "closing",
      "source.drained": "closing", "source.finished": "closing", "destination.finished": "closing",
      "stream.fact": "closing", "state.recorded": "closing", "run.registered": "closing",
      "run.fault": "failed", "process.exited": "failed", "process.silent": "failed", "run.stop": "closing",
      "run.abort": "aborted", "streamRun.ended": "closing", startDeadline: "closing", closeDeadline: "failed",
    },
  },
});

test("every state in which it rests can be reached", () => {
  const reached = listReachable(runMachine, {
    input,
    events: [
      ...Object.values(events),
      { ...events["streamRun.ended"], outcome: "failed" } as never,
    ],
    distinguish: (context) => ({
      ...context,
      streamsLeft: Math.max(0, context.streamsLeft),
      streamsFailed: Math.min(1, context.streamsFailed),
      error: null,
    }),
  });
  expect(reached).toEqual([
    "aborted",
    "cleaning",
    "closing",
    "discovering",
    "failed",
    "interrupted",
    "locking",
    "moving.draining",
    "moving.reading",
    "moving.registering",
    "partlyFailed",
    "recovering",
    "starting",
    "succeeded",
  ] satisfies State[]);
});

function start() {
  const did: string[] = [];
  const note = (name: string) => () => void did.push(name);
  const clock = new SimulatedClock();
  const run = createActor(
    runMachine.provide({
      actors: {
        streamRun: streamRunMachine.provide({
          actors: {
            recordPlan: fromPromise(async () => {
              if (!streamInput.work) throw new Error("no work");
              return streamInput.work;
            }),
            recordCommitting: fromPromise(async () => {}),
            recordCommitted: fromPromise(async () => {}),
            recordRemoved: fromPromise(async () => {}),
            recordFailed: fromPromise(async () => {}),
          },
          actions: {
            orderPlan: (_, { stream }) => did.push(`plan ${stream}`),
            orderRead: (_, { stream }) => did.push(`read ${stream}`),
            orderStep: (_, { stream, step }) => did.push(`${step} ${stream}`),
          },
        }),
      },
      actions: {
        startProcesses: note("start"),
        orderDiscover: note("discover"),
        orderLocks: note("lock"),
        orderRecover: note("recover"),
        orderClean: note("clean"),
        registerStreams: note("register"),
        joinChannel: (_, { channel }) => did.push(`join ${channel}`),
        orderDrain: note("drain"),
        orderFinish: (_, { role }) => did.push(`finish ${role}`),
        endProcesses: note("end"),
        loseSnapshot: note("forget snapshot"),
      },
    }),
    { input, clock },
  ).start();
  const send = (...sent: readonly (RunEvent | AnyEvent)[]): void => {
    for (const event of sent) run.send(event as RunEvent);
  };
  return {
    did,
    clock,
    send,
    state: () => nameState(run.getSnapshot().value),
    error: () => run.getSnapshot().context.error,
  };
}

/** What leads to each state in which the run waits for somebody. */
const toReady = [
  events["source.connected"],
  events["destination.opened"],
  events["snapshot.opened"],
];
const toReading = [
  ...toReady,
  events["source.discovered"],
  events["snapshot.locked"],
  events["destination.recovered"],
  events["destination.cleaned"],
  events["run.registered"],
];
const waiting: Record<
  Exclude<State, Final | "moving" | "judging">,
  readonly AnyEvent[]
> = {
  starting: [],
  discovering: toReady,
  locking: toReading.slice(0, 4),
  recovering: toReading.slice(0, 5),
  cleaning: toReading.slice(0, 6),
  "moving.registering": toReading.slice(0, 7),
  "moving.reading": toReading,
  "moving.draining": [...toReading, events["run.stop"]],
  closing: [...toReading, events["streamRun.ended"]],
};

describe.for(Object.entries(waiting))("in %s", ([state, before]) => {
  const startHere = () => {
    const run = start();
    run.send(...before);
    expect(run.state()).toBe(state);
    return run;
  };

  test.for([
    {
      name: "the source dies",
      event: { role: "source" },
      code: "PROCESS_DIED",
    },
    {
      name: "the destination dies",
      event: { role: "destination" },
      code: "PROCESS_DIED",
    },
  ])("$name: the run fails and ends the other", ({ event, code }) => {
    const run = startHere();
    run.send({ ...events["process.exited"], ...event });
    expect(run.state()).toBe("failed");
    expect(run.error()).toMatchObject({ code, details: event });
    expect(run.did.at(-1)).toBe("end");
  });

  test.for(["source", "destination"])(
    "the %s is silent: the run fails by its name",
    (role) => {
      const run = startHere();
      run.send({ ...events["process.silent"], role });
      expect(run.state()).toBe("failed");
      expect(run.error()).toMatchObject({
        code: "PEER_STALLED",
        details: { role },
      });
      expect(run.did.at(-1)).toBe("end");
    },
  );

  test("a fault of either process fails the run with its reason", () => {
    const run = startHere();
    run.send(events["run.fault"]);
    expect(run.state()).toBe("failed");
    expect(run.error()).toEqual(error);
  });

  test("abort ends both processes at once", () => {
    const run = startHere();
    run.send({ type: "run.abort" });
    expect(run.state()).toBe("aborted");
    expect(run.did.at(-1)).toBe("end");
  });

  test("the snapshot is lost: it is forgotten, and only what is still to be read fails", () => {
    const run = startHere();
    run.send(events["snapshot.lost"]);
    expect(run.state()).toBe(state === "closing" ? "closing" : "failed");
    expect(run.did).toContain("forget snapshot");
  });

  test("stop does not wait for longer than for what is under way", () => {
    const run = startHere();
    run.send({ type: "run.stop" });
    if (state === "moving.reading" || state === "moving.draining") {
      expect(run.state()).toBe("moving.draining");
      run.send(events["source.drained"]);
    }
    if (state.startsWith("moving") && state !== "moving.registering") {
      expect(run.state()).toBe("closing");
      run.send(events["source.finished"], events["destination.finished"]);
    }
    // nothing is left to be interrupted once every stream has ended
    if (state === "closing") expect(run.state()).toBe("closing");
    else expect(run.state()).toBe("interrupted");
  });
});

test("processes that do not come up are named when the deadline is over", () => {
  const run = start();
  run.send(events["destination.opened"]);
  run.clock.increment(59_999);
  expect(run.state()).toBe("starting");
  run.clock.increment(1);
  expect(run.state()).toBe("failed");
  expect(run.error()).toMatchObject({ code: "CHANNEL_START_TIMEOUT" });
  expect(run.error()?.message).toContain("source, snapshot");
});

test("a process that does not end is named when the deadline is over", () => {
  const run = start();
  run.send(...waiting.closing, events["source.finished"]);
  run.clock.increment(120_000);
  expect(run.state()).toBe("failed");
  expect(run.error()?.message).toContain("destination");
});

test("what has ended may exit, or be silent while it does", () => {
  const run = start();
  run.send(
    ...waiting.closing,
    events["source.finished"],
    { ...events["process.silent"], role: "source" },
    { ...events["process.exited"], role: "source" },
  );
  expect(run.state()).toBe("closing");
  run.send(events["destination.finished"]);
  expect(run.state()).toBe("succeeded");
});

test("the destination joins channels until the source has ended, and is told to finish only then", () => {
  const run = start();
  run.send(...waiting.closing);
  expect(run.did.at(-1)).toBe("finish source");
  run.send(events["channel.listening"]);
  run.send(events["source.finished"]);
  expect(run.did.slice(-2)).toEqual(["join 1", "finish destination"]);
});

test("the streams' facts reach each its own machine, and the run ends when all have", async () => {
  const run = start();
  run.send(...waiting["moving.registering"], {
    type: "run.registered",
    streams: [streamInput, { ...streamInput, stream: 2 }],
  });
  for (const stream of [2, 1]) {
    for (const fact of [
      { type: "stream.read", stream, index: 0, valuesNulled: {} },
      { type: "stream.verified", stream, files: [] },
      { type: "stream.published", stream },
      { type: "stream.superseded", stream },
    ]) {
      run.send({ type: "stream.fact", fact });
      await settle();
    }
  }
  expect(run.did.slice(-10)).toEqual([
    "register",
    "read 1",
    "read 2",
    "verify 2",
    "publish 2",
    "supersede 2",
    "verify 1",
    "publish 1",
    "supersede 1",
    "finish source",
  ]);
  run.send(events["source.finished"], events["destination.finished"]);
  expect(run.state()).toBe("succeeded");
});

test.for([
  {
    name: "a stream failed",
    change: {},
    fact: { type: "stream.failed", stream: 1, error },
  },
  {
    name: "a table could not be read at all",
    change: {
      ...events["source.discovered"],
      problems: [{ namespace: "public", name: "secret", error }],
    },
    fact: { type: "stream.read", stream: 1, index: 0, valuesNulled: {} },
  },
])(
  "$name: the others are committed and the run failed partly",
  async (given) => {
    const run = start();
    run.send(
      ...waiting["moving.reading"].map((event) =>
        event.type === "source.discovered"
          ? { ...event, ...given.change }
          : event,
      ),
      { type: "stream.fact", fact: given.fact },
    );
    await settle();
    for (const type of ["verified", "published", "superseded"]) {
      run.send({
        type: "stream.fact",
        fact: { type: `stream.${type}`, stream: 1 },
      });
      await settle();
    }
    run.send(events["source.finished"], events["destination.finished"]);
    expect(run.state()).toBe("partlyFailed");
  },
);

test("a run of no streams succeeds", () => {
  const run = start();
  run.send(
    ...waiting["moving.registering"],
    { type: "run.registered", streams: [] },
    events["source.finished"],
    events["destination.finished"],
  );
  expect(run.state()).toBe("succeeded");
});

test("a run whose streams were all refused has partly failed", () => {
  const run = start();
  run.send(
    ...waiting["moving.registering"],
    { type: "run.registered", streams: [], refused: 1 },
    events["source.finished"],
    events["destination.finished"],
  );
  expect(run.state()).toBe("partlyFailed");
});
