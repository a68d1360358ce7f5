import type { ExtractError } from "../../../../../proto/error.ts";
import { parseSourceUrl } from "../../../../../connectors/sources/postgres/url.ts";
import { startPostgres } from "../../../../services/postgres.ts";
import { briefly, expect, test } from "../../../../fixtures/debezium.ts";
import {
  positionOf,
  postgresOffset,
} from "../../../../../connectors/sources/debezium/engine/offsets.ts";

const FEW = 300;

test("events come in the order of commits, each inside of its transaction, which tells its position first", async ({
  pg,
  engines,
}) => {
  await pg.query(
    "CREATE TABLE a (id bigint PRIMARY KEY, n int); CREATE TABLE b (id bigint PRIMARY KEY)",
  );
  const offset = await pg.prepare("a", "b");
  const run = engines.open(pg.log, { offset });
  await pg.query("INSERT INTO a VALUES (1, 1)");
  await pg.query(
    "BEGIN; INSERT INTO b VALUES (7); UPDATE a SET n = 2; UPDATE a SET id = 2; DELETE FROM a; TRUNCATE b; COMMIT",
  );
  await run.untilCommitted(7);
  expect(briefly(run.events)).toEqual([
    'c {"id":1}',
    'c {"id":7}',
    'u {"id":1}',
    'd {"id":1}',
    'c {"id":2}',
    'd {"id":2}',
    "t -",
  ]);
  expect(run.events.map(({ order }) => order)).toEqual([1, 1, 2, 3, 4, 5, 6]);
  const inside = run.messages.filter(({ type }) =>
    ["begin", "event", "commit"].includes(type),
  );
  expect(inside.map(({ type }) => type[0]).join("")).toBe("becbeeeeeec");
  const begins = inside.filter((one) => one.type === "begin");
  const [first, second] = begins.map(({ position }) => position);
  expect(first).toMatch(/^0000[0-9a-f]{16}$/);
  expect(second! > first!).toBe(true);
  // the server's own word for where the last transaction commits: not behind where it ends
  const [now] = await pg.query<{ lsn: string }>(
    "SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn",
  );
  expect(BigInt(`0x${second}`)).toBeLessThan(BigInt(now!.lsn));
  expect(BigInt(`0x${first}`)).toBeGreaterThan(
    BigInt(JSON.parse(offset).lsn as number),
  );
});

test("the slot moves to what was acknowledged, and by nothing else", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const run = engines.open(pg.log, { offset: await pg.prepare("a") });
  const before = await pg.confirmed();
  await pg.query("INSERT INTO a SELECT generate_series(1, 100)");
  const first = await run.untilCommitted(100);
  await pg.query("INSERT INTO a VALUES (101)");
  await run.untilCommitted(101);
  // heartbeats go on meanwhile, and the connector reports to the server
  const heard = run.messages.length;
  await run.until(({ messages }) => messages.length >= heard + 4);
  expect(await pg.confirmed()).toBe(before);
  run.engine.ack(first);
  const wanted = BigInt((JSON.parse(first) as { lsn: number }).lsn);
  await expect
    .poll(pg.confirmed, { timeout: 60_000 })
    .toBe(
      `${(wanted >> 32n).toString(16)}/${(wanted & 0xffffffffn).toString(16)}`.toUpperCase(),
    );
  await run.engine.drain();
  expect(await run.ended).toBeNull();
});

test("killed and started again from the kept offset, it repeats what lies behind it and nothing else", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const offset = await pg.prepare("a");
  const run = engines.open(pg.log, { offset });
  await pg.query("INSERT INTO a VALUES (1)");
  const kept = await run.untilCommitted(1);
  await pg.query("INSERT INTO a VALUES (2); ");
  await run.untilCommitted(2);
  process.kill(run.engine.pid!, "SIGKILL");
  expect(await run.ended).toMatchObject({ code: "PROCESS_DIED" });
  await pg.query("INSERT INTO a VALUES (3)");
  const again = engines.open(pg.log, { offset: kept });
  await again.untilCommitted(2);
  expect(briefly(again.events)).toEqual(['c {"id":2}', 'c {"id":3}']);
});

test("a transaction that began before the kept offset and committed behind it comes whole", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const run = engines.open(pg.log, { offset: await pg.prepare("a") });
  const { default: driver } = await import("pg");
  const other = new driver.Client({ connectionString: pg.url });
  await other.connect();
  try {
    await other.query("BEGIN; INSERT INTO a VALUES (10), (11)");
    await pg.query("INSERT INTO a VALUES (1)");
    // its next change stands right behind the commit
    await other.query("INSERT INTO a VALUES (12)");
    const kept = await run.untilCommitted(1);
    await run.engine.kill();
    await other.query("INSERT INTO a VALUES (13); COMMIT");
    const again = engines.open(pg.log, { offset: kept });
    await again.untilCommitted(4);
    expect(briefly(again.events)).toEqual(
      [10, 11, 12, 13].map((id) => `c {"id":${id}}`),
    );
  } finally {
    await other.end();
  }
});

test("many small transactions keep their boundaries; a second reader of the slot is refused, and harms nobody", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const run = engines.open(pg.log, { offset: await pg.prepare("a") });
  for (let id = 1; id <= FEW; id += 1)
    await pg.query(`INSERT INTO a VALUES (${id})`);
  const last = await run.untilCommitted(FEW);
  const positions = run.messages
    .filter((one) => one.type === "begin")
    .map(({ position }) => position);
  expect(positions).toHaveLength(FEW);
  expect(positions).toEqual([...new Set(positions)].toSorted());
  const second = engines.open(pg.log, { offset: last });
  expect(await second.ended).toMatchObject({ code: "SOURCE_LOG_BUSY" });
  await pg.query(`INSERT INTO a VALUES (${FEW + 1})`);
  await run.untilCommitted(FEW + 1);
});

test("a server that is not there, a user that is not, a slot that is gone, one that is ahead, and a missing publication are told apart", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const offset = await pg.prepare("a");
  const codeOf = async (run: { ended: Promise<Error | null> }) =>
    ((await run.ended) as ExtractError | null)?.code;
  const address = { ...pg.log.address, port: 1 };
  expect(await codeOf(engines.open({ ...pg.log, address }, { offset }))).toBe(
    "SOURCE_UNREACHABLE",
  );
  const nobody = { ...pg.log.address, user: "nobody_of_this_name" };
  expect(
    await codeOf(engines.open({ ...pg.log, address: nobody }, { offset })),
  ).toBe("SOURCE_AUTH_FAILED");
  const ahead = engines.open(pg.log, { offset: postgresOffset(1n) });
  expect(await codeOf(ahead)).toBe("SOURCE_POSITION_EXPIRED");
  const unpublished = { ...pg.log, publication: "no_such_publication" };
  expect(await codeOf(engines.open(unpublished, { offset }))).toBe(
    "SOURCE_LOG_UNSUITABLE",
  );
  await pg.query(`SELECT pg_drop_replication_slot('${pg.log.slot}')`);
  expect(await codeOf(engines.open(pg.log, { offset }))).toBe(
    "SOURCE_POSITION_EXPIRED",
  );
  // and it has not been made anew
  expect(await pg.confirmed()).toBe("none");
});

test("a wrong password is told", async ({ engines, skip }) => {
  if (process.env["TEST_POSTGRES_URL"]) return skip("the server is not ours");
  const service = await startPostgres();
  const { default: driver } = await import("pg");
  const admin = new driver.Client({ connectionString: service.url });
  try {
    await admin.connect();
    await admin.query("CREATE ROLE locked LOGIN REPLICATION PASSWORD 'right'");
    const [row] = (await admin.query("SHOW hba_file")).rows as {
      hba_file: string;
    }[];
    await admin.query(
      `COPY (SELECT 'host all locked 127.0.0.1/32 scram-sha-256' UNION ALL SELECT 'host all all 127.0.0.1/32 trust') TO '${row?.hba_file}'`,
    );
    await admin.query("SELECT pg_reload_conf()");
    const address = {
      ...parseSourceUrl(service.url, {}),
      user: "locked",
      password: "wrong",
    };
    const run = engines.open({
      kind: "postgres",
      address,
      slot: "s",
      publication: "p",
      tables: [{ namespace: "public", name: "a" }],
      unavailableValue: "x",
      heartbeatQuery: null,
    });
    expect(await run.ended).toMatchObject({ code: "SOURCE_AUTH_FAILED" });
  } finally {
    await admin.end();
    await service.stop();
  }
});

test("a logical message moves what can be acknowledged, though no table of ours has changed", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const offset = await pg.prepare("a");
  const log = {
    ...pg.log,
    heartbeatQuery: "SELECT pg_logical_emit_message(false, 'millrace', '')",
  };
  const run = engines.open(log, { offset });
  await run.untilReady();
  const [now] = await pg.query<{ lsn: string }>(
    "SELECT (pg_current_wal_lsn() - '0/0')::text AS lsn",
  );
  await run.until(
    ({ offset: last }) =>
      last !== null &&
      positionOf(last) > positionOf(postgresOffset(BigInt(now!.lsn))),
  );
  expect(run.events).toEqual([]);
  const before = await pg.confirmed();
  run.engine.ack(run.offset!);
  await expect.poll(pg.confirmed, { timeout: 60_000 }).not.toBe(before);
});
