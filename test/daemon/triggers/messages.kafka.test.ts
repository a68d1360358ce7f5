import { describe, expect, vi } from "vitest";
import { ExtractError } from "../../../proto/error.ts";
import { configOf, queue, sum, test, WAIT } from "./fixture.ts";

describe("a message", () => {
  test("is in the ledger once, with what it asks for, and its offset is committed", async ({
    topics,
    start,
  }) => {
    const { ledger, trigger } = await start(configOf(topics));
    await topics.send(
      '{"sync":"orders","streams":["public.orders"],"key":"a"}',
      '{"sync":"orders","ranges":[{"stream":"orders","column":"id","from":7}]}',
    );
    await vi.waitFor(() => expect(queue(ledger)).toHaveLength(2), WAIT);
    const scopes = queue(ledger).map(({ scopeJson }) => JSON.parse(scopeJson));
    expect(scopes).toContainEqual({
      streams: ["public.orders"],
      ranges: null,
      window: null,
    });
    expect(scopes).toContainEqual({
      streams: null,
      ranges: [{ stream: "orders", column: "id", from: "7", until: null }],
      window: null,
    });
    await vi.waitFor(
      async () => expect(sum(await topics.committed())).toBe(2),
      WAIT,
    );
    expect(trigger.health()).toMatchObject({
      state: "consuming",
      error: null,
      messages: { queued: 2, coalesced: 0, known: 0, deadLettered: 0 },
    });
  });

  test("with a key that waits already joins it", async ({ topics, start }) => {
    const { ledger, trigger } = await start(configOf(topics));
    const message = (stream: string) => ({
      key: "one partition",
      value: JSON.stringify({ sync: "orders", streams: [stream], key: "k" }),
    });
    await topics.send(message("a"), message("b"), message("a"));
    await vi.waitFor(
      () =>
        expect(trigger.health().messages).toMatchObject({
          queued: 1,
          coalesced: 2,
        }),
      WAIT,
    );
    expect(JSON.parse(queue(ledger)[0]?.scopeJson ?? "")).toMatchObject({
      streams: ["a", "b"],
    });
  });

  test("that is malformed, or names no sync, is kept as a dead letter with the reason, and holds up no other", async ({
    topics,
    start,
  }) => {
    const { ledger, trigger } = await start(configOf(topics));
    const bad = [
      "no json",
      '{"sync":"orders","range":[]}',
      '{"sync":"order"}',
      Buffer.from([0xff, 0xfe]),
      "x".repeat(100_000),
    ].map((value) => ({ key: "k", value }));
    await topics.send(...bad, { key: "k", value: null });
    await topics.send({ key: "k", value: '{"sync":"orders"}' });
    await vi.waitFor(() => expect(queue(ledger)).toHaveLength(1), WAIT);
    await vi.waitFor(
      async () => expect(sum(await topics.committed())).toBe(7),
      WAIT,
    );
    const letters = await topics.read(topics.deadLetterTopic);
    const reasons = letters.map(({ headers }) => headers["millrace-reason"]);
    expect(reasons).toEqual([
      expect.stringContaining("no JSON"),
      "`range` is not known; did you mean `ranges`?",
      "there is no sync order",
      "the message is not UTF-8",
      "the message has 100000 bytes, more than 65536",
      "the message has no value",
    ]);
    expect(letters[0]).toMatchObject({
      key: "k",
      value: "no json",
      headers: { "millrace-topic": topics.topic, "millrace-offset": "0" },
    });
    expect(letters[4]?.value).toHaveLength(65_536);
    expect(letters[4]?.headers["millrace-bytes"]).toBe("100000");
    expect(trigger.health().messages.deadLettered).toBe(6);
  });
});

describe("a ledger that takes nothing", () => {
  test("pauses the trigger, which says so and records the message when it can", async ({
    topics,
    start,
  }) => {
    let isFull = true;
    const { ledger, trigger, lines } = await start(configOf(topics), {
      prepare: (service) => {
        service.before = () => {
          if (isFull) throw new ExtractError("LEDGER_FULL", "no room");
        };
      },
    });
    await topics.send('{"sync":"orders"}', '{"sync":"orders"}');
    await vi.waitFor(() => {
      expect(trigger.health()).toMatchObject({
        state: "paused",
        error: { code: "LEDGER_FULL", message: "no room" },
      });
    }, WAIT);
    expect(lines).toContain("kafka trigger paused: no room");
    expect(sum(await topics.committed())).toBe(0);
    isFull = false;
    await vi.waitFor(() => expect(queue(ledger)).toHaveLength(2), WAIT);
    await vi.waitFor(() => {
      expect(trigger.health()).toMatchObject({
        state: "consuming",
        error: null,
      });
    }, WAIT);
    expect(await topics.read(topics.deadLetterTopic)).toEqual([]);
  });
});
