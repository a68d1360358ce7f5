import { createServer } from "node:net";
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { describe, expect, test } from "../../../fixtures/postgres.ts";

const connect = (url: string): Promise<PostgresConnection> =>
  PostgresConnection.connect(parseSourceUrl(url));

test("the session is the one that readers rely on", async ({ pg }) => {
  const connection = await connect(pg.url);
  expect(Math.trunc(connection.serverVersion / 10_000)).toBe(pg.serverVersion);
  const [row] = await connection.query(`
    SELECT pg_backend_pid() AS pid, '1 day 02:03'::interval::text AS i, date '2024-02-03'::text AS d,
      timestamptz '2024-02-03 00:00+02'::text AS t, 0.1::float4::float8::text AS f, '\\x00ff'::bytea::text AS b,
      current_setting('statement_timeout') AS statement, current_setting('idle_in_transaction_session_timeout') AS idle,
      current_setting('synchronize_seqscans') AS sync, current_setting('max_parallel_workers_per_gather') AS workers,
      now() AS now`);
  expect(row).toMatchObject({
    pid: connection.backendPid,
    i: "P1DT2H3M",
    d: "2024-02-03",
    t: "2024-02-02 22:00:00+00",
    f: "0.10000000149011612",
    b: "\\x00ff",
    statement: "0",
    idle: "0",
    sync: "off",
    workers: "0",
    now: expect.stringMatching(/^\d{4}-.*\+00$/),
  });
  await connection.close();
  expect(connection.usable).toBe(false);
});

describe("snapshots", () => {
  test("a shared snapshot hides what came later, and is begun again at will", async ({
    pg,
  }) => {
    await pg.query("CREATE TABLE t AS SELECT 1 AS a");
    const keeper = await connect(pg.url);
    const reader = await connect(pg.url);
    await keeper.beginSnapshot(null);
    const [snapshot] = await keeper.query<{ id: string; visible: string }>(
      "SELECT pg_export_snapshot() AS id, pg_current_snapshot()::text AS visible",
    );
    if (snapshot === undefined) throw new Error("no snapshot");
    await pg.query("INSERT INTO t VALUES (2)");
    for (let round = 0; round < 2; round++) {
      await reader.beginSnapshot(snapshot);
      expect(await reader.query("SELECT a FROM t")).toEqual([{ a: 1 }]);
      await expect(reader.query("SELECT 1 / 0")).rejects.toMatchObject({
        code: "SOURCE_QUERY_FAILED",
      });
    }
    await expect(
      reader.beginSnapshot({ ...snapshot, visible: "1:1:" }),
    ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    await reader.endSnapshot();
    await keeper.close();
    await expect(reader.beginSnapshot(snapshot)).rejects.toMatchObject({
      code: "SOURCE_SNAPSHOT_LOST",
    });
    await expect(
      reader.beginSnapshot({ id: "no'such", visible: "" }),
    ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    await reader.close();
  });

  test("a snapshot is for reading only", async ({ pg }) => {
    const connection = await connect(pg.url);
    await connection.beginSnapshot(null);
    await expect(
      connection.query("CREATE TABLE t (a int)"),
    ).rejects.toMatchObject({ code: "SOURCE_QUERY_FAILED" });
    await connection.close();
  });
});

test("a statement is cancelled, and the next one is not", async ({ pg }) => {
  const connection = await connect(pg.url);
  const sleeping = expect(
    connection.query("SELECT pg_sleep(60)"),
  ).rejects.toMatchObject({ details: { sqlState: "57014" } });
  let isOver = false;
  for (let i = 0; i < 200 && !isOver; i++) {
    const [activity] = await pg.query<{ state: string }>(
      "SELECT state FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
      [connection.backendPid],
    );
    if (activity === undefined) continue;
    isOver = await connection.cancelQuery();
  }
  expect(isOver).toBe(true);
  await sleeping;
  expect(await connection.cancelQuery()).toBe(true);
  expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await connection.close();
});

test("a lock that is not granted is waited for no longer than the bound, and named", async ({
  pg,
}) => {
  await pg.query("CREATE TABLE locked (id int)");
  const holder = await connect(pg.url);
  await holder.query("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE");
  const connection = await connect(pg.url);
  const [bound] = await connection.query<{ lock_timeout: string }>(
    "SHOW lock_timeout",
  );
  expect(bound?.lock_timeout).toBe("15s");
  await connection.query("SET lock_timeout = 50");
  await expect(
    connection.query("SELECT count(*) FROM locked"),
  ).rejects.toMatchObject({
    code: "SOURCE_LOCKED",
    details: { sqlState: "55P03" },
  });
  await holder.close();
  await connection.close();
});

describe("failures to connect", () => {
  test("nobody listens", async () => {
    await expect(connect("postgres://u@127.0.0.1:1/d")).rejects.toMatchObject({
      code: "SOURCE_UNREACHABLE",
      message: expect.stringContaining("127.0.0.1:1"),
    });
  });

  test("a host without an address", async () => {
    await expect(
      connect("postgres://u@no-such-host.invalid/d"),
    ).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE" });
  });

  test("a server that never answers", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) =>
      silent.listen(0, "127.0.0.1", resolve),
    );
    const address = silent.address();
    if (address === null || typeof address === "string")
      throw new Error("no port");
    await expect(
      connect(`postgres://u@127.0.0.1:${address.port}/d?connect_timeout=1`),
    ).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE" });
    silent.close();
  });

  test("no such database, no such user, no TLS", async ({ pg }) => {
    const url = new URL(pg.url);
    const at = (change: (changed: URL) => void): string => {
      const changed = new URL(url);
      change(changed);
      return changed.href;
    };
    await expect(
      connect(at((to) => (to.pathname = "/nowhere"))),
    ).rejects.toMatchObject({ code: "SOURCE_DATABASE_NOT_FOUND" });
    await expect(
      connect(at((to) => (to.username = "nobody_here"))),
    ).rejects.toMatchObject({ code: "SOURCE_AUTH_FAILED" });
    await expect(
      connect(at((to) => to.searchParams.set("sslmode", "require"))),
    ).rejects.toMatchObject({ code: "SOURCE_TLS_FAILED" });
  });
});

test("a role without rights is told so", async ({ pg }) => {
  const role = `r_${new URL(pg.url).pathname.slice(6)}`;
  await pg.query(`CREATE TABLE secret (a int)`);
  await pg.query(`CREATE ROLE ${role} LOGIN`);
  try {
    const url = new URL(pg.url);
    url.username = role;
    const connection = await connect(url.href);
    await expect(
      connection.query("SELECT * FROM secret"),
    ).rejects.toMatchObject({ code: "SOURCE_PERMISSION_DENIED" });
    await connection.close();
  } finally {
    await pg.query(`DROP ROLE ${role}`);
  }
});
