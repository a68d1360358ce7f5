import { expect, test } from "vitest";
import { batchBytes } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import { createMemoryPair } from "../../transport/in-memory.ts";
import { startSource } from "./pair.ts";
import { orders, ordersBatch } from "./samples.ts";

const ids = { stream: 7, partition: 0, attempt: 1 };
const pair = () => createMemoryPair({ channel: 1, streams: [orders] });

test("batches arrive as over a socket, each write waiting until it is taken", async () => {
  const { source, destination } = pair();
  const { closed, frame } = startSource(source);
  let taken = false;
  const writing = source
    .writeBatch({ ...ids, sequence: 1 }, ordersBatch)
    .then(() => (taken = true));
  await source.writeEnd({
    batches: 1,
    rows: 3,
    bytes: batchBytes(ordersBatch),
    checkpoints: 0,
  });
  await new Promise(setImmediate);
  expect(taken).toBe(false);
  const received = await destination.next();
  if (received?.kind !== "batch") return expect.fail("no batch");
  expect(received).toMatchObject({ ...ids, sequence: 1, schema: orders });
  // a copy: what the source does with its buffers now is its own affair
  expect(received.batch.columns[0]?.data.buffer).not.toBe(
    ordersBatch.columns[0]?.data.buffer,
  );
  expect([...(received.batch.columns[3]?.data ?? [])]).toEqual([
    ...(ordersBatch.columns[3]?.data ?? []),
  ]);
  received.release();
  await writing;
  expect(await destination.next()).toBeNull();
  const ack = { ...ids, sequence: 1, rows: 3, bytes: 1 };
  destination.write({ kind: "ack", ack });
  expect(await frame("ack")).toEqual({ kind: "ack", ack });
  await destination.close();
  expect(await closed).toBeNull();
});

test("the same checks hold: a gap is CHANNEL_CORRUPT for both ends", async () => {
  const { source, destination } = pair();
  const { closed } = startSource(source);
  const writing = source.writeBatch({ ...ids, sequence: 2 }, ordersBatch);
  const failed = expect(writing).rejects.toMatchObject({
    code: "CHANNEL_CORRUPT",
  });
  await expect(destination.next()).rejects.toMatchObject({
    code: "CHANNEL_CORRUPT",
  });
  await failed;
  expect(await closed).toMatchObject({ code: "CHANNEL_CORRUPT" });
});

test("a source that closes without End breaks the channel; a failure keeps its code", async () => {
  const first = pair();
  const next = first.destination.next();
  await first.source.close();
  await expect(next).rejects.toMatchObject({ code: "CHANNEL_BROKEN" });

  const second = pair();
  const { closed } = startSource(second.source);
  const writing = second.source.writeBatch(
    { ...ids, sequence: 1 },
    ordersBatch,
  );
  const failed = expect(writing).rejects.toMatchObject({
    code: "DESTINATION_FULL",
  });
  second.destination.fail(new ExtractError("DESTINATION_FULL", "full"));
  await failed;
  expect(await closed).toMatchObject({ code: "DESTINATION_FULL" });
});
