import { spawn, type ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test as base, vi } from "vitest";
import { launcher, runMillrace } from "./run-millrace.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const ROWS = 5000;
const secrets = {
  viewer: "viewer-secret-0123456789",
  operator: "operator-secret-0123456789",
  salt: "the-salt-of-the-hash-0123456789",
  password: "pass-of-postgres-0123456789",
};

/** One sync works, one is refused by a server that is not there. */
const config = `
daemon:
  listen: 127.0.0.1:0
  retry: { attempts: 1 }
  tokens:
    - { name: dashboard, role: viewer, token: "\${VIEWER}" }
    - { name: night-shift, role: operator, token: "\${OPERATOR}" }
syncs:
  numbers:
    source: { kind: generator, url: "generator:?columns=id:int,word:string&rows=${ROWS}" }
    destination: { kind: file, path: ./out }
    mappers:
      - steps: [{ hash: { columns: [word], salt: "\${SALT}" } }]
  broken:
    source: { kind: postgres, url: "postgres://me:\${PASSWORD}@127.0.0.1:1/shop" }
    destination: { kind: file, path: ./broken }
    attempts: 1
`;

interface Served {
  readonly folder: string;
  readonly url: string;
  readonly log: () => string;
  readonly cli: (...args: string[]) => ReturnType<typeof runMillrace>;
}

async function serve(
  folder: string,
): Promise<{ child: ChildProcess; url: string; log: () => string }> {
  writeFileSync(join(folder, "millrace.yaml"), config);
  const child = spawn(
    process.execPath,
    [
      launcher,
      "daemon",
      "-f",
      "millrace.yaml",
      "--json",
      "--log-level",
      "debug",
    ],
    {
      cwd: folder,
      env: {
        PATH: process.env["PATH"],
        XDG_STATE_HOME: join(folder, "state"),
        VIEWER: secrets.viewer,
        OPERATOR: secrets.operator,
        SALT: secrets.salt,
        PASSWORD: secrets.password,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let text = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (part: Buffer): void => {
      text += part.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text);
      if (found) resolve(found[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", () => reject(new Error(`the daemon ended: ${text}`)));
  });
  return { child, url, log: () => text };
}

const test = base.extend<{ served: Served }>({
  served: [
    // oxlint-disable-next-line no-empty-pattern -- vitest reads the fixtures from the pattern
    async ({}, use) => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-clients-"));
      const { child, url, log } = await serve(folder);
      await use({
        folder,
        url,
        log,
        cli: (...args) =>
          runMillrace(args, {
            cwd: folder,
            env: {
              XDG_STATE_HOME: join(folder, "state"),
              MILLRACE_DAEMON: url,
              MILLRACE_TOKEN: secrets.operator,
            },
          }),
      });
      const ended = new Promise((resolve) => child.on("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true });
    },
    { scope: "file" },
  ],
});

test("trigger --wait ends with what the run ended with", async ({
  served: { cli },
}) => {
  const good = await cli("trigger", "numbers", "--wait");
  expect(good.stderr).toContain("waiting for its end");
  expect(good.stdout).toMatch(/^r-\S+ succeeded: 5,000 rows in /);
  expect(good.exitCode).toBe(0);
  const bad = await cli("trigger", "broken", "--wait", "--json");
  expect(JSON.parse(bad.stdout)).toMatchObject({
    state: "failed",
    error: { code: "SOURCE_UNREACHABLE" },
  });
  expect(bad.exitCode).toBe(3);
});

test("a run can be listed, looked at, run again and retried", async ({
  served: { cli },
}) => {
  const listed = await cli("runs", "--daemon", "--json");
  const { runs } = JSON.parse(listed.stdout) as {
    runs: { runId: string; sync: string; rows: number }[];
  };
  const run = runs.find(({ sync }) => sync === "numbers");
  expect(run?.rows).toBe(ROWS);
  const runId = run?.runId ?? "";
  expect((await cli("runs", "--daemon")).stdout).toMatch(
    new RegExp(`${runId}\\s+numbers\\s+.* 5,000\\s+succeeded`),
  );
  const logs = await cli("logs", runId);
  expect(logs.stdout).toContain("run.started");
  expect(logs.stdout).toContain("run.succeeded");
  const replayed = await cli("replay", runId, "--json");
  const { queueId } = JSON.parse(replayed.stdout) as { queueId: string };
  const followed = await cli("logs", queueId, "--follow");
  expect(followed.exitCode).toBe(0);
  expect((await cli("runs", "--daemon", "--limit", "1")).stdout).toContain(
    "succeeded",
  );
  expect((await cli("retry", "broken")).stdout).toContain("is queued again");
});

test("a sync is looked at: how it fares, what happened to it; to copy a stream anew takes an admin", async ({
  served: { cli },
}) => {
  await cli("trigger", "numbers", "--wait");
  const { sync, counts, streams } = JSON.parse(
    (await cli("syncs", "numbers", "--json")).stdout,
  ) as {
    sync: { name: string; isPaused: boolean };
    counts: { runs: number; successRate: number };
    streams: { stream: string; runs: number; successRate: number }[];
  };
  expect(sync).toMatchObject({ name: "numbers", isPaused: false });
  expect(counts.runs).toBeGreaterThan(0);
  expect(counts.successRate).toBe(1);
  expect(streams).toMatchObject([{ runs: counts.runs, successRate: 1 }]);
  const stream = streams[0]?.stream ?? "";
  const shown = (await cli("syncs", "numbers", "--days", "1")).stdout;
  expect(shown).toContain(stream);
  expect(shown).toContain("100.0 % succeeded");
  expect((await cli("syncs")).stdout).toMatch(/numbers.*\n.*broken/);

  // to forget what is known is an admin's order
  const refused = await cli("backfill", "numbers", stream);
  expect(refused.stderr).toContain("error DAEMON_REFUSED: ");
  await cli("pause", "numbers");
  await cli("resume", "numbers", "--daemon");
  const past = (await cli("logs", "numbers", "--json")).stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; details: object });
  const kinds = past.map(({ kind }) => kind);
  expect(kinds.slice(-2)).toEqual(["sync.paused", "sync.resumed"]);
  expect(past.at(-1)?.details).toEqual({ caller: "night-shift" });
  expect(kinds).toContain("run.succeeded");
});

test("syncs are paused and resumed; what makes no sense is refused by name", async ({
  served: { cli },
}) => {
  expect((await cli("pause", "numbers")).stdout).toContain("is paused");
  const waiting = JSON.parse(
    (await cli("trigger", "numbers", "--json")).stdout,
  ) as {
    queueId: string;
  };
  expect((await cli("runs", "--daemon")).stdout).toMatch(
    new RegExp(`${waiting.queueId}\\s+numbers\\s.*queued`),
  );
  expect((await cli("cancel", waiting.queueId)).stdout).toContain("cancelled");
  expect((await cli("resume", "numbers", "--daemon")).stdout).toContain(
    "no longer paused",
  );

  const refusals = [
    [["cancel", waiting.queueId], "RUN_STATE", 2],
    [["cancel", "q-999999"], "RUN_NOT_FOUND", 2],
    [["cancel", "numbers"], "RUN_NOT_FOUND", 2],
    [["trigger", "nonsense"], "SYNC_NOT_FOUND", 2],
    [
      ["trigger", "numbers", "--token", "wrong-token-0123456789"],
      "DAEMON_REFUSED",
      2,
    ],
    [["pause", "numbers", "--token", secrets.viewer], "DAEMON_REFUSED", 2],
    [
      ["trigger", "numbers", "--daemon", "127.0.0.1:9"],
      "DAEMON_UNREACHABLE",
      3,
    ],
    [["trigger", "numbers", "--daemon", "ftp://x"], "USAGE", 2],
  ] as const;
  for (const [args, code, exitCode] of refusals) {
    const outcome = await cli(...args);
    expect(outcome.stderr).toContain(`error ${code}: `);
    expect(outcome.exitCode, outcome.stderr).toBe(exitCode);
  }
  const away = await cli("runs", "--daemon", "http://127.0.0.1:9");
  expect(away.stderr).toContain("no daemon answers at http://127.0.0.1:9");
  expect(away.stderr).toContain("millrace daemon -f millrace.yaml");
});

test("no secret of the configuration is in any answer, metric, log line or file", async ({
  served: { url, log, folder },
}) => {
  const get = async (path: string): Promise<string> => {
    const response = await fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${secrets.viewer}` },
    });
    expect(response.status, path).toBe(200);
    return response.text();
  };
  const { runs } = JSON.parse(await get("/api/v1/runs")) as {
    runs: { runId: string }[];
  };
  expect(runs.length).toBeGreaterThan(2);
  const said = [
    await get("/api/v1/syncs"),
    await get("/api/v1/syncs/broken"),
    await get("/api/v1/queue"),
    await get("/metrics"),
    await get("/api/openapi.json"),
    log(),
    readFileSync(join(folder, ".millrace", "ledger.sqlite"), "latin1"),
    readFileSync(join(folder, ".millrace", "ledger.sqlite-wal"), "latin1"),
  ];
  for (const { runId } of runs)
    for (const part of [
      "",
      "/streams",
      "/partitions",
      "/states",
      "/plan",
      "/timeline",
    ])
      said.push(await get(`/api/v1/runs/${runId}${part}`));
  expect(said.join("")).toContain("127.0.0.1:1/shop");
  for (const secret of Object.values(secrets))
    expect(said.filter((text) => text.includes(secret))).toEqual([]);
  expect(existsSync(join(folder, ".millrace", "daemon.json"))).toBe(false);
});
