/** The source process by itself: the test is its bookkeeper and its destination. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { SourceFact } from "../../../proto/control.ts";
import type { DestinationChannel } from "../../../transport/channel.ts";
import { connectChannel } from "../../../transport/destination-channel.ts";
import { expect, test } from "../../fixtures/postgres.ts";
import { connectDefaults } from "../../transport/pair.ts";
import { parseLines, startProcess } from "../process.ts";
import { settings } from "./harness.ts";

async function open(
  url: string,
  {
    env = {},
    table,
  }: {
    readonly env?: Readonly<Record<string, string>>;
    readonly table: string;
  },
) {
  const socketDir = await mkdtemp(join(tmpdir(), "millrace-source-"));
  onTestFinished(() => rm(socketDir, { recursive: true }));
  const process = startProcess<SourceFact>("source", env);
  process.send({
    type: "source.open",
    settings: {
      ...settings,
      url,
      socketDir,
      channelsMax: 1,
      readers: 1,
      partitionBytesMin: 1024 * 1024 * 1024,
      rowBytesMax: 1024 * 1024,
      times: { handshakeMs: 10_000, probeMs: 1000, probeDeadlineMs: 10_000 },
    },
  });
  const { path } = await process.fact("channel.listening");
  const channel = await connectChannel(path, {
    ...connectDefaults,
    run: settings.attempt.runId,
    probeMs: 1000,
    probeDeadlineMs: 10_000,
  });
  await process.fact("source.connected");
  process.send({
    type: "source.discover",
    snapshot: null,
    include: [table],
    exclude: [],
    columns: null,
    numbers: null,
  });
  const { streams } = await process.fact("source.discovered");
  const stream = streams[0]?.schema.number ?? 0;
  process.send({
    type: "source.plan",
    stream,
    where: null,
    cursor: null,
    openTransactions: null,
  });
  const { plan } = await process.fact("stream.planned");
  const read = (): void =>
    process.send({
      type: "source.read",
      stream,
      partitions: plan.partitions,
      orders: plan.partitions.map(({ ordinal }) => ({
        stream,
        partition: ordinal,
        resumeAfter: null,
      })),
      seed: EMPTY_SEED,
      where: null,
      window: null,
    });
  return { process, channel, plan, read };
}

/** Takes all that comes and acknowledges it; resolves with the rows at the channel's End. */
async function acknowledgeAll(channel: DestinationChannel): Promise<number> {
  let rows = 0;
  for (;;) {
    const frame = await channel.next();
    if (frame === null) break;
    if (frame.kind === "batch") {
      rows += frame.batch.rowCount;
      frame.release();
    } else if (frame.kind === "checkpoint") {
      const { index: _i, position: _p, last: _l, ...ack } = frame.checkpoint;
      channel.write({ kind: "ack", ack });
    }
  }
  await channel.close();
  return rows;
}

test("a source's stdout is states of the Airbyte protocol, and it says nothing else", async ({
  pg,
}) => {
  await pg.query(
    "CREATE TABLE orders AS SELECT id::bigint FROM generate_series(1, 1000) AS id",
  );
  const { process, channel, read } = await open(pg.url, { table: "orders" });
  await using _ = process;
  const rows = acknowledgeAll(channel);
  read();
  await process.fact("stream.read");
  process.send({ type: "source.finish" });
  expect(await rows).toBe(1000);
  expect(await process.exited).toBe(0);
  const states = parseLines(process.output.stdout);
  expect(states.at(-1)).toMatchObject({
    type: "STATE",
    state: {
      type: "STREAM",
      stream: {
        stream_descriptor: { name: "orders", namespace: "public" },
        stream_state: { done: [0], open: [], rows: 1000 },
      },
      id: states.length,
    },
  });
  expect(process.output.stdout).toContain('"recordCount":1000.0');
  expect(process.output.stderr).toBe("");
});

test("its log names process, run and stream", async ({ pg }) => {
  await pg.query("CREATE TABLE orders AS SELECT 1 AS id");
  const { process, channel, read } = await open(pg.url, {
    table: "orders",
    env: { MILLRACE_LOG_LEVEL: "debug" },
  });
  await using _ = process;
  const rows = acknowledgeAll(channel);
  read();
  await process.fact("stream.read");
  process.send({ type: "source.finish" });
  expect(await rows).toBe(1);
  expect(await process.exited).toBe(0);
  parseLines(process.output.stdout);
  expect(parseLines(process.output.stderr)).toMatchObject([
    { process: "source", run: "run1", channel: 1, msg: "channel opened" },
    { process: "source", run: "run1", stream: 1, msg: "stream begun" },
  ]);
});

test("a destination that dies ends the source with the reason", async ({
  pg,
}) => {
  await pg.query("CREATE TABLE orders AS SELECT 1 AS id");
  const { process, channel, read } = await open(pg.url, { table: "orders" });
  await using _ = process;
  read();
  channel.fail(new Error("the disk is gone"));
  expect(await process.fact("process.failed")).toMatchObject({
    error: { message: expect.stringContaining("the disk is gone") },
  });
  expect(await process.exited).toBe(1);
  expect(parseLines(process.output.stdout)).toMatchObject([{ type: "TRACE" }]);
});

test("a drain in the middle of a table that is resumable at its end only comes to an end", async ({
  pg,
}) => {
  await pg.query(`
    CREATE TABLE wide AS
      SELECT repeat(md5(id::text), 300) AS text FROM generate_series(1, 20000) AS id;
    CREATE VIEW seen AS SELECT * FROM wide`);
  const { process, channel, plan, read } = await open(pg.url, {
    table: "seen",
  });
  await using _ = process;
  expect(plan.rung).toBe("whole");
  read();
  // as far as it gets while nobody takes its rows
  await channel.next();
  process.send({ type: "source.drain" });
  const rows = (async () => {
    for (;;) {
      const frame = await channel.next();
      if (frame === null) return;
      if (frame.kind === "batch") frame.release();
      if (frame.kind === "discard") {
        const { stream, partition, attempt } = frame.discard;
        channel.write({
          kind: "discarded",
          discarded: { stream, partition, attempt },
        });
      }
    }
  })();
  await process.fact("source.drained");
  process.send({ type: "source.finish" });
  await rows;
  await channel.close();
  expect(await process.exited).toBe(0);
  expect(process.output.stdout).toBe("");
});

test("a bookkeeper that dies ends the source", async ({ pg }) => {
  await pg.query("CREATE TABLE orders AS SELECT 1 AS id");
  const { process } = await open(pg.url, { table: "orders" });
  await using _ = process;
  process.leave();
  expect(await process.exited).toBe(1);
});
