import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import {
  InspectionLines,
  countLines,
  parseLines,
} from "../../actors/inspection-lines.ts";
import type { InspectionRecord } from "../../proto/control.ts";

const origin = { process: "source", thread: 2 } as const;

function build(at: number, event = "reader.queued"): InspectionRecord {
  return {
    at,
    ...origin,
    kind: "event",
    actor: "x:1",
    machine: "reader",
    event,
  };
}

function collect() {
  const chunks: string[] = [];
  const state = { accepts: true };
  const lines = new InspectionLines(origin, (text) => {
    if (state.accepts) chunks.push(text);
    return state.accepts;
  });
  const records = () => chunks.flatMap(parseLines);
  return { chunks, state, lines, records };
}

function sumDropped(records: readonly InspectionRecord[]): number {
  return records.reduce((sum, { count = 0 }) => sum + count, 0);
}

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
});

test("records leave together after a delay, as they came", () => {
  const { chunks, lines } = collect();
  const given = [build(1), build(2), build(3, 'a "quoted"\nname')];
  for (const record of given) lines.add(record);
  expect(chunks).toEqual([]);
  vi.runAllTimers();
  expect(chunks.map(parseLines)).toEqual([given]);
  expect(chunks.map(countLines)).toEqual([3]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a flush leaves nothing behind, and nothing is sent where nothing is", () => {
  const { chunks, lines } = collect();
  lines.flush();
  lines.add(build(1));
  lines.flush();
  lines.flush();
  vi.runAllTimers();
  expect(chunks.map(parseLines)).toEqual([[build(1)]]);
});

test("a full chunk does not wait", () => {
  const { chunks, lines, records } = collect();
  for (let at = 0; at < 1200; at++) lines.add(build(at));
  expect(chunks.length).toBeGreaterThan(1);
  lines.flush();
  expect(records().map(({ at }) => at)).toEqual(
    Array.from({ length: 1200 }, (_, at) => at),
  );
});

test("what is above the budget of a second is left out and counted, and the next second has its own", () => {
  const { lines, records, chunks } = collect();
  const name = "e".repeat(1000);
  for (let i = 0; i < 3000; i++) lines.add(build(5000, name));
  lines.flush();
  const first = records();
  const kept = first.filter(({ kind }) => kind === "event").length;
  expect(kept).toBeGreaterThan(500);
  expect(chunks.join("").length).toBeLessThan(1024 * 1024 + 2000);
  expect(kept + sumDropped(first)).toBe(3000);
  lines.add(build(6000, name));
  lines.flush();
  expect(records().at(-1)).toEqual(build(6000, name));
});

test("lines that nobody takes are counted and told as soon as somebody does", () => {
  const { state, lines, records } = collect();
  state.accepts = false;
  lines.add(build(1));
  lines.add(build(2));
  lines.flush();
  lines.forward(`${JSON.stringify(build(3))}\n`);
  vi.advanceTimersByTime(1000);
  expect(records()).toEqual([]);
  state.accepts = true;
  vi.advanceTimersByTime(1000);
  expect(records()).toMatchObject([
    { ...origin, kind: "dropped", actor: "", count: 3 },
  ]);
  lines.add(build(4));
  lines.flush();
  expect(records().at(-1)).toEqual(build(4));
});
