/** A source that is not ours, under our bookkeeper: each of its records once, whoever is killed and when. */
import { spawn, type ChildProcess } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect } from "vitest";
import { repositoryRoot, toolEnv } from "../arrows.ts";
import { builtLauncher } from "../fixtures/built.ts";
import { readLines } from "./support/airbyte.ts";
import {
  signal,
  waitFor,
  type Destination,
  type Running,
} from "./support/command.ts";
import { test } from "./support/fixtures.ts";

const script = join(repositoryRoot, "test/fixtures/airbyte/source.py");
const ROWS = 240;
const all = Array.from({ length: ROWS }, (_, i) => i + 1);

function writeSync(
  { root }: Destination,
  config: object,
  more: { readonly source?: object; readonly sync?: object } = {},
): string {
  const file = join(root, "..", `${root.split("/").at(-1)}.yaml`);
  const sync = {
    source: {
      command: ["python3", "-S", "-E", script],
      config: {
        streams: ["users", "orders"],
        rows: ROWS,
        state_every: 10,
        ...config,
      },
      ...more.source,
    },
    destination: { kind: "file", path: root },
    format: "jsonl",
    mode: "incremental",
    attempts: 1,
    checkpointEvery: "100ms",
    ...more.sync,
  };
  writeFileSync(file, JSON.stringify({ syncs: { things: sync } }));
  return file;
}

function readRows(root: string, stream: string): Record<string, unknown>[] {
  return globSync(join(root, `**/${stream}/g*/p*.jsonl`)).flatMap((path) =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  );
}

function readIds(root: string, stream: string): number[] {
  return readRows(root, stream)
    .map(({ id }) => Number(id))
    .toSorted((a, b) => a - b);
}

function countDurable({ events }: Running): number {
  const rows = new Map<string, number>();
  for (const event of events)
    if (event.type === "stream.progress")
      rows.set(event.stream.name, event.rowsDurable);
  return [...rows.values()].reduce((sum, one) => sum + one, 0);
}

describe("each record is there once, whoever is killed", () => {
  test.for([
    {
      states: "STREAM",
      architecture: "stdio",
      victims: ["bookkeeper", "source"],
    },
    {
      states: "GLOBAL",
      architecture: "stdio",
      victims: ["destination"],
    },
    {
      states: "STREAM",
      architecture: "socket",
      victims: ["source"],
    },
  ] as const)(
    "$states states over $architecture",
    async ({ states, architecture, victims }, { destination }) => {
      const file = writeSync(
        destination,
        { states, pause_ms: 4 },
        { source: { architecture } },
      );
      for (const victim of victims) {
        const running = destination.start("sync", "-f", file);
        const before = countDurable(running);
        await waitFor(
          "rows that are durable",
          () => running.isOver() || countDurable(running) > before,
        );
        const pid = running.find(victim);
        if (pid !== null) signal(pid, "SIGKILL");
        await running.ended;
      }
      const { code, stderr } = await destination.run("sync", "-f", file);
      expect(stderr).not.toContain("error ");
      expect(code).toBe(0);
      expect(readIds(destination.root, "users")).toEqual(all);
      expect(readIds(destination.root, "orders")).toEqual(all);
    },
  );
});

test("a connector that is killed ends the run with the reason, and the next run goes on from its last state", async ({
  destination,
}) => {
  const once = join(
    destination.root,
    "..",
    `${destination.root.split("/").at(-1)}.once`,
  );
  const states = `${once}.states`;
  const file = writeSync(destination, {
    fault: "kill",
    fault_at: 105,
    fault_once: once,
    record_state: states,
  });
  const first = await destination.run("sync", "-f", file);
  expect(first.summary?.error?.code).toBe("CONNECTOR_FAILED");
  expect(first.stderr).toContain("signal SIGKILL");
  const second = await destination.run("sync", "-f", file);
  expect(second.code).toBe(0);
  expect(readIds(destination.root, "users")).toEqual(all);
  expect(readIds(destination.root, "orders")).toEqual(all);
  // and a run of its own finds nothing new
  const third = await destination.run("sync", "-f", file);
  expect(third.summary?.streams.map(({ rows }) => rows)).toEqual([0, 0]);
  const given = readFileSync(states, "utf8").trimEnd().split("\n");
  expect(given[0]).toBe("null");
  expect(given[2]).toContain(`"row": ${ROWS}, "exact": 12345678901234567890`);
  const told = destination.look((ledger) => {
    const [run] = ledger.listRuns({ limit: 10 }).slice(-1);
    return ledger.eventsOf(run?.runId ?? "");
  });
  expect(JSON.stringify(told)).toContain("status STARTED");
});

test("columns that tell of the record, and one stream that its source gives up", async ({
  destination,
}) => {
  const file = writeSync(
    destination,
    { fault: "incomplete", namespace: "shop" },
    { source: { meta: ["_airbyte_extracted_at", "_airbyte_meta"] } },
  );
  const { code, summary } = await destination.run("sync", "-f", file);
  expect(code).toBe(4);
  expect(
    summary?.streams.map(({ name, state, error }) => [
      name,
      state,
      error?.code ?? null,
    ]),
  ).toEqual([
    ["users", "committed", null],
    ["orders", "failed", "CONNECTOR_STREAM_INCOMPLETE"],
  ]);
  const [row] = readRows(destination.root, "users");
  expect(row?.["_airbyte_meta"]).toMatchObject({ changes: [] });
  expect(row?.["_airbyte_extracted_at"]).toMatch(/^20/);
});

test("check, discover and plan ask the connector", async ({ destination }) => {
  const config = { streams: ["users"], rows: 3, key: "wrong" };
  const url = (more: object): string =>
    `airbyte:?command=${encodeURIComponent(JSON.stringify(["python3", script]))}&config=${encodeURIComponent(JSON.stringify({ ...config, ...more }))}`;
  const refused = await destination.run("check", url({}));
  expect(refused.stderr).toContain("the key is wrong");
  expect(refused.stderr).not.toContain('"key"');
  const found = destination.start("discover", url({ key: "right" }));
  await found.ended;
  expect(JSON.stringify(found.events)).toContain("users");
  const planned = destination.start("plan", url({ key: "right" }));
  await planned.ended;
  expect(JSON.stringify(planned.events)).toContain("in its own order");
});

/** `source.py read | destination-file write`, as a platform runs them: what came back is what it knows. */
class Pipeline {
  readonly #root: string;
  readonly #files: Record<string, string> = {};
  stdout = "";
  #write: ChildProcess | null = null;

  constructor(root: string, config: object) {
    this.#root = root;
    const columns = { id: { type: "integer" } };
    this.#put("source", {
      streams: ["users"],
      rows: ROWS,
      state_every: 10,
      pause_ms: 4,
      ...config,
    });
    this.#put("destination", {
      path: join(root, "written"),
      format: { format_type: "JSONL" },
      checkpoint_interval_seconds: 0.05,
    });
    this.#put("catalog", {
      streams: [
        {
          stream: { name: "users", json_schema: { properties: columns } },
          sync_mode: "incremental",
          destination_sync_mode: "append",
          generation_id: 1,
          minimum_generation_id: 0,
          sync_id: 1,
        },
      ],
    });
  }

  #put(name: string, value: unknown): void {
    const path = join(
      this.#root,
      "..",
      `${this.#root.split("/").at(-1)}-${name}.json`,
    );
    writeFileSync(path, JSON.stringify(value));
    this.#files[name] = path;
  }

  get states(): unknown[] {
    return readLines(this.stdout).flatMap(({ type, state }) =>
      type === "STATE" ? [state] : [],
    );
  }

  run(): Promise<number | null> {
    const { source = "", catalog = "", destination = "" } = this.#files;
    const known = this.states.at(-1);
    this.#put("state", known === undefined ? [] : [known]);
    const read = spawn(
      "python3",
      [
        "-S",
        "-E",
        script,
        "read",
        "--config",
        source,
        "--catalog",
        catalog,
        "--state",
        this.#files["state"] ?? "",
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const write = spawn(
      process.execPath,
      [
        join(dirname(builtLauncher()), "destination-file.js"),
        ...["write", "--config", destination, "--catalog", catalog],
      ],
      {
        env: { ...toolEnv, MILLRACE_SOURCES: undefined },
        stdio: [read.stdout, "pipe", "ignore"],
      },
    );
    read.stdout.destroy();
    this.#write = write;
    write.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    return new Promise((resolve) => {
      write.on("close", (code) => {
        read.kill("SIGKILL");
        resolve(code);
      });
    });
  }

  kill(): void {
    this.#write?.kill("SIGKILL");
  }
}

test("`write` gives a state back once its rows are durable: killed and started again from it, each record is there once", async ({
  destination,
}) => {
  const pipeline = new Pipeline(destination.root, {});
  for (const states of [3, 7]) {
    const ended = pipeline.run();
    await waitFor("states", () => pipeline.states.length >= states);
    pipeline.kill();
    expect(await ended).toBeNull();
  }
  expect(await pipeline.run()).toBe(0);
  expect(readIds(join(destination.root, "written"), "users")).toEqual(all);
  for (const { type } of readLines(pipeline.stdout))
    expect(["STATE", "LOG"]).toContain(type);
  expect(pipeline.states.at(-1)).toMatchObject({
    stream: { stream_state: { row: ROWS } },
    destinationStats: { recordCount: 10 },
  });
});

test("`write` that gets what is no message says so in a TRACE, and ends by its exit code", async ({
  destination,
}) => {
  const pipeline = new Pipeline(destination.root, {
    pause_ms: 0,
    fault: "garbage",
    fault_at: 55,
  });
  expect(await pipeline.run()).toBe(1);
  const trace = readLines(pipeline.stdout).find(({ type }) => type === "TRACE");
  expect(JSON.stringify(trace)).toContain("CONNECTOR_MESSAGE_INVALID");
  expect(JSON.stringify(trace)).toContain('"failure_type":"system_error"');
});
