/** A source that is not ours, under our bookkeeper: each of its records once, whoever is killed and when. */
import {
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import {
  pythonDestination,
  pythonSource,
  readKept,
  readLines,
} from "./support/airbyte.ts";
import {
  signal,
  waitFor,
  type Destination,
  type Role,
} from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import {
  all,
  countDurable,
  readIds,
  readRows,
  ROWS,
  writeSync,
} from "./support/foreign.ts";
import { contentOf, placeOf, WritePipeline } from "./support/write-pipeline.ts";

/** A run that is killed behind its first rows. */
async function killAtWork(
  destination: Destination,
  file: string,
  victim: Role,
): Promise<void> {
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
    {
      states: "GLOBAL",
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
        await killAtWork(destination, file, victim);
        // the connector among them: it must not write beside the next one
        await waitFor(
          "the end of all that it has started",
          () => destination.listAlive().length === 0,
        );
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

test("states of all streams over sockets: all records, and nothing new for the next run", async ({
  destination,
}) => {
  const given = `${destination.root}.states`;
  const file = writeSync(
    destination,
    { states: "GLOBAL", record_state: given },
    { source: { architecture: "socket" } },
  );
  const first = await destination.run("sync", "-f", file);
  expect(first.code).toBe(0);
  expect(readIds(destination.root, "users")).toEqual(all);
  expect(readIds(destination.root, "orders")).toEqual(all);
  const second = await destination.run("sync", "-f", file);
  expect(second.summary?.streams.map(({ rows }) => rows)).toEqual([0, 0]);
  const [, last = ""] = readFileSync(given, "utf8").trimEnd().split("\n");
  expect(JSON.parse(last)).toMatchObject([
    {
      type: "GLOBAL",
      global: {
        shared_state: { seen: 2 * ROWS },
        stream_states: [
          { stream_state: { row: ROWS } },
          { stream_state: { row: ROWS } },
        ],
      },
    },
  ]);
});

test("records of two sockets become one sequence, with its states, for a connector that reads its stdin", async ({
  destination,
}) => {
  const { root, ledgerPath } = destination;
  const file = writeSync(
    destination,
    { namespace: "shop" },
    {
      source: { architecture: "socket" },
      sync: {
        destination: {
          command: ["python3", pythonDestination],
          config: { path: root },
        },
        format: undefined,
        ledger: ledgerPath,
      },
    },
  );
  const { code, stderr } = await destination.run("sync", "-f", file);
  expect(code, stderr).toBe(0);
  for (const stream of ["shop.users", "shop.orders"]) {
    const kept = readKept(root, stream);
    expect(kept).toHaveLength(ROWS);
    expect(new Set(kept).size).toBe(ROWS);
  }
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
    `airbyte:?command=${encodeURIComponent(JSON.stringify(["python3", pythonSource]))}&config=${encodeURIComponent(JSON.stringify({ ...config, ...more }))}`;
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

/** Into files below `written`. */
function writeFiles(
  root: string,
  source: object,
  hasFiles = false,
): WritePipeline {
  return new WritePipeline(root, {
    source,
    hasFiles,
    executable: "destination-file",
    destination: {
      path: join(root, "written"),
      format: { format_type: "JSONL" },
    },
  });
}

test("`write` gives a state back once its rows are durable: killed and started again from it, each record is there once", async ({
  destination,
}) => {
  const pipeline = writeFiles(destination.root, {});
  for (const states of [3, 7]) {
    const ended = pipeline.run();
    await waitFor("states", () => pipeline.states.length >= states);
    pipeline.kill();
    expect(await ended).toBeNull();
  }
  expect(await pipeline.run()).toBe(0);
  pipeline.expectRows(readIds(join(destination.root, "written"), "users"));
  for (const { type } of readLines(pipeline.stdout))
    expect(["STATE", "LOG"]).toContain(type);
  expect(pipeline.states.at(-1)).toMatchObject({
    stream: { stream_state: { row: ROWS } },
    destinationStats: { recordCount: 10 },
  });
});

test("`write` of further streams keeps what a killed one has given states back for", async ({
  destination,
}) => {
  const pipeline = writeFiles(destination.root, {});
  const killed = pipeline.run();
  await waitFor("states", () => pipeline.states.length >= 4);
  pipeline.kill();
  expect(await killed).toBeNull();
  pipeline.configure(["users", "orders"]);
  expect(await pipeline.run(), pipeline.stdout).toBe(0);
  const written = join(destination.root, "written");
  pipeline.expectRows(readIds(written, "users"));
  expect(readIds(written, "orders")).toEqual(all);
});

test("`write` keeps what it has given states back for where the source gives the stream up", async ({
  destination,
}) => {
  const once = `${destination.root}.once`;
  const pipeline = writeFiles(destination.root, {
    ...{ fault: "incomplete", fault_once: once },
  });
  expect(await pipeline.run()).not.toBe(0);
  expect(pipeline.states.length).toBeGreaterThan(0);
  writeFileSync(once, "");
  expect(await pipeline.run(), pipeline.stdout).toBe(0);
  pipeline.expectRows(readIds(join(destination.root, "written"), "users"));
});

test("`write` goes on with a generation that replaces the one before, and not with a part of it under another catalog", async ({
  destination,
}) => {
  const pipeline = writeFiles(destination.root, {});
  const generation = (id: number) => ({
    destination_sync_mode: "overwrite",
    ...{ generation_id: id, minimum_generation_id: id },
  });
  const ids = () => readIds(join(destination.root, "written"), "users");
  pipeline.configure(["users"], generation(2));
  const killed = pipeline.run();
  await waitFor("states", () => pipeline.states.length >= 3);
  pipeline.kill();
  expect(await killed).toBeNull();
  // what has been given back for would be lost
  pipeline.configure(["users", "orders"], generation(2));
  expect(await pipeline.run()).toBe(2);
  expect(JSON.stringify(readLines(pipeline.stdout).at(-1))).toMatch(
    /middle of its generation 2.*refresh.*config_error/,
  );
  pipeline.configure(["users"], generation(2));
  expect(await pipeline.run(), pipeline.stdout).toBe(0);
  pipeline.expectRows(ids());
  // what comes later of the same generation belongs to it, under whichever catalog
  pipeline.configure(["users", "orders"], generation(2));
  expect(await pipeline.run(ROWS + 20), pipeline.stdout).toBe(0);
  pipeline.expectRows(ids(), ROWS + 20);
  pipeline.configure(["users", "orders"], generation(3));
  expect(await pipeline.run(ROWS + 30), pipeline.stdout).toBe(0);
  // the state that came back last is of the other stream: all rows of this one come again, in place of what was there
  expect(ids()).toEqual(Array.from({ length: ROWS + 30 }, (_, i) => 1 + i));
});

test("`write` that gets what is no message says so in a TRACE, and ends by its exit code", async ({
  destination,
}) => {
  const pipeline = writeFiles(destination.root, {
    pause_ms: 0,
    fault: "garbage",
    fault_at: 55,
  });
  expect(await pipeline.run()).toBe(1);
  const trace = readLines(pipeline.stdout).find(({ type }) => type === "TRACE");
  expect(JSON.stringify(trace)).toContain("CONNECTOR_MESSAGE_INVALID");
  expect(JSON.stringify(trace)).toContain('"failure_type":"system_error"');
});

describe("files that go with records", () => {
  /** Of one stream below a folder, by their paths. */
  function readFiles(pattern: string): Map<string, string> {
    return new Map(
      globSync(pattern, { withFileTypes: true }).flatMap((entry) => {
        if (!entry.isFile()) return [];
        const path = join(entry.parentPath, entry.name);
        const inner = path.slice(path.indexOf("/reports/") + 1);
        return [[inner, readFileSync(path, "utf8")]];
      }),
    );
  }

  const expected = new Map(all.map((id) => [placeOf(id), contentOf(id)]));

  test("are there once their rows are, and the manifest names them, whoever is killed", async ({
    destination,
  }) => {
    const stagingDirectory = `${destination.root}-staged`;
    mkdirSync(stagingDirectory);
    const file = writeSync(
      destination,
      { streams: ["users"], files: "good", pause_ms: 4 },
      { source: { files: true, stagingDirectory } },
    );
    await killAtWork(destination, file, "source");
    await killAtWork(destination, file, "destination");
    const { code, stderr } = await destination.run("sync", "-f", file);
    expect(stderr).not.toContain("error ");
    expect(code).toBe(0);
    expect(readIds(destination.root, "users")).toEqual(all);
    const folder = join(destination.root, "public/users");
    const found = readFiles(join(folder, "g*/_files/**"));
    expect(found).toEqual(expected);
    const manifest = JSON.parse(
      readFileSync(join(folder, "_manifest.json"), "utf8"),
    ) as {
      readonly generations: readonly {
        readonly copied: readonly { path: string; bytes: number }[];
      }[];
    };
    const named = manifest.generations.flatMap(({ copied }) => copied);
    expect(named).toHaveLength(ROWS);
    for (const { path, bytes } of named)
      expect(readFileSync(join(destination.root, path)).byteLength, path).toBe(
        bytes,
      );
    // what was staged is gone, with its folder
    expect(readdirSync(stagingDirectory)).toEqual([]);
  });

  test("are copied by `write`, killed and started again from its last state", async ({
    destination,
  }) => {
    const pipeline = writeFiles(destination.root, { files: "good" }, true);
    const killed = pipeline.run();
    await waitFor("states", () => pipeline.states.length >= 3);
    pipeline.kill();
    expect(await killed).toBeNull();
    expect(await pipeline.run()).toBe(0);
    const written = join(destination.root, "written");
    pipeline.expectRows(readIds(written, "users"));
    const found = readFiles(join(written, "public/users/g*/_files/**"));
    expect(found).toEqual(expected);
  });

  test("that lead elsewhere end the read", async ({ destination }) => {
    const file = writeSync(
      destination,
      { streams: ["users"], files: "elsewhere" },
      { source: { files: true } },
    );
    const { summary, code } = await destination.run("sync", "-f", file);
    expect(code).not.toBe(0);
    expect(summary?.error).toMatchObject({
      code: "CONNECTOR_MESSAGE_INVALID",
      message: expect.stringContaining("below the staging folder") as unknown,
    });
  });

  test("go on to a connector of somebody else", async ({ destination }) => {
    const path = `${destination.root}-kept`;
    mkdirSync(path);
    const file = writeSync(
      destination,
      { streams: ["users"], files: "good", namespace: "shop" },
      {
        source: { files: true },
        sync: {
          destination: {
            command: ["python3", pythonDestination],
            config: { path },
          },
          format: undefined,
          mode: "full-refresh-overwrite",
        },
      },
    );
    const { code, stderr } = await destination.run("sync", "-f", file);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const found = readFiles(join(path, "files/**"));
    expect(found).toEqual(expected);
    const kept = readFileSync(join(path, "shop.users.jsonl"), "utf8");
    expect(kept).not.toContain("file_reference");
    expect(kept.trimEnd().split("\n")).toHaveLength(ROWS);
  });
});
