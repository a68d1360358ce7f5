/** Orders to one actor of a run, as the page's buttons give them: paused, resumed, read again, cancelled. */
import { join } from "node:path";
import { expect } from "vitest";
import { watchRun, type SeenActor } from "./support/actors.ts";
import { signal, waitFor, type Destination } from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test as base } from "./support/fixtures.ts";
import {
  accounts,
  createTables,
  digestFiles,
  digestTable,
  lines,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const test = base.extend<{
  $file: { digests: ReadonlyMap<TableSpec, Digest> };
}>({
  digests: [
    async ({ database }, use) => {
      await createTables(database.query, [accounts, lines]);
      const digests = new Map<TableSpec, Digest>();
      for (const table of [accounts, lines])
        digests.set(table, await digestTable(database.query, table));
      await use(digests);
    },
    { scope: "file", auto: true },
  ],
});

/** Some rows take the server a moment, so that there is somebody to order. */
const begin = (
  destination: Destination,
  url: string,
  tables: readonly TableSpec[],
  inline: object | false = false,
) => {
  writeConfig(destination, {
    daemon: { listen: "127.0.0.1:0", retry: { backoffMin: "100ms" }, inline },
    syncs: {
      shop: {
        source: { kind: "postgres", url },
        destination: { kind: "file", path: "shop" },
        tables: tables.map(({ name }) => name),
        where: "random() < 0.96 OR pg_sleep(0.001) IS NOT NULL",
        partitionBy: "key",
        partitionSize: "16MiB",
        checkpointEvery: "50ms",
        channels: 2,
        readers: 2,
      },
    },
  });
  return startDaemon(destination);
};

const isReader = ({ machine, isOver }: SeenActor): boolean =>
  machine === "reader" && !isOver;
const isReading = (actor: SeenActor): boolean =>
  isReader(actor) && actor.state === "reading";

const summaryOf = (started: ReturnType<typeof startDaemon>) =>
  waitFor("the end of the run", () => started.summaries("shop").at(-1));

const warningsOf = ({ events }: ReturnType<typeof startDaemon>): string[] =>
  events.flatMap((event) =>
    event.type === "run.event" && event.event.type === "warning"
      ? [event.event.message]
      : [],
  );

/** Where source, destination and keeper live. */
const placements = [
  { where: "processes of its own", inline: false },
  { where: "the daemon's thread", inline: { firstRuns: true, threads: 1 } },
] as const;

test.for(placements)(
  "one reader of a run in $where is paused while the others read all the rest; resumed and read again, each row is there once",
  async ({ inline }, { database, destination, digests }) => {
    const started = begin(destination, database.url, [accounts], inline);
    await started.trigger("shop");
    const run = await watchRun(started, destination, "shop");
    const reader = await run.find("a reader at work", isReading);
    expect(await run.order(reader, "pause")).toMatchObject({ status: 200 });
    const isThis = (actor: SeenActor) => actor.id === reader.id;
    await run.find(
      "the pause",
      (actor) => isThis(actor) && actor.state === "paused",
    );
    const again = await run.order(reader, "pause");
    expect(again.status).toBe(409);
    expect(JSON.stringify(again.body)).toMatch(/it is paused/);
    await waitFor("the end of the other readers", () =>
      run.actors().every((actor) => !isReader(actor) || isThis(actor)),
    );
    expect(started.summaries("shop")).toEqual([]);
    expect(await run.order(reader, "resume")).toMatchObject({ status: 200 });
    await run.find("it at work", (actor) => isThis(actor) && isReading(actor));
    expect(await run.order(reader, "retry")).toMatchObject({ status: 200 });
    expect(await summaryOf(started)).toMatchObject({ state: "succeeded" });
    expect(await digestFiles(join(destination.root, "shop"), accounts)).toEqual(
      digests.get(accounts),
    );
    const told = warningsOf(started).join("\n");
    for (const what of ["paused", "resumed", "told to read again"])
      expect(told).toMatch(new RegExp(`partition \\S+ was ${what}`));
    signal(started.running.pid, "SIGTERM");
    await started.running.ended;
  },
);

test.for(placements)(
  "one stream of two in $where is cancelled: it has failed by name, and the other is whole",
  async ({ inline }, { database, destination, digests }) => {
    const started = begin(destination, database.url, [accounts, lines], inline);
    await started.trigger("shop");
    const run = await watchRun(started, destination, "shop");
    await run.find("a reader at work", isReading);
    const [stream] = run
      .actors()
      .filter(({ machine }) => machine === "streamRun")
      .toSorted((a, b) => a.name.localeCompare(b.name));
    if (!stream) throw new Error("no stream is seen");
    expect(await run.order(stream, "retry")).toMatchObject({ status: 409 });
    expect(await run.order(stream, "cancel")).toMatchObject({ status: 200 });
    const summary = await summaryOf(started);
    expect(summary).toMatchObject({ state: "partlyFailed", exitCode: 4 });
    const number = Number(stream.name.split(":")[1]);
    const cancelled = summary.streams.find((one) => one.number === number);
    expect(cancelled).toMatchObject({
      state: "failed",
      error: { code: "STREAM_CANCELLED", message: "cancelled by operator" },
    });
    const [other] = summary.streams.filter((one) => one.number !== number);
    expect(other).toMatchObject({ state: "committed" });
    const table = [accounts, lines].find(({ name }) => name === other?.name);
    if (!table) throw new Error("no other stream");
    expect(await digestFiles(join(destination.root, "shop"), table)).toEqual(
      digests.get(table),
    );
    signal(started.running.pid, "SIGTERM");
    await started.running.ended;
  },
);

test("a run whose stream is paused stops at once with its daemon, and the next one reads all that is left", async ({
  database,
  destination,
  digests,
}) => {
  const started = begin(destination, database.url, [accounts]);
  await started.trigger("shop");
  const run = await watchRun(started, destination, "shop");
  await run.find("a reader at work", isReading);
  const stream = await run.find(
    "its stream",
    ({ machine }) => machine === "streamRun",
  );
  expect(await run.order(stream, "pause")).toMatchObject({ status: 200 });
  await waitFor(
    "readers that are all paused",
    () =>
      !run
        .actors()
        .some((actor) => isReader(actor) && actor.state !== "paused"),
  );
  signal(started.running.pid, "SIGTERM");
  expect((await started.running.ended).code).toBe(0);
  const second = startDaemon(destination);
  expect(await summaryOf(second)).toMatchObject({ state: "succeeded" });
  expect(await digestFiles(join(destination.root, "shop"), accounts)).toEqual(
    digests.get(accounts),
  );
  signal(second.running.pid, "SIGTERM");
  await second.running.ended;
});
