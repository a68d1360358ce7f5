import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Liveness } from "../../transport/liveness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watch(isListening = () => true) {
  const seen = { probes: 0, silent: 0 };
  const liveness = new Liveness(
    { probeMs: 100, probeDeadlineMs: 1000 },
    {
      sendProbe: () => {
        seen.probes++;
        liveness.noteSent();
      },
      isListening,
      onSilent: () => seen.silent++,
    },
  );
  return { liveness, seen };
}

test("probes go out while nothing else does", () => {
  const { liveness, seen } = watch();
  for (let i = 0; i < 20; i++) {
    liveness.noteSent();
    liveness.noteReceived();
    vi.advanceTimersByTime(100);
  }
  expect(seen.probes).toBe(0);
  vi.advanceTimersByTime(800);
  expect(seen.probes).toBeGreaterThanOrEqual(3);
});

test("silence raises the alarm once, behind the deadline", () => {
  const { liveness, seen } = watch();
  vi.advanceTimersByTime(500);
  liveness.noteReceived();
  vi.advanceTimersByTime(1000);
  expect(seen.silent).toBe(0);
  vi.advanceTimersByTime(200);
  expect(seen.silent).toBe(1);
  vi.advanceTimersByTime(5000);
  expect(seen.silent).toBe(1);
});

test("a byte within each deadline keeps it quiet, and so does not listening", () => {
  let listening = true;
  const { liveness, seen } = watch(() => listening);
  for (let i = 0; i < 10; i++) {
    vi.advanceTimersByTime(900);
    liveness.noteReceived();
  }
  listening = false;
  vi.advanceTimersByTime(20_000);
  listening = true;
  vi.advanceTimersByTime(900);
  expect(seen.silent).toBe(0);
  liveness.stop();
  vi.advanceTimersByTime(20_000);
  expect(seen.silent).toBe(0);
});
