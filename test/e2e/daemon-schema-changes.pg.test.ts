/** A daemon whose sync pauses for tables that change: it waits for somebody, over restarts, and then goes on once. */
import { join } from "node:path";
import { expect } from "vitest";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { test as base } from "../fixtures/postgres.ts";
import {
  type Destination,
  signal,
  useDestination,
  waitFor,
} from "./support/command.ts";
import {
  startDaemon,
  writeConfig,
  type StartedDaemon,
} from "./support/daemon.ts";

const test = base.extend<{ destination: Destination }>({
  destination: useDestination,
});

const daemon = { listen: "127.0.0.1:0", retry: { attempts: 1 } };

const sync = (url: string, path: string, more: object = {}) => ({
  source: { kind: "postgres", url },
  destination: { kind: "file", path },
  schemaChanges: "pause",
  ...more,
});

async function run(started: StartedDaemon, name: string, body: object = {}) {
  const before = started.summaries(name).length;
  const queueId = await started.trigger(name, body);
  const summary = await waitFor(
    `the end of ${queueId}`,
    () => started.summaries(name)[before],
  );
  await waitFor("the entry's end", async () => {
    const { body: entry } = await started.call("GET", `/queue/${queueId}`);
    return ["succeeded", "failed"].includes(entry.state);
  });
  return summary;
}

async function stop(started: StartedDaemon): Promise<void> {
  signal(started.running.pid, "SIGTERM");
  const { code, stderr } = await started.running.ended;
  expect(code, stderr).toBe(0);
}

async function columnsOf(root: string, table: string): Promise<string[]> {
  const rows = await queryDuckDb(
    `DESCRIBE SELECT * FROM '${join(root, "public", table, "**/*.parquet")}'`,
  );
  return rows.map(([name]) => String(name));
}

test("pause: the sync waits and says for what; resuming it is the agreement, for those tables, until they are committed", async ({
  pg,
  destination,
}) => {
  const out = join(destination.root, "out");
  await pg.query("CREATE TABLE t (id int PRIMARY KEY, a int)");
  await pg.query("CREATE TABLE other (id int PRIMARY KEY)");
  await pg.query("INSERT INTO t VALUES (1, 10)");
  writeConfig(destination, {
    daemon,
    syncs: { shop: sync(pg.url, "out") },
  });
  const first = startDaemon(destination);
  expect(await run(first, "shop")).toMatchObject({ state: "succeeded" });
  await pg.query("ALTER TABLE t ADD c text");
  const refused = await run(first, "shop");
  expect(refused).toMatchObject({ state: "partlyFailed" });
  const { body: waiting } = await first.call("GET", "/syncs/shop");
  expect(waiting).toMatchObject({
    isPaused: true,
    pause: {
      kind: "schema",
      runId: refused.runId,
      streams: [
        {
          stream: "public.t",
          change: "new: c",
          difference: { added: ["c"], removed: [], changed: [] },
        },
      ],
      more: 0,
    },
  });
  expect(first.events.find(({ type }) => type === "sync.paused")).toMatchObject(
    { sync: "shop", why: "public.t has changed (new: c)" },
  );
  // what is asked for meanwhile waits
  const held = await first.trigger("shop");
  await stop(first);

  const second = startDaemon(destination);
  expect((await second.call("GET", `/queue/${held}`)).body.state).toBe(
    "queued",
  );
  expect((await second.call("GET", "/syncs/shop")).body.pause).toEqual(
    waiting.pause,
  );
  // nobody has been shown this one
  await pg.query("ALTER TABLE other ADD d text");
  expect((await second.call("POST", "/syncs/shop/resume")).status).toBe(202);
  const agreed = await waitFor("the run that waited", () =>
    second.summaries("shop").at(0),
  );
  const states = new Map(
    agreed.streams.map(({ name, state }) => [name, state]),
  );
  expect(states).toEqual(
    new Map([
      ["t", "committed"],
      ["other", "failed"],
    ]),
  );
  expect(await columnsOf(out, "t")).toEqual(["id", "a", "c"]);
  expect(await columnsOf(out, "other")).toEqual(["id"]);
  await waitFor("the second pause", async () => {
    const { body } = await second.call("GET", "/syncs/shop");
    return body.pause?.streams[0].stream === "public.other";
  });
  await second.call("POST", "/syncs/shop/resume");
  await stop(second);

  // agreed to before the restart, and used after it
  const third = startDaemon(destination);
  expect(await run(third, "shop")).toMatchObject({ state: "succeeded" });
  expect(await columnsOf(out, "other")).toEqual(["id", "d"]);
  // and used up
  await pg.query("ALTER TABLE other DROP d");
  expect(await run(third, "shop")).toMatchObject({ state: "partlyFailed" });
  const { body: timeline } = await third.call(
    "GET",
    "/syncs/shop/timeline?limit=100",
  );
  const kinds = timeline.events.map(({ kind }: { kind: string }) => kind);
  const count = (kind: string) =>
    kinds.filter((one: string) => one === kind).length;
  expect(count("schema.paused")).toBe(3);
  expect(count("schema.agreed")).toBe(2);
  expect(count("run.started")).toBe(5);
  // t refused; t agreed to, other refused; other agreed to; other refused again
  expect(count("schema.changed")).toBe(5);
  expect(timeline.events).toContainEqual(
    expect.objectContaining({
      kind: "schema.agreed",
      details: { caller: "local", to: "public.t has changed (new: c)" },
    }),
  );
  // the same, page by page
  const paged: object[] = [];
  let before = "";
  for (;;) {
    const { body } = await third.call(
      "GET",
      `/syncs/shop/timeline?limit=3${before}`,
    );
    paged.push(...body.events);
    if (body.next === null) break;
    before = `&before=${body.next}`;
  }
  expect(paged).toEqual(timeline.events);
  const { body: counts } = await third.call("GET", "/syncs/shop/counts");
  expect(counts).toMatchObject({ runs: 5, successRate: 2 / 5 });
  const { body: streams } = await third.call("GET", "/syncs/shop/streams");
  expect(streams).toMatchObject({
    total: 2,
    streams: [
      { stream: "public.other", runs: 5, successRate: 3 / 5 },
      { stream: "public.t", runs: 5, successRate: 4 / 5 },
    ],
  });
  const { body: ofStream } = await third.call(
    "GET",
    "/syncs/shop/streams/t/runs?limit=2",
  );
  expect(ofStream).toMatchObject({
    stream: "public.t",
    runs: 5,
    history: [{ state: "committed" }, { state: "committed", rows: 1 }],
  });
  expect(ofStream.next).toBe(ofStream.history[1].runId);
  await stop(third);
});

test("a new column is filled back by a run of its stream alone, in place of what is there", async ({
  pg,
  destination,
}) => {
  const out = join(destination.root, "out");
  await pg.query("CREATE TABLE t (id int PRIMARY KEY, a int)");
  await pg.query("CREATE TABLE other (id int PRIMARY KEY)");
  await pg.query("INSERT INTO t SELECT n, n FROM generate_series(1, 5) n");
  writeConfig(destination, {
    daemon,
    syncs: {
      shop: sync(pg.url, "out", {
        mode: "incremental-append",
        cursor: "id",
        schemaChanges: "propagate",
      }),
    },
  });
  const started = startDaemon(destination);
  await run(started, "shop");
  await pg.query("ALTER TABLE t ADD c int DEFAULT 7");
  await pg.query("INSERT INTO t VALUES (6, 6, 8)");
  await run(started, "shop");
  const read = () =>
    queryDuckDb(
      `SELECT count(*)::int, count(c)::int FROM read_parquet('${join(out, "public/t/**/*.parquet")}', union_by_name = true)`,
    );
  expect(await read()).toEqual([[6, 1]]);
  const { status, body } = await started.call(
    "POST",
    "/syncs/shop/streams/t/backfill",
  );
  expect(status).toBe(202);
  const filled = await waitFor("the back-fill", () =>
    started.summaries("shop").at(2),
  );
  expect(filled).toMatchObject({ state: "succeeded" });
  expect(filled.streams.map(({ name }) => name)).toEqual(["t"]);
  expect(await read()).toEqual([[6, 6]]);
  const { body: entry } = await started.call("GET", `/queue/${body.queueId}`);
  expect(entry).toMatchObject({
    origin: { kind: "api", caller: "local" },
    scope: { streams: ["public.t"] },
  });
  const unknown = await started.call(
    "POST",
    "/syncs/shop/streams/public.tt/backfill",
  );
  expect(unknown.body.error).toMatchObject({ code: "TRIGGER_INVALID" });
  expect(unknown.body.error.message).toContain("did you mean public.t?");
  await stop(started);
});

test("a run that fails before it could read is named by its entry", async ({
  destination,
}) => {
  writeConfig(destination, {
    daemon,
    syncs: {
      away: sync("postgres://me@127.0.0.1:1/shop", "out", { attempts: 1 }),
    },
  });
  const started = startDaemon(destination);
  const summary = await run(started, "away");
  expect(summary).toMatchObject({ state: "failed" });
  const { body } = await started.call("GET", "/queue?sync=away");
  expect(body.queue).toMatchObject([
    {
      state: "failed",
      runId: summary.runId,
      error: { code: "SOURCE_UNREACHABLE" },
    },
  ]);
  await stop(started);
});
