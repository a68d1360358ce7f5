import type { ContextFrom, EventFrom, StateValueFrom } from "xstate";
import { expect, test } from "vitest";
import { resplitterMachine } from "../../../actors/source/resplitter.machine.ts";
import { ExtractError } from "../../../proto/error.ts";
import {
  describeTable,
  doneBy,
  failedBy,
  listReachable,
  type AnyEvent,
  type StateName,
} from "../table.ts";
import { makePartition } from "./partitions.ts";

type State = StateName<StateValueFrom<typeof resplitterMachine>>;
type Event =
  | EventFrom<typeof resplitterMachine>["type"]
  | "split made"
  | "middle found"
  | "no middle"
  | "findFailed";

const range = makePartition(1, 0);
const taker = makePartition(1, 1);
const input = { key: "1/0", range, rowBytes: 10, bytesMin: 100 };
const context: ContextFrom<typeof resplitterMachine> = {
  ...input,
  resumeAfter: null,
  found: null,
  giver: range,
  taker: null,
  error: null,
};
const events: Record<Event, AnyEvent> = {
  "reader.yielded": { type: "reader.yielded", resumeAfter: null },
  "reader.kept": { type: "reader.kept" },
  "source.resplit": { type: "source.resplit", giver: range, taker: null },
  "split made": { type: "source.resplit", giver: range, taker },
  "middle found": doneBy("findSplit", { giver: range, taker }),
  "no middle": doneBy("findSplit", null),
  findFailed: failedBy("findSplit", new ExtractError("USAGE", "no")),
};

describeTable<
  typeof resplitterMachine,
  State,
  Exclude<State, "kept" | "refused" | "split">,
  Event
>({
  machine: resplitterMachine,
  events,
  contextOf: () => context,
  // prettier-ignore
  nextState: {
    asking: {
      "reader.yielded": "finding", "reader.kept": "kept", "source.resplit": "asking", "split made": "asking",
      "middle found": "asking", "no middle": "asking", findFailed: "asking",
    },
    finding: {
      "reader.yielded": "finding", "reader.kept": "kept", "source.resplit": "finding", "split made": "finding",
      "middle found": "recording", "no middle": "refused", findFailed: "refused",
    },
    recording: {
      "reader.yielded": "recording", "reader.kept": "kept", "source.resplit": "refused", "split made": "split",
      "middle found": "recording", "no middle": "recording", findFailed: "recording",
    },
  },
});

test("every state can be reached", () => {
  const reached = listReachable(resplitterMachine, {
    input,
    events: Object.values(events),
  });
  expect(reached).toEqual(Object.keys(resplitterMachine.states).toSorted());
});
