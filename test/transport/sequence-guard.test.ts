import { describe, expect, test } from "vitest";
import { SequenceGuard } from "../../transport/sequence-guard.ts";

/** `b1.2` is a batch of attempt 1 with sequence 2, `c` a checkpoint, `l` the last one, `d1.2` a discard from 2 on. */
function play(script: string): void {
  const guard = new SequenceGuard();
  for (const word of script.split(" ")) {
    const [attempt = 0, sequence = 0] = word.slice(1).split(".").map(Number);
    const ids = { stream: 1, partition: 5, attempt, sequence };
    if (word.startsWith("b")) guard.admitBatch(ids);
    else if (word.startsWith("d")) {
      guard.admitDiscard({ ...ids, fromSequence: sequence });
    } else guard.admitCheckpoint({ ...ids, last: word.startsWith("l") });
  }
}

test.for([
  ["batches and checkpoints count together", "b1.1 b1.2 c1.3 b1.4 l1.5"],
  ["a checkpoint alone ends an empty partition", "l1.1"],
  ["a new attempt begins at 1 behind its discard", "b1.1 b1.2 d1.1 b2.1 l2.2"],
  ["a discard keeps what a checkpoint covers", "b1.1 c1.2 b1.3 d1.3 b2.1"],
  ["a discard may come before the first batch", "d1.1 b2.1"],
  ["a partition that stopped at a checkpoint goes on", "b1.1 c1.2 b2.1"],
  ["attempts may be missed: another channel had them", "b1.1 l1.2 b4.1"],
])("%s", ([, script]) => {
  expect(() => play(script ?? "")).not.toThrow();
});

describe("refused as CHANNEL_CORRUPT:", () => {
  test.for([
    ["a gap", "b1.1 b1.3"],
    ["a repetition", "b1.1 b1.1"],
    ["a first frame that is not number 1", "b1.2"],
    ["a missing checkpoint", "b1.1 c1.3"],
    ["an older attempt", "b2.1 b1.2"],
    ["an older attempt behind its discard", "b1.1 d1.1 b1.2"],
    ["a new attempt before the discard", "b1.1 b2.1"],
    ["a new attempt behind unsealed rows", "b1.1 c1.2 b1.3 b2.1"],
    ["a new attempt that counts on", "b1.1 d1.1 b2.2"],
    ["rows behind the last checkpoint", "l1.1 b1.2"],
    ["a discard of an older attempt", "b1.1 d1.1 b2.1 d1.1"],
    ["a discard of what was never sent", "b1.1 d1.3"],
    ["a discard of the attempt after an unsealed one", "b1.1 d2.1"],
  ])("%s", ([, script]) => {
    expect(() => play(script ?? "")).toThrow(
      expect.objectContaining({ code: "CHANNEL_CORRUPT" }),
    );
  });
});

test("partitions and streams are watched apart", () => {
  const guard = new SequenceGuard();
  const ids = { attempt: 1, sequence: 1 };
  guard.admitBatch({ ...ids, stream: 1, partition: 11 });
  guard.admitBatch({ ...ids, stream: 11, partition: 1 });
  guard.admitBatch({ ...ids, stream: 1, partition: 1 });
  expect(() => guard.admitBatch({ ...ids, stream: 1, partition: 1 })).toThrow(
    expect.objectContaining({
      details: { stream: 1, partition: 1, attempt: 1, sequence: 1 },
    }),
  );
});
