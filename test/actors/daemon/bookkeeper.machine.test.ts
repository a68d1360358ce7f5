import { expect, test } from "vitest";
import {
  createActor,
  fromPromise,
  SimulatedClock,
  type EventFrom,
  type StateValueFrom,
} from "xstate";
import {
  bookkeeperMachine,
  type AttemptOutput,
} from "../../../actors/daemon/bookkeeper.machine.ts";
import { errorCodes, type ErrorCode } from "../../../proto/error.ts";
import { settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof bookkeeperMachine>>;
type Event =
  | EventFrom<typeof bookkeeperMachine>["type"]
  | "opened"
  | "openFailed"
  | "succeeded"
  | "failedForNow"
  | "failedForGood"
  | "attemptThrew"
  | "backoff"
  | "closed"
  | "closeFailed";

const failedWith = (code: ErrorCode): AttemptOutput => ({
  outcome: "failed",
  error: { code, message: `failed by ${code}`, details: {} },
});
const succeeded: AttemptOutput = { outcome: "succeeded", error: null };

const events: Record<Event, AnyEvent> = {
  "run.stop": { type: "run.stop" },
  "run.abort": { type: "run.abort" },
  opened: doneBy("openRun"),
  openFailed: failedBy("openRun", new Error("locked")),
  succeeded: doneBy("attemptRun", succeeded),
  failedForNow: doneBy("attemptRun", failedWith("PROCESS_DIED")),
  failedForGood: doneBy("attemptRun", failedWith("SOURCE_AUTH_FAILED")),
  attemptThrew: failedBy("attemptRun", new Error("a fault of ours")),
  backoff: { type: "xstate.after.backoff.bookkeeper.backingOff" },
  closed: doneBy("closeRun"),
  closeFailed: failedBy("closeRun", new Error("the ledger is gone")),
};

describeTable<typeof bookkeeperMachine, State, Exclude<State, "closed">, Event>(
  {
    machine: bookkeeperMachine,
    events,
    contextOf: () => ({
      attemptsMax: 3,
      attempts: 1,
      last: null,
      isStopping: false,
    }),
    // prettier-ignore
    nextState: {
    opening: {
      "run.stop": "opening", "run.abort": "opening", opened: "attempting", openFailed: "closing",
      succeeded: "opening", failedForNow: "opening", failedForGood: "opening", attemptThrew: "opening",
      backoff: "opening", closed: "opening", closeFailed: "opening",
    },
    attempting: {
      "run.stop": "attempting", "run.abort": "attempting", opened: "attempting", openFailed: "attempting",
      succeeded: "closing", failedForNow: "backingOff", failedForGood: "closing", attemptThrew: "closing",
      backoff: "attempting", closed: "attempting", closeFailed: "attempting",
    },
    backingOff: {
      "run.stop": "closing", "run.abort": "closing", opened: "backingOff", openFailed: "backingOff",
      succeeded: "backingOff", failedForNow: "backingOff", failedForGood: "backingOff",
      attemptThrew: "backingOff", backoff: "attempting", closed: "backingOff", closeFailed: "backingOff",
    },
    closing: {
      "run.stop": "closing", "run.abort": "closing", opened: "closing", openFailed: "closing",
      succeeded: "closing", failedForNow: "closing", failedForGood: "closing", attemptThrew: "closing",
      backoff: "closing", closed: "closed", closeFailed: "closed",
    },
  },
  },
);

test("every state can be reached", () => {
  expect(
    listReachable(bookkeeperMachine, {
      input: { attemptsMax: 3 },
      events: Object.values(events),
    }),
  ).toEqual(Object.keys(bookkeeperMachine.states).toSorted());
});

/** What each attempt ends with, in turn; null is one that runs until it is told to stop. */
function start(
  attemptsMax: number,
  outputs: (AttemptOutput | null)[],
  opening: Promise<void> = Promise.resolve(),
) {
  const told: string[] = [];
  let end: ((output: AttemptOutput) => void) | null = null;
  let last: AttemptOutput | null = null;
  const clock = new SimulatedClock();
  const bookkeeper = createActor(
    bookkeeperMachine.provide({
      actors: {
        openRun: fromPromise(() => opening),
        attemptRun: fromPromise(({ input }) => {
          told.push(`attempt ${input.attempt}`);
          const output = outputs.shift();
          return output
            ? Promise.resolve(output)
            : new Promise((resolve) => (end = resolve));
        }),
        closeRun: fromPromise(async ({ input }) => {
          last = input.last;
        }),
      },
      actions: {
        stopAttempt: () => end?.({ outcome: "interrupted", error: null }),
        abortAttempt: () => end?.({ outcome: "aborted", error: null }),
        announceRetry: (_, { attempt }) => told.push(`retry ${attempt}`),
      },
    }),
    { input: { attemptsMax }, clock },
  ).start();
  return {
    told,
    clock,
    send: (type: "run.stop" | "run.abort") => bookkeeper.send({ type }),
    state: () => bookkeeper.getSnapshot().value,
    readLast: () => last,
  };
}

test("attempts follow each other after a back-off that doubles, up to attemptsMax", async () => {
  const died = failedWith("PROCESS_DIED");
  const run = start(3, [died, died, died, succeeded]);
  await settle();
  run.clock.increment(499);
  expect(run.state()).toBe("backingOff");
  run.clock.increment(1);
  await settle();
  run.clock.increment(999);
  expect(run.state()).toBe("backingOff");
  run.clock.increment(1);
  await settle();
  expect(run.told).toEqual([
    "attempt 1",
    "retry 2",
    "attempt 2",
    "retry 3",
    "attempt 3",
  ]);
  expect(run.state()).toBe("closed");
  expect(run.readLast()).toEqual(died);
});

test.for(
  (Object.keys(errorCodes) as ErrorCode[]).map((code) => ({
    code,
    // 3 says to whoever reads the exit code that another run may succeed; a bad checksum is read again
    retried:
      (errorCodes[code].exitCode === 3 ||
        errorCodes[code].disposition === "retryPartition") &&
      // by another run
      code !== "LOG_GIVEN_UP" &&
      code !== "RUN_OUTDATED",
  })),
)("$code is retried: $retried", async ({ code, retried }) => {
  const run = start(2, [failedWith(code), succeeded]);
  await settle();
  expect(run.state()).toBe(retried ? "backingOff" : "closed");
});

test.for(["interrupted", "aborted", "partlyFailed", "succeeded"] as const)(
  "an attempt that %s is the last",
  async (outcome) => {
    const error = failedWith("PROCESS_DIED").error;
    const run = start(3, [{ outcome, error }, succeeded]);
    await settle();
    expect(run.told).toEqual(["attempt 1"]);
    expect(run.readLast()).toEqual({ outcome, error });
  },
);

test.for([
  { type: "run.stop" as const, outcome: "interrupted" },
  { type: "run.abort" as const, outcome: "aborted" },
])("$type during a back-off ends it at once, as $outcome", async (given) => {
  const run = start(3, [failedWith("PROCESS_DIED"), succeeded]);
  await settle();
  run.send(given.type);
  await settle();
  expect(run.state()).toBe("closed");
  expect(run.readLast()).toMatchObject({
    outcome: given.outcome,
    error: { code: "PROCESS_DIED" },
  });
});

test.for([
  { type: "run.stop" as const, outcome: "interrupted" },
  { type: "run.abort" as const, outcome: "aborted" },
])("$type while the run is opened begins no attempt", async (given) => {
  const opening = Promise.withResolvers<void>();
  const run = start(3, [succeeded], opening.promise);
  run.send(given.type);
  expect(run.state()).toBe("opening");
  opening.resolve();
  await settle();
  expect(run.told).toEqual([]);
  expect(run.state()).toBe("closed");
  expect(run.readLast()).toEqual({ outcome: given.outcome, error: null });
});

test("a stopped attempt is not retried, whatever it ends with", async () => {
  const run = start(3, [null, succeeded]);
  await settle();
  run.send("run.stop");
  await settle();
  expect(run.told).toEqual(["attempt 1"]);
  expect(run.readLast()).toEqual({ outcome: "interrupted", error: null });
});

test("what keeps the run from being opened is told, and the run closed", async () => {
  const run = start(3, [succeeded], Promise.reject(new Error("no disk")));
  await settle();
  expect(run.told).toEqual([]);
  expect(run.readLast()).toMatchObject({
    outcome: "failed",
    error: { message: "no disk" },
  });
});
