import { expect, test } from "vitest";
import { Outbox, OUTBOX_RESULTS_MAX } from "../../../daemon/triggers/outbox.ts";
import {
  RunFollower,
  type RunResult,
} from "../../../daemon/triggers/run-results.ts";
import { finished, runSummary, started, tell } from "./run-events.ts";

function result(event: Parameters<typeof tell>[0]): RunResult {
  const made = new RunFollower().observe(tell(event));
  if (!made) throw new Error("no result");
  return made;
}

const begin = (i: number): RunResult => result(started(`r-${i}`));
const end = (i: number): RunResult => result(finished(runSummary(`r-${i}`)));
const checkpoint = (i: number): RunResult => ({
  ...begin(i),
  type: "checkpoint",
  sequence: 1,
});

test("what is sent leaves in its order; what came meanwhile stays", () => {
  const outbox = new Outbox();
  const results = [begin(1), checkpoint(1), end(1)];
  for (const one of results.slice(0, 2)) outbox.add(one);
  const sent = outbox.first(10);
  outbox.add(results[2] as RunResult);
  outbox.remove(sent);
  expect(outbox.first(10)).toEqual(results.slice(2));
});

test("a full outbox gives up checkpoints, the oldest first, and counts them", () => {
  const outbox = new Outbox();
  outbox.add(begin(0));
  for (let i = 0; i < OUTBOX_RESULTS_MAX; i += 1) outbox.add(checkpoint(i));
  outbox.add(end(0));
  expect(outbox.length).toBe(OUTBOX_RESULTS_MAX);
  expect(outbox.dropped).toBe(2);
  expect(outbox.takeBehind()).toBe(false);
  const kept = outbox.first(OUTBOX_RESULTS_MAX);
  expect(kept.at(0)?.type).toBe("started");
  expect(kept.at(1)?.runId).toBe("r-2");
  expect(kept.at(-1)?.type).toBe("succeeded");
});

test("an end that is given up is said to be missing, once", () => {
  const outbox = new Outbox();
  for (let i = 0; i <= OUTBOX_RESULTS_MAX; i += 1) outbox.add(end(i));
  expect(outbox.dropped).toBe(1);
  expect(outbox.takeBehind()).toBe(true);
  expect(outbox.takeBehind()).toBe(false);
});

test("what was dropped while it was sent is not taken for the next", () => {
  const outbox = new Outbox();
  for (let i = 0; i < OUTBOX_RESULTS_MAX; i += 1) outbox.add(end(i));
  const sent = outbox.first(2);
  outbox.add(end(OUTBOX_RESULTS_MAX));
  outbox.remove(sent);
  expect(outbox.first(1)[0]?.runId).toBe("r-2");
});
