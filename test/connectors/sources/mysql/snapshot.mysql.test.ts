import { vi } from "vitest";
import type { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import {
  HeldSnapshot,
  type HeldSnapshotOptions,
} from "../../../../connectors/sources/mysql/snapshot.ts";
import { joinSnapshot } from "../../../../connectors/sources/mysql/snapshot-ref.ts";
import type { MysqlStream } from "../../../../connectors/sources/mysql/stream.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import type { LockTarget } from "../../../../connectors/sources/source.ts";
import type { ExtractError } from "../../../../proto/error.ts";
import type { MysqlFixture } from "../../../fixtures/mysql.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  sessionsOn,
} from "./sessions.ts";

function targetsOf({ leaves }: MysqlStream): LockTarget[] {
  return leaves.map(({ schema, name, oid, fileNode }) => ({
    schema,
    name,
    oid,
    fileNode,
  }));
}

/** Writes a row into each of two tables, in one transaction, until told to stop. */
function keepWriting(server: MysqlFixture): { stop(): Promise<void> } {
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      await server.query(
        "BEGIN; INSERT INTO a VALUES (); INSERT INTO b VALUES (); COMMIT",
      );
    }
  })();
  return {
    stop: () => {
      isOver = true;
      return done;
    },
  };
}

const twoTables = `CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY);
  CREATE TABLE b (id INT AUTO_INCREMENT PRIMARY KEY)`;

async function countBoth(
  connection: MysqlConnection,
): Promise<Record<"a" | "b", number>> {
  const [row] = await connection.query<Record<"a" | "b", number>>(
    "SELECT (SELECT COUNT(*) FROM a) AS a, (SELECT COUNT(*) FROM b) AS b",
  );
  return row ?? { a: -1, b: -2 };
}

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour).extend<{
    hold: (url: string, options?: HeldSnapshotOptions) => Promise<HeldSnapshot>;
  }>({
    // oxlint-disable-next-line no-empty-pattern -- vitest wants the fixtures that are used
    hold: async ({}, use) => {
      const held: HeldSnapshot[] = [];
      await use(async (url, options = {}) => {
        const one = await HeldSnapshot.open(parseSourceUrl(url, {}), options);
        held.push(one);
        return one;
      });
      for (const one of held) await one.close();
    },
  });

  test("all sessions see one state of a server that is written to, and others write on", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query(twoTables);
    const writer = keepWriting(server);
    const snapshot = await hold(server.url);
    expect(snapshot.rung).toBe("global");
    expect(snapshot.warnings).toEqual([]);
    const joined: MysqlConnection[] = [];
    for (let i = 0; i < 4; i++) {
      const session = await sessions.connect(server.url);
      await joinSnapshot(session, snapshot.ref);
      joined.push(session);
      await new Promise((done) => setTimeout(done, 10));
    }
    const [first] = joined;
    if (first === undefined) return;
    const stream = await discoverOne(first, "a");
    expect(await snapshot.lockRelations(targetsOf(stream))).toEqual([]);
    const before = await countBoth(first);
    await vi.waitFor(async () => {
      const now = await countBoth(sessions.connection);
      expect(now.a).toBeGreaterThan(before.a);
    });
    await writer.stop();
    for (const session of joined) {
      expect(await countBoth(session)).toEqual(before);
    }
    expect(before.a).toBe(before.b);
  });

  test("its position is that of its last transaction", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query(twoTables);
    const writer = keepWriting(server);
    const snapshot = await hold(server.url);
    const session = await sessions.connect(server.url);
    await joinSnapshot(session, snapshot.ref);
    await snapshot.lockRelations([]);
    await writer.stop();
    const { file, offset } = JSON.parse(snapshot.ref.visible);
    // the rows that the log holds behind the position are those that the snapshot does not show
    const seen = await countBoth(session);
    const now = await countBoth(sessions.connection);
    const events = await server.query(
      `SHOW BINLOG EVENTS IN '${file}' FROM ${offset} LIMIT 100000`,
    );
    const own = events.filter(
      ({ Event_type, Info }) =>
        /^Table_map|^Annotate_rows/.test(Event_type) &&
        String(Info).includes(server.database) &&
        Event_type === "Table_map",
    );
    expect(own.length).toBe(now.a - seen.a + now.b - seen.b);
    expect(snapshot.position.gtid).toMatch(
      flavour === "mysql" ? /^[0-9a-f-]{36}:1-\d+/ : /^\d+-\d+-\d+/,
    );
  });

  test("who comes when the server was let go is told so", async ({
    server,
    sessions,
    hold,
  }) => {
    const snapshot = await hold(server.url);
    await joinSnapshot(sessions.connection, snapshot.ref);
    await joinSnapshot(sessions.connection, snapshot.ref);
    await snapshot.lockRelations([]);
    await expect(
      joinSnapshot(sessions.connection, snapshot.ref),
    ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    await joinSnapshot(sessions.connection, null);
  });

  test("the server is let go by itself when nobody asks for it", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query("CREATE TABLE t (a INT)");
    const snapshot = await hold(server.url, { holdMsMax: 50 });
    await server.query("INSERT INTO t VALUES (1)"); // waits until then
    await expect(
      joinSnapshot(sessions.connection, snapshot.ref),
    ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    expect(await snapshot.lockRelations([])).toEqual([]);
  });

  test("without the right to stop the server, its tables are locked", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query(twoTables);
    await server.query("CREATE VIEW v AS SELECT * FROM a");
    const { url } = await server.createUser([
      `SELECT, LOCK TABLES ON ${server.database}.*`,
    ]);
    const writer = keepWriting(server);
    const snapshot = await hold(url);
    expect(snapshot.rung).toBe("tables");
    expect(snapshot.warnings).toEqual([]);
    const joined = [await sessions.connect(url), await sessions.connect(url)];
    for (const session of joined) await joinSnapshot(session, snapshot.ref);
    const counts = await Promise.all(joined.map(countBoth));
    await snapshot.lockRelations([]);
    await writer.stop();
    expect(counts[0]).toEqual(counts[1]);
    expect(counts[0]?.a).toBe(counts[0]?.b);
    expect((await countBoth(sessions.connection)).a).toBeGreaterThan(
      counts[0]?.a ?? 0,
    );
  });

  test("without any lock, what cannot be promised is said", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query(twoTables);
    const { url } = await server.createUser([`SELECT ON ${server.database}.*`]);
    const written = await hold(url);
    await joinSnapshot(sessions.connection, written.ref);
    await server.query("INSERT INTO a VALUES ()");
    await written.lockRelations([]);
    expect(written.warnings.join()).toMatch(/snapshot of its own/);
    if (flavour === "mysql") {
      expect(written.rung).toBe("none");
      expect(written.warnings.join()).toMatch(/grant RELOAD/);
      expect(written.position).toMatchObject({ file: null, offset: null });
      expect(written.position.gtid).toMatch(/:1-\d+/);
    } else {
      expect(written.rung).toBe("compared");
      // other tests may write meanwhile, to the same log: one try without is enough
      await vi.waitFor(async () => {
        const quiet = await hold(url);
        await joinSnapshot(sessions.connection, quiet.ref);
        await quiet.lockRelations([]);
        expect(quiet.warnings).toEqual([]);
        expect(quiet.position.file).toMatch(/^binlog\./);
      });
    }
  });

  describe("DDL", () => {
    const ddl = `CREATE TABLE t (id INT PRIMARY KEY, x INT) PARTITION BY RANGE (id)
        (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE);
      INSERT INTO t VALUES (1, 1), (20, 2)`;

    test.for([
      "TRUNCATE TABLE t",
      "ALTER TABLE t ADD COLUMN y INT",
      "ALTER TABLE t DROP PARTITION low",
      "DROP TABLE t",
      "RENAME TABLE t TO u",
    ])(
      "waits once the tables are locked: %s",
      async (change, { server, sessions, hold }) => {
        await server.query(ddl);
        const stream = await discoverOne(sessions.connection, "t");
        const snapshot = await hold(server.url);
        await snapshot.lockRelations(targetsOf(stream));
        await server.query("SET lock_wait_timeout = 1");
        await expect(server.query(change)).rejects.toThrow(/timeout/);
        await snapshot.close();
        await server.query(change);
      },
    );

    test.for([
      { change: "TRUNCATE TABLE t", code: "SOURCE_SNAPSHOT_LOST" },
      {
        change: "ALTER TABLE t DROP PARTITION low",
        code: "SOURCE_SNAPSHOT_LOST",
      },
      { change: "ALTER TABLE t FORCE", code: "SOURCE_SNAPSHOT_LOST" },
      { change: "DROP TABLE t", code: "SOURCE_SCHEMA_CHANGED" },
      { change: "RENAME TABLE t TO u", code: "SOURCE_SCHEMA_CHANGED" },
    ])(
      "before that is found out: $change",
      async ({ change, code }, { server, sessions, hold }) => {
        await server.query(ddl);
        const stream = await discoverOne(sessions.connection, "t");
        await server.query(change);
        const snapshot = await hold(server.url);
        await expect(
          snapshot.lockRelations(targetsOf(stream)),
        ).rejects.toMatchObject({
          code,
          details: { table: `${server.database}.t` },
        });
        // the server is not kept waiting
        await server.query("CREATE TABLE other (a INT)");
      },
    );

    test("is found out without the right to see InnoDB's numbers, too", async ({
      server,
      sessions,
      hold,
    }) => {
      await server.query(ddl);
      const { url } = await server.createUser([
        `SELECT ON ${server.database}.*`,
      ]);
      const session = await sessions.connect(url);
      const stream = await discoverOne(session, "t");
      expect(stream.leaves[0]?.fileNode).toBeGreaterThan(0);
      const unchanged = await hold(url);
      await server.query("INSERT INTO t VALUES (2, 2)");
      expect(await unchanged.lockRelations(targetsOf(stream))).toEqual([]);
      await unchanged.close();
      await server.query("ALTER TABLE t DROP PARTITION low");
      const snapshot = await hold(url);
      await expect(
        snapshot.lockRelations(targetsOf(stream)),
      ).rejects.toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
    });

    test("rows of a table that was rewritten are an error, never none", async ({
      server,
      sessions,
    }) => {
      await server.query(ddl);
      await joinSnapshot(sessions.connection, null);
      await server.query("TRUNCATE TABLE t");
      await expect(
        sessions.connection.query("SELECT * FROM t"),
      ).rejects.toMatchObject({ code: "SOURCE_SCHEMA_CHANGED" });
    });
  });

  test("a table that may no longer be read is a problem of its own", async ({
    server,
    sessions,
    hold,
  }) => {
    await server.query(twoTables);
    const { url, name } = await server.createUser([
      `SELECT ON ${server.database}.a`,
      `SELECT ON ${server.database}.b`,
    ]);
    const session = await sessions.connect(url);
    const targets = [
      ...targetsOf(await discoverOne(session, "a")),
      ...targetsOf(await discoverOne(session, "b")),
    ];
    await server.query(`REVOKE SELECT ON b FROM ${name}`);
    const snapshot = await hold(url);
    const problems = await snapshot.lockRelations(targets);
    expect(problems.map((one) => one.name)).toEqual(["b"]);
  });

  test("a lost connection is told once", async ({ server, hold }) => {
    const lost: ExtractError[] = [];
    const snapshot = await hold(server.url, {
      onLost: (error) => lost.push(error),
    });
    await snapshot.lockRelations([]);
    const sessions = await server.query(
      "SELECT id AS id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()",
      [server.database],
    );
    for (const { id } of sessions) {
      await server.query(`KILL ${id}`).catch(() => {});
    }
    await vi.waitFor(() => expect(lost.length).toBe(1), { timeout: 10_000 });
    expect(lost[0]).toMatchObject({ code: "SOURCE_SNAPSHOT_LOST" });
  });
});
