import { PassThrough, Readable, Writable } from "node:stream";
import { once } from "node:events";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ExtractError } from "../../proto/error.ts";
import { createLineReader, writeLine } from "../../transport/control-lines.ts";

interface Read {
  readonly messages: unknown[];
  readonly error: ExtractError | null;
}

function readAll(stream: Readable, lineBytesMax?: number): Promise<Read> {
  const messages: unknown[] = [];
  return new Promise((resolve) => {
    createLineReader(stream, {
      ...(lineBytesMax === undefined ? {} : { lineBytesMax }),
      onMessage: (message) => messages.push(message),
      onEnd: (error) => resolve({ messages, error }),
    });
  });
}

/** A stream of these chunks, each read by itself. */
function chunks(...parts: (string | Uint8Array)[]): Readable {
  return Readable.from(
    parts.map((part) => Buffer.from(part)),
    { objectMode: false },
  );
}

test("messages come out as they went in, however the bytes are cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue(), { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      async (messages, step) => {
        const wire = new PassThrough();
        for (const message of messages) writeLine(wire, message);
        wire.end();
        const bytes = Buffer.concat((await wire.toArray()) as Buffer[]);
        const parts: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += step) {
          parts.push(bytes.subarray(at, at + step));
        }
        const read = await readAll(chunks(...parts));
        expect(read.error).toBeNull();
        expect(JSON.stringify(read.messages)).toBe(JSON.stringify(messages));
      },
    ),
    { numRuns: 100 },
  );
});

describe("CONTROL_MALFORMED:", () => {
  test.for<[string, (string | Uint8Array)[]]>([
    ["no JSON", ["{}\n", "hello\n", "{}\n"]],
    ["an empty line", ["{}\n", "\n{}\n"]],
    ["bytes that are no UTF-8", ["{}\n", Uint8Array.of(34, 0xff, 34, 10)]],
    ["a line cut off", ["{}\n", '{"a"']],
    ["a line above the bound", ["{}\n", `"${"x".repeat(101)}"\n`]],
    [
      "a line above the bound in pieces",
      ["{}\n", `"${"x".repeat(60)}`, `${"x".repeat(60)}"\n`],
    ],
  ])("%s", async ([, parts]) => {
    const { messages, error } = await readAll(chunks(...parts), 100);
    expect(messages).toEqual([{}]);
    expect(error).toMatchObject({ code: "CONTROL_MALFORMED" });
  });

  test("a line that never ends is not collected beyond the bound", async () => {
    let sent = 0;
    const endless = new Readable({
      read() {
        sent += 1000;
        this.push(Buffer.alloc(1000, "x"));
      },
    });
    const { error } = await readAll(endless, 50_000);
    expect(error).toMatchObject({ code: "CONTROL_MALFORMED" });
    expect(sent).toBeLessThan(200_000);
    endless.destroy();
  });
});

test("a stream that breaks is PROCESS_DIED", async () => {
  const stream = new PassThrough();
  const read = readAll(stream);
  stream.destroy(new Error("ECONNRESET"));
  expect((await read).error).toMatchObject({ code: "PROCESS_DIED" });
});

test("nothing is called any more behind close", async () => {
  const stream = new PassThrough();
  const seen: unknown[] = [];
  const reader = createLineReader(stream, {
    onMessage: (message) => {
      seen.push(message);
      reader.close();
    },
    onEnd: (error) => seen.push(error),
  });
  stream.end("1\n2\n3\n");
  await once(stream, "finish");
  await new Promise(setImmediate);
  expect(seen).toEqual([1]);
});

test("a peer that does not read is told by false, and given up at the bound", () => {
  const stuck = new Writable({ highWaterMark: 1000, write: () => {} });
  expect(writeLine(stuck, "short")).toBe(true);
  expect(writeLine(stuck, "x".repeat(5000))).toBe(false);
  expect(() => writeLine(stuck, "x".repeat(5000), 10_000)).toThrow(
    expect.objectContaining({ code: "PEER_STALLED" }),
  );
  // what was refused is not queued
  expect(stuck.writableLength).toBe(8 + 5003);
  stuck.destroy();
});
