import fc from "fast-check";
import { expect, test } from "vitest";
import { BatchSet } from "../../../../../connectors/sources/batches/batch-set.ts";
import {
  FrameCutter,
  FrameReader,
} from "../../../../../connectors/sources/debezium/engine/frames.ts";
import { BatchEvent } from "../../../../../connectors/sources/debezium/events/batch-event.ts";
import { openChangeDecoder } from "../../../../../connectors/sources/debezium/events/decoder.ts";
import { ExtractError } from "../../../../../proto/error.ts";
import { delimit, encodeFrame, toFrame } from "../events/frames.ts";
import {
  envelope,
  makeTable,
  place,
  postgres,
  readEvent,
} from "../events/support.ts";

const columns = makeTable([
  ["id", { kind: "int32" }],
  ["big", { kind: "int64" }],
  ["name", { kind: "text" }],
  ["ok", { kind: "boolean" }],
  ["price", { kind: "decimal64", precision: 12, scale: 2 }],
  ["ratio", { kind: "float64" }],
  ["born", { kind: "date" }],
  ["seen", { kind: "timestamptz" }],
  ["data", { kind: "binary" }],
]);
const row = (id: number, name: string): string =>
  `{"id":${id},"big":9007199254740993,"name":"${name}","ok":true,"price":"1.50","ratio":0.5,"born":19000,"seen":"2024-03-31T00:30:00.5Z","data":"AP8="}`;
const kinds = new Map([
  ["ratio", "float64"],
  ["data", "binary"],
] as const);

/** An insertion, an update with both rows, a deletion, a truncation. */
function makeFrame(): Buffer {
  const events = [
    { op: "c", after: row(1, "é".repeat(40)), key: '{"id":1}' },
    { op: "u", before: row(1, "a"), after: row(2, "b"), key: '{"id":2}' },
    { op: "d", before: row(2, "b"), key: '{"id":2}' },
    { op: "t" },
  ].map((options, i) =>
    readEvent(envelope(options), { ...options, order: i + 1 }),
  );
  return toFrame(
    events.map((event) => ({ ...event.toParts() })),
    kinds,
  );
}

test("frames come out as they went in, wherever the chunks were cut", () =>
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 400 })),
      fc.array(fc.nat({ max: 60 })),
      (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(delimit));
        const cutter = new FrameCutter(1_000);
        const found: Buffer[] = [];
        let at = 0;
        for (const size of [...cuts, bytes.length]) {
          for (const frame of cutter.cut(bytes.subarray(at, at + size)))
            found.push(Buffer.from(frame));
          at += size;
        }
        expect(found).toEqual(frames.map((frame) => Buffer.from(frame)));
        expect(cutter.pendingBytes).toBe(0);
      },
    ),
  ));

test("a length beyond the bound is refused before anything is kept of the frame", () => {
  const cut = (bytes: Buffer) => [...new FrameCutter(1_000).cut(bytes)];
  expect(cut(delimit(Buffer.alloc(1_000)))).toHaveLength(1);
  expect(() => cut(delimit(Buffer.alloc(1_001)))).toThrow(
    expect.objectContaining({ code: "SOURCE_ROW_TOO_LARGE" }),
  );
  expect(() => cut(Buffer.alloc(9, 255))).toThrow(
    expect.objectContaining({ code: "SOURCE_PROTOCOL_VIOLATION" }),
  );
});

test("lines and events are told in their order, events with their numbers", () => {
  const reader = new FrameReader();
  const begin = '{"t":"begin","n":8,"tx":"7","p":"0a","ms":5}';
  const commit = '{"t":"commit","n":11,"events":4,"o":null}';
  const messages = [
    encodeFrame([{ line: begin }], 7),
    makeFrame(),
    encodeFrame([{ line: commit }], 11),
  ].flatMap((frame) => reader.read(frame));
  expect(messages.map(({ type }) => type)).toEqual([
    "begin",
    "events",
    "commit",
  ]);
  const [, events] = messages;
  if (events?.type !== "events") throw new Error("no events");
  const event = new BatchEvent().begin(events.run);
  const found: unknown[] = [];
  while (event.next())
    found.push([event.number, event.order, event.op, event.shape.table]);
  expect(found).toEqual([
    [7, 1, "c", "orders"],
    [8, 2, "u", "orders"],
    [9, 3, "d", "orders"],
    [10, 4, "t", "orders"],
  ]);
});

test("an event is read by the shape that was told before it", () => {
  const shape = (name: string) => ({
    shape: {
      ...{ number: 1, topic: "m.a.b", namespace: "a", table: "b" },
      row: [{ name, type: "INT32" }],
      key: [],
    },
  });
  // field 1, zigzag: 3
  const after = Buffer.from([8, 6]);
  const item = {
    event: { shape: 1, op: 99, order: 1, committed_us: 5, after },
  };
  const frame = encodeFrame([shape("x"), item, shape("y"), item]);
  const values = new FrameReader().read(frame).map((message) => {
    if (message.type !== "events") throw new Error(message.type);
    const event = new BatchEvent().begin(message.run);
    expect(event.next()).toBe(true);
    const { value } = event.toParts();
    return (JSON.parse(String(value)) as { after: unknown }).after;
  });
  expect(values).toEqual([{ x: 3 }, { y: 3 }]);
});

test.for([
  { name: "another message", frame: Buffer.from("Terminating due to") },
  { name: "a line of another kind", frame: encodeFrame([{ line: "{}" }]) },
  { name: "an item without anything", frame: Buffer.from([18, 0]) },
  { name: "an item beyond its end", frame: Buffer.from([18, 9, 10, 7]) },
])("$name is refused by name", ({ frame }) =>
  expect(() => new FrameReader().read(frame)).toThrow(
    expect.objectContaining({ code: "SOURCE_PROTOCOL_VIOLATION" }),
  ),
);

const expected = new Set([
  "SOURCE_PROTOCOL_VIOLATION",
  "SOURCE_EVENT_INVALID",
  "SOURCE_VALUE_UNREPRESENTABLE",
  "SOURCE_ROW_TOO_LARGE",
  "SOURCE_LOG_UNUSABLE",
]);

/** As a run takes them; an event that cannot be decoded is passed over, anything else ends it. */
function readAll(bytes: Buffer): number {
  const decoder = openChangeDecoder(columns, postgres);
  const set = new BatchSet(decoder.fields, 64);
  const cutter = new FrameCutter(10_000);
  const reader = new FrameReader();
  let appended = 0;
  const isOurs = (error: unknown): boolean =>
    error instanceof ExtractError && expected.has(error.code);
  try {
    for (const frame of cutter.cut(bytes))
      for (const message of reader.read(frame)) {
        if (message.type !== "events") continue;
        const event = new BatchEvent().begin(message.run);
        for (let isMore = true; isMore;) {
          try {
            isMore = event.next();
            if (isMore && decoder.append(event, place, set) === "appended")
              appended += 1;
          } catch (error) {
            if (!isOurs(error)) throw error;
            expect(event.toParts().number).toBe(event.number);
          }
        }
      }
  } catch (error) {
    if (!isOurs(error)) throw error;
  }
  set.toBatch(decoder.fields.length);
  return appended;
}

test("damaged and truncated frames are refused by name, and take no more than they are", () => {
  const whole = delimit(makeFrame());
  expect(readAll(whole)).toBe(4);
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })),
        { minLength: 1, maxLength: 4 },
      ),
      fc.nat({ max: whole.length }),
      fc.boolean(),
      (changes, length, isCut) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        expect(
          readAll(isCut ? bytes.subarray(0, length) : bytes),
        ).toBeLessThanOrEqual(8);
      },
    ),
    { numRuns: 3_000 },
  );
});
