/** What Kafka's clients compress, as the trigger unpacks it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compressSnappy,
  snappyBytesMax,
} from "../../../connectors/formats/snappy.ts";
import { uncompressLz4 } from "../../../transport/kafka/lz4.ts";
import { uncompressSnappy } from "../../../transport/kafka/snappy.ts";

const BYTES_MAX = 1024 * 1024;

const sevens = Array.from(
  { length: 200 },
  (_, i) => `{"sync":"orders-${i % 7}"}\n`,
).join("");

/** Written by `lz4` 1.9.4. */
const frames: Readonly<
  Record<string, { readonly frame: string; readonly text: string }>
> = {
  "a stored block": {
    frame: "BCJNGGRApxEAAIB7InN5bmMiOiJvcmRlcnMifQAAAABjZNSQ",
    text: '{"sync":"orders"}',
  },
  "blocks that refer to each other, and its size": {
    frame:
      "BCJNGGxAoA8AAAAAAAAvTQAAAPwFeyJzeW5jIjoib3JkZXJzLTAifQoUAB8xFAAAHzIUAAAfMxQAAB80FAAAHzUUAAAeNhQAD4wA///////////////////7UC0zIn0KAAAAAJhwLe8=",
    text: sevens,
  },
  "several blocks with checksums, and none of the whole": {
    frame:
      "BCJNGFBAwAsBAAAfYQEA/////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////+dQYWFhYWGlvAB2HgAAAB9hAQD//////////////////////21wdGhlIGVuZJ1up7MAAAAA",
    text: `${"a".repeat(70_000)}the end`,
  },
};

function bytesOf(name: string): Buffer {
  return Buffer.from(frames[name]?.frame ?? "", "base64");
}

describe("LZ4", () => {
  test.for(Object.keys(frames))("a frame with %s", (name) => {
    const { text } = frames[name] ?? {};
    expect(uncompressLz4(bytesOf(name), BYTES_MAX).toString()).toBe(text);
  });

  test("frames follow each other, and one that is to be skipped is", () => {
    const [first, second] = Object.keys(frames);
    const skipped = Buffer.from("5e2a4d18" + "03000000" + "010203", "hex");
    const all = [bytesOf(first ?? ""), skipped, bytesOf(second ?? "")];
    expect(uncompressLz4(Buffer.concat(all), BYTES_MAX).toString()).toBe(
      `{"sync":"orders"}${sevens}`,
    );
  });

  test("no more is unpacked than is allowed", () => {
    const [, , large] = Object.keys(frames);
    expect(() => uncompressLz4(bytesOf(large ?? ""), 70_006)).toThrow(
      "more than 70006 bytes",
    );
    expect(uncompressLz4(bytesOf(large ?? ""), 70_007)).toHaveLength(70_007);
  });

  test("whatever is damaged or cut off ends with a RangeError or with some bytes", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(frames)),
        fc.nat(),
        fc.nat(255),
        fc.boolean(),
        (name, place, byte, isCut) => {
          const bytes = bytesOf(name);
          const at = place % bytes.length;
          if (!isCut) bytes[at] = byte;
          const damaged = isCut ? bytes.subarray(0, at) : bytes;
          try {
            const found = uncompressLz4(damaged, BYTES_MAX);
            expect(found.length).toBeLessThanOrEqual(BYTES_MAX);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
    );
  });
});

describe("Snappy", () => {
  function compress(bytes: Uint8Array): Buffer {
    const out = Buffer.alloc(snappyBytesMax(bytes.length));
    return out.subarray(0, compressSnappy(bytes, out));
  }

  /** As the Java library frames blocks. */
  function frame(blocks: readonly Buffer[]): Buffer {
    const header = Buffer.from("82534e415050590000000001" + "00000001", "hex");
    const parts = blocks.flatMap((block) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(block.length);
      return [length, block];
    });
    return Buffer.concat([header, ...parts]);
  }

  test("a block, or several behind a header, are what was compressed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 5 }),
        (texts) => {
          const blocks = texts.map((text) => compress(text));
          const all = Buffer.concat(texts);
          expect(uncompressSnappy(frame(blocks), BYTES_MAX)).toEqual(all);
          for (const [i, block] of blocks.entries())
            expect(uncompressSnappy(block, BYTES_MAX)).toEqual(
              Buffer.from(texts[i] ?? []),
            );
        },
      ),
    );
  });

  test("no more is unpacked than is allowed, in all blocks together", () => {
    const block = compress(Buffer.alloc(600));
    expect(() => uncompressSnappy(frame([block, block]), 1_199)).toThrow(
      RangeError,
    );
    expect(uncompressSnappy(frame([block, block]), 1_200)).toHaveLength(1_200);
  });

  test("lengths that count backwards end with a RangeError", () => {
    // a literal of 2^32 bytes; one of 2^32 - 5 behind a byte; a copy from 2^32 - 1 bytes before
    for (const hex of [
      "08fcffffffff41",
      "080041fcfaffffff4141",
      "08004107ffffffff",
    ])
      expect(() =>
        uncompressSnappy(Buffer.from(hex, "hex"), BYTES_MAX),
      ).toThrow(RangeError);
  });

  test("whatever is damaged or cut off ends with a RangeError or with some bytes", () => {
    const whole = frame([compress(Buffer.from(sevens)), compress(Buffer.from("b"))]); // prettier-ignore
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.boolean(), (place, byte, isCut) => {
        const bytes = Buffer.from(whole);
        const at = place % bytes.length;
        if (!isCut) bytes[at] = byte;
        try {
          uncompressSnappy(isCut ? bytes.subarray(0, at) : bytes, BYTES_MAX);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
