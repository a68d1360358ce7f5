import { describe, expect, test } from "vitest";
import {
  readColumns,
  readSchema,
} from "../../../../../connectors/sources/debezium/topics/connect-schema.ts";
import { PartitionQueue } from "../../../../../connectors/sources/debezium/topics/partition-queue.ts";
import {
  formatState,
  parseState,
} from "../../../../../connectors/sources/debezium/topics/state.ts";
import {
  parseTopicsUrl,
  redactUrl,
  removePassword,
  putPassword,
} from "../../../../../connectors/sources/debezium/topics/url.ts";
import type { TopicMessage } from "../../../../../connectors/sources/debezium/topics/client.ts";
import { positionOf } from "../../../../../connectors/sources/debezium/engine/offsets.ts";
import {
  EnvelopeLog,
  type EnvelopeConnector,
} from "../../../../fixtures/envelopes.ts";
import type { Message } from "kafkajs";

const asRead = (message: Message, offset: number): TopicMessage => ({
  offset: String(offset),
  key:
    message.key === undefined || message.key === null
      ? null
      : Buffer.from(message.key),
  value: message.value === null ? null : Buffer.from(message.value),
  headers: {},
});

describe("a source of topics as a URL", () => {
  test("names brokers, topics and how to log in", () => {
    expect(
      parseTopicsUrl(
        "kafka://me:p%40ss@one:9093,two/?topics=shop.public.*,x&sasl=scram-sha-512&ssl=true&tables=postgres%3A%2F%2Fa%3Ab%40h%2Fd&away=30",
      ),
    ).toEqual({
      brokers: ["one:9093", "two:9092"],
      user: "me",
      password: "p@ss",
      sasl: "scram-sha-512",
      ssl: true,
      caPath: null,
      topics: ["shop.public.*", "x"],
      tables: "postgres://a:b@h/d",
      timePrecision: "adaptive",
      unavailableValue: "__debezium_unavailable_value",
      awayMs: 30_000,
    });
  });

  test.each([
    ["kafka://h", "topics="],
    ["kafka://h/?topics=a&group=g", "group is none of"],
    ["kafka://h:99999/?topics=a", "is no broker"],
    ["kafka://h/?topics=a b", "no name of a topic"],
    ["kafka://h/?topics=a&sasl=kerberos", "sasl="],
    ["kafka://me@h/?topics=a", "SASL wants"],
    ["kafka://h/?topics=a&away=never", "away="],
    ["kafka:h", "are written"],
  ])("%s is refused", (url, words) => {
    expect(() => parseTopicsUrl(url, {})).toThrow(words);
  });

  test("its passwords are shown to nobody, and kept nowhere", () => {
    const url =
      "kafka://me:secret@h/?topics=a&tables=postgres%3A%2F%2Fa%3Ahidden%40h%2Fd";
    for (const shown of [redactUrl(url), removePassword(url)]) {
      expect(shown).not.toMatch(/secret|hidden/);
      expect(decodeURIComponent(shown)).toContain("postgres://a");
    }
    expect(
      parseTopicsUrl(putPassword(removePassword(url), "ne/w")).password,
    ).toBe("ne/w");
  });
});

const table = { namespace: "public", table: "orders" };
const END = 1_000n;

/** What is told of these messages, by offset. */
function tell(messages: readonly Message[], queue = open()): string[] {
  queue.push(messages.map(asRead), BigInt(messages.length));
  const told: string[] = [];
  while (queue.peek(BigInt(messages.length)) !== null)
    told.push(queue.take().message.offset);
  return told;
}

function open(namespace = "public"): PartitionQueue {
  return new PartitionQueue(
    { topic: "t", partition: 0 },
    { ...table, namespace },
    0n,
    null,
  );
}

describe("the messages of a partition", () => {
  test.each([
    ["postgresql", "public"],
    ["mysql", "shop"],
    ["sqlserver", "dbo"],
  ] as const)(
    "of %s that come again are told once",
    (connector: EnvelopeConnector, namespace) => {
      const log = new EnvelopeLog({ connector });
      const row = { id: 1, name: "a", amount: "1.00" };
      const first = [log.insert(row), log.update(row), log.delete(row)];
      log.commit();
      const second = [log.insert(row), log.update({ ...row, id: 2 })];
      const queue = open(namespace);
      // a connector that is started anew goes back to what it knows to be there
      expect(
        tell(
          [...first, ...first.slice(1), ...second, second[1]!, ...second],
          queue,
        ),
      ).toEqual(["0", "1", "2", "5", "6"]);
      expect(queue.repeats).toBe(5);
    },
  );

  test("of another log than before, after a failover, are no repetitions", () => {
    const before = new EnvelopeLog();
    const row = { id: 1, name: "a", amount: "1.00" };
    for (let i = 0; i < 50; i++) before.insert(row);
    const old = before.insert(row);
    const later = JSON.parse(String(new EnvelopeLog().insert(row).value)) as {
      source: { ts_us: number };
    };
    later.source.ts_us += 60_000_000;
    expect(
      tell([old, { key: old.key ?? null, value: JSON.stringify(later) }]),
    ).toEqual(["0", "1"]);
  });

  test("of a snapshot are all told, and tombstones are not", () => {
    const log = new EnvelopeLog();
    const row = { id: 1, name: "a", amount: "1.00" };
    const read = log.snapshot(row);
    const queue = open();
    expect(
      tell([read, read, log.delete(row), log.tombstone(row), read], queue),
    ).toEqual(["0", "1", "2", "4"]);
    expect(queue.consumed).toBe(5n);
  });

  test("of one place, as those of one statement, are told from each other", () => {
    const log = new EnvelopeLog();
    const one = log.insert({ id: 1, name: "a", amount: "1.00" });
    const same = JSON.parse(String(one.value)) as { after: { id: number } };
    same.after.id = 2;
    const other = { key: '{"id":2}', value: JSON.stringify(same) };
    expect(tell([one, other, one, other])).toEqual(["0", "1"]);
  });

  test("that cannot be read are handed on to whoever decides", () => {
    expect(tell([{ value: "{" }, { value: '{"op":"x"}' }])).toEqual(["0", "1"]);
  });

  test("of another table end the run by name", () => {
    const log = new EnvelopeLog({ table: "others" });
    const queue = open();
    queue.push([asRead(log.insert({ id: 1, name: "a", amount: "1" }), 0)], 1n);
    expect(() => queue.peek(END)).toThrow(
      "each table needs a topic of its own",
    );
  });

  test("behind the end wait, and holes before it are passed over", () => {
    const log = new EnvelopeLog();
    const row = { id: 1, name: "a", amount: "1.00" };
    const queue = open();
    queue.push([asRead(log.insert(row), 0), asRead(log.update(row), 9)], 10n);
    expect(queue.peek(5n)?.message.offset).toBe("0");
    queue.take();
    expect(queue.peek(5n)).toBeNull();
    expect(queue.consumed).toBe(5n);
    expect(queue.peek(10n)?.message.offset).toBe("9");
  });
});

test("the columns are those of the schema that a message carries", () => {
  const message = new EnvelopeLog({ schemas: true }).insert({
    id: 1,
    name: "a",
    amount: "",
    note: null,
  });
  const schema = readSchema(JSON.parse(String(message.value)));
  expect(schema && readColumns(schema)).toEqual([
    {
      name: "id",
      type: { kind: "int32" },
      nullable: false,
      sourceType: "int32",
    },
    {
      name: "name",
      type: { kind: "text" },
      nullable: false,
      sourceType: "string",
    },
    {
      name: "amount",
      type: { kind: "decimal64", precision: 12, scale: 2 },
      nullable: true,
      sourceType: "bytes org.apache.kafka.connect.data.Decimal",
    },
    {
      name: "note",
      type: { kind: "text" },
      nullable: true,
      sourceType: "string",
    },
  ]);
  expect(readSchema({ payload: {} })).toBeNull();
});

test("the ledger's offsets come back as they were, and compare by their unit", () => {
  const state = {
    unit: 17,
    at: { "t/0": "5" },
    to: null,
    reached: { "t/0": { place: "a", us: 1 } },
  };
  expect(parseState(formatState(state))).toEqual(state);
  expect(positionOf(formatState(state))).toBe("11".padStart(20, "0"));
  expect(parseState(null).unit).toBe(0);
  for (const text of [
    "{}",
    "[]",
    '{"unit":1,"at":{"a":"-1"},"to":null,"reached":{}}',
    "x",
  ])
    expect(() => parseState(text)).toThrow(
      "offsets of the source's topics are none",
    );
});
