import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExtractError } from "../../proto/error.ts";
import { millrace } from "../../proto/gen/frames.js";
import { encodeBatch } from "../../transport/batch-codec.ts";
import { decodeFrame, encodeFrame } from "../../transport/frame-codec.ts";
import { FrameParser } from "../../transport/frame-parser.ts";
import { HEADER_BYTES_MAX } from "../../transport/frames.ts";
import type { Frame } from "../../transport/frames.ts";
import { ordersBatch, sampleFrames } from "./samples.ts";

const wire = millrace.v1.Frame;

function parseAll(bytes: Uint8Array): Frame[] {
  const parser = new FrameParser();
  parser.push(bytes);
  const frames: Frame[] = [];
  for (let frame = parser.takeFrame(); frame; frame = parser.takeFrame()) {
    frames.push(frame);
  }
  return frames;
}

test("the bytes of every frame are those of the golden file", async () => {
  const lines = sampleFrames.map(
    ([name, frame]) =>
      `${name}: ${Buffer.from(encodeFrame(frame)).toString("hex")}`,
  );
  const { pieces } = encodeBatch(
    ordersBatch,
    { stream: 7, partition: 0, attempt: 1, sequence: 1 },
    1,
  );
  const [header, ...body] = pieces;
  lines.push(`batch: ${Buffer.from(header ?? []).toString("hex")}`);
  lines.push(`body: ${Buffer.concat(body).toString("hex")}`);
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(
    "golden/frames.txt",
  );
});

test.for(sampleFrames)("%s comes back as it was", ([, frame]) => {
  expect(parseAll(encodeFrame(frame))).toEqual([frame]);
});

test("frames come out whole and in order, however the bytes are cut", () => {
  const frames = sampleFrames.map(([, frame]) => frame);
  const bytes = Buffer.concat(frames.map(encodeFrame));
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }),
      (cuts) => {
        const parser = new FrameParser();
        const received: Frame[] = [];
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const end = at + (cuts[i % cuts.length] ?? 1);
          parser.push(bytes.subarray(at, end));
          at = end;
          let frame = parser.takeFrame();
          for (; frame; frame = parser.takeFrame()) received.push(frame);
        }
        expect(received).toEqual(frames);
      },
    ),
  );
});

describe("bytes from a stranger end in CHANNEL_CORRUPT", () => {
  function expectCorruptOrWaiting(bytes: Uint8Array): void {
    try {
      parseAll(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(ExtractError);
      expect(error).toMatchObject({ code: "CHANNEL_CORRUPT" });
    }
  }

  test("random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), expectCorruptOrWaiting),
      { numRuns: 2000 },
    );
  });

  test("random bytes behind a fitting length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 120 }), (bytes) =>
        expectCorruptOrWaiting(
          Buffer.concat([Uint8Array.of(bytes.length), bytes]),
        ),
      ),
      { numRuns: 5000 },
    );
  });

  test("real frames with one byte changed, or cut off", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...sampleFrames),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.boolean(),
        ([, frame], where, value, cut) => {
          const bytes = Buffer.from(encodeFrame(frame));
          const at = where % bytes.length;
          if (cut) expectCorruptOrWaiting(bytes.subarray(0, at));
          bytes[at] = value;
          expectCorruptOrWaiting(bytes);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test.for([
    { name: "an empty frame", bytes: [0] },
    { name: "a length above the bound", bytes: [0x81, 0x80, 0x40] },
    { name: "a length of 4 GiB", bytes: [255, 255, 255, 255, 15] },
    { name: "a length that never ends", bytes: [128, 128, 128, 128, 128] },
  ])("$name", ({ bytes }) => {
    expect(() => parseAll(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ code: "CHANNEL_CORRUPT" }),
    );
  });

  test("the largest allowed length is only waited for", () => {
    expect(HEADER_BYTES_MAX).toBe(1 << 20);
    const parser = new FrameParser();
    parser.push(Uint8Array.of(0x80, 0x80, 0x40));
    expect(parser.takeFrame()).toBeNull();
    const before = process.memoryUsage().arrayBuffers;
    parser.push(new Uint8Array(1000));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100_000);
  });

  test.for<[string, Parameters<typeof wire.encode>[0]]>([
    ["no kind", {}],
    [
      "a batch without rows",
      { batch: { stream: 1, attempt: 1, sequence: 1, schemaVersion: 1 } },
    ],
    ["a stream numbered 0", { ack: { attempt: 1, sequence: 1 } }],
    ["an attempt numbered 0", { discarded: { stream: 1 } }],
    ["a sequence numbered 0", { ack: { stream: 1, attempt: 1 } }],
    ["a count beyond 2^53", { end: { rows: 2 ** 60 } }],
    [
      "a position that is no JSON",
      {
        checkpoint: {
          stream: 1,
          attempt: 1,
          sequence: 1,
          index: 1,
          positionJson: "{",
        },
      },
    ],
    [
      "a position of another shape",
      {
        checkpoint: {
          stream: 1,
          attempt: 1,
          sequence: 1,
          index: 1,
          positionJson: '{"kind":"key","after":[1]}',
        },
      },
    ],
    [
      "a page below 0",
      {
        checkpoint: {
          stream: 1,
          attempt: 1,
          sequence: 1,
          index: 1,
          positionJson: '{"kind":"pages","nextPage":-1}',
        },
      },
    ],
    [
      "a column of an unknown kind",
      { schema: { stream: 1, version: 1, columns: [{ kind: "toString" }] } },
    ],
    [
      "a decimal wider than its kind",
      {
        schema: {
          stream: 1,
          version: 1,
          columns: [{ kind: "decimal64", precision: 19 }],
        },
      },
    ],
    [
      "a scale beyond the precision",
      {
        schema: {
          stream: 1,
          version: 1,
          columns: [{ kind: "decimal64", precision: 4, scale: 5 }],
        },
      },
    ],
    [
      "details that are no record",
      { fault: { code: "INTERNAL", detailsJson: "[1]" } },
    ],
    [
      "details with an object inside",
      { fault: { code: "INTERNAL", detailsJson: '{"a":{}}' } },
    ],
  ])("%s", ([, message]) => {
    expect(() => decodeFrame(wire.encode(message).finish())).toThrow(
      expect.objectContaining({ code: "CHANNEL_CORRUPT" }),
    );
  });
});

test("a fault with a code of another version is INTERNAL", () => {
  const bytes = wire
    .encode({ fault: { code: "FROM_THE_FUTURE", message: "m" } })
    .finish();
  expect(decodeFrame(bytes)).toEqual({
    kind: "fault",
    error: { code: "INTERNAL", message: "m", details: {} },
  });
});
