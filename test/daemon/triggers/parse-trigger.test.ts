import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  MESSAGE_BYTES_MAX,
  parseTrigger,
  RANGES_MAX,
  STREAMS_MAX,
} from "../../../daemon/triggers/parse-trigger.ts";
import { millrace } from "../../../proto/gen/trigger.js";

const json = (value: unknown) =>
  parseTrigger(Buffer.from(JSON.stringify(value)), "json");
const { TriggerMessage } = millrace.trigger.v1;
const protobuf = (value: Parameters<typeof TriggerMessage.encode>[0]) =>
  parseTrigger(TriggerMessage.encode(value).finish(), "protobuf");

const whole = { streams: null, ranges: null, window: null };

describe("what a message may ask for", () => {
  test("is the same in both formats", () => {
    const orders = {
      sync: "orders",
      streams: ["public.orders", "public.lines"],
      ranges: [{ stream: "orders", column: "id", from: "5", until: "9" }],
      window: { from: "2026-01-01", to: "2026-02-01" },
      key: "k",
    };
    const { sync, key, ...scope } = orders;
    expect(json(orders)).toEqual({ order: { sync, key, scope } });
    expect(protobuf(orders)).toEqual({ order: { sync, key, scope } });
  });

  test("is all of a sync where it says no more", () => {
    const order = { sync: "orders", scope: whole, key: null };
    expect(json({ sync: "orders" })).toEqual({ order });
    expect(protobuf({ sync: "orders" })).toEqual({ order });
    expect(json({ sync: "orders", streams: null, key: null })).toEqual({ order }); // prettier-ignore
  });

  test("has open ends, and whole numbers as bounds", () => {
    const range = { stream: "t", column: "id" };
    expect(json({ sync: "s", ranges: [{ ...range, from: -7 }] })).toMatchObject({ order: { scope: { ranges: [{ ...range, from: "-7", until: null }] } } }); // prettier-ignore
    expect(protobuf({ sync: "s", window: { to: "" } })).toMatchObject({ order: { scope: { window: { from: null, to: "" } } } }); // prettier-ignore
  });
});

const long = "x".repeat(201);
const range = { stream: "t", column: "id", from: "1" };

test.for([
  ["no text", { sync: 7 }, "sync must be text"],
  ["no sync", {}, "sync must be text"],
  ["an empty sync", { sync: "" }, "sync is empty"],
  ["a long sync", { sync: long }, "sync is longer than 200 characters"],
  [
    "a misspelt key",
    { sync: "s", stream: [] },
    "`stream` is not known; did you mean `streams`?",
  ],
  [
    "a strange key",
    { sync: "s", priority: 1 },
    "`priority` is not known; known are sync, streams, ranges, window, key",
  ],
  [
    "a misspelt key in a range",
    { sync: "s", ranges: [{ ...range, untl: "9" }] },
    "ranges.0: `untl` is not known; did you mean `until`?",
  ],
  [
    "a misspelt key in a window",
    { sync: "s", window: { form: "9", to: "1" } },
    "window: `form` is not known; did you mean `from`?",
  ],
  [
    "no streams",
    { sync: "s", streams: [] },
    "streams is empty; leave it out for all",
  ],
  [
    "streams that are no list",
    { sync: "s", streams: "t" },
    "streams must be a list",
  ],
  [
    "too many streams",
    { sync: "s", streams: Array.from({ length: STREAMS_MAX + 1 }, () => "t") },
    "streams has more than 1000 entries",
  ],
  [
    "too many ranges",
    { sync: "s", ranges: Array.from({ length: RANGES_MAX + 1 }, () => range) },
    "ranges has more than 1000 entries",
  ],
  [
    "an open range",
    { sync: "s", ranges: [{ stream: "t", column: "c" }] },
    "ranges.0 is open on both sides; leave it out",
  ],
  [
    "an open window",
    { sync: "s", window: {} },
    "window is open on both sides; leave it out",
  ],
  [
    "a bound that is no whole number",
    { sync: "s", window: { from: 1.5 } },
    "window.from must be text of up to 4096 characters, or a whole number of up to 2^53",
  ],
  [
    "a bound beyond 2^53",
    { sync: "s", window: { from: 2 ** 53 } },
    "window.from must be text of up to 4096 characters, or a whole number of up to 2^53",
  ],
  [
    "half a character",
    { sync: "s", key: "\ud800" },
    "key holds a NUL or half a character",
  ],
  ["a NUL", { sync: "s\0" }, "sync holds a NUL or half a character"],
  [
    "a long key",
    { sync: "s", key: "k".repeat(257) },
    "key is longer than 256 characters",
  ],
  ["a list", [], "the message must be an object"],
  ["null", null, "the message must be an object"],
] as const)("%s is refused, with the reason", ([, value, reason]) => {
  expect(json(value)).toEqual({ reason });
});

test.for([
  ["nothing", null, "the message has no value"],
  ["no bytes", Buffer.alloc(0), "the message has no value"],
  [
    "too many bytes",
    Buffer.alloc(MESSAGE_BYTES_MAX + 1, 0x20),
    "the message has 65537 bytes, more than 65536",
  ],
  [
    "bytes that are no text",
    Buffer.from([0x22, 0xff, 0x22]),
    "the message is not UTF-8",
  ],
] as const)("%s is refused as JSON", ([, value, reason]) => {
  expect(parseTrigger(value, "json")).toEqual({ reason });
});

test("a deep message is refused like any other", () => {
  const deep = Buffer.from("[".repeat(30_000) + "]".repeat(30_000));
  expect(parseTrigger(deep, "json")).toHaveProperty("reason");
});

test("a field of a later version is refused: what it narrows is not known", () => {
  const known = TriggerMessage.encode({ sync: "orders" }).finish();
  const field9 = Buffer.from([0x4a, 1, 0x61]);
  const reason = "the message has a field that this version does not know";
  expect(parseTrigger(Buffer.concat([known, field9]), "protobuf")).toEqual({ reason }); // prettier-ignore
  const inRange = Buffer.concat([known, Buffer.from([0x1a, 3, ...field9])]);
  expect(parseTrigger(inRange, "protobuf")).toEqual({ reason });
});

test("whatever the bytes are, there is an order or a short reason, and the two are told apart", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom("json", "protobuf"),
      (bytes, format) => {
        const parsed = parseTrigger(bytes, format);
        if ("order" in parsed) return parsed.order.sync.length > 0;
        return parsed.reason.length > 0 && parsed.reason.length <= 1_000;
      },
    ),
  );
});
