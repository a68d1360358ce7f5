import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { attachFeed } from "../../../daemon/inspector/attach.ts";
import { InspectorFeed } from "../../../daemon/inspector/feed.ts";
import { History } from "../../../daemon/inspector/history.ts";
import {
  LineRing,
  RING_CHARS_MAX,
  RING_LINES_MAX,
} from "../../../daemon/inspector/line-ring.ts";
import {
  PastRuns,
  WINDOW_RECORDS,
} from "../../../daemon/inspector/past-runs.ts";
import { listRuns } from "../../../daemon/inspector/run-list.ts";
import { readRecord } from "../../../daemon/inspector/model/records.ts";
import { RunModel } from "../../../daemon/inspector/model/run-model.ts";
import type { DaemonEvent } from "../../../daemon/service/types.ts";
import { describeLargeRun, readTrace, readTraceText } from "./traces.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-feed-"));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true, force: true });
});

const run = "r-1";

test("chunks that cross on their way are numbered by their own time", async () => {
  const feed = new InspectorFeed({ history: null });
  feed.addLines(run, readTraceText());
  feed.end(run);
  const found = feed.find(run);
  const times =
    found?.ring
      .slice(0, RING_LINES_MAX)
      .map((line) => (JSON.parse(line) as { at: number }).at) ?? [];
  expect(times.length).toBe(readTrace().length);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(found?.view()).toMatchObject({
    isOver: true,
    rows: 1_960_000,
    state: "succeeded",
  });
  await feed.close();
});

test("watchers hear of what has come, until they stop", () => {
  vi.useFakeTimers();
  const feed = new InspectorFeed({ history: null });
  const [first, second] = readTraceText().split("\n");
  feed.addLines(run, `${first}\n`);
  vi.advanceTimersByTime(1_000);
  const found = feed.find(run);
  if (!found) throw new Error("no run");
  expect(found.model.sequence).toBe(1);
  const heard = vi.fn();
  const stop = feed.watch(found, heard);
  feed.addLines(run, `${second}\n`);
  expect(heard).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1_000);
  expect(heard).toHaveBeenCalledTimes(1);
  stop();
  feed.end(run);
  expect(heard).toHaveBeenCalledTimes(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("lines that are no records are passed over", () => {
  const feed = new InspectorFeed({ history: null });
  feed.addLines(
    run,
    `no json\n{}\n\n${readTraceText().split("\n")[0]}\n[1]\nhalf a line`,
  );
  feed.end(run);
  expect(feed.find(run)?.model.sequence).toBe(1);
});

test("a ring keeps the newest lines, within its bounds of lines and characters", () => {
  const ring = new LineRing();
  for (let at = 0; at < RING_LINES_MAX + 5_000; at++) ring.add(`${at}`);
  expect(ring.end).toBe(RING_LINES_MAX + 5_000);
  expect(ring.end - ring.first).toBeLessThanOrEqual(RING_LINES_MAX + 1_024);
  expect(ring.slice(ring.end - 1, 10)).toEqual([`${RING_LINES_MAX + 4_999}`]);
  const wide = new LineRing();
  const line = "x".repeat(1024 * 1024);
  for (let at = 0; at < 40; at++) wide.add(line);
  expect(wide.chars).toBeLessThanOrEqual(RING_CHARS_MAX);
  expect(wide.end).toBe(40);
});

test("a window at any place is the model as it was there, of a run in memory and of one on disk", async () => {
  const history = new History(join(folder, "inspections"));
  const feed = new InspectorFeed({ history });
  const records = [...describeLargeRun(3_000, 1_000)];
  feed.addRecords(run, records);
  feed.end(run);
  await feed.find(run)?.writer?.close();
  const sources = [
    new PastRuns(feed, history),
    new PastRuns(new InspectorFeed({ history: null }), history),
  ];
  for (const past of sources)
    for (const at of [
      0,
      WINDOW_RECORDS - 1,
      WINDOW_RECORDS,
      records.length - 1,
      records.length + 99,
    ]) {
      const window = await past.window(run, at);
      if (!window) throw new Error("no window");
      const place = Math.min(at, records.length - 1);
      expect(window.first).toBe(place - (place % WINDOW_RECORDS));
      expect(window.end).toBe(records.length);
      const expected = new RunModel();
      for (const record of records.slice(0, window.first))
        expected.apply(record);
      expect(window.base.actors.length).toBe(expected.tree.actors.size);
      expect(JSON.parse(JSON.stringify(window.base))).toEqual(
        JSON.parse(JSON.stringify(expected.snapshot())),
      );
      expect(window.lines.map((line) => readRecord(JSON.parse(line)))).toEqual(
        records
          .slice(window.first, window.first + WINDOW_RECORDS)
          .map((record) => readRecord(record)),
      );
    }
  expect(await sources[0]?.window("r-unknown", 0)).toBeNull();
  await feed.close();
});

test("a daemon's runs get their sync's name, and are over with their outcome", async () => {
  const history = new History(join(folder, "inspections"));
  const feed = new InspectorFeed({ history });
  const listeners: ((event: DaemonEvent) => void)[] = [];
  const onLines: ((runId: string, lines: string) => void)[] = [];
  const stop = attachFeed(
    {
      inspectLines: (listener) => {
        onLines.push(listener);
        return () => void onLines.pop();
      },
      subscribe: (listener) => {
        listeners.push(listener);
        return () => void listeners.pop();
      },
    },
    feed,
  );
  const told = {
    sequence: 1,
    at: 1,
    type: "run.event",
    queueId: "q-1",
    runId: run,
    sync: "shop",
  } as const;
  onLines[0]?.(run, readTraceText());
  listeners[0]?.({
    ...told,
    event: {
      ...{ type: "run.started", runId: run, epoch: 1, resumed: null },
      architecture: [],
    },
  });
  listeners[0]?.({
    ...told,
    event: {
      type: "log.progress",
      ...{ epoch: 1, position: null, figures: null, budgetBytes: 1 },
      measure: { retainedBytes: 2, lagBytes: 3, limitBytes: null },
      step: "warn",
    },
  });
  listeners[0]?.({
    ...told,
    event: {
      type: "run.finished",
      summary: {
        runId: run,
        epoch: 1,
        state: "failed",
        exitCode: 1,
        streams: [],
        elapsedMs: 1,
        error: { code: "PROCESS_DIED", message: "gone", details: {} },
        snapshots: 1,
      },
    },
  });
  const expected = {
    runId: run,
    sync: "shop",
    state: "failed",
    isLive: false,
    error: "PROCESS_DIED: gone",
  };
  // its machines stop behind the summary
  onLines[0]?.(run, `${readTraceText().trim().split("\n").at(-1)}\n`);
  await expect
    .poll(async () => (await listRuns(feed, history)).runs)
    .toMatchObject([expected]);
  expect(feed.find(run)?.model.log).toMatchObject({
    ...{ asOfMs: 0, lagBytes: 3, step: "warn" },
  });
  await feed.find(run)?.writer?.close();
  const fresh = new InspectorFeed({ history: null });
  expect((await listRuns(fresh, history)).runs).toMatchObject([expected]);
  stop();
  expect([listeners, onLines]).toEqual([[], []]);
  await feed.close();
});
