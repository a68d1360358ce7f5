/** The daemon as people run it: by schedule and trigger, stopped, killed, reloaded, refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { signal, waitFor, type Destination } from "./support/command.ts";
import {
  startDaemon,
  writeConfig,
  type StartedDaemon,
} from "./support/daemon.ts";
import { test as base } from "./support/fixtures.ts";
import {
  accounts,
  createTables,
  digestFiles,
  digestTable,
  regions,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const test = base.extend<{
  $file: { digests: ReadonlyMap<TableSpec, Digest> };
}>({
  digests: [
    async ({ database }, use) => {
      await createTables(database.query, [accounts, regions]);
      const digests = new Map<TableSpec, Digest>();
      for (const table of [accounts, regions])
        digests.set(table, await digestTable(database.query, table));
      await use(digests);
    },
    { scope: "file", auto: true },
  ],
});

const daemon = {
  listen: "127.0.0.1:0",
  retry: { backoffMin: "100ms" },
};

/** A sync of one table that checkpoints so often that it can be stopped inside. */
const slow = (url: string, path: string, more: object = {}) => ({
  source: { kind: "postgres", url },
  destination: { kind: "file", path },
  tables: [accounts.name],
  partitionBy: "key",
  checkpointEvery: "50ms",
  channels: 1,
  readers: 1,
  ...more,
});

const small = (url: string, path: string, more: object = {}) => ({
  source: { kind: "postgres", url },
  destination: { kind: "file", path },
  tables: [regions.name],
  ...more,
});

function ended(started: StartedDaemon, sync: string, count = 1) {
  return waitFor(`${count} ended runs of ${sync}`, () => {
    const found = started.summaries(sync);
    return found.length >= count ? found : null;
  });
}

/** Until the run has made something durable and still has something to do. */
function halfway(destination: Destination) {
  return waitFor("a checkpoint of a run at work", () =>
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run && ledger.durableOf(run.runId).length > 0 ? run : null;
    }),
  );
}

const statesOf = (destination: Destination) =>
  destination.look((ledger) =>
    ledger.listQueue({ limit: 100 }).map(({ state }) => state),
  );

test("a schedule runs its sync again and again, a trigger runs another one, and a stop in quiet is in good order", async ({
  database,
  destination,
  digests,
}) => {
  writeConfig(destination, {
    daemon,
    syncs: {
      often: small(database.url, "often", { schedule: "*/2 * * * * *" }),
      asked: small(database.url, "asked"),
    },
  });
  const started = startDaemon(destination);
  const { syncs } = await started.ready();
  expect(syncs.map(({ name }) => name)).toEqual(["often", "asked"]);
  const queueId = await started.trigger("asked");
  const [asked] = await ended(started, "asked");
  expect(asked).toMatchObject({ state: "succeeded" });
  const often = await ended(started, "often", 2);
  expect(new Set(often.map(({ runId }) => runId)).size).toBe(often.length);
  for (const path of ["often", "asked"])
    expect(await digestFiles(join(destination.root, path), regions)).toEqual(
      digests.get(regions),
    );
  signal(started.running.pid, "SIGTERM");
  const { code, stderr } = await started.running.ended;
  expect(code, stderr).toBe(0);
  const entry = destination.look((ledger) => ledger.queuedOf(queueId));
  expect(entry).toMatchObject({ state: "succeeded", runId: asked?.runId });
});

test.for(["SIGTERM", "SIGKILL"] as const)(
  "a run that %s cuts is gone on with by the next daemon, and each row is there once",
  async (how, { database, destination, digests }) => {
    writeConfig(destination, {
      daemon,
      syncs: { shop: slow(database.url, "shop") },
    });
    const first = startDaemon(destination);
    await first.trigger("shop");
    const cut = await halfway(destination);
    signal(first.running.pid, how);
    const { code } = await first.running.ended;
    expect(code).toBe(how === "SIGTERM" ? 0 : null);
    const second = startDaemon(destination);
    const [summary] = await ended(second, "shop");
    expect(summary).toMatchObject({
      runId: cut.runId,
      state: "succeeded",
      epoch: cut.epoch + 1,
    });
    expect(summary?.streams[0]?.rowsKept).toBeGreaterThan(0);
    expect(await digestFiles(join(destination.root, "shop"), accounts)).toEqual(
      digests.get(accounts),
    );
    expect(statesOf(destination)).toEqual(["succeeded"]);
    signal(second.running.pid, "SIGTERM");
    await second.running.ended;
  },
);

test("a source that is away is tried again after a wait, so often as the file says, and others run meanwhile", async ({
  database,
  destination,
}) => {
  writeConfig(destination, {
    daemon: { ...daemon, retry: { attempts: 2, backoffMin: "1s" } },
    syncs: {
      // nobody listens on the port of tcpmux
      away: small("postgres://me@127.0.0.1:1/shop", "away", { attempts: 1 }),
      here: small(database.url, "here"),
    },
  });
  const started = startDaemon(destination);
  const queueId = await started.trigger("away");
  await ended(started, "away");
  await started.trigger("here");
  const [here] = await ended(started, "here");
  expect(here).toMatchObject({ state: "succeeded" });
  const [first, second] = await ended(started, "away", 2);
  expect(first?.error?.code).toBe("SOURCE_UNREACHABLE");
  expect(second?.error?.code).toBe("SOURCE_UNREACHABLE");
  const entry = await waitFor("the end of the entry", () =>
    destination.look((ledger) => {
      const found = ledger.queuedOf(queueId);
      return found.state === "failed" ? found : null;
    }),
  );
  expect(entry).toMatchObject({ attempts: 2 });
  expect(JSON.parse(entry.errorJson ?? "{}")).toMatchObject({
    code: "SOURCE_UNREACHABLE",
  });
});

test("no more run at once than the limits say, no sync twice, and all that is queued is done", async ({
  database,
  destination,
}) => {
  writeConfig(destination, {
    daemon: { ...daemon, concurrency: { runs: 2, perSource: 2 } },
    syncs: Object.fromEntries(
      ["a", "b", "c"].map((name) => [name, small(database.url, name)]),
    ),
  });
  const started = startDaemon(destination);
  for (const name of ["a", "a", "b", "c", "c", "a"])
    await started.trigger(name);
  await waitFor("the end of all", () =>
    statesOf(destination)?.every((state) => state === "succeeded"),
  );
  const atWork = new Map<string, string>();
  let most = 0;
  for (const event of started.events) {
    if (event.type !== "queue.changed") continue;
    if (event.state === "taken") {
      expect([...atWork.values()]).not.toContain(event.sync);
      atWork.set(event.queueId, event.sync);
    } else atWork.delete(event.queueId);
    most = Math.max(most, atWork.size);
  }
  expect(most).toBe(2);
  expect(statesOf(destination)).toHaveLength(6);
});

test("an operator pauses, resumes and cancels a run, and another one replays it", async ({
  database,
  destination,
  digests,
}) => {
  writeConfig(destination, {
    daemon,
    syncs: { shop: slow(database.url, "shop") },
  });
  const started = startDaemon(destination);
  const queueId = await started.trigger("shop");
  const { runId } = await halfway(destination);
  const order = (what: string) =>
    started.call("POST", `/runs/${queueId}/${what}`);
  expect((await order("pause")).status).toBe(202);
  await waitFor("the pause", () => statesOf(destination)?.[0] === "paused");
  expect((await order("pause")).body.error.code).toBe("RUN_STATE");
  expect((await order("resume")).status).toBe(202);
  const [, resumed] = await ended(started, "shop", 2);
  expect(resumed).toMatchObject({ runId, state: "succeeded", epoch: 2 });
  expect((await order("cancel")).body.error.code).toBe("RUN_STATE");

  const again = await started.call("POST", `/runs/${runId}/replay`);
  expect(again.status).toBe(202);
  const replayed = (await ended(started, "shop", 3))[2];
  expect(replayed).toMatchObject({ state: "succeeded", epoch: 1 });
  expect(replayed?.runId).not.toBe(runId);
  const plans = destination.look((ledger) =>
    [runId, replayed?.runId ?? ""].map((id) =>
      ledger.partitionsOf(id, 1).map(({ split }) => split),
    ),
  );
  expect(plans?.[1]).toEqual(plans?.[0]);
  expect(await digestFiles(join(destination.root, "shop"), accounts)).toEqual(
    digests.get(accounts),
  );
});

test("a trigger narrows a run to streams, ranges and windows; what would destroy is refused", async ({
  database,
  destination,
}) => {
  const log = {
    source: { kind: "postgres", url: database.url },
    tables: [accounts.name, regions.name],
  };
  writeConfig(destination, {
    daemon,
    syncs: {
      whole: { ...log, destination: { kind: "file", path: "whole" } },
      grows: {
        ...log,
        tables: [accounts.name],
        mode: "incremental",
        cursor: "id",
        destination: { kind: "file", path: "grows" },
      },
    },
  });
  const started = startDaemon(destination);
  await started.trigger("whole", { streams: [regions.name] });
  const [narrow] = await ended(started, "whole");
  expect(narrow?.streams.map(({ name }) => name)).toEqual([regions.name]);
  await started.trigger("whole", { streams: ["nowhere"] });
  expect((await ended(started, "whole", 2))[1]?.error).toMatchObject({
    code: "SOURCE_TABLE_NOT_FOUND",
  });
  const range = {
    stream: accounts.name,
    column: "id",
    from: "300",
    until: "600",
  };
  const refused = await started.call("POST", "/syncs/whole/runs", {
    ranges: [range],
  });
  expect(refused.body.error.code).toBe("TRIGGER_INVALID");

  const countRows = async (where: string) =>
    Number(
      (
        await database.query(
          `SELECT count(*) AS n FROM accounts WHERE ${where}`,
        )
      )[0].n,
    );
  await started.trigger("grows", { ranges: [range] });
  await ended(started, "grows", 1);
  await started.trigger("grows", { window: { from: "300", to: "600" } });
  await ended(started, "grows", 2);
  await started.trigger("grows", {
    ranges: [{ ...range, from: "1'); DROP TABLE accounts; --" }],
  });
  await ended(started, "grows", 3);
  await started.trigger("grows");
  const [ofRange, ofWindow, ofText, whole] = await ended(started, "grows", 4);
  expect(ofRange?.streams[0]?.rows).toBe(
    await countRows("id >= 300 AND id < 600"),
  );
  expect(ofWindow?.streams[0]?.rows).toBe(
    await countRows("id > 300 AND id <= 600"),
  );
  expect(ofText?.streams[0]?.error).toMatchObject({
    code: "SOURCE_QUERY_FAILED",
  });
  expect(whole?.streams[0]?.rows).toBe(await countRows("true"));
});

test("SIGHUP takes a new file over and says what is different; a faulty one changes nothing", async ({
  database,
  destination,
}) => {
  const syncs = {
    one: small(database.url, "one"),
    two: small(database.url, "two"),
  };
  writeConfig(destination, { daemon, syncs });
  const started = startDaemon(destination);
  await started.ready();
  const file = join(destination.root, "millrace.yaml");
  writeFileSync(
    file,
    JSON.stringify({ daemon: { drian: 1 }, syncs: { one: {} } }),
  );
  signal(started.running.pid, "SIGHUP");
  const words = await waitFor(
    "the faults",
    () =>
      started.running.stderr().includes("syncs.one.destination") &&
      started.running.stderr(),
  );
  expect(words).toContain("did you mean `drain`?");
  expect(words).toContain("stays as it was");
  await started.trigger("two");
  await ended(started, "two");

  writeConfig(destination, {
    daemon: { ...daemon, concurrency: { runs: 3 } },
    syncs: {
      one: small(database.url, "one", { schedule: "0 3 * * * Europe/Zurich" }),
      three: small(database.url, "three"),
    },
  });
  signal(started.running.pid, "SIGHUP");
  const told = await waitFor("the difference", () =>
    started.events.find(({ type }) => type === "config.reloaded"),
  );
  expect(told).toMatchObject({
    changes: [
      "sync one: schedule none -> 0 3 * * * Europe/Zurich",
      "sync two: removed",
      "sync three: added",
      "daemon.limits.runs: 8 -> 3",
    ],
  });
  await started.trigger("three");
  await ended(started, "three");
  const answer = await started.call("POST", "/syncs/two/runs", {});
  expect(answer.body.error.code).toBe("SYNC_NOT_FOUND");
});

test("two daemons on one ledger: the second is refused by name, and so is a sync beside one", async ({
  database,
  destination,
}) => {
  const file = writeConfig(destination, {
    daemon,
    syncs: { shop: small(database.url, "shop") },
  });
  const first = startDaemon(destination);
  await first.ready();
  const second = await startDaemon(destination).running.ended;
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`RUN_LOCKED`);
  expect(second.stderr).toContain(String(first.running.pid));
  const sync = await destination.start("sync", "-f", file).ended;
  expect(sync.code).toBe(1);
  expect(sync.stderr).toContain("millrace trigger");
});

test("a ledger that cannot be written is named, and the daemon does not start", async ({
  database,
  destination,
}) => {
  const folder = join(destination.root, "blocked");
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), "");
  writeConfig(destination, {
    ledger: "blocked/file/ledger.sqlite",
    daemon,
    syncs: { shop: small(database.url, "shop") },
  });
  const { code, stderr } = await startDaemon(destination).running.ended;
  expect(code).toBe(2);
  expect(stderr).toContain("DESTINATION_UNWRITABLE");
  expect(stderr).toContain("blocked/file");
});
