import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test as base } from "vitest";
import { ColumnarReader } from "../../../connectors/channels/columnar-reader.ts";

/** Both ends of a socket, the reader's behind a `ColumnarReader`. */
async function connectReader(): Promise<{
  readonly reader: ColumnarReader;
  readonly peer: Socket;
  readonly socket: Socket;
  close(): Promise<void>;
}> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-columns-"));
  const path = join(folder, "s.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const reader = new ColumnarReader(() => {});
  const socket = connect({ path, onread: reader.onread });
  await once(socket, "connect");
  reader.attach(socket);
  const [peer] = await accepted;
  // a test may leave with bytes on their way
  peer.on("error", () => {});
  return {
    ...{ reader, peer, socket },
    close: async () => {
      socket.destroy();
      peer.destroy();
      server.close();
      await once(server, "close");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

type Connected = Awaited<ReturnType<typeof connectReader>>;

const test = base.extend<{ connected: Connected }>({
  // eslint-disable-next-line no-empty-pattern
  connected: async ({}, use) => {
    const connected = await connectReader();
    await use(connected);
    await connected.close();
  },
});

function encodeLength(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}

const filled = (length: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff));

test("envelopes and bodies come as they were sent, wherever the bytes are cut", async () => {
  const part = fc.record({
    envelope: fc.nat(300),
    body: fc.option(
      fc.oneof(fc.nat(500), fc.integer({ min: 60_000, max: 300_000 })),
      { nil: null },
    ),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 90_000 }), {
        minLength: 1,
        maxLength: 8,
      }),
      async (parts, cuts) => {
        const { reader, peer, close } = await connectReader();
        const sent = Buffer.concat(
          parts.flatMap(({ envelope, body }, i) => [
            encodeLength(envelope),
            filled(envelope, i),
            filled(body ?? 0, i + 7),
          ]),
        );
        const write = async (): Promise<void> => {
          for (let at = 0, turn = 0; at < sent.length; turn++) {
            const count = cuts[turn % cuts.length] ?? 1;
            if (!peer.write(sent.subarray(at, at + count)))
              await once(peer, "drain");
            at += count;
          }
          peer.end();
        };
        const written = write();
        for (const [i, { envelope, body }] of parts.entries()) {
          expect(await reader.readEnvelope()).toEqual(
            Uint8Array.from(filled(envelope, i)),
          );
          if (body === null) continue;
          const read = await reader.readBody(body, body);
          expect(Buffer.compare(read, filled(body, i + 7))).toBe(0);
        }
        expect(await reader.readEnvelope()).toBeNull();
        await written;
        await close();
      },
    ),
    { numRuns: 40 },
  );
});

test("a length beyond all bounds is refused before it is allocated", async ({
  connected: { reader, peer },
}) => {
  peer.write(encodeLength(512 * 1024 * 1024));
  await expect(reader.readEnvelope()).rejects.toMatchObject({
    code: "CONNECTOR_MESSAGE_INVALID",
    message: expect.stringContaining("536870912 bytes") as string,
  });
  await expect(reader.readBody(11, 10)).rejects.toMatchObject({
    code: "SOURCE_ROW_TOO_LARGE",
  });
});

test("an end inside of an envelope or a body is told", async ({
  connected: { reader, peer },
}) => {
  peer.end(Buffer.from([2, 1, 1, 9, 9]));
  expect(await reader.readEnvelope()).toEqual(Uint8Array.from([1, 1]));
  await expect(reader.readBody(100, 100)).rejects.toMatchObject({
    message: expect.stringContaining("ends inside") as string,
  });
});

test("whoever waits is told that the socket was closed under it", async ({
  connected: { reader, socket },
}) => {
  const reading = reader.readEnvelope();
  socket.destroy();
  await expect(reading).rejects.toThrow("the socket is closed");
});
