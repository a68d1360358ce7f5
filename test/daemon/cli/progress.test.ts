import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  ACTIVE_LINES_MAX,
  DRAW_INTERVAL_MS,
  LINE_INTERVAL_MS,
  createProgress,
} from "../../../daemon/cli/progress.ts";
import { measureWidth } from "../../../daemon/cli/terminal.ts";
import {
  createOutput,
  planned,
  progressed,
  refOf,
  runStarted,
  runSummary,
  summarize,
} from "./run-events.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  vi.stubEnv("TERM", "xterm");
  vi.stubEnv("NO_COLOR", undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** What a terminal shows after the output: only the sequences that the drawing uses are known. */
function showScreen(output: string): string[] {
  let lines = [""];
  for (const [, up, clear, text] of output.matchAll(
    // eslint-disable-next-line no-control-regex
    /\u001b\[(\d+)A|\u001b\[(0J)|((?:\u001b\[\d+m|[^\u001b])+)/g,
  )) {
    if (up !== undefined) {
      lines = lines.slice(0, lines.length - Number(up));
      if (lines.length === 0) throw new Error("drawn above the first line");
    } else if (clear !== undefined) {
      lines[lines.length - 1] = "";
    } else {
      const parts = stripVTControlCharacters(text ?? "")
        .replaceAll("\r", "")
        .split("\n");
      lines[lines.length - 1] += parts[0] ?? "";
      lines.push(...parts.slice(1));
    }
  }
  return lines.slice(0, -1);
}

describe("on a terminal", () => {
  test("a line per active stream and a total are drawn over", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    progress.observe(runStarted);
    progress.observe(planned(refOf(1, "orders"), 2_000_000, 100_000_000));
    progress.observe(planned(refOf(2, "users"), 1000, 100_000));
    vi.advanceTimersByTime(1000);
    progress.observe(progressed(refOf(1, "orders"), 1_000_000, 50_000_000, 2));
    vi.advanceTimersByTime(1000);
    expect(showScreen(output.read())).toEqual([
      "run r-1",
      expect.stringMatching(
        /^public\.orders █{10}░{10} {2}50% {2}1,000,000 rows {2}25\.0 MB\/s {2}2\/4 partitions$/,
      ),
      expect.stringMatching(/^total .*1,000,000 rows.*0\/2 tables {2}2\.0 s/),
    ]);
    progress.close();
  });

  test("the time left follows from the recent rate", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    const orders = refOf(1, "orders");
    progress.observe(planned(orders, 100_000, 100_000_000));
    for (let second = 0; second <= 20; second++) {
      progress.observe(progressed(orders, second * 1000, second * 1_000_000));
      vi.advanceTimersByTime(1000);
    }
    // 1 MB/s, of which the last second has brought nothing yet
    const total = showScreen(output.read()).at(-1);
    expect(total).toMatch(/about 1m (2|3|4)\ds left$/);
    progress.close();
  });

  test("partitions that are done correct a plan that was far off", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    const orders = refOf(1, "orders");
    progress.observe(planned(orders, 1e9, 1e12, 40));
    progress.observe(progressed(orders, 1000, 300_000_000, 3, 40));
    vi.advanceTimersByTime(1000);
    expect(showScreen(output.read())[0]).toContain("   0%");
    progress.observe(progressed(orders, 1000, 300_000_000, 30, 40));
    vi.advanceTimersByTime(1000);
    expect(showScreen(output.read())[0]).toContain("  76%");
    progress.close();
  });

  test("a finished stream leaves one line above, and its bar goes", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    progress.observe(planned(refOf(1, "orders"), 1000, 1_000_000));
    progress.observe(progressed(refOf(1, "orders"), 500, 500_000));
    vi.advanceTimersByTime(DRAW_INTERVAL_MS * 5);
    progress.observe({
      type: "stream.finished",
      summary: summarize(refOf(1, "orders")),
    });
    const screen = showScreen(output.read());
    expect(screen[0]).toBe(
      "✓ public.orders 1,000 rows, 250 kB, 2 files, 500 ms",
    );
    expect(screen).toHaveLength(2);
    expect(screen[1]).toMatch(/^total .*100%/);
    progress.close();
    expect(showScreen(output.read())).toHaveLength(1);
  });

  test("of many streams the recent ones are shown, in their order", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    for (let number = 1; number <= 50; number++) {
      progress.observe(planned(refOf(number), 1000, 1_000_000));
    }
    for (let number = 1; number <= 50; number++) {
      vi.advanceTimersByTime(10);
      progress.observe(progressed(refOf(number), 10, 10_000));
    }
    vi.advanceTimersByTime(DRAW_INTERVAL_MS);
    const names = showScreen(output.read()).map((line) => line.split(" ")[0]);
    const recent = Array.from(
      { length: ACTIVE_LINES_MAX },
      (_, i) => `public.table${51 - ACTIVE_LINES_MAX + i}`,
    );
    expect(names).toEqual([...recent, "total"]);
    progress.close();
  });

  test.for([20, 40, 60, 80, 200])(
    "no line is wider than a terminal of %d columns",
    (columns) => {
      const output = createOutput(columns);
      const progress = createProgress(output);
      const stream = refOf(1, `${"very_long_".repeat(9)}表`);
      progress.observe(planned(stream, 1e9, 1e12));
      vi.advanceTimersByTime(3000);
      progress.observe(progressed(stream, 123_456_789, 98_765_432_100));
      vi.advanceTimersByTime(3000);
      for (const line of showScreen(output.read())) {
        expect(measureWidth(line)).toBeLessThan(columns);
      }
      progress.close();
    },
  );

  test("NO_COLOR leaves the cursor moves and takes the colours", () => {
    vi.stubEnv("NO_COLOR", "1");
    const output = createOutput(120);
    const progress = createProgress(output);
    progress.observe(planned(refOf(1), 1000, 1_000_000));
    progress.observe(progressed(refOf(1), 500, 500_000));
    vi.advanceTimersByTime(DRAW_INTERVAL_MS * 3);
    progress.close();
    // eslint-disable-next-line no-control-regex
    expect(output.read()).not.toMatch(/\u001b\[\d*m/);
    // eslint-disable-next-line no-control-regex
    expect(output.read()).toMatch(/\u001b\[2A/);
  });

  test("names from the database cannot steer the terminal", () => {
    const output = createOutput(120);
    const progress = createProgress(output);
    const evil = refOf(1, "a\u001b[2J\u001b]0;title\u0007b\nc");
    progress.observe(planned(evil, 10, 1000));
    progress.observe(progressed(evil, 5, 500));
    vi.advanceTimersByTime(DRAW_INTERVAL_MS);
    progress.observe({ type: "stream.finished", summary: summarize(evil) });
    progress.close();
    expect(output.read()).not.toContain("\u001b[2J");
    expect(output.read()).not.toContain("\u0007");
    expect(showScreen(output.read())).toHaveLength(1);
  });
});

describe("elsewhere", () => {
  test("a plain line comes at intervals and for each stream that ends", () => {
    const output = createOutput();
    const progress = createProgress(output);
    progress.observe(runStarted);
    progress.observe(planned(refOf(1, "orders"), 2000, 2_000_000));
    progress.observe(planned(refOf(2, "users"), 2000, 2_000_000));
    vi.advanceTimersByTime(1000);
    progress.observe(progressed(refOf(1, "orders"), 1000, 1_000_000, 1));
    vi.advanceTimersByTime(LINE_INTERVAL_MS * 2 - 1000);
    progress.observe({
      type: "stream.finished",
      summary: summarize(refOf(1, "orders")),
    });
    progress.observe(progressed(refOf(2, "users"), 1, 1));
    progress.close();
    vi.advanceTimersByTime(LINE_INTERVAL_MS * 5);
    const lines = output.read().split("\n");
    expect(lines).toEqual([
      "run r-1",
      expect.stringMatching(
        /^1,000 rows read, 1\.0 MB.*1\/8 partitions, 0\/2 tables, 3\.0 s/,
      ),
      expect.stringMatching(/^1,000 rows read/),
      "✓ public.orders 1,000 rows, 250 kB, 2 files, 6.0 s",
      "",
    ]);
    // eslint-disable-next-line no-control-regex
    expect(output.read()).not.toMatch(/[\u001b\r]/);
  });

  test("a run that follows a log says how far it is behind", () => {
    const output = createOutput();
    const progress = createProgress(output);
    progress.observe(planned(refOf(1, "orders"), 2000, 2_000_000));
    progress.observe({
      type: "log.progress",
      ...{ epoch: 1, position: null, budgetBytes: 1, step: "calm" },
      figures: {
        ...{ events: 1, transactions: 1, heartbeats: 0 },
        asOfMs: Date.now() - 7_200_000,
      },
      measure: { retainedBytes: 1, lagBytes: 1_200_000, limitBytes: null },
    });
    vi.advanceTimersByTime(LINE_INTERVAL_MS);
    progress.close();
    expect(output.read()).toContain("2h 00m and 1.2 MB behind the log");
  });

  test("nothing is said once everything has finished", () => {
    const output = createOutput();
    const progress = createProgress(output);
    progress.observe(planned(refOf(1), 10, 10));
    progress.observe({ type: "stream.finished", summary: summarize(refOf(1)) });
    progress.observe({ type: "run.finished", summary: runSummary([]) });
    const before = output.read();
    vi.advanceTimersByTime(LINE_INTERVAL_MS * 3);
    expect(output.read()).toBe(before);
    progress.close();
  });

  test("a resumed run says what is kept and what is read again", () => {
    const output = createOutput();
    const progress = createProgress(output);
    progress.observe({
      type: "run.started",
      runId: "r-2",
      epoch: 3,
      resumed: {
        rowsKept: 1_234_567,
        rowsToReadAgain: 1,
        snapshotKept: false,
      },
      architecture: [],
    });
    progress.close();
    expect(output.read()).toBe(
      "run r-2 resumed under a new snapshot: 1,234,567 rows kept, about 1 row to read again\n",
    );
  });

  test("a failed stream names its error, and no password", () => {
    const output = createOutput();
    const progress = createProgress(output);
    progress.observe({
      type: "stream.finished",
      summary: summarize(refOf(1, "orders"), {
        state: "failed",
        error: {
          code: "SOURCE_QUERY_FAILED",
          message: "no answer from postgres://me:hunter2@db/shop",
          details: {},
        },
      }),
    });
    progress.observe({ type: "warning", message: "slow\nserver" });
    progress.close();
    expect(output.read()).toContain(
      "✗ public.orders SOURCE_QUERY_FAILED: no answer from postgres://me:***@db/shop",
    );
    expect(output.read()).toContain("warning slow\nserver\n");
    expect(output.read()).not.toContain("hunter2");
  });
});
