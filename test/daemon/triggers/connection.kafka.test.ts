import { CompressionTypes, Partitioners } from "kafkajs";
import { describe, expect, inject, vi } from "vitest";
import { startKafka } from "../../services/kafka.ts";
import { withTopics, type KafkaFixture } from "../../fixtures/kafka.ts";
import { configOf, queue, test, WAIT } from "./fixture.ts";

describe("TLS and SASL", () => {
  test.for(["plain", "scram-sha-256", "scram-sha-512"] as const)(
    "a daemon reads over TLS with a password by %s",
    async (mechanism, { topics, start, skip }) => {
      const { secure } = topics;
      if (secure === null) return skip("the broker is not ours");
      const { brokers, caPem, username, password } = secure;
      const { ledger } = await start(
        configOf(topics, {
          brokers,
          ssl: { ca: caPem },
          sasl: { mechanism, username, password },
        }),
      );
      await topics.send('{"sync":"orders"}');
      await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);
    },
  );

  test("a wrong password is told, and never shown; the daemon runs on", async ({
    topics,
    start,
    skip,
  }) => {
    const { secure } = topics;
    if (secure === null) return skip("the broker is not ours");
    const { trigger, lines } = await start(
      configOf(topics, {
        brokers: secure.brokers,
        ssl: { ca: secure.caPem },
        sasl: {
          mechanism: "scram-sha-256",
          username: secure.username,
          password: "open sesame",
        },
      }),
    );
    expect(trigger.health()).toMatchObject({
      state: "backingOff",
      error: { code: "KAFKA_REFUSED" },
    });
    expect(JSON.stringify([trigger.health(), lines])).not.toContain("sesame");
  });

  test("a certificate of an unknown authority is refused", async ({
    topics,
    start,
    skip,
  }) => {
    const { secure } = topics;
    if (secure === null) return skip("the broker is not ours");
    const { trigger } = await start(
      configOf(topics, { brokers: secure.brokers, ssl: true }),
    );
    expect(trigger.health()).toMatchObject({
      state: "backingOff",
      error: {
        code: "KAFKA_UNREACHABLE",
        message: expect.stringMatching(/certificate/i),
      },
    });
  });
});

describe("messages that are compressed", () => {
  async function sendCompressed(
    topics: KafkaFixture,
    compression: CompressionTypes,
    value: string | Buffer,
  ): Promise<void> {
    const producer = topics.kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const { topic } = topics;
    await producer.send({ topic, compression, messages: [{ value }] });
    await producer.disconnect();
  }

  test.for([CompressionTypes.GZIP, CompressionTypes.ZSTD])(
    "are read (%s)",
    async (compression, { topics, start }) => {
      const { ledger } = await start(configOf(topics));
      await sendCompressed(topics, compression, '{"sync":"orders"}');
      await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);
    },
  );

  test("and would grow beyond all bounds are not unpacked, and the trigger says so", async ({
    topics,
    start,
  }) => {
    const bomb = Buffer.alloc(70 * 1024 * 1024);
    await sendCompressed(topics, CompressionTypes.GZIP, bomb);
    const { trigger } = await start(configOf(topics));
    await vi.waitFor(() => {
      expect(trigger.health()).toMatchObject({
        state: "backingOff",
        error: { message: expect.stringContaining("larger than") },
      });
    }, WAIT);
    expect(await topics.committed()).toEqual([-1, -1, -1, -1]);
  });
});

test("a topic that is not there is named, and made by nobody", async ({
  topics,
  start,
}) => {
  const missing = `${topics.topic}-misspelt`;
  const { trigger } = await start(configOf(topics, { topic: missing }));
  expect(trigger.health()).toMatchObject({
    state: "backingOff",
    error: {
      code: "KAFKA_TOPIC_NOT_FOUND",
      message: expect.stringContaining(missing),
    },
  });
  const admin = topics.kafka.admin();
  await admin.connect();
  expect(await admin.listTopics()).not.toContain(missing);
  await admin.disconnect();
});

test(
  "a broker that is away at the start, comes, dies and comes back: the daemon reads on",
  { timeout: 120_000 },
  async ({ start, skip }) => {
    if (inject("kafka").service?.pid == null) return skip("the broker is not ours"); // prettier-ignore
    const broker = await startKafka();
    try {
      await withTopics(broker, async (topics) => {
        await broker.kill();
        const { ledger, trigger } = await start(configOf(topics));
        expect(trigger.health()).toMatchObject({
          state: "backingOff",
          error: { code: "KAFKA_UNREACHABLE" },
        });
        await broker.revive();
        await vi.waitFor(
          () => expect(trigger.health().state).toBe("consuming"),
          WAIT,
        );
        await topics.send('{"sync":"orders"}');
        await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);

        await broker.kill();
        await vi.waitFor(
          () => expect(trigger.health().state).toBe("backingOff"),
          WAIT,
        );
        await broker.revive();
        await topics.send('{"sync":"orders"}');
        await vi.waitFor(() => expect(queue(ledger)).toHaveLength(2), WAIT);
        expect(trigger.health()).toMatchObject({
          state: "consuming",
          error: null,
        });
        await trigger.close();
      });
    } finally {
      await broker.stop();
    }
  },
);
