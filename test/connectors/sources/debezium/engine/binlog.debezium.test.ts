import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnection } from "mysql2/promise";
import {
  binlogOffset,
  positionOf,
} from "../../../../../connectors/sources/debezium/engine/offsets.ts";
import { parseSourceUrl } from "../../../../../connectors/sources/mysql/url.ts";
import { createAuthority } from "../../../../services/certificates.ts";
import { startMysql } from "../../../../services/mysql.ts";
import {
  briefly,
  describe,
  expect,
  test,
  type BinlogLogFixture,
  type Engines,
} from "../../../../fixtures/debezium.ts";

async function makeTable(server: BinlogLogFixture): Promise<void> {
  await server.query(
    "CREATE TABLE a (id bigint unsigned PRIMARY KEY, note varchar(40))",
  );
}

/** Events, boundaries and history of one life of a server's log, in three starts of the engine. */
async function follow(
  server: BinlogLogFixture,
  engines: Engines,
): Promise<void> {
  await makeTable(server);
  const offset = await server.place();
  await server.query("INSERT INTO a VALUES (1, 'before the engine')");
  const first = engines.open(server.log(["a"], "recovery"), { offset });
  await first.untilReady();
  await server.query(
    "BEGIN; INSERT INTO a VALUES (18446744073709551615, 'x'); UPDATE a SET note = 'y' WHERE id = 1; UPDATE a SET id = 2 WHERE id = 1; DELETE FROM a WHERE id = 2; COMMIT",
  );
  await server.query("ALTER TABLE a ADD extra int DEFAULT 5");
  await server.query("INSERT INTO a (id) VALUES (3)");
  const kept = await first.untilCommitted(8);
  const { history } = first;
  await server.query("TRUNCATE a");
  await first.untilCommitted(9);
  expect(briefly(first.events)).toEqual([
    'c {"id":1}',
    'c {"id":18446744073709551615}',
    'u {"id":1}',
    'd {"id":1}',
    'c {"id":2}',
    'd {"id":2}',
    `ddl {"databaseName":"${server.database}"}`,
    'c {"id":3}',
    "t -",
  ]);
  expect(first.events.map(({ order }) => order)).toEqual([
    1, 1, 2, 3, 4, 5, 1, 1, 1,
  ]);
  const positions = first.messages
    .filter((one) => one.type === "begin")
    .map(({ position }) => position);
  expect(positions).toHaveLength(5);
  expect(positions).toEqual([...new Set(positions)].toSorted());
  const kinds = first.messages
    .map(({ type }) => type)
    .filter((type) => ["begin", "event", "commit", "history"].includes(type))
    .map((type) => type[0])
    .join("");
  // what the tables were, then the change of definitions right in front of its event
  expect(kinds).toMatch(/^h+becbeeeeech+becbecbec$/);
  process.kill(first.engine.pid!, "SIGKILL");
  expect(await first.ended).toMatchObject({ code: "PROCESS_DIED" });

  await server.query("INSERT INTO a VALUES (4, 'after', 6)");
  const second = engines.open(server.log(["a"]), { offset: kept, history });
  const end = await second.untilCommitted(2);
  expect(briefly(second.events)).toEqual(["t -", 'c {"id":4}']);
  const [, inserted] = second.events;
  expect(JSON.parse(inserted?.value?.toString() ?? "")).toMatchObject({
    after: { note: "after", extra: 6 },
  });
  await second.engine.drain();
  expect(await second.ended).toBeNull();

  // from the very end nothing comes again, and what comes next does
  await server.query("INSERT INTO a VALUES (5, 'last', 7)");
  const third = engines.open(server.log(["a"]), {
    offset: end,
    history: [...history, ...second.history],
    // the same in lines
    format: "json",
  });
  await third.untilCommitted(1);
  expect(briefly(third.events)).toEqual(['c {"id":5}']);
}

const check: Readonly<
  Record<string, (server: BinlogLogFixture, engines: Engines) => Promise<void>>
> = {
  "changes come in order, definitions with them, and a start from a kept offset and history goes on there":
    follow,
  "a definition that changed behind the kept offset is read again, and what follows has the new names":
    async (server, engines) => {
      await makeTable(server);
      const offset = await server.place();
      const first = engines.open(server.log(["a"], "recovery"), { offset });
      await first.untilReady();
      await server.query("INSERT INTO a VALUES (1, 'x')");
      // what a ledger keeps: an offset, and the history that was told before it
      const kept = await first.untilCommitted(1);
      const { history } = first;
      await server.query("ALTER TABLE a CHANGE note name varchar(50)");
      await server.query("INSERT INTO a VALUES (2, 'y')");
      await first.untilCommitted(3);
      await first.engine.kill();
      expect(first.history).toHaveLength(history.length + 1);
      const again = engines.open(server.log(["a"]), { offset: kept, history });
      await again.untilCommitted(2);
      expect(again.history).toHaveLength(1);
      const last = again.events.at(-1);
      expect(JSON.parse(last?.value?.toString() ?? "")).toMatchObject({
        op: "c",
        after: { id: 2, name: "y" },
      });
    },
  "what nobody follows is passed, and the place behind it told, though no end of it is in the log":
    async (server, engines) => {
      await makeTable(server);
      const offset = await server.place();
      const run = engines.open(server.log(["a"], "recovery"), { offset });
      await run.untilReady();
      const { database } = server;
      const passed = async (sql: string) => {
        await server.query(sql);
        const end = positionOf(await server.place());
        await run.until(
          () => run.offset !== null && positionOf(run.offset) >= end,
        );
      };
      await passed(
        `CREATE DATABASE ${database}_b; DROP DATABASE ${database}_b`,
      );
      await passed("ANALYZE TABLE a");
      await passed("CREATE TABLE b (peer int); DROP TABLE b");
      await passed("ALTER TABLE a ADD extra int");
      await passed("INSERT INTO a VALUES (1, 'x', 2)");
      await passed("XA START 'x'; DELETE FROM a; XA END 'x'; XA PREPARE 'x'");
      await passed("XA COMMIT 'x'");
      await passed(
        `CREATE TABLE c (id int PRIMARY KEY); XA START 'y'; INSERT INTO c VALUES (1); XA END 'y'; XA PREPARE 'y'; XA ROLLBACK 'y'`,
      );
      expect(briefly(run.events)).toEqual([
        `ddl {"databaseName":"${database}"}`,
        'c {"id":1}',
        'd {"id":1}',
      ]);
      // its row has been told, and never was
      await server.query(
        "XA START 'z'; INSERT INTO a VALUES (2, 'x', 2); XA END 'z'; XA PREPARE 'z'; XA ROLLBACK 'z'",
      );
      expect(await run.ended).toMatchObject({
        code: "SOURCE_LOG_UNSUITABLE",
        message: expect.stringContaining("--resync"),
      });
    },
  "a wrong password and a log that no longer reaches back are told apart":
    async (server, engines) => {
      await makeTable(server);
      const offset = await server.place();
      const log = server.log(["a"], "recovery");
      const address = { ...log.address, user: "root", password: "wrong" };
      const refused = engines.open({ ...log, address }, { offset });
      expect(await refused.ended).toMatchObject({ code: "SOURCE_AUTH_FAILED" });
      const first = engines.open(log, { offset });
      await first.untilReady();
      await first.engine.kill();
      const lost = engines.open(server.log(["a"]), {
        offset: binlogOffset({
          file: "binlog.000000",
          position: 4n,
          gtids: null,
        }),
        history: first.history,
      });
      expect(await lost.ended).toMatchObject({
        code: "SOURCE_POSITION_EXPIRED",
      });
    },
};

describe.each(["mysql", "mariadb"] as const)("%s", (flavour) => {
  for (const [name, run] of Object.entries(check)) {
    // each names the one server that it needs: a fixture that is not named is not made
    if (flavour === "mysql")
      test(name, async ({ mysql, engines }) => run(mysql, engines));
    else test(name, async ({ mariadb, engines }) => run(mariadb, engines));
  }
});

test("a server that wants a certificate of its client, from an authority that Java does not know", async ({
  engines,
}) => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
  chmodSync(folder, 0o755);
  const authority = createAuthority("test authority");
  const [server, client] = [["localhost"], ["client"]].map((names) =>
    authority.issue(names),
  );
  const paths = {
    ca: authority.certPem,
    cert: server!.certPem,
    key: server!.keyPem,
    mine: client!.certPem,
    mykey: client!.keyPem,
  };
  for (const [name, text] of Object.entries(paths))
    writeFileSync(join(folder, name), text, { mode: 0o644 });
  const path = (name: keyof typeof paths) => join(folder, name);
  const service = await startMysql({
    flavour: "mariadb",
    settings: [
      `ssl-ca=${path("ca")}`,
      `ssl-cert=${path("cert")}`,
      `ssl-key=${path("key")}`,
    ],
  });
  try {
    const url = new URL(service.url);
    const admin = await createConnection({
      uri: service.url,
      multipleStatements: true,
    });
    await admin.query(
      "CREATE USER mine@'%' IDENTIFIED BY 'pw' REQUIRE X509; GRANT ALL ON *.* TO mine@'%'; CREATE DATABASE d; CREATE TABLE d.a (id int PRIMARY KEY)",
    );
    const open = (more: string) =>
      engines.open(
        {
          kind: "mariadb",
          address: parseSourceUrl(
            `mariadb://mine:pw@localhost:${url.port}/d?ssl-mode=verify-identity${more}`,
            {},
          ),
          serverId: 77_001,
          definitions: "recovery",
          tables: [{ namespace: "d", name: "a" }],
          unavailableValue: "__unavailable",
        },
        {
          offset: binlogOffset({
            file: "binlog.000001",
            position: 4n,
            gtids: null,
          }),
        },
      );
    const own = `&ssl-cert=${path("mine")}&ssl-key=${path("mykey")}`;
    const run = open(`&ssl-ca=${path("ca")}${own}`);
    await run.untilReady();
    await admin.query("INSERT INTO d.a VALUES (1)");
    await run.untilCommitted(1);
    await run.engine.drain();
    expect(await run.ended).toBeNull();
    // an authority that nobody has named
    expect(await open(own).ended).toMatchObject({ code: "SOURCE_TLS_FAILED" });
    await admin.end();
  } finally {
    await service.stop();
    rmSync(folder, { recursive: true });
  }
});
