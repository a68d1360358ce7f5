import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { discover } from "../../../../connectors/sources/postgres/discover.ts";
import { HeldSnapshot } from "../../../../connectors/sources/postgres/snapshot.ts";
import type { LockTarget } from "../../../../connectors/sources/source.ts";
import type { PostgresStream } from "../../../../connectors/sources/postgres/stream.ts";
import type { ExtractError } from "../../../../proto/error.ts";
import type { PostgresFixture } from "../../../fixtures/postgres.ts";
import {
  describe,
  discoverOne,
  expect,
  select,
  test as base,
  type Sessions,
} from "./session.ts";

interface Held {
  open(onLost?: (error: ExtractError) => void): Promise<HeldSnapshot>;
}

/** Snapshots that are closed after the test. */
const test = base.extend<{ held: Held }>({
  held: async ({ sessions }, use) => {
    const opened: HeldSnapshot[] = [];
    await use({
      open: async (onLost) => {
        const options = onLost === undefined ? {} : { onLost };
        const snapshot = await HeldSnapshot.open(sessions.config, options);
        opened.push(snapshot);
        return snapshot;
      },
    });
    for (const snapshot of opened) await snapshot.close();
  },
});

const targets = (...streams: PostgresStream[]): LockTarget[] =>
  streams.flatMap((stream) => [...stream.leaves]);

/** Discovers under the snapshot, as a run does. */
async function discoverUnder(
  { connection }: Sessions,
  snapshot: HeldSnapshot,
  name: string,
): Promise<PostgresStream> {
  await connection.beginSnapshot(snapshot.ref);
  const stream = await discoverOne(connection, name);
  await connection.endSnapshot();
  return stream;
}

/** Whether a statement of another session is kept waiting by a lock. */
async function isBlocked(pg: PostgresFixture, sql: string): Promise<boolean> {
  try {
    await pg.query(`BEGIN; SET LOCAL lock_timeout = '100ms'; ${sql}; ROLLBACK`);
    return false;
  } catch (error) {
    await pg.query("ROLLBACK");
    if ((error as { code?: string }).code === "55P03") return true;
    throw error;
  }
}

test("all connections of a run see the same rows", async ({
  pg,
  sessions: { config, connection },
  held,
}) => {
  await pg.query("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
  const snapshot = await held.open();
  await pg.query("INSERT INTO t VALUES (2)");
  const second = await PostgresConnection.connect(config);
  for (const reader of [connection, second]) {
    await reader.beginSnapshot(snapshot.ref);
    expect(await reader.query("SELECT id FROM t")).toEqual([{ id: 1 }]);
  }
  await second.close();
  expect(snapshot.ref.visible).toMatch(/^\d+:\d+:[\d,]*$/);
});

test("the snapshot ends with close()", async ({ sessions, held }) => {
  const snapshot = await held.open();
  await snapshot.close();
  await expect(
    sessions.connection.beginSnapshot(snapshot.ref),
  ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
});

describe("DDL cannot empty a partition", () => {
  test.for([
    { name: "TRUNCATE", ddl: "TRUNCATE t" },
    { name: "a rewriting ALTER", ddl: "ALTER TABLE t ALTER id TYPE bigint" },
    { name: "VACUUM FULL", ddl: "VACUUM FULL t" },
    { name: "CLUSTER", ddl: "CLUSTER t USING t_pkey" },
  ])(
    "$name between snapshot and lock is found out",
    async ({ ddl }, { pg, sessions, held }) => {
      await pg.query(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE u (id int)",
      );
      const snapshot = await held.open();
      const t = await discoverUnder(sessions, snapshot, "t");
      const u = await discoverUnder(sessions, snapshot, "u");
      await pg.query(ddl);
      await expect(snapshot.lockRelations(targets(u, t))).rejects.toMatchObject(
        {
          code: "SOURCE_SNAPSHOT_LOST",
          details: { table: "public.t", reason: "rewritten" },
        },
      );
      // nothing stays locked, and a new snapshot is free of the fault
      expect(await isBlocked(pg, "TRUNCATE t, u")).toBe(false);
      const next = await held.open();
      const again = await discoverUnder(sessions, next, "t");
      expect(await next.lockRelations(targets(again))).toEqual([]);
    },
  );

  test("a rewrite that discovery did not see yet is found out by its file", async ({
    pg,
    sessions,
    held,
  }) => {
    await pg.query("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    const before = await discoverOne(sessions.connection, "t");
    await pg.query("TRUNCATE t; INSERT INTO t VALUES (2)");
    const snapshot = await held.open();
    await expect(snapshot.lockRelations(targets(before))).rejects.toMatchObject(
      { details: { reason: "rewritten" } },
    );
  });

  test("once locked, it waits until the snapshot lets go", async ({
    pg,
    sessions,
    held,
  }) => {
    await pg.query("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    const snapshot = await held.open();
    const t = await discoverUnder(sessions, snapshot, "t");
    expect(await snapshot.lockRelations(targets(t))).toEqual([]);
    expect(await isBlocked(pg, "TRUNCATE t")).toBe(true);
    expect(await isBlocked(pg, "DROP TABLE t")).toBe(true);
    expect(await isBlocked(pg, "INSERT INTO t VALUES (2)")).toBe(false);
    await snapshot.unlockAll();
    expect(await isBlocked(pg, "TRUNCATE t")).toBe(false);
    // the snapshot is still there
    await sessions.connection.beginSnapshot(snapshot.ref);
    expect(await snapshot.lockRelations(targets(t))).toEqual([]);
    await snapshot.close();
    expect(await isBlocked(pg, "TRUNCATE t")).toBe(false);
  });

  test("each leaf of a partitioned table is locked", async ({
    pg,
    sessions,
    held,
  }) => {
    await pg.query(`
      CREATE TABLE p (id int) PARTITION BY RANGE (id);
      CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE p_2 PARTITION OF p DEFAULT`);
    const snapshot = await held.open();
    const p = await discoverUnder(sessions, snapshot, "p");
    await snapshot.lockRelations(targets(p));
    for (const name of ["p", "p_1", "p_2"]) {
      expect(await isBlocked(pg, `TRUNCATE ${name}`)).toBe(true);
    }
  });

  test("a root that is read as a whole is locked with its children", async ({
    pg,
    sessions: { connectAs, createRole, config },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE p (id int) PARTITION BY RANGE (id);
      CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      GRANT SELECT ON p TO ${role}`);
    const reader = await connectAs(role);
    const { streams } = await discover(reader, select({ include: ["p"] }));
    const snapshot = await HeldSnapshot.open({
      ...config,
      user: role,
      password: "reader",
    });
    expect(await snapshot.lockRelations(targets(...streams))).toEqual([]);
    expect(await isBlocked(pg, "TRUNCATE p_1")).toBe(true);
    await snapshot.close();
  });

  test("a view is locked with the tables that it reads, and they are checked too", async ({
    pg,
    sessions,
    held,
  }) => {
    await pg.query(`
      CREATE TABLE t (id int); INSERT INTO t VALUES (1);
      CREATE VIEW v AS SELECT id FROM t;
      CREATE MATERIALIZED VIEW m AS SELECT id FROM t`);
    const snapshot = await held.open();
    const v = await discoverUnder(sessions, snapshot, "v");
    const m = await discoverUnder(sessions, snapshot, "m");
    expect(await snapshot.lockRelations(targets(v, m))).toEqual([]);
    expect(await isBlocked(pg, "TRUNCATE t")).toBe(true);
    expect(await isBlocked(pg, "REFRESH MATERIALIZED VIEW m")).toBe(true);
    await snapshot.unlockAll();
    await pg.query("TRUNCATE t");
    await expect(snapshot.lockRelations(targets(v))).rejects.toMatchObject({
      details: { table: "public.t", reason: "rewritten" },
    });
  });
});

describe("what cannot be locked", () => {
  test.for([
    { name: "dropped", ddl: "DROP TABLE t" },
    { name: "renamed", ddl: "ALTER TABLE t RENAME TO other" },
    { name: "moved", ddl: "CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s" },
    {
      name: "replaced by another of its name",
      ddl: "ALTER TABLE t RENAME TO other; CREATE TABLE t (id int)",
    },
  ])(
    "a table that was $name is named",
    async ({ ddl }, { pg, sessions, held }) => {
      await pg.query("CREATE TABLE t (id int); CREATE TABLE u (id int)");
      const snapshot = await held.open();
      const t = await discoverUnder(sessions, snapshot, "t");
      const u = await discoverUnder(sessions, snapshot, "u");
      await pg.query(ddl);
      await expect(snapshot.lockRelations(targets(u, t))).rejects.toMatchObject(
        {
          code: "SOURCE_SCHEMA_CHANGED",
          details: { table: "public.t" },
        },
      );
      expect(await snapshot.lockRelations(targets(u))).toEqual([]);
    },
  );

  test("without the right to read, it is a problem and the others are locked", async ({
    pg,
    sessions: { config, createRole, connection },
  }) => {
    const role = await createRole();
    await pg.query(`
      CREATE TABLE open (id int); CREATE TABLE closed (id int);
      CREATE TABLE partly (id int, secret text);
      CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int);
      GRANT SELECT ON open, hidden.t TO ${role}; GRANT SELECT (id) ON partly TO ${role}`);
    const { streams } = await discover(connection, select());
    const snapshot = await HeldSnapshot.open({
      ...config,
      user: role,
      password: "reader",
    });
    const problems = await snapshot.lockRelations(targets(...streams));
    expect(problems.map((one) => `${one.schema}.${one.name}`).sort()).toEqual([
      "hidden.t",
      "public.closed",
    ]);
    expect(problems[0]?.message).toMatch(/permission denied/);
    expect(await isBlocked(pg, "TRUNCATE open")).toBe(true);
    expect(await isBlocked(pg, "TRUNCATE partly")).toBe(true);
    expect(await isBlocked(pg, "TRUNCATE closed")).toBe(false);
    await snapshot.close();
  });

  test("odd names are quoted", async ({ pg, sessions, held }) => {
    await pg.query(
      `CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."we""ird. Table" (id int)`,
    );
    const snapshot = await held.open();
    const odd = await discoverUnder(sessions, snapshot, 'we"ird. Table');
    expect(await snapshot.lockRelations(targets(odd))).toEqual([]);
    expect(await isBlocked(pg, `TRUNCATE "a.b"."we""ird. Table"`)).toBe(true);
  });
});

test("many tables are locked at once", async ({ pg, sessions, held }) => {
  await pg.query(`
    DO $$ BEGIN FOR i IN 1..200 LOOP
      EXECUTE format('CREATE TABLE t%s (id int)', i);
    END LOOP; END $$`);
  const snapshot = await held.open();
  const { streams } = await discover(sessions.connection, select());
  expect(streams).toHaveLength(200);
  expect(await snapshot.lockRelations(targets(...streams))).toEqual([]);
  expect(await isBlocked(pg, "TRUNCATE t1")).toBe(true);
  expect(await isBlocked(pg, "TRUNCATE t200")).toBe(true);
});

test("a lost transaction is told once", async ({ pg, held }) => {
  const { promise, resolve } = Promise.withResolvers<ExtractError>();
  let calls = 0;
  await held.open((error) => {
    calls += 1;
    resolve(error);
  });
  await pg.query(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()`);
  expect(await promise).toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
  expect(calls).toBe(1);
});

test("the server's time-outs do not end it", async ({ pg, held }) => {
  const [row] = await pg.query<{ name: string }>(
    "SELECT current_database() AS name",
  );
  await pg.query(
    `ALTER DATABASE ${row?.name} SET idle_in_transaction_session_timeout = '50ms'`,
  );
  let isLost = false;
  const snapshot = await held.open(() => (isLost = true));
  await pg.query("SELECT pg_sleep(0.3)");
  await pg.query("CREATE TABLE t (id int)");
  await expect(snapshot.lockRelations([])).resolves.toEqual([]);
  await snapshot.unlockAll();
  expect(isLost).toBe(false);
});
