/** A destination that is not ours, under our bookkeeper: whatever it does wrong ends the run with the reason. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { pythonDestination, readKept } from "./support/airbyte.ts";
import { waitFor, type Destination, type Ended } from "./support/command.ts";
import { test as base } from "./support/fixtures.ts";
import { ROWS as WRITTEN } from "./support/foreign.ts";
import { WritePipeline } from "./support/write-pipeline.ts";

const ROWS = 5_000;

const test = base.extend<{ $file: { url: string } }>({
  url: [
    async ({ database }, use) => {
      await database.query(`
        CREATE TABLE orders AS SELECT id, 'name ' || id AS name, (id * 1.37)::numeric(12, 2) AS amount
          FROM generate_series(1, ${ROWS}) AS id;
        ALTER TABLE orders ADD PRIMARY KEY (id);
        CREATE TABLE nothing (id int PRIMARY KEY);
        CREATE SCHEMA big;
        -- more than a socket and what is on both of its sides hold
        CREATE TABLE big.wide AS SELECT n, repeat(md5(n::text), 60) AS text FROM generate_series(1, 3000) AS n;
        ANALYZE`);
      await use(database.url);
    },
    { scope: "file" },
  ],
});

/** A file of one sync into the Python destination; runs it. */
function run(
  {
    root,
    run: start,
    ledgerPath,
  }: Pick<Destination, "root" | "ledgerPath"> & {
    run: (...args: string[]) => Promise<Ended>;
  },
  url: string,
  settings: object,
  config: object = {},
  tables = "public.*",
): Promise<Ended> {
  const file = join(root, "millrace.yaml");
  const sync = {
    source: { kind: "postgres", url },
    destination: {
      command: ["python3", pythonDestination],
      config: { path: root, password: "hunter2", ...config },
      ...settings,
    },
    tables: [tables],
    attempts: 1,
    ledger: ledgerPath,
  };
  writeFileSync(file, JSON.stringify({ syncs: { orders: sync } }));
  return start("sync", "-f", file);
}

function runIn(destination: Destination) {
  return (
    url: string,
    settings: object,
    config: object = {},
    tables?: string,
  ) =>
    run(
      {
        root: destination.root,
        ledgerPath: destination.ledgerPath,
        run: (...args) => destination.run(...args),
      },
      url,
      settings,
      config,
      tables,
    );
}

describe.each([
  { name: "stdin", settings: {} },
  {
    name: "sockets, JSON lines",
    settings: { architecture: "socket", format: "jsonl" },
  },
  {
    name: "sockets, protobuf",
    settings: { architecture: "socket", format: "protobuf" },
  },
])("a destination by $name", ({ settings }) => {
  test("has every row once, and a second run replaces them", async ({
    destination,
    url,
  }) => {
    for (const config of [{}, { patient: true }]) {
      const { code, summary, stderr } = await runIn(destination)(
        url,
        settings,
        config,
      );
      expect(stderr).toBe("");
      expect(code).toBe(0);
      expect(
        summary?.streams.map(({ name, rows, state }) => [name, rows, state]),
      ).toEqual([
        ["nothing", 0, "committed"],
        ["orders", ROWS, "committed"],
      ]);
      const kept = readKept(destination.root, "public.orders");
      expect(kept).toHaveLength(ROWS);
      expect(new Set(kept).size).toBe(ROWS);
      expect(readKept(destination.root, "public.nothing")).toEqual([]);
    }
  });
});

describe("a destination that", () => {
  const faults = [
    {
      name: "dies at its start",
      fault: "start",
      code: "CONNECTOR_FAILED",
      words: "no licence",
    },
    {
      name: "gives up in the middle, and says why",
      fault: "die",
      code: "CONNECTOR_TRANSIENT_ERROR",
      words: "the disk is full",
    },
    {
      name: "counts other records",
      fault: "miscount",
      code: "CONNECTOR_COUNT_MISMATCH",
      words: "and the destination says that it has",
    },
    {
      name: "gives a state back twice",
      fault: "repeat",
      code: "CONNECTOR_MESSAGE_INVALID",
      words: "a second time",
    },
    {
      name: "ends well and has forgotten its states",
      fault: "forget",
      code: "CONNECTOR_STATE_MISSING",
      words: "before it ended",
    },
    {
      name: "does not end",
      fault: "linger",
      code: "CONNECTOR_SILENT",
      words: "did not end within 1500 ms",
      settings: { stateDeadline: 1.5 },
    },
    {
      name: "never connects to its sockets",
      fault: "absent",
      code: "CHANNEL_START_TIMEOUT",
      words: "did not connect",
      settings: { architecture: "socket", connectDeadline: 1 },
    },
    {
      name: "stops taking records",
      fault: "sleep",
      code: "PEER_STALLED",
      words: "took nothing for 1000 ms",
      settings: { stallDeadline: 1 },
      tables: "big.wide",
    },
  ];

  test.for(faults)(
    "$name ends the run by $code",
    async (
      { fault, code, words, settings = {}, tables },
      { destination, url },
    ) => {
      const run = runIn(destination);
      const ended = await run(url, settings, { fault }, tables);
      expect(ended.summary?.state).not.toBe("succeeded");
      expect(ended.code).not.toBe(0);
      expect(ended.summary?.error).toMatchObject({
        code,
        message: expect.stringContaining(words) as unknown,
      });
      expect(ended.stderr).not.toContain("hunter2");
    },
  );
});

test("`destination-postgres write` is killed and goes on from the last state: each record is there once", async ({
  destination,
  database,
}) => {
  const { hostname, port, pathname, username, password } = new URL(
    database.url,
  );
  const pipeline = new WritePipeline(destination.root, {
    executable: "destination-postgres",
    destination: {
      host: hostname,
      port: Number(port),
      database: pathname.slice(1),
      username,
      password,
      schema: "written",
    },
  });
  for (const states of [3, 7]) {
    const ended = pipeline.run();
    await waitFor("states", () => pipeline.states.length >= states);
    pipeline.kill();
    expect(await ended).toBeNull();
  }
  expect(await pipeline.run(), pipeline.stdout).toBe(0);
  const rows = await database.query<{ id: string }>(
    "SELECT id FROM written.users ORDER BY id",
  );
  pipeline.expectRows(rows.map(({ id }) => Number(id)));
  expect(pipeline.states.at(-1)).toMatchObject({
    stream: { stream_state: { row: WRITTEN } },
    destinationStats: { recordCount: 10 },
  });
});
