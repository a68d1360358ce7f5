/** The destination process by itself: the test is its bookkeeper and its source. */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseLines as parseRecords } from "../../../actors/inspection-lines.ts";
import { EMPTY_SEED } from "../../../checkpoint/state.ts";
import type { FileDestinationConfig } from "../../../connectors/destinations/file/config.ts";
import type {
  DestinationFact,
  DestinationConfig,
  DestinationSettings,
} from "../../../proto/control.ts";
import { batchBytes } from "../../../proto/columns.ts";
import { listenChannel } from "../../../transport/channel-listener.ts";
import { buildBatch, buildSchema } from "../../fixtures/batches.ts";
import { startSource } from "../../transport/pair.ts";
import { parseLines, startProcess } from "../process.ts";

const schema = buildSchema({ id: "int64" }, ["id"]);
const batch = buildBatch(schema, [[1n], [2n], [3n]]);

async function open(
  env: Readonly<Record<string, string>> = {},
  { inspect = false } = {},
) {
  const root = await mkdtemp(join(tmpdir(), "millrace-destination-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const path = join(root, "socket_1.sock");
  const config: FileDestinationConfig & DestinationConfig = {
    kind: "file",
    root,
    pathTemplate: "{namespace}/{stream}",
    fileBytesMax: 1024 * 1024 * 1024,
    format: { format: "jsonl", compression: null, plainEncodings: false },
  };
  const settings: DestinationSettings = {
    attempt: { runId: "run1", epoch: 1 },
    syncId: "sync1",
    config,
    frameBytesMax: 16 * 1024 * 1024,
    times: {
      handshakeMs: 10_000,
      probeMs: 1000,
      probeDeadlineMs: 10_000,
      connectDeadlineMs: 10_000,
    },
    checkpointDeadlineMs: 60_000,
    inspect,
  };
  const process = startProcess<DestinationFact>("destination", env);
  const listener = await listenChannel(path, {
    run: "run1",
    epoch: 1,
    channel: 1,
    streams: () => [],
    handshakeMs: 10_000,
    probeMs: 1000,
    probeDeadlineMs: 10_000,
  });
  process.send({ type: "destination.open", settings });
  // before it has said that it is open: the socket is there, and the source waits
  process.send({ type: "channel.connect", channel: 1, path });
  const channel = startSource(await listener.accepted);
  await process.fact("destination.opened");
  const begin = (): void =>
    process.send({
      type: "stream.begin",
      stream: { schema, generation: 1, planVersion: 1 },
      seed: EMPTY_SEED,
    });
  return { process, channel, root, begin };
}

const ids = { stream: 1, partition: 0, attempt: 1 };
const bytes = batchBytes(batch);

test("a destination's stdout is states of the Airbyte protocol, and it says nothing else", async () => {
  const { process, channel, begin } = await open();
  await using _ = process;
  begin();
  const { source } = channel;
  await source.writeSchema(schema);
  await source.writeBatch({ ...ids, sequence: 1 }, batch);
  await source.writeCheckpoint({
    ...ids,
    sequence: 2,
    index: 1,
    position: null,
    rows: 3,
    bytes,
    last: true,
  });
  await source.writeEnd({ batches: 1, rows: 3, bytes, checkpoints: 1 });
  expect((await channel.frame("ack")).ack).toMatchObject({ rows: 3 });
  expect(await channel.closed).toBeNull();
  process.send({ type: "destination.finish" });
  expect(await process.exited).toBe(0);
  expect(parseLines(process.output.stdout)).toEqual([
    {
      type: "STATE",
      state: {
        type: "STREAM",
        stream: {
          stream_descriptor: { name: "rows", namespace: "public" },
          stream_state: { stream: 1, index: 1, done: [0], open: [], rows: 3 },
        },
        destinationStats: { recordCount: 3 },
        id: 1,
        partition_id: "s1",
      },
    },
  ]);
  expect(process.output.stdout).toContain('"recordCount":3.0');
  expect(process.output.stderr).toBe("");
});

test("what the machines of all threads did is told to their last step", async () => {
  const { process, channel, begin } = await open({}, { inspect: true });
  await using _ = process;
  begin();
  const { source } = channel;
  await source.writeSchema(schema);
  await source.writeBatch({ ...ids, sequence: 1 }, batch);
  await source.writeEnd({ batches: 1, rows: 3, bytes, checkpoints: 0 });
  expect(await channel.closed).toBeNull();
  process.send({ type: "destination.finish" });
  expect(await process.exited).toBe(0);
  const records = process.facts.flatMap((fact) =>
    fact.type === "inspected" ? parseRecords(fact.lines) : [],
  );
  const lives = ["actor", "stopped"].map((kind) =>
    records
      .filter((record) => record.kind === kind)
      .map(({ thread, actor, machine }) => `${thread} ${actor} ${machine}`)
      .toSorted(),
  );
  expect(lives[0]).toContain("0 x:0 destinationProcess");
  expect(lives[0]).toContain("1 x:0 inputFlow");
  expect(lives[1]).toEqual(lives[0]);
});

test("rows that overtake the order which names their stream wait for it", async () => {
  const { process, channel, begin } = await open();
  await using _ = process;
  const { source } = channel;
  await source.writeSchema(schema);
  await source.writeBatch({ ...ids, sequence: 1 }, batch);
  await source.writeCheckpoint({
    ...ids,
    sequence: 2,
    index: 1,
    position: null,
    rows: 3,
    bytes,
    last: true,
  });
  begin();
  expect((await channel.frame("ack")).ack).toMatchObject({ rows: 3 });
});

test("a source that dies ends the destination with the reason on its stdout", async () => {
  const { process, channel, begin, root } = await open({
    MILLRACE_LOG_LEVEL: "debug",
  });
  await using _ = process;
  begin();
  await channel.source.writeSchema(schema);
  await channel.source.writeBatch({ ...ids, sequence: 1 }, batch);
  await channel.source.close();
  expect(await process.fact("process.failed")).toMatchObject({
    error: { code: "CHANNEL_BROKEN" },
  });
  expect(await process.exited).toBe(1);
  expect(parseLines(process.output.stdout)).toMatchObject([
    { type: "TRACE", trace: { type: "ERROR" } },
  ]);
  const opened = { process: "destination", channel: 1, msg: "channel opened" };
  const lines = parseLines(process.output.stderr);
  expect(lines).toContainEqual(expect.objectContaining(opened));
  expect(lines.filter(({ msg }) => msg !== opened.msg)).toMatchObject([
    { process: "destination", run: "run1", stream: 1, msg: "stream begun" },
    { process: "destination", code: "CHANNEL_BROKEN" },
  ]);
  const sealed = readdirSync(root, { recursive: true, encoding: "utf8" });
  expect(sealed.filter((name) => name.endsWith(".jsonl"))).toEqual([]);
});

test("a bookkeeper that dies ends the destination, and nothing is sealed", async () => {
  const { process, channel, begin, root } = await open();
  await using _ = process;
  begin();
  await channel.source.writeSchema(schema);
  await channel.source.writeBatch({ ...ids, sequence: 1 }, batch);
  process.leave();
  expect(await process.exited).toBe(1);
  const sealed = readdirSync(root, { recursive: true, encoding: "utf8" });
  expect(sealed.filter((name) => name.endsWith(".jsonl"))).toEqual([]);
});
