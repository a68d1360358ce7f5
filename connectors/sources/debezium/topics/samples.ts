/** The newest change of each topic: of which table it tells, and what its schema is if it carries one. */
import { ExtractError } from "../../../../proto/error.ts";
import { ChangeEvent } from "../events/event.ts";
import type { ChangeConnector } from "../events/types.ts";
import type { PartitionRef, TopicMessage, TopicsClient } from "./client.ts";
import { readSchema, type ConnectSchema } from "./connect-schema.ts";
import { readPlace } from "./places.ts";
import { nameOf, type Offsets } from "./state.ts";

/** How many messages before a partition's end are looked at at first; four times as many where no change is there. */
const LOOK_BACK = 32n;
const LOOK_BACK_MAX = 100_000n;
const PARTITION_BYTES_MAX = 1024 * 1024;

export interface TopicSample {
  readonly topic: string;
  readonly namespace: string;
  readonly table: string;
  readonly connector: ChangeConnector;
  /** Members of the messages' keys; empty: they have none. */
  readonly key: readonly string[];
  /** Null: the messages carry none. */
  readonly schema: ConnectSchema | null;
  /** Where its partitions ended: what is before is of the table as it is now, or was. */
  readonly ends: Offsets;
}

/** @throws ExtractError SOURCE_EVENT_INVALID, KAFKA_* */
export async function sampleTopics(client: TopicsClient): Promise<{
  readonly samples: readonly TopicSample[];
  /** Topics without any change of a row. */
  readonly silent: readonly string[];
}> {
  const partitions = await client.listPartitions();
  const ends = await client.readOffsets(partitions, "end");
  const oldest = await client.readOffsets(partitions, "oldest");
  const samples: TopicSample[] = [];
  const silent: string[] = [];
  for (const [topic, refs] of Map.groupBy(partitions, (ref) => ref.topic)) {
    const found = await findNewest(client, refs, oldest, ends);
    if (found === null) {
      silent.push(topic);
      continue;
    }
    samples.push({
      ...found,
      topic,
      ends: Object.fromEntries(
        refs.map((ref) => [
          nameOf(topic, ref.partition),
          String(ends.get(ref) ?? 0n),
        ]),
      ),
    });
  }
  return { samples, silent };
}

type Found = Omit<TopicSample, "topic" | "ends"> & { readonly us: number };

async function findNewest(
  client: TopicsClient,
  refs: readonly PartitionRef[],
  oldest: ReadonlyMap<PartitionRef, bigint>,
  ends: ReadonlyMap<PartitionRef, bigint>,
): Promise<Found | null> {
  let newest: Found | null = null;
  for (const ref of refs) {
    const end = ends.get(ref) ?? 0n;
    const low = oldest.get(ref) ?? 0n;
    for (let back = LOOK_BACK; ; back *= 4n) {
      const from = end - back > low ? end - back : low;
      const found = await readLast(client, ref, from, end);
      if (found !== null && found.us >= (newest?.us ?? 0)) newest = found;
      if (found !== null || from === low || back >= LOOK_BACK_MAX) break;
    }
  }
  return newest;
}

async function readLast(
  client: TopicsClient,
  ref: PartitionRef,
  from: bigint,
  end: bigint,
): Promise<Found | null> {
  let last: Found | null = null;
  for (let at = from; at < end;) {
    const [leader = -1] = client.groupByLeader([ref]).keys();
    const [fetched] = await client.fetch(
      leader,
      new Map([[ref, at]]),
      PARTITION_BYTES_MAX,
    );
    if (!fetched || fetched.next === at) break;
    at = fetched.next;
    for (const message of fetched.messages)
      last = describe(ref.topic, message) ?? last;
  }
  return last;
}

const event = new ChangeEvent();

/** Null for what is no change of a row; one that cannot be read is met again when the topic is read. */
function describe(topic: string, message: TopicMessage): Found | null {
  try {
    event.read({ ...message, topic, number: 0, order: 1, headers: null });
    // a table that was emptied says so without a key, and without columns
    if (event.kind !== "change" || event.op === "t") return null;
    const { namespace, table } = event;
    if (namespace === null || table === null) return null;
    return {
      namespace,
      table,
      connector: readPlace(event).connector,
      key: readKeyNames(message.key),
      schema: readSchema(JSON.parse(message.value?.toString() ?? "null")),
      us: event.committedUs,
    };
  } catch (error) {
    if (error instanceof ExtractError && error.code === "SOURCE_EVENT_INVALID")
      return null;
    throw error;
  }
}

function readKeyNames(key: Buffer | null): string[] {
  if (key === null || key.length === 0) return [];
  let value: unknown;
  try {
    value = JSON.parse(key.toString());
  } catch {
    return [];
  }
  const payload = readSchema(value)
    ? (value as { payload: unknown }).payload
    : value;
  return typeof payload === "object" && payload !== null
    ? Object.keys(payload)
    : [];
}
