/**
 * One end of a channel as a process of its own, for tests that kill and stop processes. The order is JSON in the first
 * argument; what happens is told as JSON lines on stdout.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { batchBytes } from "../../proto/columns.ts";
import { toWireError } from "../../proto/error.ts";
import type { WireError } from "../../proto/error.ts";
import { listenChannel } from "../../transport/channel-listener.ts";
import { connectChannel } from "../../transport/destination-channel.ts";
import { buildBatch, buildSchema } from "../fixtures/batches.ts";

export interface PeerOrder {
  readonly role: "source" | "destination";
  readonly path: string;
  readonly probeDeadlineMs: number;
  /** Source: batches of about 2 MiB to send before End. */
  readonly batches?: number;
  /** Destination: takes the first batch only after this. */
  readonly restMs?: number;
}

export type PeerEvent =
  | { readonly event: "connected" }
  | { readonly event: "batch"; readonly sequence: number }
  | {
      readonly event: "end";
      readonly rows: number;
      readonly sum: number;
      /** Growth of resident and of buffer memory from the first batch to the most seen. */
      readonly grownBytes: number;
    }
  | { readonly event: "closed"; readonly error: WireError | null };

const schema = {
  ...buildSchema({ id: "int64", payload: "binary" }, ["id"]),
  number: 1,
};
const rowCount = 512;
const batch = buildBatch(
  schema,
  Array.from({ length: rowCount }, (_, i) => [
    BigInt(i),
    new Uint8Array(4096).fill(i),
  ]),
);

function tell(event: PeerEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function runSource(order: PeerOrder): Promise<void> {
  const listener = await listenChannel(order.path, {
    ...common(order),
    streams: () => [schema],
  });
  const channel = await listener.accepted;
  tell({ event: "connected" });
  const closed = Promise.withResolvers<void>();
  channel.start({
    onFrame: () => {},
    onClosed: (error) => {
      tell({ event: "closed", error: error && toWireError(error) });
      closed.resolve();
    },
  });
  const memory = watchMemory();
  const batches = order.batches ?? 0;
  try {
    for (let sequence = 1; sequence <= batches; sequence++) {
      // the buffers change as soon as the promise allows it, so that a copy made too late is found out
      for (const column of batch.columns) column.data[0] = sequence;
      const ids = { stream: 1, partition: 0, attempt: 1, sequence };
      await channel.writeBatch(ids, batch);
      for (const column of batch.columns) column.data[0] = 255;
      tell({ event: "batch", sequence });
      memory.look();
    }
    const rows = batches * rowCount;
    const bytes = batches * batchBytes(batch);
    await channel.writeEnd({ batches, rows, bytes, checkpoints: 0 });
    tell({ event: "end", rows, sum: 0, grownBytes: memory.grownBytes });
  } catch {
    // onClosed has told why
  }
  await closed.promise;
}

async function runDestination(order: PeerOrder): Promise<void> {
  const channel = await connectChannel(order.path, {
    ...common(order),
    connectDeadlineMs: 10_000,
    stalledAfterMs: 1000,
  });
  tell({ event: "connected" });
  void channel.closed.then((error) =>
    tell({ event: "closed", error: error && toWireError(error) }),
  );
  await sleep(order.restMs ?? 0);
  const memory = watchMemory();
  let rows = 0;
  let sum = 0;
  try {
    for (;;) {
      const frame = await channel.next();
      if (!frame) break;
      if (frame.kind !== "batch") continue;
      rows += frame.batch.rowCount;
      for (const { data } of frame.batch.columns) sum += data[0] ?? 0;
      tell({ event: "batch", sequence: frame.sequence });
      frame.release();
      memory.look();
    }
    tell({ event: "end", rows, sum, grownBytes: memory.grownBytes });
    await channel.close();
  } catch {
    // `closed` has told why
  }
}

function common({ probeDeadlineMs }: PeerOrder): {
  run: string;
  epoch: number;
  channel: number;
  handshakeMs: number;
  probeMs: number;
  probeDeadlineMs: number;
} {
  return {
    run: "r1",
    epoch: 1,
    channel: 1,
    handshakeMs: 5000,
    probeMs: probeDeadlineMs / 5,
    probeDeadlineMs,
  };
}

function watchMemory(): { look(): void; readonly grownBytes: number } {
  const first = process.memoryUsage.rss();
  let most = first;
  return {
    look: () => {
      most = Math.max(most, process.memoryUsage.rss());
    },
    get grownBytes() {
      return most - first;
    },
  };
}

const order = JSON.parse(process.argv[2] ?? "") as PeerOrder;
await (order.role === "source" ? runSource(order) : runDestination(order));
