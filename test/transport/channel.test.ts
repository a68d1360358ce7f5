import { link, readdir, unlink } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { batchBytes } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import { encodeBatch } from "../../transport/batch-codec.ts";
import type { DestinationChannel } from "../../transport/channel.ts";
import { listenChannel } from "../../transport/channel-listener.ts";
import { connectChannel } from "../../transport/destination-channel.ts";
import { encodeFrame } from "../../transport/frame-codec.ts";
import type { Frame } from "../../transport/frames.ts";
import { buildBatch, buildSchema } from "../fixtures/batches.ts";
import { connectDefaults, listenDefaults, startSource, test } from "./pair.ts";
import { orders, ordersBatch } from "./samples.ts";

const ids = { stream: 7, partition: 0, attempt: 1 };
const totals = {
  batches: 1,
  rows: 3,
  bytes: batchBytes(ordersBatch),
  checkpoints: 1,
};
const stamp = {
  ...ids,
  sequence: 2,
  index: 1,
  position: null,
  rows: 3,
  bytes: batchBytes(ordersBatch),
  last: true,
};
const code = (expected: string): unknown =>
  expect.objectContaining({ code: expected });

/** About 3.5 MiB, more than a socket's buffers hold. */
const bulkSchema = { ...buildSchema({ payload: "binary" }), number: 7 };
const bulk = buildBatch(
  bulkSchema,
  Array.from({ length: 7 }, () => [new Uint8Array(512 * 1024)]),
);

describe("a channel", () => {
  test("carries frames in order and replies back, and ends when the destination closes", async ({
    open,
  }) => {
    const { source, destination, closed, frame } = await open();
    expect(destination.streams.get(7)).toEqual({ version: 1, schema: orders });
    const sent = source.writeBatch({ ...ids, sequence: 1 }, ordersBatch);
    await source.writeCheckpoint(stamp);
    await source.writeDiscard({ ...ids, fromSequence: 3 });
    await source.writeStalled("waiting for the server");
    await source.writeEnd(totals);
    const received = await destination.next();
    expect(received).toMatchObject({
      kind: "batch",
      ...ids,
      sequence: 1,
      schemaVersion: 1,
      bytes: totals.bytes,
    });
    if (received?.kind !== "batch") return expect.fail("no batch");
    expect(received.batch.columns.map(({ data }) => [...data])).toEqual(
      ordersBatch.columns.map(({ data }) => [...data]),
    );
    received.release();
    await sent;
    expect(await destination.next()).toEqual({
      kind: "checkpoint",
      checkpoint: stamp,
    });
    expect(await destination.next()).toEqual({
      kind: "discard",
      discard: { ...ids, fromSequence: 3 },
    });
    expect(await destination.next()).toEqual({
      kind: "stalled",
      reason: "waiting for the server",
    });
    expect(await destination.next()).toBeNull();
    expect(await destination.next()).toBeNull();
    const ack = { ...ids, sequence: 2, rows: 3, bytes: totals.bytes };
    destination.write({ kind: "ack", ack });
    destination.write({ kind: "discarded", discarded: ids });
    expect(await frame("ack")).toEqual({ kind: "ack", ack });
    expect(await frame("discarded")).toEqual({
      kind: "discarded",
      discarded: ids,
    });
    await destination.close();
    expect(await closed).toBeNull();
  });

  test("takes a new version of a stream's columns in the middle", async ({
    open,
  }) => {
    const { source, destination } = await open();
    await source.writeSchema(bulkSchema);
    const sent = source.writeBatch({ ...ids, sequence: 1 }, bulk);
    expect(await destination.next()).toEqual({
      kind: "schema",
      version: 2,
      schema: bulkSchema,
    });
    expect(await destination.next()).toMatchObject({
      kind: "batch",
      schemaVersion: 2,
      schema: { fingerprint: "test" },
    });
    await sent;
  });

  test("announces catalogs that are larger than a frame", async ({ open }) => {
    const streams = Array.from({ length: 3000 }, (_, i) => ({
      ...orders,
      number: i + 1,
      name: "n".repeat(500),
    }));
    const { source, destination } = await open({
      listen: { streams: () => streams },
    });
    const sent = source.writeBatch(
      { ...ids, stream: 3000, sequence: 1 },
      ordersBatch,
    );
    let frame = await destination.next();
    while (frame?.kind === "schema") frame = await destination.next();
    expect(frame).toMatchObject({ kind: "batch", stream: 3000 });
    expect(destination.streams.size).toBe(3000);
    await sent;
  });

  test("stays open while nothing is sent but probes", async ({ open }) => {
    const liveness = { probeMs: 10, probeDeadlineMs: 100 };
    const { source, destination, frame } = await open({
      listen: liveness,
      connect: liveness,
    });
    const next = destination.next();
    await sleep(400);
    await frame("probe");
    await source.writeStalled("still here");
    expect(await next).toEqual({ kind: "stalled", reason: "still here" });
  });
});

describe("beginning", () => {
  test("the destination may come before the source listens", async ({
    path,
  }) => {
    const connecting = connectChannel(path, connectDefaults);
    await sleep(50);
    const listener = await listenChannel(path, listenDefaults);
    const destination = await connecting;
    await listener.accepted;
    await destination.close();
  });

  test("a socket file that nobody listens on is tried again", async ({
    path,
  }) => {
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(`${path}.0`, resolve));
    await link(`${path}.0`, path);
    await new Promise((resolve) => dead.close(resolve));
    const connecting = connectChannel(path, connectDefaults);
    await sleep(20);
    await unlink(path);
    const listener = await listenChannel(path, listenDefaults);
    await listener.accepted;
    await (await connecting).close();
  });

  test("a path that is there already is left alone", async ({ path }) => {
    const first = await listenChannel(path, listenDefaults);
    await expect(listenChannel(path, listenDefaults)).rejects.toThrow(
      code("CHANNEL_BROKEN"),
    );
    const connecting = connectChannel(path, connectDefaults);
    await first.accepted;
    await (await connecting).close();
  });

  test("a second connection finds nothing, and the file is gone", async ({
    open,
    path,
  }) => {
    await open();
    await expect(
      connectChannel(path, { ...connectDefaults, connectDeadlineMs: 30 }),
    ).rejects.toThrow(code("CHANNEL_START_TIMEOUT"));
    expect(await readdir(dirname(path))).toEqual([]);
  });

  test("of two at the same moment one is let in", async ({ path }) => {
    const listener = await listenChannel(path, listenDefaults);
    const connecting = [1, 2].map(() =>
      connectChannel(path, { ...connectDefaults, connectDeadlineMs: 30 }),
    );
    const results = await Promise.allSettled(connecting);
    await listener.accepted;
    const letIn = results.filter(({ status }) => status === "fulfilled");
    expect(letIn).toHaveLength(1);
    for (const result of results) {
      if (result.status === "fulfilled") await result.value.close();
      else expect(result.reason).toBeInstanceOf(ExtractError);
    }
  });

  test("closing the listener removes the file and refuses who waits", async ({
    path,
  }) => {
    const listener = await listenChannel(path, listenDefaults);
    await listener.close();
    expect(await readdir(dirname(path))).toEqual([]);
    await expect(listener.accepted).rejects.toThrow(code("CHANNEL_BROKEN"));
  });

  test("nobody comes, or nobody listens: CHANNEL_START_TIMEOUT", async ({
    path,
  }) => {
    await expect(
      connectChannel(path, { ...connectDefaults, connectDeadlineMs: 30 }),
    ).rejects.toThrow(code("CHANNEL_START_TIMEOUT"));
    const listener = await listenChannel(path, {
      ...listenDefaults,
      acceptDeadlineMs: 30,
    });
    await expect(listener.accepted).rejects.toThrow(
      code("CHANNEL_START_TIMEOUT"),
    );
    expect(await readdir(dirname(path))).toEqual([]);
  });

  test.for([
    { name: "run", change: { run: "r2" } },
    { name: "epoch", change: { epoch: 2 } },
    { name: "channel", change: { channel: 2 } },
  ])(
    "a destination of another $name is refused",
    async ({ change }, { path }) => {
      const listener = await listenChannel(path, listenDefaults);
      await expect(
        connectChannel(path, { ...connectDefaults, ...change }),
      ).rejects.toThrow(/is of (run r2|epoch 2|channel 2) instead of/);
      await expect(listener.accepted).rejects.toThrow(code("CHANNEL_BROKEN"));
    },
  );

  test.for<[string, Uint8Array, string]>([
    [
      "another protocol version",
      Buffer.concat([
        Buffer.alloc(1),
        encodeFrame({
          kind: "hello",
          hello: { ...listenDefaults, versionMin: 2, versionMax: 9 },
        }),
      ]),
      "CONTROL_MALFORMED",
    ],
    [
      "an HTTP request",
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      "CHANNEL_CORRUPT",
    ],
    [
      "another frame than Hello",
      Buffer.concat([Buffer.alloc(1), encodeFrame({ kind: "probe" })]),
      "CHANNEL_CORRUPT",
    ],
    ["a huge length", Buffer.of(0, 255, 255, 255, 255, 15), "CHANNEL_CORRUPT"],
    ["half a Hello", Buffer.of(0, 20, 10), "CHANNEL_START_TIMEOUT"],
    ["nothing", Buffer.of(), "CHANNEL_START_TIMEOUT"],
  ])(
    "a stranger that sends %s is refused",
    async ([, bytes, expected], { path }) => {
      const listener = await listenChannel(path, {
        ...listenDefaults,
        handshakeMs: expected === "CHANNEL_START_TIMEOUT" ? 50 : 2000,
      });
      const stranger = connect(path);
      stranger.on("error", () => {}).resume();
      stranger.write(bytes);
      await expect(listener.accepted).rejects.toThrow(code(expected));
      stranger.destroy();
    },
  );

  test("a listener that never answers is given up", async ({ path }) => {
    const server = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(
      connectChannel(path, { ...connectDefaults, handshakeMs: 50 }),
    ).rejects.toThrow(code("CHANNEL_START_TIMEOUT"));
    server.close();
  });
});

describe("breaking", () => {
  test("a clean close without End is CHANNEL_BROKEN on both sides", async ({
    open,
  }) => {
    const { source, destination, closed } = await open();
    const next = destination.next();
    await source.close();
    await expect(next).rejects.toThrow(code("CHANNEL_BROKEN"));
    await expect(destination.next()).rejects.toThrow(code("CHANNEL_BROKEN"));
    expect(await closed).toBeNull();
  });

  test("a destination that closes before End breaks the source's writes", async ({
    open,
  }) => {
    const { source, destination, closed } = await open();
    await source.writeSchema(bulkSchema);
    const writing = Promise.allSettled([
      source.writeBatch({ ...ids, sequence: 1 }, bulk),
      source.writeBatch({ ...ids, sequence: 2 }, bulk),
    ]);
    await destination.close();
    expect(await closed).toMatchObject({ code: "CHANNEL_BROKEN" });
    expect(await writing).toEqual([
      { status: "rejected", reason: code("CHANNEL_BROKEN") },
      { status: "rejected", reason: code("CHANNEL_BROKEN") },
    ]);
    await expect(source.writeStalled("?")).rejects.toThrow(
      code("CHANNEL_BROKEN"),
    );
  });

  test("each side hears why the other failed", async ({ open }) => {
    const first = await open();
    const next = first.destination.next();
    first.source.fail(
      new ExtractError("SOURCE_CONNECTION_LOST", "gone", { partition: 4 }),
    );
    await expect(next).rejects.toMatchObject({
      code: "SOURCE_CONNECTION_LOST",
      message: "gone",
      details: { partition: 4 },
    });
    expect(await first.closed).toMatchObject({
      code: "SOURCE_CONNECTION_LOST",
    });

    const second = await open();
    await second.source.writeSchema(bulkSchema);
    const writing = second.source.writeBatch({ ...ids, sequence: 1 }, bulk);
    const failed = expect(writing).rejects.toThrow(code("DESTINATION_FULL"));
    second.destination.fail(new ExtractError("DESTINATION_FULL", "full"));
    expect(await second.closed).toMatchObject({ code: "DESTINATION_FULL" });
    await failed;
    await expect(second.destination.next()).rejects.toThrow(
      code("DESTINATION_FULL"),
    );
  });

  test("the reason is heard even by a source that is just writing", async ({
    open,
  }) => {
    const { source, destination, closed } = await open();
    destination.fail(new ExtractError("DESTINATION_FULL", "full"));
    await source.writeBatch({ ...ids, sequence: 1 }, ordersBatch);
    expect(await closed).toMatchObject({ code: "DESTINATION_FULL" });
    expect(await destination.closed).toMatchObject({
      code: "DESTINATION_FULL",
    });
  });

  test.for<[string, Uint8Array]>([
    ["a batch of a stream that was not announced", headerWith({ stream: 8 })],
    ["a batch of columns not announced", batchBytesOf(2)],
    ["columns announced twice", schemaBytes(1)],
    ["columns whose version leaps", schemaBytes(3)],
  ])("%s is CHANNEL_CORRUPT", async ([, bytes], { path }) => {
    const { destination, close } = await impersonateSource(path, (socket) =>
      socket.write(bytes),
    );
    await expect(destination.next()).rejects.toThrow(code("CHANNEL_CORRUPT"));
    close();
  });

  test("a gap in the sequence fails the channel on both sides", async ({
    open,
  }) => {
    const { source, destination, closed } = await open();
    const next = destination.next();
    await source.writeBatch({ ...ids, sequence: 2 }, ordersBatch);
    await expect(next).rejects.toThrow(code("CHANNEL_CORRUPT"));
    expect(await closed).toMatchObject({ code: "CHANNEL_CORRUPT" });
  });

  test.for(["batches", "rows", "bytes", "checkpoints"] as const)(
    "an End that counts other %s is CHANNEL_CORRUPT",
    async (what, { open }) => {
      const { source, destination } = await open();
      const received = destination.next();
      await source.writeBatch({ ...ids, sequence: 1 }, ordersBatch);
      await received;
      await source.writeCheckpoint(stamp);
      await destination.next();
      await source.writeEnd({ ...totals, [what]: totals[what] + 1 });
      await expect(destination.next()).rejects.toThrow(code("CHANNEL_CORRUPT"));
    },
  );

  test("a source that sends what only a destination sends is CHANNEL_CORRUPT, and the reverse", async ({
    path,
  }) => {
    const asSource = await impersonateSource(path, (socket) =>
      socket.write(encodeFrame({ kind: "discarded", discarded: ids })),
    );
    await expect(asSource.destination.next()).rejects.toThrow(
      code("CHANNEL_CORRUPT"),
    );
    asSource.close();

    const listener = await listenChannel(path, listenDefaults);
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(helloBytes());
    const { closed } = startSource(await listener.accepted);
    socket.write(
      encodeFrame({ kind: "discard", discard: { ...ids, fromSequence: 1 } }),
    );
    expect(await closed).toMatchObject({ code: "CHANNEL_CORRUPT" });
    socket.destroy();
  });
});

test("a stream with one byte changed, or cut off, never passes as something else", async ({
  path,
}) => {
  const { pieces } = encodeBatch(ordersBatch, { ...ids, sequence: 1 }, 1);
  const bytes = Buffer.concat([
    ...pieces,
    encodeFrame({ kind: "checkpoint", checkpoint: stamp }),
    encodeFrame({ kind: "end", totals }),
  ]);
  const bodyEnd = Buffer.concat(pieces).byteLength;
  const bodyStart = pieces[0]?.byteLength ?? 0;
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (at, mask, cut) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ mask;
        const { destination, close } = await impersonateSource(
          `${path}.${run++}`,
          (socket) => socket.end(cut ? bytes.subarray(0, at) : changed),
        );
        const outcome = await readToEnd(destination);
        close();
        await destination.close();
        const isBody = at >= bodyStart && at < bodyEnd;
        if (cut || isBody)
          expect(outcome).toMatch(/^CHANNEL_(CORRUPT|BROKEN)$/);
        else expect(outcome).toMatch(/^CHANNEL_(CORRUPT|BROKEN)$|^3 rows$/);
      },
    ),
    { numRuns: 60 },
  );
});

describe("backpressure", () => {
  test("a write waits for a consumer that does not ask, at most one batch is ahead, and replies pass meanwhile", async ({
    open,
  }) => {
    const { source, destination, frame } = await open();
    await source.writeSchema(bulkSchema);
    const done: number[] = [];
    const writes = [1, 2, 3, 4].map(async (sequence) => {
      await source.writeBatch({ ...ids, sequence }, bulk);
      done.push(sequence);
    });
    await sleep(100);
    // one read ahead, none other
    expect(done.length).toBeLessThanOrEqual(1);
    destination.write({
      kind: "ack",
      ack: { ...ids, sequence: 1, rows: 7, bytes: 1 },
    });
    await frame("ack");
    expect((await destination.next())?.kind).toBe("schema");
    for (const sequence of [1, 2, 3, 4]) {
      const received = await destination.next();
      expect(received).toMatchObject({ kind: "batch", sequence });
      if (received?.kind === "batch") received.release();
    }
    await Promise.all(writes);
    expect(done).toEqual([1, 2, 3, 4]);
  });

  test("a consumer that rests is no silent source, and the source is told why", async ({
    open,
  }) => {
    const liveness = { probeMs: 10, probeDeadlineMs: 60 };
    const { source, destination, frame } = await open({
      listen: { ...liveness, progressDeadlineMs: 150 },
      connect: {
        ...liveness,
        stalledAfterMs: 40,
        describeStall: () => "the disk is slow",
      },
    });
    await source.writeSchema(bulkSchema);
    const writes = [1, 2].map((sequence) =>
      source.writeBatch({ ...ids, sequence }, bulk),
    );
    // longer than both deadlines: only the Stalled frames keep the channel
    await sleep(400);
    expect(await frame("stalled")).toEqual({
      kind: "stalled",
      reason: "the disk is slow",
    });
    for (const kind of ["schema", "batch", "batch"]) {
      expect((await destination.next())?.kind).toBe(kind);
    }
    await Promise.all(writes);
  });

  test("a destination that probes but takes nothing and says nothing is PEER_STALLED", async ({
    path,
  }) => {
    const listener = await listenChannel(path, {
      ...listenDefaults,
      progressDeadlineMs: 100,
      streams: () => [bulkSchema],
    });
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(helloBytes());
    const probes = setInterval(
      () => socket.write(encodeFrame({ kind: "probe" })),
      10,
    );
    const { source, closed } = startSource(await listener.accepted);
    await expect(
      source.writeBatch({ ...ids, sequence: 1 }, bulk),
    ).rejects.toThrow(code("PEER_STALLED"));
    expect(await closed).toMatchObject({
      code: "PEER_STALLED",
      details: { channel: 1, peer: "destination" },
    });
    clearInterval(probes);
    socket.destroy();
  });

  test("a silent source is PEER_STALLED, a silent destination too", async ({
    path,
  }) => {
    const { destination, close } = await impersonateSource(path, () => {}, {
      probeDeadlineMs: 60,
    });
    await expect(destination.next()).rejects.toMatchObject({
      code: "PEER_STALLED",
      details: { channel: 1, peer: "source" },
    });
    close();

    const listener = await listenChannel(path, {
      ...listenDefaults,
      probeDeadlineMs: 60,
    });
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(helloBytes());
    const { closed } = startSource(await listener.accepted);
    expect(await closed).toMatchObject({
      code: "PEER_STALLED",
      details: { channel: 1, peer: "destination" },
    });
    socket.destroy();
  });

  test("a consumer that releases nothing is our own fault", async ({
    open,
  }) => {
    const { source, destination } = await open();
    for (const sequence of [1, 2, 3, 4]) {
      await source.writeBatch({ ...ids, sequence }, ordersBatch);
    }
    for (let i = 0; i < 3; i++) await destination.next();
    await expect(destination.next()).rejects.toThrow("are not released");
  });
});

describe("large rows", () => {
  const large = buildBatch(bulkSchema, [[new Uint8Array(9 * 1024 * 1024)]]);

  test("wait for the byte budget, and give back what they took", async ({
    open,
  }) => {
    const asked: number[] = [];
    const given: number[] = [];
    const grant = Promise.withResolvers<void>();
    const { source, destination } = await open({
      connect: {
        reserveBytes: (bytes) => {
          asked.push(bytes);
          return grant.promise;
        },
        releaseBytes: (bytes) => given.push(bytes),
      },
    });
    await source.writeSchema(bulkSchema);
    const writing = source.writeBatch({ ...ids, sequence: 1 }, large);
    expect((await destination.next())?.kind).toBe("schema");
    const next = destination.next();
    const early = await Promise.race([next, sleep(50, "waiting")]);
    expect(early).toBe("waiting");
    expect(asked).toEqual([9 * 1024 * 1024 + 8]);
    grant.resolve();
    const received = await next;
    await writing;
    if (received?.kind !== "batch") return expect.fail("no batch");
    expect(received.bytes).toBe(batchBytes(large));
    expect(given).toEqual([]);
    received.release();
    expect(given).toEqual(asked);
  });

  test("a budget that refuses fails the channel", async ({ open }) => {
    const { source, destination, closed } = await open({
      connect: {
        reserveBytes: () =>
          Promise.reject(new ExtractError("SOURCE_ROW_TOO_LARGE", "too much")),
      },
    });
    await source.writeSchema(bulkSchema);
    const writing = source.writeBatch({ ...ids, sequence: 1 }, large);
    const failed = expect(writing).rejects.toThrow(
      code("SOURCE_ROW_TOO_LARGE"),
    );
    await destination.next();
    await expect(destination.next()).rejects.toThrow(
      code("SOURCE_ROW_TOO_LARGE"),
    );
    expect(await closed).toMatchObject({ code: "SOURCE_ROW_TOO_LARGE" });
    await failed;
  });

  test("a body above the bound is refused before it is allocated", async ({
    path,
  }) => {
    const asked: number[] = [];
    const claim = headerWith({ bodyBytes: 200 * 1024 * 1024 });
    const before = process.memoryUsage().arrayBuffers;
    const { destination, close } = await impersonateSource(
      path,
      (socket) => socket.write(claim),
      {
        frameBytesMax: 64 * 1024 * 1024,
        reserveBytes: (bytes) => void asked.push(bytes),
      },
    );
    await expect(destination.next()).rejects.toThrow(code("CHANNEL_CORRUPT"));
    expect(asked).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4_000_000);
    close();
  });
});

function helloBytes(): Uint8Array {
  const { run, epoch, channel } = listenDefaults;
  const hello = { versionMin: 1, versionMax: 1, run, epoch, channel };
  return Buffer.concat([
    Buffer.alloc(1),
    encodeFrame({ kind: "hello", hello }),
  ]);
}

/** A whole batch frame with its body, of this version of the columns. */
function batchBytesOf(schemaVersion: number): Uint8Array {
  const at = { ...ids, sequence: 1 };
  return Buffer.concat(encodeBatch(ordersBatch, at, schemaVersion).pieces);
}

function schemaBytes(version: number): Uint8Array {
  return encodeFrame({ kind: "schema", version, schema: orders });
}

function headerWith(change: object): Uint8Array {
  const batch = {
    ...ids,
    sequence: 1,
    rowCount: 1,
    schemaVersion: 1,
    columns: [],
    bodyBytes: 0,
    bodyCrc32: 0,
  };
  return encodeFrame({
    kind: "batch",
    batch: { ...batch, ...change },
  } as Frame);
}

/** The rows received before End, or the code of what came instead. */
async function readToEnd(destination: DestinationChannel): Promise<string> {
  let rows = 0;
  try {
    for (;;) {
      const frame = await destination.next();
      if (!frame) return `${rows} rows`;
      if (frame.kind !== "batch") continue;
      rows += frame.batch.rowCount;
      frame.release();
    }
  } catch (error) {
    return error instanceof ExtractError ? error.code : String(error);
  }
}

/** A listener that greets like a source and then does as `act` says. */
async function impersonateSource(
  path: string,
  act: (socket: Socket) => void,
  options: Partial<typeof connectDefaults> = {},
): Promise<{
  destination: Awaited<ReturnType<typeof connectChannel>>;
  close: () => void;
}> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}).resume();
    const { run, epoch, channel } = listenDefaults;
    const streams = [{ version: 1, schema: orders }];
    const helloReply = { version: 1, run, epoch, channel, streams };
    socket.write(encodeFrame({ kind: "helloReply", helloReply }));
    act(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const destination = await connectChannel(path, {
    ...connectDefaults,
    ...options,
  });
  return {
    destination,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
