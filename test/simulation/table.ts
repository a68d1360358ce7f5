/** What is copied: tables of consecutive keys, in key ranges or whole. */
import type { Partition, Plan, Position } from "../../proto/partition.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { buildSchema } from "../fixtures/batches.ts";

export interface SimulatedTable {
  readonly stream: number;
  readonly keys: number;
  /** 0: one partition without ranges, resumable at its end only. */
  readonly ranges: number;
}

const SPLIT_KEYS_MIN = 4;

export function describeTable({ stream }: SimulatedTable): StreamSchema {
  const schema = buildSchema({ id: "int64" }, ["id"]);
  return { ...schema, number: stream, name: `table${stream}` };
}

export function planTable({ stream, keys, ranges }: SimulatedTable): Plan {
  const count = Math.max(1, ranges);
  const border = (ordinal: number): string =>
    String(Math.floor((keys * ordinal) / count));
  const partitions = Array.from({ length: count }, (_, ordinal): Partition => ({
    stream,
    ordinal,
    relation: { schema: "public", name: `table${stream}`, oid: stream },
    only: true,
    split:
      ranges === 0
        ? { kind: "whole" }
        : {
            kind: "key",
            columns: ["id"],
            types: ["bigint"],
            start: ordinal === 0 ? null : [border(ordinal)],
            end: ordinal === count - 1 ? null : [border(ordinal + 1)],
          },
    estimatedRows: keys / count,
    estimatedBytes: (8 * keys) / count,
  }));
  return {
    stream,
    rung: ranges === 0 ? "whole" : "keyRanges",
    reason: "simulated",
    partitions,
    estimatedRows: keys,
    estimatedBytes: 8 * keys,
  };
}

/** A partition's range cut in the middle of what is left of it; null where that is not worth it. */
export function splitTable(
  table: SimulatedTable,
  range: Partition,
  resumeAfter: Position | null,
): { giver: Partition; taker: Omit<Partition, "ordinal"> } | null {
  const { split, ordinal: _, ...rest } = range;
  if (split.kind !== "key") return null;
  const after = resumeAfter?.kind === "key" ? Number(resumeAfter.after[0]) : -1;
  const left = keysOf(table, range).filter((key) => key > after);
  const middle = left[Math.floor(left.length / 2)];
  if (left.length < SPLIT_KEYS_MIN || middle === undefined) return null;
  const border = [String(middle)];
  return {
    giver: { ...range, split: { ...split, end: border } },
    taker: { ...rest, split: { ...split, start: border } },
  };
}

/** The keys of a partition, ascending. */
export function keysOf(table: SimulatedTable, { split }: Partition): number[] {
  const start = split.kind === "key" ? Number(split.start?.[0] ?? 0) : 0;
  const end =
    split.kind === "key" ? Number(split.end?.[0] ?? table.keys) : table.keys;
  return Array.from({ length: end - start }, (_, i) => start + i);
}
