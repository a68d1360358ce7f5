/** The log as the keeper holds it, on servers of the test's own: what is done to a binlog is done to all that read it. */
import {
  afterAll,
  beforeAll,
  describe,
  expect,
  inject,
  test,
  vi,
} from "vitest";
import { readOffset } from "../../../../connectors/sources/mysql/log-place.ts";
import { MysqlLogWatch } from "../../../../connectors/sources/mysql/log-watch.ts";
import { HeldSnapshot } from "../../../../connectors/sources/mysql/snapshot.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import type { LogOpened, LogOpenOrder } from "../../../../proto/control.ts";
import type { LogMeasure } from "../../../../proto/log-budget.ts";
import { commitOf } from "../../../../proto/log-position.ts";
import {
  flavours,
  withMysqlDatabase,
  type MysqlFixture,
} from "../../../fixtures/mysql.ts";
import { startMysql, type MysqlService } from "../../../services/mysql.ts";

const fresh: LogOpenOrder = {
  slot: "millrace_test",
  publication: "millrace_test",
  sourceEpoch: 1,
  known: null,
  include: [],
  exclude: [],
  copied: [],
};

async function hold(
  url: string,
  order: Partial<LogOpenOrder> = {},
): Promise<LogOpened> {
  const held = await HeldSnapshot.open(parseSourceUrl(url), {
    log: { ...fresh, ...order },
  });
  await held.close();
  expect(held.log).toBeDefined();
  return held.log!;
}

/** As the ledger has it when a run has ended there. */
const after = ({ identity, position, offset }: LogOpened) => ({
  known: { identity, position, offset },
});

async function refusal(
  url: string,
  order: Partial<LogOpenOrder> = {},
): Promise<unknown> {
  try {
    await hold(url, order);
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}

/** All files but a new one: MariaDB keeps one until its engine has all of it on disk. */
async function purge({ query }: MysqlFixture): Promise<void> {
  await query("FLUSH LOGS");
  const [end] = await query("SHOW MASTER STATUS");
  await vi.waitFor(
    async () => {
      await query(`PURGE BINARY LOGS TO '${end.File}'`);
      const [oldest] = await query("SHOW BINARY LOGS");
      expect(oldest.Log_name).toBe(end.File);
    },
    { timeout: 20_000 },
  );
}

/** An eye on the log, for a sync that stands where it was opened. */
async function watch(
  url: string,
  { identity, position, offset: told }: LogOpened,
  work: (measure: (isSilent?: boolean) => Promise<LogMeasure>) => Promise<void>,
): Promise<void> {
  const eye = new MysqlLogWatch(parseSourceUrl(url), fresh);
  try {
    await work((isSilent = false) =>
      eye.measure({ identity, position, told, isSilent }),
    );
  } finally {
    await eye.close();
  }
}

const expired = (words: RegExp) =>
  expect.objectContaining({
    code: "SOURCE_POSITION_EXPIRED",
    message: expect.stringMatching(words),
  });
const unsuitable = (words: string) =>
  expect.objectContaining({
    code: "SOURCE_LOG_UNSUITABLE",
    message: expect.stringContaining(words),
  });

describe.each(flavours)("%s", (flavour) => {
  let service: MysqlService | null = null;
  beforeAll(async () => {
    const { url } = inject(
      flavour === "mysql" ? "mysqlServer" : "mariadbServer",
    );
    if (url !== null) service = await startMysql({ flavour });
  });
  afterAll(() => service?.stop());

  const onServer = (
    name: string,
    work: (server: MysqlFixture) => Promise<void>,
  ) =>
    test(name, async ({ skip }) => {
      if (service === null) return skip(`there is no ${flavour}`);
      await withMysqlDatabase(flavour, service.url, async (server) => {
        await server.query(
          "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)",
        );
        await work(server);
      });
    });

  onServer(
    "a log begins at the server's end, with the tables as they are there",
    async (server) => {
      const opened = await hold(server.url);
      const [end] = await server.query("SHOW MASTER STATUS");
      const place = readOffset(opened.offset ?? "");
      expect(place).toMatchObject({
        file: end.File,
        offset: Number(end.Position),
      });
      expect(place.gtid).toMatch(flavour === "mysql" ? /:1-\d+$/ : /^0-1-\d+$/);
      expect(opened).toMatchObject({
        connector: flavour,
        visible: null,
        consistentFrom: null,
        now: opened.position,
        before: opened.position,
        tables: [{ namespace: server.database, name: "t" }],
      });
      expect(Number(opened.takenAt) / 1_000_000).toBeCloseTo(
        Date.now() / 1_000,
        -2,
      );
      const statements = opened.history.map(
        (one) => JSON.parse(one) as Record<string, unknown>,
      );
      expect(statements).toMatchObject([
        { ddl: expect.stringContaining("SET character_set_server") },
        {
          databaseName: server.database,
          ddl: expect.stringMatching(/^CREATE TABLE `t`/),
          position: { file: end.File, pos: Number(end.Position) },
        },
      ]);
    },
  );

  onServer(
    "a log that goes on needs no lock, and its end is that of now",
    async (server) => {
      const opened = await hold(server.url);
      await server.query("INSERT INTO t VALUES (2, 2)");
      const copied = [{ namespace: server.database, name: "t" }];
      const on = await hold(server.url, { ...after(opened), copied });
      expect(on).toMatchObject({
        identity: opened.identity,
        position: opened.position,
        offset: null,
        history: [],
        consistentFrom: on.now,
      });
      expect(commitOf(on.now) > commitOf(opened.now)).toBe(true);
    },
  );

  onServer(
    "a table more brings a place at which all of them are known",
    async (server) => {
      const opened = await hold(server.url);
      await server.query("CREATE TABLE more (id int PRIMARY KEY)");
      const copied = [{ namespace: server.database, name: "t" }];
      const on = await hold(server.url, { ...after(opened), copied });
      expect(on.position > opened.position).toBe(true);
      expect(on.history).toHaveLength(3);
      expect(on.offset).not.toBeNull();
    },
  );

  onServer(
    "whoever may lock nothing has a place from before the snapshots",
    async (server) => {
      const user = await server.createUser([
        `SELECT ON ${server.database}.*`,
        "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
      ]);
      const opened = await hold(user.url);
      const [end] = await server.query("SHOW MASTER STATUS");
      const { file, offset, gtid } = readOffset(opened.offset ?? "");
      expect(file).toBe(end.File);
      // by the position MariaDB tells of a snapshot, by what MySQL counts as done
      expect(offset).toBe(flavour === "mysql" ? 4 : Number(end.Position));
      expect(gtid).not.toBeNull();
      expect(
        opened.consistentFrom !== null && opened.consistentFrom > opened.now,
      ).toBe(true);
      const locks = await server.createUser([
        `SELECT, LOCK TABLES ON ${server.database}.*`,
        "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
      ]);
      const locked = await hold(locks.url);
      expect(readOffset(locked.offset ?? "").offset).toBeGreaterThan(4);
      expect(locked.consistentFrom).toBeNull();
    },
  );

  onServer(
    "a binlog that was begun anew is found out, also where it has grown beyond",
    async (server) => {
      await server.query("RESET MASTER");
      const opened = await hold(server.url);
      await watch(server.url, opened, async (measure) => {
        expect(await measure()).toMatchObject({ lagBytes: 0 });
        // a file is told from another by the second
        await new Promise((done) => setTimeout(done, 1_100));
        await server.query("RESET MASTER");
        for (let i = 10; i < 60; i++)
          await server.query(`INSERT INTO t VALUES (${i}, ${i})`);
        await expect(measure()).rejects.toEqual(expired(/another file/));
      });
      expect(await refusal(server.url, after(opened))).toEqual(
        expired(/another file/),
      );
      const again = await hold(server.url);
      await server.query("RESET MASTER");
      expect(await refusal(server.url, after(again))).toEqual(
        expired(/reset|another file/),
      );
    },
  );

  onServer(
    "another server is told by its name, and a file by when it was begun",
    async (server) => {
      const again = await hold(server.url);
      const mark = again.identity.replace(/\d+$/, (seconds) =>
        String(Number(seconds) - 5),
      );
      expect(
        await refusal(server.url, {
          known: { ...after(again).known, identity: mark },
        }),
      ).toEqual(expired(/another file/));
      expect(
        await refusal(server.url, {
          known: {
            ...after(again).known,
            identity: again.identity.replace(/^\S+/, `${flavour}/another`),
          },
        }),
      ).toEqual(expired(/another server/));
    },
  );

  onServer(
    "what was removed by age before it was read is found out, and what was read may go",
    async (server) => {
      const opened = await hold(server.url);
      await purge(server);
      // by GTIDs, nothing that it has not read is missing
      await hold(server.url, after(opened));
      const byFile = (opened.offset ?? "").replace(/"gtids":"[^"]*",/, "");
      expect(
        await refusal(server.url, {
          known: { ...after(opened).known, offset: byFile },
        }),
      ).toEqual(expired(/no more/));
      await server.query("INSERT INTO t VALUES (2, 2)");
      await purge(server);
      expect(await refusal(server.url, after(opened))).toEqual(
        expired(/removed/),
      );
      await watch(server.url, opened, async (measure) => {
        // an engine that tells of places has read it
        await measure();
        await expect(measure(true)).rejects.toEqual(expired(/removed/));
      });
    },
  );

  onServer(
    "how far behind its end a sync is, and how soon the server removes what it has not read, is measured",
    async (server) => {
      await server.query("SET GLOBAL binlog_expire_logs_seconds = 3600");
      const opened = await hold(server.url);
      await watch(server.url, opened, async (measure) => {
        const limits = { limitBytes: null, age: { limitSeconds: 3600 } };
        expect(await measure()).toMatchObject({ ...limits, lagBytes: 0 });
        const fill = (id: number) =>
          server.query(`INSERT INTO t VALUES (${id}, ${id})`);
        for (let id = 10; id < 30; id++) await fill(id);
        const inFile = await measure();
        expect(inFile.lagBytes).toBeGreaterThan(1_000);
        expect(inFile).toMatchObject({ age: { seconds: 0 } });
        await server.query("FLUSH LOGS");
        await fill(30);
        const beyond = await measure();
        expect(beyond.lagBytes).toBeGreaterThan(inFile.lagBytes ?? 0);
        expect(beyond.retainedBytes).toBe(beyond.lagBytes);
        await vi.waitFor(
          async () => expect((await measure()).age?.seconds).toBeGreaterThan(0),
          { timeout: 20_000 },
        );
        // over another connection
        await server.query(
          `KILL ${(await server.query("SELECT id FROM information_schema.processlist WHERE info IS NULL AND id <> connection_id() ORDER BY id DESC LIMIT 1"))[0].id}`,
        );
        await vi.waitFor(
          async () => expect((await measure()).lagBytes).toBe(beyond.lagBytes),
          { timeout: 20_000 },
        );
      });
    },
  );

  onServer(
    "what cannot be followed is refused before anything is locked",
    async (server) => {
      const grant = (...grants: string[]) =>
        server.createUser([`SELECT ON ${server.database}.*`, ...grants]);
      const status = await grant("REPLICATION SLAVE ON *.*");
      expect(await refusal(status.url)).toEqual(
        unsuitable("REPLICATION CLIENT"),
      );
      const reads = await grant("REPLICATION CLIENT ON *.*");
      expect(await refusal(reads.url)).toEqual(unsuitable("REPLICATION SLAVE"));
      await server.query("CREATE VIEW shown AS SELECT 1 AS one");
      expect(await refusal(server.url, { include: ["shown"] })).toEqual(
        unsuitable("shown is no table"),
      );
      expect(await refusal(server.url, { exclude: ["t"] })).toEqual(
        unsuitable("no table is selected"),
      );
      await server.query("CREATE TABLE nameless (v int)");
      expect(await refusal(server.url)).toEqual(
        unsuitable(`${server.database}.nameless`),
      );
      if (flavour === "mariadb") {
        // MySQL passes on what it is sent unless it is told otherwise
        await server.query("CHANGE MASTER TO MASTER_HOST = '127.0.0.1'");
        expect(await refusal(server.url, { include: ["t"] })).toEqual(
          unsuitable("the server is a replica"),
        );
        await server.query("RESET SLAVE ALL");
      }
      await server.query("SET GLOBAL binlog_row_image = MINIMAL");
      expect(await refusal(server.url)).toEqual(
        unsuitable("binlog_row_image is MINIMAL"),
      );
      await server.query(
        "SET GLOBAL binlog_row_image = FULL; SET GLOBAL binlog_format = STATEMENT",
      );
      expect(await refusal(server.url)).toEqual(
        unsuitable("binlog_format is STATEMENT"),
      );
      await server.query("SET GLOBAL binlog_format = ROW");
      if (flavour === "mysql") {
        await server.query(
          "SET GLOBAL binlog_row_value_options = PARTIAL_JSON",
        );
        expect(await refusal(server.url)).toEqual(
          unsuitable("binlog_row_value_options is PARTIAL_JSON"),
        );
        await server.query("SET GLOBAL binlog_row_value_options = ''");
      }
    },
  );

  test("a server without a binlog is refused", async ({ skip }) => {
    if (service === null) return skip(`there is no ${flavour}`);
    const bare = await startMysql({ flavour, settings: ["skip-log-bin"] });
    try {
      await withMysqlDatabase(flavour, bare.url, async ({ url, query }) => {
        await query("CREATE TABLE t (id int PRIMARY KEY)");
        expect(await refusal(url)).toEqual(unsuitable("log_bin is off"));
      });
    } finally {
      await bare.stop();
    }
  });
});
