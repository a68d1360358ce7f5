import { join } from "node:path";
import { describe, expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { configOf, messagesOf, queue, sum, test, WAIT } from "./fixture.ts";

const MESSAGES = 200;

describe("daemons of one group that share a ledger", () => {
  test("share the partitions; what comes again in a rebalance is known", async ({
    topics,
    start,
    folder,
  }) => {
    const path = join(folder, "shared.sqlite");
    const ledgers = [1, 2].map(() => Ledger.open(path, { create: true }));
    const [first, second] = ledgers as [Ledger, Ledger];
    const config = configOf(topics);
    const one = await start(config, { ledger: first });
    await vi.waitFor(
      () => expect(one.trigger.health().partitions).toHaveLength(4),
      WAIT,
    );
    const values = Array.from(
      { length: MESSAGES },
      (_, i) => `{"sync":"orders","streams":["t${i}"]}`,
    );
    await topics.send(...values.slice(0, MESSAGES / 2));
    const two = await start(config, { ledger: second });
    await vi.waitFor(() => {
      expect(one.trigger.health().partitions).toHaveLength(2);
      expect(two.trigger.health().partitions).toHaveLength(2);
    }, WAIT);
    await topics.send(...values.slice(MESSAGES / 2));
    const messages = await topics.count(topics.topic);
    await vi.waitFor(
      async () => expect(sum(await topics.committed())).toBe(messages),
      WAIT,
    );
    expect(two.trigger.health().messages.queued).toBeGreaterThan(0);
    const recorded = messagesOf(first);
    expect(new Set(recorded).size).toBe(messages);
    expect(recorded).toHaveLength(messages);
    await one.trigger.close();
    await vi.waitFor(
      () => expect(two.trigger.health().partitions).toHaveLength(4),
      WAIT,
    );
    await two.trigger.close();
    for (const ledger of ledgers) ledger.close();
  });
});

describe("a daemon with a ledger of its own", () => {
  test("does not join a group in which another ledger is at work, and the other goes on", async ({
    topics,
    start,
  }) => {
    const config = configOf(topics);
    const first = await start(config);
    await expect(start(config)).rejects.toMatchObject({
      code: "KAFKA_GROUP_FOREIGN",
      message: expect.stringContaining(first.ledger.id),
    });
    await topics.send('{"sync":"orders"}');
    await vi.waitFor(() => expect(queue(first.ledger)).toHaveLength(1), WAIT);
    expect(first.trigger.health().state).toBe("consuming");
  });

  test("does not join a group whose members are no daemons", async ({
    topics,
    start,
  }) => {
    const consumer = topics.kafka.consumer({ groupId: topics.group });
    await consumer.connect();
    await consumer.subscribe({ topic: topics.topic });
    const joined = new Promise((done) => consumer.on("consumer.group_join", done)); // prettier-ignore
    await consumer.run({ eachMessage: async () => {} });
    await joined;
    await expect(start(configOf(topics))).rejects.toMatchObject({
      code: "KAFKA_GROUP_FOREIGN",
      message: expect.stringContaining("no Millrace daemon"),
    });
    await consumer.disconnect();
  });

  test("of two that begin at once, not both record, and each message is in one ledger only", async ({
    topics,
    start,
  }) => {
    const config = configOf(topics);
    const started = await Promise.allSettled([start(config), start(config)]);
    const running = started.flatMap((one) =>
      one.status === "fulfilled" ? [one.value] : [],
    );
    await topics.send('{"sync":"orders"}', '{"sync":"orders"}');
    await vi.waitFor(async () => {
      const consuming = running.filter(
        ({ trigger }) => trigger.health().state === "consuming",
      );
      expect(consuming.length).toBeLessThan(2);
      expect(sum(await topics.committed())).toBe(2 * consuming.length);
    }, WAIT);
    const recorded = running.flatMap(({ ledger }) => queue(ledger));
    expect(recorded.length).toBeLessThanOrEqual(2);
  });
});

test("a topic that was deleted and made anew begins anew", async ({
  topics,
  start,
  folder,
}) => {
  const ledger = Ledger.open(join(folder, "ledger.sqlite"), { create: true });
  const first = await start(configOf(topics), { ledger });
  await topics.send({ key: "k", value: '{"sync":"orders"}' });
  await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);
  await first.trigger.close();
  await topics.remake();
  await start(configOf(topics), { ledger });
  await topics.send({ key: "k", value: '{"sync":"orders"}' });
  await vi.waitFor(() => expect(queue(ledger)).toHaveLength(2), WAIT);
});

test("a group that begins at the end leaves what was there before, and nothing that comes after", async ({
  topics,
  start,
  folder,
}) => {
  const ledger = Ledger.open(join(folder, "ledger.sqlite"), { create: true });
  const config = configOf(topics, { from: "end" });
  await topics.send('{"sync":"orders","key":"before"}');
  const first = await start(config, { ledger });
  await first.trigger.close();
  // nothing was read yet, and its place is remembered all the same
  await topics.send('{"sync":"orders","key":"after"}');
  await start(config, { ledger });
  await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);
  expect(queue(ledger)[0]?.key).toBe("after");
});
