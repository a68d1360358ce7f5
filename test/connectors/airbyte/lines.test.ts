import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DelimitedMessages,
  MessageLines,
  type MessageCutter,
} from "../../../connectors/airbyte/lines.ts";

/** The same bytes in pieces of these sizes. */
function cut(cutter: MessageCutter, bytes: Buffer, sizes: number[]): string[] {
  const found: string[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    // chunks may be used again by who gave them
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    for (const message of cutter.cut(chunk)) found.push(message.toString());
    chunk.fill(0);
    at += size;
  }
  return found;
}

function delimit(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text);
      const head: number[] = [];
      let length = bytes.length;
      for (; length >= 128; length = Math.floor(length / 128))
        head.push((length % 128) + 128);
      return [Buffer.from([...head, length]), bytes];
    }),
  );
}

const texts = fc.array(fc.stringMatching(/^[a-zé ]{0,300}$/), { maxLength: 8 });
const sizes = fc.array(fc.integer({ min: 1, max: 97 }), {
  minLength: 1,
  maxLength: 5,
});

describe("wherever chunks are cut, messages are whole", () => {
  test("lines", () => {
    fc.assert(
      fc.property(texts, sizes, (wanted, pieces) => {
        const lines = new MessageLines(10_000);
        const bytes = Buffer.from(wanted.map((text) => `${text}\n`).join(""));
        expect(cut(lines, bytes, pieces)).toEqual(wanted);
        expect(lines.rest()).toHaveLength(0);
      }),
    );
  });

  test("delimited messages", () => {
    fc.assert(
      fc.property(texts, sizes, (wanted, pieces) => {
        const messages = new DelimitedMessages(10_000);
        expect(cut(messages, delimit(wanted), pieces)).toEqual(wanted);
        messages.end();
      }),
    );
  });
});

test("what is too long is refused before it is kept", () => {
  const lines = new MessageLines(100);
  expect(() => cut(lines, Buffer.alloc(101, 97), [40])).toThrow(/longer/);
  const messages = new DelimitedMessages(100);
  // a length of 2 GiB, and nothing behind it
  expect(() =>
    cut(messages, Buffer.from([0x80, 0x80, 0x80, 0x80, 0x08]), [5]),
  ).toThrow(/longer/);
  expect(() =>
    cut(new DelimitedMessages(100), Buffer.alloc(9, 255), [9]),
  ).toThrow(/no length/);
});

test("an end inside of a message is told", () => {
  const lines = new MessageLines(100);
  cut(lines, Buffer.from("one\ntw"), [3]);
  expect(() => lines.end()).toThrow(/inside of a line/);
  expect(lines.rest().toString()).toBe("tw");
  for (const bytes of [[0x85], [5, 97, 98]]) {
    const messages = new DelimitedMessages(1_000);
    cut(messages, Buffer.from(bytes), [1]);
    expect(() => messages.end()).toThrow(/inside of a message/);
  }
});
