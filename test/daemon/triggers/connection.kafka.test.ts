import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CompressionTypes, Partitioners } from "kafkajs";
import { describe, expect, inject, vi } from "vitest";
import { installKafka } from "../../services/kafka-programs.ts";
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

  /** Kafka's own producer; all of standard input is one batch, a message a line. */
  const producer = `
    import java.io.*;
    import java.util.Properties;
    import org.apache.kafka.clients.producer.*;
    import org.apache.kafka.common.serialization.StringSerializer;
    public class Produce {
      public static void main(String[] given) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", given[0]);
        settings.put("compression.type", given[2]);
        settings.put("linger.ms", "1000");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
          for (String line; (line = lines.readLine()) != null;)
            producer.send(new ProducerRecord<>(given[1], 0, null, line));
        }
      }
    }`;

  const hasCompiler = execFileSync("java", ["--list-modules"])
    .toString()
    .includes("jdk.compiler");

  function produce(
    { brokers, topic }: KafkaFixture,
    codec: string,
    lines: readonly string[],
  ): void {
    const folder = mkdtempSync(join(tmpdir(), "millrace-produce-"));
    try {
      const file = join(folder, "Produce.java");
      writeFileSync(file, producer);
      const place = [brokers.join(","), topic, codec];
      execFileSync("java", [...installKafka().java, file, ...place], {
        input: lines.map((line) => `${line}\n`).join(""),
        stdio: "pipe",
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  test.for(["snappy", "lz4", "zstd", "gzip"])(
    "by Kafka's own producer are read (%s)",
    async (codec, { topics, start, skip }) => {
      if (!hasCompiler) return skip("this Java has no compiler");
      const { ledger } = await start(configOf(topics));
      const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
      produce(
        topics,
        codec,
        keys.map((key) => JSON.stringify({ sync: "orders", key })),
      );
      await vi.waitFor(() => {
        const found = queue(ledger).map(({ key }) => key);
        expect(found).toHaveLength(keys.length);
        expect(new Set(found)).toEqual(new Set(keys));
      }, WAIT);
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
