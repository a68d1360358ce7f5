/**
 * A real Kafka Connect with Debezium's connectors writes what two databases do; from their topics a copy becomes the
 * Postgres database, and a change log replays to the MySQL one. The worker is killed on the way, and so tells again what
 * it has told already.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, inject, test } from "vitest";
import "../services/debezium.setup.ts";
import { withMysqlDatabase, type MysqlFixture } from "../fixtures/mysql.ts";
import { withDatabase, type PostgresFixture } from "../fixtures/postgres.ts";
import { startConnect, type Connect } from "../services/connect.ts";
import { startKafka } from "../services/kafka.ts";
import {
  binlogDialect,
  createBinlogTables,
  listBinlogTables,
  readBinlogSource,
} from "./support/binlog-workload.ts";
import { Destination } from "./support/command.ts";
import { dropSlots } from "./support/log-fixtures.ts";
import { replayFiles } from "./support/log-replay.ts";
import {
  accounts,
  createLoggedTables,
  LogWorkload,
  readSource,
  visits,
} from "./support/log-workload.ts";

const TOPIC_PARTITIONS = 2;
/** Until the worker has told what the databases have done. */
const TOLD_MS_MAX = 90_000;

const common = {
  "tasks.max": "1",
  "snapshot.mode": "initial",
  // a TRUNCATE is told only where it is asked for
  "skipped.operations": "none",
  "decimal.handling.mode": "string",
  "topic.creation.default.replication.factor": "1",
  "topic.creation.default.partitions": String(TOPIC_PARTITIONS),
};

interface Address {
  readonly hostname: string;
  readonly port: string;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

function addressOf(url: string): Address {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    hostname,
    port,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: pathname.slice(1),
  };
}

const connection = ({ hostname, port, user, password }: Address) => ({
  "database.hostname": hostname,
  "database.port": port,
  "database.user": user,
  "database.password": password,
});

function postgresConnector(url: string): Record<string, string> {
  const address = addressOf(url);
  return {
    ...common,
    ...connection(address),
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": "shop",
    "database.dbname": address.database,
    "plugin.name": "pgoutput",
    // the database says what the messages do not
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
  };
}

function mysqlConnector(
  url: string,
  brokers: readonly string[],
): Record<string, string> {
  const address = addressOf(url);
  return {
    ...common,
    ...connection(address),
    "connector.class": "io.debezium.connector.mysql.MySqlConnector",
    "topic.prefix": "bin",
    "database.server.id": String(5_000_000 + (process.pid % 1_000_000)),
    "database.include.list": address.database,
    "database.ssl.mode": "disabled",
    // else a truth value is a number in the messages' schemas
    converters: "truth",
    "truth.type":
      "io.debezium.connector.binlog.converters.TinyIntOneToBooleanConverter",
    "schema.history.internal.kafka.bootstrap.servers": brokers.join(","),
    "schema.history.internal.kafka.topic": "bin.history",
  };
}

interface Scene {
  readonly postgres: PostgresFixture;
  readonly mysql: MysqlFixture;
  readonly copy: PostgresFixture;
  readonly brokers: readonly string[];
  readonly connect: Connect;
}

async function setScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  const postgresUrl = inject("postgresUrl") ?? "";
  const mysqlUrl = inject("mysqlServer").url ?? "";
  await withDatabase(postgresUrl, (copy) =>
    withDatabase(postgresUrl, async (postgres) => {
      await createLoggedTables(postgres, 400);
      try {
        await withMysqlDatabase("mysql", mysqlUrl, async (mysql) => {
          await createBinlogTables(mysql, 400);
          const broker = await startKafka();
          try {
            const { brokers } = broker;
            const connect = await startConnect(brokers, {
              shop: postgresConnector(postgres.url),
              bin: mysqlConnector(mysql.url, brokers),
            });
            try {
              await use({ postgres, mysql, copy, brokers, connect });
            } finally {
              await connect.stop();
            }
          } finally {
            await broker.stop();
          }
        });
      } finally {
        await dropSlots(postgres);
      }
    }),
  );
}

test("topics that a real Connect writes are the databases' tables, also where it was killed", async ({
  skip,
}) => {
  const { programs, reason } = inject("debezium");
  if (programs === null) return skip(reason);
  await setScene(async ({ postgres, mysql, copy, brokers, connect }) => {
    const [merged, replayed] = [new Destination(), new Destination()];
    // a snapshot of Debezium's fails where a TRUNCATE comes between, so they end first
    while (!connect.hasLeftSnapshots()) {
      for (const { query } of [postgres, mysql])
        await query("UPDATE visits SET page = 'seen' WHERE id = 1");
      await sleep(200);
    }
    const works = await Promise.all([
      LogWorkload.start(postgres.url, 31),
      LogWorkload.start(mysql.url, 32, binlogDialect),
    ]);
    const [shop] = works;
    const topics = (names: string, more = "") =>
      `kafka://${brokers.join(",")}/?topics=${names}${more}`;
    const tables = `&tables=${encodeURIComponent(postgres.url)}`;
    const sync = async (): Promise<void> => {
      const options = ["--mode", "cdc", "--checkpoint-every", "200ms"];
      const from = topics("shop.public.*", tables);
      for (const run of [
        merged.run(
          ...["sync", from, copy.url, "--ledger", merged.ledgerPath],
          ...options,
        ),
        replayed.run("sync", topics("bin.*.*"), replayed.root, ...options),
      ]) {
        const { code, stderr } = await run;
        expect(code, stderr).toBe(0);
      }
    };
    const compare = async (): Promise<void> => {
      for (const table of [accounts, shop.linesNow, visits])
        expect(await readSource(copy, table), `${table.name}, copied`).toEqual(
          await readSource(postgres, table),
        );
      for (const table of listBinlogTables(mysql, works[1].linesNow))
        expect(
          await replayFiles(replayed.root, table, { isOneSnapshot: true }),
          `${table.name}, replayed`,
        ).toEqual(await readBinlogSource(mysql, table));
    };
    try {
      await sync();
      await connect.kill();
      for (const work of works) await work.pause();
      await connect.revive();
      const deadline = performance.now() + TOLD_MS_MAX;
      for (;;) {
        await sync();
        // what was done last may not be told yet
        const isLast = performance.now() > deadline;
        const isSame = await compare().then(
          () => true,
          (error: unknown) => {
            if (isLast) throw error;
            return false;
          },
        );
        if (isSame) break;
      }
    } finally {
      await Promise.all(works.map((work) => work.end()));
      await Promise.all([merged.dispose(), replayed.dispose()]);
    }
  });
});
