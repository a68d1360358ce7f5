/** Partitions and plans as a planner would give them. */
import type { Partition, Plan } from "../../../proto/partition.ts";

export function makePartition(
  stream: number,
  ordinal: number,
  estimatedBytes = 1000,
): Partition {
  return {
    stream,
    ordinal,
    relation: { schema: "public", name: `table${stream}`, oid: 1000 + stream },
    only: true,
    split: {
      kind: "key",
      columns: ["id"],
      types: ["bigint"],
      start: ordinal === 0 ? null : [String(ordinal * 100)],
      end: [String((ordinal + 1) * 100)],
    },
    estimatedRows: 100,
    estimatedBytes,
  };
}

export function makePlan(
  stream: number,
  partitionCount: number,
  partitionBytes = 1000,
): Plan {
  return {
    stream,
    rung: "keyRanges",
    reason: "the key is dense",
    partitions: Array.from({ length: partitionCount }, (_, ordinal) =>
      makePartition(stream, ordinal, partitionBytes),
    ),
    estimatedRows: 100 * partitionCount,
    estimatedBytes: partitionBytes * partitionCount,
  };
}
