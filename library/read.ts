/** Reads one table over one connection, batch by batch, as they are asked for. */
import type {
  DiscoveredStream,
  PartitionRead,
  SourceSession,
} from "../connectors/sources/source.ts";
import { requestDefaults } from "../daemon/request.ts";
import type { Partition } from "../proto/partition.ts";
import { RowBatch } from "./batch.ts";
import { Handoff } from "./handoff.ts";
import type { Sessions } from "./sessions.ts";
import type { ReadOptions, Table } from "./types.ts";

/** Nobody goes on from a checkpoint: they may be as far apart as a timer reaches. */
const CHECKPOINT_EVERY_MS = 2 ** 31 - 1;
const CHECKPOINT_TARGET_SECONDS = CHECKPOINT_EVERY_MS / 1000;

export interface ReadTarget {
  readonly sessions: Sessions;
  readonly stream: DiscoveredStream;
  readonly table: Table;
  /** Of the source: why all readings end. */
  readonly closing: AbortSignal;
  readonly unrepresentable: "error" | "null";
}

export async function* readBatches<Row>(
  target: ReadTarget,
  options: ReadOptions,
): AsyncGenerator<RowBatch<Row>, void, undefined> {
  const { sessions, closing } = target;
  const ends = AbortSignal.any(
    options.signal ? [closing, options.signal] : [closing],
  );
  ends.throwIfAborted();
  const session = await sessions.take();
  let isWhole = false;
  try {
    for (const partition of await planTable(session, target, options))
      yield* readPartition<Row>(session, partition, target, options, ends);
    isWhole = true;
  } catch (error) {
    // what a connection says that was closed under it is not why
    ends.throwIfAborted();
    throw error;
  } finally {
    sessions.give(session, isWhole);
  }
}

/** As few parts as there can be: one, and for a partitioned table one of each child. */
async function planTable(
  session: SourceSession,
  { stream }: ReadTarget,
  { where = null }: { readonly where?: string | null },
): Promise<readonly Partition[]> {
  const { plan } = await session.planStream(
    stream,
    { where, cursor: null },
    {
      channels: 1,
      checkpointTargetSeconds: CHECKPOINT_TARGET_SECONDS,
      partitionBy: "auto",
      partitionBytesMin: Number.MAX_SAFE_INTEGER,
    },
  );
  return plan.partitions;
}

async function* readPartition<Row>(
  session: SourceSession,
  partition: Partition,
  { stream, table, unrepresentable }: ReadTarget,
  options: ReadOptions,
  ends: AbortSignal,
): AsyncGenerator<RowBatch<Row>, void, undefined> {
  ends.throwIfAborted();
  const handoff = new Handoff(options.onValueNulled ?? (() => {}));
  const read = session.startRead(
    {
      stream,
      partition,
      resumeAfter: null,
      filter: { where: options.where ?? null, cursor: null },
      policy: options.unrepresentable ?? unrepresentable,
      rowBytesMax: requestDefaults.rowBytesMax,
    },
    handoff,
    { checkpointEveryMs: CHECKPOINT_EVERY_MS },
  );
  const done = read.done.then(
    () => handoff.end(),
    (error: unknown) => handoff.end(error),
  );
  const onEnd = (): void => stop(read, handoff, ends.reason);
  ends.addEventListener("abort", onEnd, { once: true });
  let isWhole = false;
  try {
    for (
      let given = await handoff.next();
      given !== null;
      given = await handoff.next()
    ) {
      const batch = new RowBatch<Row>(
        table,
        given.batch,
        options.json ?? "text",
      );
      try {
        yield batch;
      } finally {
        batch.free();
        given.free();
      }
      ends.throwIfAborted();
    }
    isWhole = true;
  } finally {
    ends.removeEventListener("abort", onEnd);
    if (!isWhole) stop(read, handoff, new Error("nobody reads on"));
    // the connection is busy until then
    await done;
  }
}

function stop(read: PartitionRead, handoff: Handoff, reason: unknown): void {
  read.cancel(reason instanceof Error ? reason : new Error(String(reason)));
  handoff.leave();
}
