/** Orders to one reader of a run from MySQL and MariaDB, whose sessions cannot join the snapshot a second time. */
import { join } from "node:path";
import { describe, expect } from "vitest";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { watchRun, type SeenActor } from "../e2e/support/actors.ts";
import {
  type Destination,
  signal,
  useDestination,
  waitFor,
} from "../e2e/support/command.ts";
import { startDaemon, writeConfig } from "../e2e/support/daemon.ts";
import { testOn, type MysqlFixture } from "../fixtures/mysql.ts";

const ROWS = 32_768;

/** About 50 MB: several partitions of the least size. */
async function createOrders({ query }: MysqlFixture): Promise<void> {
  await query(
    "CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(2000) CHARACTER SET latin1 NOT NULL)",
  );
  await query("INSERT INTO orders VALUES (1, repeat(md5('1'), 48))");
  for (let rows = 1; rows < ROWS; rows *= 2)
    await query(
      `INSERT INTO orders SELECT id + ${rows}, repeat(md5(id + ${rows}), 48) FROM orders`,
    );
  await query("ANALYZE TABLE orders");
}

const isReader = ({ machine, isOver }: SeenActor): boolean =>
  machine === "reader" && !isOver;

describe.each([
  { flavour: "mysql", where: "processes of its own", inline: false },
  {
    flavour: "mariadb",
    where: "the daemon's thread",
    inline: { firstRuns: true, threads: 1 },
  },
] as const)("$flavour, in $where", ({ flavour, inline }) => {
  const test = testOn(flavour).extend<{ destination: Destination }>({
    destination: useDestination,
  });

  test("a reader is paused, resumed and told to read again, a finished one is refused, and each row is there once", async ({
    server,
    destination,
  }) => {
    await createOrders(server);
    writeConfig(destination, {
      daemon: { listen: "127.0.0.1:0", inline },
      syncs: {
        shop: {
          source: { kind: "mysql", url: server.url },
          destination: { kind: "file", path: "shop" },
          // some rows take the server a moment, so that there is somebody to order
          where: "id % 6 > 0 OR sleep(0.001) = 0",
          partitionSize: "16MiB",
          checkpointEvery: "50ms",
          channels: 2,
          readers: 2,
        },
      },
    });
    const started = startDaemon(destination);
    await started.trigger("shop");
    const run = await watchRun(started, destination, "shop");
    const reader = await run.find(
      "a reader at work",
      (actor) => isReader(actor) && actor.state === "reading",
    );
    const isThis = ({ id }: SeenActor): boolean => id === reader.id;
    expect(await run.order(reader, "pause")).toMatchObject({ status: 200 });
    await run.find("the pause", (one) => isThis(one) && one.state === "paused");
    expect(await run.order(reader, "pause")).toMatchObject({ status: 409 });
    await waitFor("the end of the other readers", () =>
      run.actors().every((actor) => !isReader(actor) || isThis(actor)),
    );
    expect(started.summaries("shop")).toEqual([]);
    expect(await run.order(reader, "resume")).toMatchObject({ status: 200 });
    await run.find(
      "it at work",
      (one) => isThis(one) && one.state === "reading",
    );
    expect(await run.order(reader, "retry")).toMatchObject({ status: 200 });
    const summary = await waitFor("the end of the run", () =>
      started.summaries("shop").at(-1),
    );
    expect(summary).toMatchObject({ state: "succeeded" });
    expect(summary.streams[0]?.partitions).toBeGreaterThan(1);
    expect((await run.order(reader, "retry")).status).not.toBe(200);
    const files = join(destination.root, "shop", server.database, "orders");
    const [found] = await queryDuckDb(
      `SELECT count(*)::int, count(DISTINCT id)::int, min(id)::int, max(id)::int,
         (count(*) FILTER (WHERE note <> repeat(md5(id::varchar), 48)))::int
       FROM read_parquet('${files}/**/*.parquet')`,
    );
    expect(found).toEqual([ROWS, ROWS, 1, ROWS, 0]);
    signal(started.running.pid, "SIGTERM");
    await started.running.ended;
  });
});
