import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { OutputOptions } from "../../../daemon/cli/options.ts";
import {
  planned,
  progressed,
  refOf,
  runStarted,
  runSummary,
  summarize,
} from "./run-events.ts";
import type { Outcome } from "./run-millrace.ts";
import type { Script } from "./scripted-run.ts";

const program = fileURLToPath(new URL("scripted-run.ts", import.meta.url));
const orders = refOf(1, "orders");
const done = runSummary([summarize(orders)]);
const interrupted = runSummary(
  [summarize(orders, { state: "unfinished", rows: 10 })],
  { state: "interrupted", exitCode: 130 },
);

const SECOND_PRESS_MS = 250;

/** Sends one signal for each line of stderr that matches the next of `signals`. */
function runScript(
  script: Partial<Script>,
  options: OutputOptions = {},
  signals: readonly (readonly [RegExp, NodeJS.Signals])[] = [],
): Promise<Outcome> {
  const whole: Script = {
    events: [],
    summary: null,
    onStop: null,
    onAbort: null,
    ...script,
  };
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [program, JSON.stringify(whole), JSON.stringify(options)],
      { stdio: ["ignore", "pipe", "pipe"], timeout: 20_000 },
    );
    const waiting = [...signals];
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      const next = waiting[0];
      if (next?.[0].test(stderr)) {
        waiting.shift();
        // a person's second press comes later than a signal that arrives twice
        setTimeout(() => child.kill(next[1]), SECOND_PRESS_MS);
      }
    });
    child.on("error", reject);
    child.on("close", (exitCode, signal) =>
      resolve({ exitCode, signal, stdout, stderr }),
    );
  });
}

describe("a run to its end", () => {
  test("shows lines on stderr and the summary on stdout", async () => {
    const { exitCode, stdout, stderr } = await runScript({
      events: [
        runStarted,
        planned(orders, 1000, 1_000_000),
        progressed(orders, 500, 500_000),
        { type: "stream.finished", summary: summarize(orders) },
      ],
      summary: done,
    });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^public\.orders +1,000 /m);
    expect(stdout).toContain("done: 1,000 rows in 1 table");
    expect(stderr).toMatch(/^run r-1\n✓ public\.orders/);
    // eslint-disable-next-line no-control-regex
    expect(stdout + stderr).not.toMatch(/\u001b/);
  });

  test("with --json every event is a line of stdout, the summary last", async () => {
    const events = [
      runStarted,
      { type: "warning", message: "from postgres://me:hunter2@h/d" },
    ] as const;
    const { exitCode, stdout, stderr } = await runScript(
      { events, summary: done },
      { json: true },
    );
    expect(exitCode).toBe(0);
    expect(stderr).toBe("started\n");
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      events[0],
      { type: "warning", message: "from postgres://me:***@h/d" },
      { type: "run.finished", summary: done },
    ]);
  });

  test("that was cut short by a table's new shape is followed by others, until one is whole", async () => {
    const cut = { ...done, isCut: true };
    const { exitCode, stdout } = await runScript(
      { summary: cut, later: [cut, { ...done, runId: "r-3" }] },
      { json: true },
    );
    expect(exitCode).toBe(0);
    const ends = stdout.trimEnd().split("\n");
    expect(ends.map((line) => JSON.parse(line).summary.runId)).toEqual([
      ...[done.runId, done.runId, "r-3"],
    ]);
  });

  test("that was cut short and has failed is not followed", async () => {
    const failed = { ...done, state: "failed" as const, exitCode: 3 };
    const { exitCode } = await runScript({
      summary: { ...failed, isCut: true },
    });
    expect(exitCode).toBe(3);
  });

  test("with --quiet only warnings are printed", async () => {
    const { stdout, stderr } = await runScript(
      {
        events: [
          runStarted,
          { type: "warning", message: "a long transaction is open" },
        ],
        summary: done,
      },
      { quiet: true },
    );
    expect(stdout).toBe("");
    expect(stderr).toBe("warning a long transaction is open\nstarted\n");
  });

  test("a failed run prints its error once, with the help, and the way on", async () => {
    const error = {
      code: "SOURCE_CONNECTION_LOST",
      message: "lost postgres://me:hunter2@h/d",
      details: { partition: 3 },
    } as const;
    const { exitCode, stdout, stderr } = await runScript({
      summary: runSummary([summarize(orders, { state: "unfinished", error })], {
        state: "failed",
        exitCode: 3,
        error,
      }),
    });
    expect(exitCode).toBe(3);
    expect(stdout).toContain("failed: 1,000 rows, 0 of 1 table committed");
    expect(stderr.match(/error SOURCE_CONNECTION_LOST/g)).toHaveLength(1);
    expect(stderr).toContain("  table: public.orders\n  partition: 3\n  →");
    expect(stderr).toContain("go on with: millrace resume /data/out");
    expect(stderr).not.toContain("hunter2");
    expect(stderr).not.toContain("    at ");
  });

  test("a fault of ours shows its stack", async () => {
    const { exitCode, stderr } = await runScript({
      summary: runSummary([], {
        state: "failed",
        exitCode: 1,
        error: {
          code: "INTERNAL",
          message: "expected true",
          details: { stack: "AssertionError: expected true\n    at there" },
        },
      }),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("error INTERNAL: expected true");
    expect(stderr).toContain("    at there");
  });
});

describe("Ctrl-C", () => {
  const anyway = [/started/, "SIGINT"] as const;
  const again = [/press again to stop at once/, "SIGINT"] as const;

  test("stops at the next checkpoint, says so, and ends with 130", async () => {
    const { exitCode, stdout, stderr } = await runScript(
      { onStop: interrupted },
      {},
      [anyway],
    );
    expect(exitCode).toBe(130);
    expect(stderr).toContain(
      "stopping at the next checkpoint; press again to stop at once",
    );
    expect(stderr).toContain("go on with: millrace resume /data/out");
    expect(stdout).toContain("interrupted: 10 rows");
  });

  test("a second press stops at once", async () => {
    const { exitCode, stderr } = await runScript({ onAbort: interrupted }, {}, [
      anyway,
      again,
    ]);
    expect(exitCode).toBe(130);
    expect(stderr).toContain("stopping at once\n");
  });

  test("a third press leaves, whatever the run does", async () => {
    const { exitCode } = await runScript({}, {}, [
      anyway,
      again,
      [/stopping at once\n/, "SIGINT"],
    ]);
    expect(exitCode).toBe(130);
  });

  test.for(["SIGTERM", "SIGHUP"] as const)(
    "and %s is the same",
    async (signal) => {
      const { exitCode } = await runScript({ onStop: interrupted }, {}, [
        [/started/, signal],
      ]);
      expect(exitCode).toBe(130);
    },
  );
});
