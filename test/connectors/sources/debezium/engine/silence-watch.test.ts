import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SilenceWatch } from "../../../../../connectors/sources/debezium/engine/silence-watch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a wait has a bound, each by itself, and what is done between two of them has none", () => {
  let ended = 0;
  const watch = new SilenceWatch(7, () => (ended += 1));
  for (let i = 0; i < 5; i += 1) {
    watch.begin(1_000);
    vi.advanceTimersByTime(900);
    watch.end();
    vi.advanceTimersByTime(5_000);
  }
  expect([ended, watch.failure]).toEqual([0, null]);
  // another bound counts from here
  watch.begin(3_000);
  vi.advanceTimersByTime(2_999);
  expect(ended).toBe(0);
  vi.advanceTimersByTime(1);
  expect(ended).toBe(1);
  expect(watch.failure).toMatchObject({
    code: "PEER_STALLED",
    details: { pid: 7 },
  });
});

test("nothing is left of one that is closed", () => {
  const watch = new SilenceWatch(7, () => {});
  watch.begin(1_000);
  watch.close();
  expect(vi.getTimerCount()).toBe(0);
});
