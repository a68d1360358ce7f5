import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { launcher } from "../daemon/cli/run-millrace.ts";
import { findPrometheus, startPrometheus } from "./prometheus.ts";

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(
  readFileSync(
    new URL("../../deploy/grafana/millrace.json", import.meta.url),
    "utf8",
  ),
) as { readonly title: string; readonly panels: readonly Panel[] };

const TOKEN = "a-viewer-for-prometheus";
const OPERATOR = "an-operator-for-the-test";
const isCi = (process.env["CI"] ?? "") !== "" && process.env["CI"] !== "false";

const config = `
daemon:
  listen: 127.0.0.1:0
  inline: false
  # nobody is there: its trigger has its series all the same
  kafka: { brokers: ["127.0.0.1:1"], topic: triggers }
  tokens:
    - { name: prometheus, role: viewer, token: ${TOKEN} }
    - { name: test, role: operator, token: ${OPERATOR} }
syncs:
  numbers:
    source: { kind: generator, url: "generator:?columns=id:int,word:string&rows=ROWS&rate=RATE" }
    destination: { kind: file, path: ./out }
`;

/** A run is at work for several scrapes, and costs nothing meanwhile. */
const RUN_SECONDS = 4;
const RATE = 10_000;
const ROUND_MS = 200;
/** Between runs, and in all: what no run brings forth in two minutes is not there. */
const ROUNDS_PER_RUN = 50;
const ROUNDS_MAX = 600;

async function startDaemon(folder: string) {
  writeFileSync(
    join(folder, "millrace.yaml"),
    config
      .replace("ROWS", String(RUN_SECONDS * RATE))
      .replace("RATE", String(RATE)),
  );
  const child = spawn(
    process.execPath,
    [launcher, "daemon", "-f", "millrace.yaml"],
    {
      cwd: folder,
      env: { PATH: process.env["PATH"] },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const url = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (part: Buffer) => {
      text += part.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
      if (found) resolve(found);
    });
    child.on("exit", () => reject(new Error(`the daemon ended: ${text}`)));
  });
  return {
    url,
    trigger: async () => {
      const { status } = await fetch(`${url}/api/v1/syncs/numbers/runs`, {
        method: "POST",
        headers: { authorization: `Bearer ${OPERATOR}` },
      });
      expect(status).toBe(202);
    },
    stop: async () => {
      const ended = new Promise((resolve) => child.on("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** As Grafana does, for all syncs. */
function fillIn(expression: string): string {
  return expression
    .replaceAll("$__rate_interval", "1m")
    .replaceAll("$sync", ".*");
}

test("panels have names, numbers and places of their own", () => {
  const { panels } = dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  for (const [i, { gridPos: a }] of panels.entries())
    for (const { gridPos: b } of panels.slice(i + 1))
      expect(
        a.x < b.x + b.w &&
          b.x < a.x + a.w &&
          a.y < b.y + b.h &&
          b.y < a.y + a.h,
      ).toBe(false);
});

test(
  "every query of the dashboard returns a series of a live daemon",
  { timeout: 300_000 },
  async ({ skip }) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-grafana-"));
    const found = await findPrometheus(folder);
    if ("missing" in found) {
      expect(isCi, found.missing).toBe(false);
      skip(found.missing);
      return;
    }
    const daemon = await startDaemon(folder);
    const address = new URL(daemon.url).host;
    const prometheus = await startPrometheus(found.path, folder, {
      address,
      token: TOKEN,
    });
    try {
      // those of logs are asked of a daemon that follows one, in e2e/cdc-daemon
      const panels = dashboard.panels.filter(
        ({ title }) => !title.startsWith("Log: "),
      );
      const queries = panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({ title, query: fillIn(expr) })),
      );
      expect(queries.length).toBeGreaterThan(15);
      const open = new Map(queries.map((one) => [one.query, one.title]));
      // runs follow each other until each query has had its answer; some have one only while a run is at work
      await daemon.trigger();
      for (let round = 0; open.size > 0 && round < ROUNDS_MAX; round++) {
        for (const query of open.keys()) {
          const series = await prometheus.query(query);
          const isNumber = series.some(({ value }) => value[1] !== "NaN");
          if (series.length > 0 && isNumber) open.delete(query);
        }
        if (open.size === 0) break;
        if (round % ROUNDS_PER_RUN === ROUNDS_PER_RUN - 1)
          await daemon.trigger();
        await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
      }
      expect([...open.entries()]).toEqual([]);
      await expect
        .poll(async () => (await prometheus.query("min(up)"))[0]?.value[1])
        .toBe("1");
    } finally {
      await prometheus.close();
      await daemon.stop();
      rmSync(folder, { recursive: true });
    }
  },
);
