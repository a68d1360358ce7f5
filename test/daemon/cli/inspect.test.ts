/** `millrace inspect` as a person runs it: on a recorded trace, and against a daemon's inspector. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { renderRun } from "../../../daemon/cli/inspect-tree.ts";
import { createPaint } from "../../../daemon/cli/terminal.ts";
import {
  RunModel,
  type ModelSnapshot,
} from "../../../daemon/inspector/model/run-model.ts";
import { runCommand, startCommand } from "../../fixtures/run-sync.ts";
import {
  startInspector,
  tokens,
  type InspectorServer,
} from "../inspector/server.ts";
import {
  describeLargeRun,
  readTrace,
  readTraceText,
} from "../inspector/traces.ts";

let folder = "";
let trace = "";
let server: InspectorServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-inspect-"));
  trace = join(folder, "shop.jsonl");
  writeFileSync(trace, readTraceText());
  server = await startInspector();
  server.feed.addRecords("r-20260101-000000-aaaa", readTrace());
  server.feed.end("r-20260101-000000-aaaa");
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (...args: string[]) =>
  runCommand(["inspect", ...args], {
    MILLRACE_DAEMON: server.url,
    MILLRACE_TOKEN: tokens.viewer,
  });

test("a trace is shown as streams, sockets and the tree of its actors", async () => {
  const { stdout, exitCode } = await runCommand(["inspect", "--trace", trace]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("1,960,000 rows durable");
  expect(stdout).toMatch(
    /public\.orders\s+█{16}\s+9\/9 partitions\s+400,000 rows/,
  );
  expect(stdout).toMatch(/^source\n {2}sourceProcess/m);
  expect(stdout).toMatch(/^ {4}reader × 23: 23 done$/m);
  expect(stdout).not.toContain("\u001b");
});

test("as JSON it is the model, from a trace and from a daemon", async () => {
  const fromTrace = JSON.parse(
    (await runCommand(["inspect", "--trace", trace, "--json"])).stdout,
  ) as ModelSnapshot;
  const fromDaemon = JSON.parse(
    (await ask("--json")).stdout,
  ) as ModelSnapshot & { runId: string };
  expect(fromDaemon.runId).toBe("r-20260101-000000-aaaa");
  expect(fromTrace.actors.length).toBeGreaterThan(100);
  expect(fromDaemon.partitions).toEqual(fromTrace.partitions);
  expect(fromDaemon.checkpoints).toEqual(fromTrace.checkpoints);
});

test("a run is found by the beginning of its id, and one that is not there is named", async () => {
  expect((await ask("r-2026", "--all")).stdout).toContain(
    "r-20260101-000000-aaaa",
  );
  const missing = await ask("r-none");
  expect(missing.exitCode).not.toBe(0);
  expect(missing.stderr).toContain("RUN_NOT_FOUND");
});

test.for([
  {
    name: "a trace that is not there",
    args: ["--trace", "/nowhere/trace.jsonl"],
    code: "USAGE",
  },
  {
    name: "a daemon that does not answer",
    args: ["--daemon", "http://127.0.0.1:9", "--token", "x"],
    code: "DAEMON_UNREACHABLE",
  },
])("$name is said so", async ({ args, code }) => {
  const { stderr, exitCode } = await startCommand(["inspect", ...args]).ended;
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain(code);
});

test("a run that follows a log says how far it is behind", () => {
  const model = new RunModel();
  const view = {
    ...{ runId: "r-1", now: 3_600_000, width: null, showsOver: false },
    paint: createPaint(false),
  };
  expect(renderRun(model, view)[0]).not.toContain("behind");
  model.log = { asOfMs: 1, lagBytes: 1_200_000, step: "warn" };
  expect(renderRun(model, view)[0]).toContain(
    "1h 00m and 1.2 MB behind the log",
  );
});

test("ten thousand readers are one line, cut to the terminal's width, without control characters of others", () => {
  const model = new RunModel();
  for (const record of describeLargeRun(10_000, 1_000)) model.apply(record);
  model.run.sync = "evil\u001b[2J";
  const lines = renderRun(model, {
    runId: "r-1",
    now: 2_000,
    width: 60,
    showsOver: false,
    paint: createPaint(false),
  });
  expect(lines.length).toBeLessThan(20);
  expect(lines.join("\n")).not.toContain("\u001b");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
  expect(lines.join("\n")).toMatch(
    /reader × 10,000: (9,996 queued, 4 reading|4 reading, 9,996 queued)/,
  );
});
