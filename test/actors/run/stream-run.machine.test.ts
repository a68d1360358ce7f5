import { expect, test } from "vitest";
import { fromPromise, type EventFrom, type StateValueFrom } from "xstate";
import {
  streamRunMachine,
  type StreamRunEvent,
  type StreamRunInput,
  type StreamWork,
} from "../../../actors/run/stream-run.machine.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { WireError } from "../../../proto/error.ts";
import { runBelow, settle } from "../recorder.ts";
import { makePlan } from "../source/partitions.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";

type State = StateName<StateValueFrom<typeof streamRunMachine>>;
const records = [
  "recordPlan",
  "recordCommitting",
  "recordCommitted",
  "recordRemoved",
  "recordFailed",
] as const;
type RecordName = (typeof records)[number];
type Event =
  | EventFrom<typeof streamRunMachine>["type"]
  | RecordName
  | `${RecordName}Failed`;

const plan = makePlan(1, 2);
const work: StreamWork = {
  partitions: plan.partitions,
  orders: [],
  seed: EMPTY_SEED,
  window: null,
};
const error: WireError = {
  code: "SOURCE_QUERY_FAILED",
  message: "permission denied",
  details: {},
};
const fenced = new Error("a newer attempt has the ledger");
const input: StreamRunInput = { stream: 1, work: null, isCommitting: false };

const events: Record<Event, AnyEvent> = {
  "stream.planned": { type: "stream.planned", plan, window: null },
  "stream.read": { type: "stream.read", index: 2 },
  "state.recorded": { type: "state.recorded", index: 2 },
  "stream.verified": { type: "stream.verified", files: [] },
  "stream.published": { type: "stream.published" },
  "stream.superseded": { type: "stream.superseded" },
  "stream.failed": { type: "stream.failed", error },
  "stream.cancel": { type: "stream.cancel", error },
  recordPlan: doneBy("recordPlan", work),
  recordCommitting: doneBy("recordCommitting"),
  recordCommitted: doneBy("recordCommitted"),
  recordRemoved: doneBy("recordRemoved"),
  recordFailed: doneBy("recordFailed"),
  recordPlanFailed: failedBy("recordPlan", fenced),
  recordCommittingFailed: failedBy("recordCommitting", fenced),
  recordCommittedFailed: failedBy("recordCommitted", fenced),
  recordRemovedFailed: failedBy("recordRemoved", fenced),
  recordFailedFailed: failedBy("recordFailed", fenced),
};

describeTable<
  typeof streamRunMachine,
  State,
  Exclude<State, "deciding" | "committed" | "failed" | "broken">,
  Event
>({
  machine: streamRunMachine,
  events,
  contextOf: () => ({
    ...input,
    work,
    readIndex: null,
    recordedIndex: 0,
    error,
  }),
  // prettier-ignore
  nextState: {
    planning: {
      "stream.planned": "recordingPlan", "stream.read": "planning", "state.recorded": "planning",
      "stream.verified": "planning", "stream.published": "planning", "stream.superseded": "planning",
      "stream.failed": "failing", recordPlan: "planning", recordCommitting: "planning",
      recordCommitted: "planning", recordRemoved: "planning", recordFailed: "planning",
      recordPlanFailed: "planning", recordCommittingFailed: "planning", recordCommittedFailed: "planning",
      recordRemovedFailed: "planning", recordFailedFailed: "planning",
      "stream.cancel": "failing",
    },
    recordingPlan: {
      "stream.planned": "recordingPlan", "stream.read": "recordingPlan", "state.recorded": "recordingPlan",
      "stream.verified": "recordingPlan", "stream.published": "recordingPlan",
      "stream.superseded": "recordingPlan", "stream.failed": "failing", recordPlan: "reading",
      recordCommitting: "recordingPlan", recordCommitted: "recordingPlan", recordRemoved: "recordingPlan",
      recordFailed: "recordingPlan", recordPlanFailed: "broken", recordCommittingFailed: "recordingPlan",
      recordCommittedFailed: "recordingPlan", recordRemovedFailed: "recordingPlan",
      recordFailedFailed: "recordingPlan",
      "stream.cancel": "failing",
    },
    reading: {
      "stream.planned": "reading", "stream.read": "reading", "state.recorded": "reading",
      "stream.verified": "reading", "stream.published": "reading", "stream.superseded": "reading",
      "stream.failed": "failing", recordPlan: "reading", recordCommitting: "reading",
      recordCommitted: "reading", recordRemoved: "reading", recordFailed: "reading",
      recordPlanFailed: "reading", recordCommittingFailed: "reading", recordCommittedFailed: "reading",
      recordRemovedFailed: "reading", recordFailedFailed: "reading",
      "stream.cancel": "failing",
    },
    verifying: {
      "stream.planned": "verifying", "stream.read": "verifying", "state.recorded": "verifying",
      "stream.verified": "recordingCommitting", "stream.published": "verifying",
      "stream.superseded": "verifying", "stream.failed": "failing", recordPlan: "verifying",
      recordCommitting: "verifying", recordCommitted: "verifying", recordRemoved: "verifying",
      recordFailed: "verifying", recordPlanFailed: "verifying", recordCommittingFailed: "verifying",
      recordCommittedFailed: "verifying", recordRemovedFailed: "verifying", recordFailedFailed: "verifying",
      "stream.cancel": "verifying",
    },
    recordingCommitting: {
      "stream.planned": "recordingCommitting", "stream.read": "recordingCommitting",
      "state.recorded": "recordingCommitting", "stream.verified": "recordingCommitting",
      "stream.published": "recordingCommitting", "stream.superseded": "recordingCommitting",
      "stream.failed": "broken", recordPlan: "recordingCommitting", recordCommitting: "publishing",
      recordCommitted: "recordingCommitting", recordRemoved: "recordingCommitting",
      recordFailed: "recordingCommitting", recordPlanFailed: "recordingCommitting",
      recordCommittingFailed: "broken", recordCommittedFailed: "recordingCommitting",
      recordRemovedFailed: "recordingCommitting", recordFailedFailed: "recordingCommitting",
      "stream.cancel": "recordingCommitting",
    },
    publishing: {
      "stream.planned": "publishing", "stream.read": "publishing", "state.recorded": "publishing",
      "stream.verified": "publishing", "stream.published": "recordingCommitted",
      "stream.superseded": "publishing", "stream.failed": "broken", recordPlan: "publishing",
      recordCommitting: "publishing", recordCommitted: "publishing", recordRemoved: "publishing",
      recordFailed: "publishing", recordPlanFailed: "publishing", recordCommittingFailed: "publishing",
      recordCommittedFailed: "publishing", recordRemovedFailed: "publishing",
      recordFailedFailed: "publishing",
      "stream.cancel": "publishing",
    },
    recordingCommitted: {
      "stream.planned": "recordingCommitted", "stream.read": "recordingCommitted",
      "state.recorded": "recordingCommitted", "stream.verified": "recordingCommitted",
      "stream.published": "recordingCommitted", "stream.superseded": "recordingCommitted",
      "stream.failed": "broken", recordPlan: "recordingCommitted", recordCommitting: "recordingCommitted",
      recordCommitted: "superseding", recordRemoved: "recordingCommitted", recordFailed: "recordingCommitted",
      recordPlanFailed: "recordingCommitted", recordCommittingFailed: "recordingCommitted",
      recordCommittedFailed: "broken", recordRemovedFailed: "recordingCommitted",
      recordFailedFailed: "recordingCommitted",
      "stream.cancel": "recordingCommitted",
    },
    superseding: {
      "stream.planned": "superseding", "stream.read": "superseding", "state.recorded": "superseding",
      "stream.verified": "superseding", "stream.published": "superseding",
      "stream.superseded": "recordingRemoved", "stream.failed": "broken", recordPlan: "superseding",
      recordCommitting: "superseding", recordCommitted: "superseding", recordRemoved: "superseding",
      recordFailed: "superseding", recordPlanFailed: "superseding", recordCommittingFailed: "superseding",
      recordCommittedFailed: "superseding", recordRemovedFailed: "superseding",
      recordFailedFailed: "superseding",
      "stream.cancel": "superseding",
    },
    recordingRemoved: {
      "stream.planned": "recordingRemoved", "stream.read": "recordingRemoved",
      "state.recorded": "recordingRemoved", "stream.verified": "recordingRemoved",
      "stream.published": "recordingRemoved", "stream.superseded": "recordingRemoved",
      "stream.failed": "broken", recordPlan: "recordingRemoved", recordCommitting: "recordingRemoved",
      recordCommitted: "recordingRemoved", recordRemoved: "committed", recordFailed: "recordingRemoved",
      recordPlanFailed: "recordingRemoved", recordCommittingFailed: "recordingRemoved",
      recordCommittedFailed: "recordingRemoved", recordRemovedFailed: "broken",
      recordFailedFailed: "recordingRemoved",
      "stream.cancel": "recordingRemoved",
    },
    failing: {
      "stream.planned": "failing", "stream.read": "failing", "state.recorded": "failing",
      "stream.verified": "failing", "stream.published": "failing", "stream.superseded": "failing",
      "stream.failed": "failing", recordPlan: "failing", recordCommitting: "failing",
      recordCommitted: "failing", recordRemoved: "failing", recordFailed: "failed",
      recordPlanFailed: "failing", recordCommittingFailed: "failing", recordCommittedFailed: "failing",
      recordRemovedFailed: "failing", recordFailedFailed: "broken",
      "stream.cancel": "failing",
    },
  },
});

test("every state in which it rests can be reached", () => {
  expect(
    listReachable(streamRunMachine, {
      input,
      events: Object.values(events),
      distinguish: ({ readIndex, recordedIndex }) => [readIndex, recordedIndex],
    }),
  ).toEqual(
    Object.keys(streamRunMachine.states)
      .filter((state) => state !== "deciding")
      .toSorted(),
  );
});

function start(
  given: Partial<StreamRunInput> = {},
  failing: RecordName | null = null,
) {
  const did: string[] = [];
  const write = async (name: RecordName): Promise<void> => {
    did.push(name);
    if (name === failing) throw fenced;
  };
  const stream = runBelow(
    streamRunMachine.provide({
      actors: {
        recordPlan: fromPromise(async () => {
          await write("recordPlan");
          return work;
        }),
        recordCommitting: fromPromise(() => write("recordCommitting")),
        recordCommitted: fromPromise(() => write("recordCommitted")),
        recordRemoved: fromPromise(() => write("recordRemoved")),
        recordFailed: fromPromise(() => write("recordFailed")),
      },
      actions: {
        orderPlan: () => did.push("plan"),
        orderRead: () => did.push("read"),
        orderStep: (_, { step }) => did.push(step),
      },
    }),
    { ...input, ...given },
  );
  const tell = async (...sent: StreamRunEvent[]): Promise<void> => {
    for (const event of sent) {
      if (stream.heard.length > 0) return;
      stream.subject.send(event);
      await settle();
    }
  };
  return { ...stream, did, tell };
}

const toTheEnd: StreamRunEvent[] = [
  { type: "stream.verified", files: [] },
  { type: "stream.published" },
  { type: "stream.superseded" },
];

test("a stream is committed in the order that a crash at any arrow can be taken up from", async () => {
  const stream = start();
  await stream.tell(
    { type: "stream.planned", plan, window: null },
    { type: "state.recorded", index: 1 },
    { type: "stream.read", index: 2 },
    { type: "state.recorded", index: 2 },
    ...toTheEnd,
  );
  expect(stream.did).toEqual([
    "plan",
    "recordPlan",
    "read",
    "verify",
    "recordCommitting",
    "publish",
    "recordCommitted",
    "supersede",
    "recordRemoved",
  ]);
  expect(stream.heard).toEqual([
    { type: "streamRun.ended", stream: 1, outcome: "committed", error: null },
  ]);
});

test("nothing is committed before the last state is in the ledger", async () => {
  const stream = start({ work });
  await stream.tell(
    { type: "state.recorded", index: 2 },
    { type: "stream.read", index: 3 },
  );
  expect(stream.did).toEqual(["read"]);
  await stream.tell({ type: "state.recorded", index: 3 });
  expect(stream.did).toEqual(["read", "verify"]);
});

test("a stream without rows has no checkpoint to wait for", async () => {
  const stream = start({ work });
  await stream.tell({ type: "stream.read", index: 0 });
  expect(stream.did).toEqual(["read", "verify"]);
});

test("what an earlier attempt began to commit is committed and not read again", async () => {
  const stream = start({ work, isCommitting: true });
  await stream.tell(...toTheEnd);
  expect(stream.did).toEqual([
    "verify",
    "recordCommitting",
    "publish",
    "recordCommitted",
    "supersede",
    "recordRemoved",
  ]);
});

test.for([
  { name: "planned", before: [] },
  {
    name: "read",
    before: [{ type: "stream.planned" as const, plan, window: null }],
  },
  {
    name: "verified",
    before: [
      { type: "stream.planned" as const, plan, window: null },
      { type: "stream.read" as const, index: 0 },
    ],
  },
])(
  "a stream that fails while it is $name is abandoned, recorded and told with its reason",
  async ({ before }) => {
    const stream = start();
    await stream.tell(...before, { type: "stream.failed", error });
    expect(stream.did.slice(-2)).toEqual(["abandon", "recordFailed"]);
    expect(stream.heard).toEqual([
      { type: "streamRun.ended", stream: 1, outcome: "failed", error },
    ]);
  },
);

test("once the ledger says committing, a failure is the attempt's: the next one finishes the commit", async () => {
  const stream = start({ work });
  await stream.tell(
    { type: "stream.read", index: 0 },
    { type: "stream.verified", files: [] },
    { type: "stream.failed", error },
  );
  expect(stream.did).not.toContain("recordFailed");
  expect(stream.heard).toEqual([{ type: "run.fault", error }]);
});

test.for(records)(
  "a ledger that fails at %s ends the attempt",
  async (name) => {
    const stream = start({}, name);
    if (name === "recordFailed")
      await stream.tell({ type: "stream.failed", error });
    else
      await stream.tell(
        { type: "stream.planned", plan, window: null },
        { type: "stream.read", index: 0 },
        ...toTheEnd,
      );
    expect(stream.did.at(-1)).toBe(name);
    expect(stream.heard).toEqual([
      {
        type: "run.fault",
        error: expect.objectContaining({ message: fenced.message }),
      },
    ]);
  },
);
