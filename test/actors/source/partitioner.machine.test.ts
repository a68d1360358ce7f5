import { expect, test } from "vitest";
import { fromPromise, type StateValueFrom } from "xstate";
import { partitionerMachine } from "../../../actors/source/partitioner.machine.ts";
import { ExtractError } from "../../../proto/error.ts";
import { runBelow, settle } from "../recorder.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";
import { makePlan } from "./partitions.ts";

type State = StateName<StateValueFrom<typeof partitionerMachine>>;
type Event = "planned" | "serverAway" | "refused" | "backoff";

const away = new ExtractError("SOURCE_CONNECTION_LOST", "the server is away");
const refused = new ExtractError("SOURCE_PERMISSION_DENIED", "no SELECT");
const input = { stream: 7, where: null, cursor: null, log: null };
const output = { plan: makePlan(7, 2), window: null };

const events: Record<Event, AnyEvent> = {
  planned: doneBy("planStream", output),
  serverAway: failedBy("planStream", away),
  refused: failedBy("planStream", refused),
  backoff: { type: "xstate.after.500.partitioner.backingOff" },
};

describeTable<
  typeof partitionerMachine,
  State,
  Exclude<State, "planned" | "failed">,
  Event
>({
  machine: partitionerMachine,
  events,
  contextOf: () => ({ ...input, attempt: 1, output: null, error: null }),
  // prettier-ignore
  nextState: {
    planning: {
      planned: "planned", serverAway: "backingOff", refused: "failed", backoff: "planning",
    },
    backingOff: {
      planned: "backingOff", serverAway: "backingOff", refused: "backingOff", backoff: "planning",
    },
  },
});

test("every state can be reached", () => {
  expect(
    listReachable(partitionerMachine, { input, events: Object.values(events) }),
  ).toEqual(Object.keys(partitionerMachine.states).toSorted());
});

async function run(answers: (typeof output | Error)[]) {
  const asked: number[] = [];
  const partitioner = runBelow(
    partitionerMachine.provide({
      actors: {
        planStream: fromPromise(async ({ input: { stream } }) => {
          asked.push(stream);
          const answer = answers.shift();
          if (!answer) throw new Error("asked too often");
          if (answer instanceof Error) throw answer;
          return answer;
        }),
      },
    }),
    input,
  );
  for (let turn = 0; turn < 10; turn += 1) {
    await settle();
    partitioner.clock.increment(500);
  }
  return { ...partitioner, asked };
}

test("a server that was only away is asked again", async () => {
  const { heard, asked } = await run([away, away, output]);
  expect(heard).toEqual([
    { type: "partitioner.planned", stream: 7, ...output },
  ]);
  expect(asked).toEqual([7, 7, 7]);
});

test("three times at most", async () => {
  const { heard, asked } = await run([away, away, away, output]);
  expect(heard).toMatchObject([
    { type: "partitioner.failed", error: { code: "SOURCE_CONNECTION_LOST" } },
  ]);
  expect(asked).toHaveLength(3);
});

test("what the server refuses is not asked again", async () => {
  const { heard, asked } = await run([refused, output]);
  expect(heard).toMatchObject([
    {
      type: "partitioner.failed",
      stream: 7,
      error: { code: "SOURCE_PERMISSION_DENIED" },
    },
  ]);
  expect(asked).toHaveLength(1);
});
