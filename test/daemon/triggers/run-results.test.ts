import { describe, expect, test } from "vitest";
import {
  encodeResult,
  RunFollower,
  SEQUENCE_LAST,
  type RunResult,
} from "../../../daemon/triggers/run-results.ts";
import { millrace } from "../../../proto/gen/trigger.js";
import {
  finished,
  progress,
  runSummary,
  started,
  streamSummary,
  tell,
} from "./run-events.ts";

function follow(
  ...events: readonly Parameters<typeof tell>[]
): (RunResult | null)[] {
  const runs = new RunFollower();
  return events.map((parts) => runs.observe(tell(...parts)));
}

const ids = (results: readonly (RunResult | null)[]) =>
  results.map((one) => one && [one.type, one.epoch, one.sequence]);

describe("a run's results", () => {
  test("are counted from its start to its end, and begin anew with each attempt", () => {
    const results = follow(
      [started("r-1"), 1_000],
      [progress(10), 2_000],
      [progress(20), 3_000],
      [finished(runSummary("r-1", { state: "interrupted" })), 3_500],
      [started("r-1", 2), 4_000],
      [progress(30), 5_000],
      [finished(runSummary("r-1", { epoch: 2 })), 6_000],
    );
    expect(ids(results)).toEqual([
      ["started", 1, 0],
      ["checkpoint", 1, 1],
      ["checkpoint", 1, 2],
      ["interrupted", 1, SEQUENCE_LAST],
      ["started", 2, 0],
      ["checkpoint", 2, 1],
      ["succeeded", 2, SEQUENCE_LAST],
    ]);
  });

  test("have a checkpoint a second at most, and only when more rows are durable", () => {
    const results = follow(
      [started("r-1"), 1_000],
      [progress(0), 5_000],
      [progress(10), 5_100],
      [progress(20), 5_900],
      [progress(20), 7_000],
      [progress(20), 9_000],
    );
    expect(ids(results)).toEqual([
      ["started", 1, 0],
      null,
      ["checkpoint", 1, 1],
      null,
      ["checkpoint", 1, 2],
      null,
    ]);
  });

  test("add up all streams", () => {
    const [, , second] = follow(
      [started("r-1"), 1_000],
      [progress(10, 0), 2_000],
      [progress(5, 1), 3_000],
    );
    expect(second).toMatchObject({
      rowsDurable: 15,
      rowsRead: 25,
      bytesRead: 150,
    });
  });

  test("end with what became of each stream, those that failed first", () => {
    const error = { code: "SOURCE_QUERY_FAILED", message: "no", details: {} } as const; // prettier-ignore
    const streams = [
      streamSummary({ name: "good" }),
      streamSummary({ name: "bad", state: "failed", rows: 0, error }),
    ];
    const [end] = follow([
      finished(runSummary("r-1", { state: "partlyFailed", streams })),
    ]);
    expect(end).toMatchObject({
      type: "failed",
      rowsDurable: 10,
      streams: [
        { stream: "public.bad", state: "failed", rows: 0 },
        { stream: "public.good", state: "committed", rows: 10 },
      ],
      error: { code: "SOURCE_QUERY_FAILED", message: "no" },
    });
  });

  test("stay within what a broker takes, however many streams there are", () => {
    const streams = Array.from({ length: 10_000 }, (_, i) =>
      streamSummary({ name: `${"x".repeat(60)}${i}` }),
    );
    const [end] = follow([finished(runSummary("r-1", { streams }))]);
    if (!end) throw new Error("no end");
    expect(end.streamsLeftOut).toBe(10_000 - end.streams.length);
    for (const format of ["json", "protobuf"] as const)
      expect(encodeResult(end, format).length).toBeLessThan(500_000);
  });
});

test("a result says the same as JSON and as protobuf", () => {
  const [end] = follow([finished(runSummary("r-1"))]);
  if (!end) throw new Error("no end");
  expect(JSON.parse(encodeResult(end, "json").toString())).toEqual(end);
  const message = millrace.trigger.v1.RunEventMessage.decode(
    encodeResult({ ...end, rowsRead: 2 ** 52 }, "protobuf"),
  );
  expect(message).toMatchObject({
    type: "succeeded",
    sync: "orders",
    queueId: "q-1",
    runId: "r-1",
    epoch: 1,
    sequence: SEQUENCE_LAST,
    rowsRead: 2 ** 52,
    rowsDurable: 10,
    streams: [{ stream: "public.orders", state: "committed", rows: 10 }],
  });
});
