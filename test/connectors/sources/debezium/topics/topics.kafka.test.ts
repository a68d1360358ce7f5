/**
 * Topics on a real broker, to files and back: the messages are Debezium's envelopes (`fixtures/envelopes.ts`), written by
 * a producer in the place of Kafka Connect.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Message } from "kafkajs";
import { describe, expect, inject, vi } from "vitest";
import { parseState } from "../../../../../connectors/sources/debezium/topics/state.ts";
import { queryDuckDb } from "../../../formats/duckdb.ts";
import {
  EnvelopeLog,
  preciseAmount,
  type OrderRow,
} from "../../../../fixtures/envelopes.ts";
import {
  test as base,
  withTopics,
  type KafkaFixture,
} from "../../../../fixtures/kafka.ts";
import { runCommand, startCommand } from "../../../../fixtures/run-sync.ts";
import { startKafka } from "../../../../services/kafka.ts";

const test = base.extend<{ out: string }>({
  // eslint-disable-next-line no-empty-pattern
  out: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-topics-"));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
});

const urlOf = ({ brokers, topic }: KafkaFixture, more = ""): string =>
  `kafka://${brokers.join(",")}/?topics=${topic}${more}`;

const options = ["--mode", "cdc", "--checkpoint-every", "300ms"];

async function sync(url: string, out: string): Promise<string> {
  const { exitCode, stderr } = await runCommand(["sync", url, out, ...options]);
  expect(exitCode, stderr).toBe(0);
  return stderr;
}

/** The table that the files make, as `id name amount` in order of the key. */
async function replay(
  out: string,
  folder = "public/orders",
): Promise<string[]> {
  const rows = await queryDuckDb(
    `SELECT id || ' ' || name || ' ' || amount::VARCHAR FROM
      (SELECT * FROM read_parquet('${out}/${folder}/**/*.parquet', union_by_name = true)
       QUALIFY row_number() OVER (PARTITION BY id ORDER BY "_position" DESC) = 1)
     WHERE NOT "_deleted" ORDER BY id`,
  );
  return rows.map(([text]) => String(text));
}

/** Rows of the change log, and how many positions they have. */
async function count(
  out: string,
): Promise<readonly [rows: number, places: number]> {
  const [row] = await queryDuckDb(
    `SELECT count(*)::INT, count(DISTINCT "_position")::INT FROM read_parquet('${out}/**/*.parquet', union_by_name = true)`,
  );
  return [Number(row?.[0]), Number(row?.[1])];
}

const plain = (row: OrderRow): OrderRow => row;
const precise = (row: OrderRow): OrderRow => ({
  ...row,
  amount: preciseAmount(Math.round(Number(row.amount) * 100)),
});

/** Changes of many keys, and what they come to. */
class Workload {
  readonly rows = new Map<number, OrderRow>();
  readonly #log: EnvelopeLog;
  readonly #write: (row: OrderRow) => OrderRow;
  #state: number;

  constructor(log: EnvelopeLog, seed: number, write = plain) {
    this.#log = log;
    this.#write = write;
    this.#state = seed;
  }

  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) >>> 0;
    return (this.#state >>> 8) % below;
  }

  make(messages: number): Message[] {
    return Array.from({ length: messages }, (_, i) => {
      if (i % 5 === 0) this.#log.commit();
      const id = 1 + this.#random(200);
      const known = this.rows.get(id);
      if (known && this.#random(4) === 0) {
        this.rows.delete(id);
        return this.#log.delete(this.#write(known));
      }
      const row = {
        id,
        name: `name ${this.#random(1_000)}`,
        amount: `${this.#random(1_000)}.${String(this.#random(100)).padStart(2, "0")}`,
      };
      this.rows.set(id, row);
      return known
        ? this.#log.update(this.#write(row))
        : this.#log.insert(this.#write(row));
    });
  }

  expected(): string[] {
    return [...this.rows.values()]
      .toSorted((a, b) => a.id - b.id)
      .map(({ id, name, amount }) => `${id} ${name} ${amount}`);
  }
}

async function produce(
  { kafka, topic }: KafkaFixture,
  messages: readonly Message[],
): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  for (let i = 0; i < messages.length; i += 2_000)
    await producer.send({ topic, messages: messages.slice(i, i + 2_000) });
  await producer.disconnect();
}

async function fail(
  url: string,
  out: string,
  ...more: readonly string[]
): Promise<readonly [code: number | null, said: string]> {
  const { exitCode, stderr } = await runCommand([
    ...["sync", url, out, ...options],
    ...more,
  ]);
  return [exitCode, stderr];
}

describe("topics with schemas in their messages", () => {
  test("are read from their beginning, then from where the ledger stands", async ({
    topics,
    out,
  }) => {
    const workload = new Workload(
      new EnvelopeLog({ schemas: true }),
      1,
      precise,
    );
    await produce(topics, workload.make(2_000));
    await sync(urlOf(topics), out);
    expect(await replay(out)).toEqual(workload.expected());
    const [first, places] = await count(out);
    expect(places).toBe(first);
    // nothing new
    await sync(urlOf(topics), out);
    expect(await count(out)).toEqual([first, first]);
    await produce(topics, workload.make(500));
    await sync(urlOf(topics), out);
    expect(await replay(out)).toEqual(workload.expected());
    expect(await count(out)).toEqual([2_500, 2_500]);
    // the brokers were told nothing
    const admin = topics.kafka.admin();
    await admin.connect();
    const { groups } = await admin.listGroups();
    await admin.disconnect();
    expect(
      groups.filter(({ groupId }) => groupId.includes("millrace")),
    ).toEqual([]);
  });
});

test("a topic whose last change has emptied its table is known by those before", async ({
  topics,
  out,
}) => {
  const log = new EnvelopeLog({ schemas: true });
  const workload = new Workload(log, 6, precise);
  await produce(topics, [...workload.make(20), log.truncate()]);
  await sync(urlOf(topics), out);
  const [truncations] = await queryDuckDb(
    `SELECT count(*)::INT FROM read_parquet('${out}/**/*.parquet', union_by_name = true) WHERE "_op" = 't'`,
  );
  expect(truncations).toEqual([1]);
});

test("brokers may want TLS and a user", async ({ topics, out, skip }) => {
  const { secure } = topics;
  if (secure === null) return skip("the broker is not ours");
  const workload = new Workload(new EnvelopeLog({ schemas: true }), 5, precise);
  await produce(topics, workload.make(100));
  const ca = join(out, "ca.pem");
  writeFileSync(ca, secure.caPem);
  const urlFor = (password: string): string =>
    `kafka://${secure.username}:${password}@${secure.brokers.join(",")}/?topics=${topics.topic}&ssl=true&sasl=scram-sha-512&ca=${encodeURIComponent(ca)}`;
  const [code, said] = await fail(
    ...([urlFor("wrong"), out, "--attempts", "1"] as const),
  );
  expect([code, said]).toEqual([2, expect.stringContaining("KAFKA_REFUSED")]);
  await sync(urlFor(secure.password), out);
  expect(await replay(out)).toEqual(workload.expected());
});

describe("topics without schemas", () => {
  /** A source that has the table, in the place of the connector's database. */
  const beside = `&tables=${encodeURIComponent("generator:?table=orders&columns=id:int,name:string,amount:string")}`;
  const folder = "generator/orders";

  test.for(["postgresql", "mysql", "sqlserver"] as const)(
    "of %s are read by what the database says of its tables",
    async (connector, { topics, out }) => {
      const log = new EnvelopeLog({ connector, namespace: "generator" });
      const workload = new Workload(log, 2);
      const messages = workload.make(1_000);
      // a connector that was started anew, and what it writes for compaction
      const again = messages.slice(-50);
      const [row] = workload.rows.values();
      await produce(topics, [
        ...messages,
        ...again,
        ...(row ? [log.tombstone({ ...row, id: 9_999 })] : []),
      ]);
      await sync(urlOf(topics, beside), out);
      expect(await replay(out, folder)).toEqual(workload.expected());
      expect(await count(out)).toEqual([1_000, 1_000]);
    },
  );

  test("and without that are refused", async ({ topics, out }) => {
    await produce(topics, [
      new EnvelopeLog().insert({ id: 1, name: "a", amount: "1.00" }),
    ]);
    const [code, said] = await fail(urlOf(topics), out);
    expect(code).toBe(2);
    expect(said).toContain("carry no schema");
    expect(said).toContain("SOURCE_LOG_UNSUITABLE");
  });
});

/** All offsets that the ledger has, together. */
function readOffsets(out: string): number {
  const path = join(out, ".millrace", "ledger.sqlite");
  const db = new DatabaseSync(path, { readOnly: true });
  const row = db.prepare("SELECT place FROM logs").get();
  db.close();
  const { at } = parseState(String(row?.["place"]));
  return Object.values(at).reduce((all, one) => all + Number(one), 0);
}

test(
  "whoever is killed while topics are read goes on, and has each change once",
  { timeout: 120_000 },
  async ({ topics, out }) => {
    const changes = 60_000;
    const workload = new Workload(
      new EnvelopeLog({ schemas: true }),
      3,
      precise,
    );
    await produce(topics, workload.make(changes));
    const url = urlOf(topics);
    const states: number[] = [];
    for (const afterMs of [0, 200]) {
      const { child, ended } = startCommand([
        ...["sync", url, out, "--json", ...options],
        ...["--checkpoint-every", "50ms"],
      ]);
      const recorded = Promise.withResolvers<void>();
      child.stdout?.on("data", (text: string) => {
        // of a whole unit
        if (/"log[.]progress".*-9999999999"/.test(text)) recorded.resolve();
      });
      await Promise.race([recorded.promise, ended]);
      await sleep(afterMs);
      child.kill("SIGKILL");
      await ended;
      states.push(readOffsets(out));
    }
    // in the middle of it
    expect(states.some((at) => at > 0 && at < changes)).toBe(true);
    await sync(url, out);
    expect(readOffsets(out)).toBe(changes);
    expect(await replay(out)).toEqual(workload.expected());
    expect(await count(out)).toEqual([changes, changes]);
  },
);

test(
  "brokers that die while topics are read are waited for; those that stay away end the run by name, and the next one brings the rest",
  { timeout: 400_000 },
  async ({ out, skip }) => {
    if (inject("kafka").service?.pid == null)
      return skip("the broker is not ours");
    // others read from the one of the test run
    const broker = await startKafka();
    try {
      await withTopics(broker, async (topics) => {
        const workload = new Workload(
          new EnvelopeLog({ schemas: true }),
          6,
          precise,
        );
        const start = (awaySeconds: number) =>
          startCommand(
            [
              ...["sync", urlOf(topics, `&away=${awaySeconds}`), out],
              ...["--mode", "continuous", "--checkpoint-every", "200ms"],
              ...["--attempts", "1"],
            ],
            {},
            400_000,
          );
        const copied = (changes: number) =>
          vi.waitFor(() => expect(readOffsets(out)).toBe(changes), {
            timeout: 180_000,
          });
        await produce(topics, workload.make(2_000));
        const first = start(5);
        await copied(2_000);
        // it does not even refuse
        process.kill(broker.pid ?? 0, "SIGSTOP");
        const { exitCode, stderr } = await first.ended;
        process.kill(broker.pid ?? 0, "SIGCONT");
        expect([exitCode, stderr]).toEqual([
          3,
          expect.stringMatching(
            /KAFKA_UNREACHABLE.*the brokers have been away for 5 s/,
          ),
        ]);
        await produce(topics, workload.make(2_000));
        const second = start(3_600);
        await vi.waitFor(
          () => expect(readOffsets(out)).toBeGreaterThan(2_000),
          { timeout: 180_000 },
        );
        await broker.kill();
        await broker.revive();
        await produce(topics, workload.make(200));
        await copied(4_200);
        second.child.kill("SIGTERM");
        expect(await second.ended).toMatchObject({ exitCode: 0 });
        expect(await replay(out)).toEqual(workload.expected());
        expect(await count(out)).toEqual([4_200, 4_200]);
      });
    } finally {
      await broker.stop();
    }
  },
);

describe("what cannot be read is told by name:", () => {
  test("a topic that is not there, brokers that are not, and a mode of tables", async ({
    topics,
    out,
  }) => {
    const [code, said] = await fail(urlOf(topics, ",missing"), out);
    expect([code, said]).toEqual([
      2,
      expect.stringContaining("KAFKA_TOPIC_NOT_FOUND"),
    ]);
    const [away, words] = await fail(
      `kafka://127.0.0.1:1/?topics=x`,
      out,
      ...["--attempts", "1"],
    );
    expect([away, words]).toEqual([
      3,
      expect.stringContaining("KAFKA_UNREACHABLE"),
    ]);
    const rows = await runCommand(["sync", urlOf(topics), out]);
    expect([rows.exitCode, rows.stderr]).toEqual([
      2,
      expect.stringContaining("--mode cdc"),
    ]);
  });

  test("messages that the brokers have removed before they were copied", async ({
    topics,
    out,
  }) => {
    const workload = new Workload(
      new EnvelopeLog({ schemas: true }),
      4,
      precise,
    );
    await produce(topics, workload.make(400));
    await sync(urlOf(topics), out);
    await produce(topics, workload.make(400));
    const admin = topics.kafka.admin();
    await admin.connect();
    const ends = await admin.fetchTopicOffsets(topics.topic);
    await admin.deleteTopicRecords({
      topic: topics.topic,
      partitions: ends.map(({ partition, high }) => ({
        partition,
        offset: high,
      })),
    });
    await admin.disconnect();
    await produce(topics, workload.make(100));
    const [code, said] = await fail(urlOf(topics), out);
    expect(said).toContain("SOURCE_POSITION_EXPIRED");
    expect(said).toContain("have removed the messages");
    expect(code).toBe(1);
  });

  test("a message that is no envelope, which the others can go on without", async ({
    topics,
    out,
  }) => {
    const log = new EnvelopeLog({ schemas: true });
    const row = precise({ id: 1, name: "a", amount: "1.00" });
    await produce(topics, [
      log.insert(row),
      { key: "{}", value: '{"op":"c"' },
      log.update({ ...row, name: "b" }),
    ]);
    const [code, said] = await fail(
      ...([urlOf(topics), out, "--attempts", "1"] as const),
      "--transaction-id",
    );
    expect(said).toContain("SOURCE_EVENT_INVALID");
    expect(said).toContain("no JSON");
    expect(code).not.toBe(0);
    const [second, words] = await fail(
      ...([urlOf(topics), out, "--on-undecodable", "quarantine"] as const),
      "--transaction-id",
    );
    expect(second, words).toBe(0);
    expect(words).toContain("1 event of the log could not be decoded");
    const path = /is in (\S+[.]jsonl)/.exec(words)?.[1] ?? "";
    const [line, ...others] = readFileSync(path, "utf8").trim().split("\n");
    expect(others).toEqual([]);
    expect(JSON.parse(line ?? "")).toMatchObject({
      code: "SOURCE_EVENT_INVALID",
      value: Buffer.from('{"op":"c"').toString("base64"),
    });
    expect(await replay(out)).toEqual(["1 b 1.00"]);
    const transactions = await queryDuckDb(
      `SELECT DISTINCT "_txid" FROM read_parquet('${out}/**/*.parquet', union_by_name = true)`,
    );
    expect(transactions).toEqual([["500"]]);
  });
});
