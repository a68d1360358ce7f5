/** What the bookkeeper knows of a run as figures for the inspector: its plans and its checkpoints. */
import type { DurableReport } from "../proto/checkpoint.ts";
import {
  PARTITIONS_PER_RECORD_MAX,
  type Figures,
  type PlannedPartition,
} from "../proto/figures.ts";
import type { Partition, Plan, Position } from "../proto/partition.ts";
import { describeRange } from "./cli/ranges.ts";
import { nameTable } from "../proto/table-name.ts";

/** Several where there are many partitions. */
export function describePlan(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  { stream, rung, reason, partitions }: Plan,
  done: readonly number[],
): Figures[] {
  const isDone = new Set(done);
  const chunks: Figures[] = [];
  for (
    let at = 0;
    at === 0 || at < partitions.length;
    at += PARTITIONS_PER_RECORD_MAX
  )
    chunks.push({
      type: "plan",
      stream,
      name: nameTable({ namespace, name }),
      rung,
      reason,
      partitions: partitions
        .slice(at, at + PARTITIONS_PER_RECORD_MAX)
        .map((partition) =>
          describePartition(partition, isDone.has(partition.ordinal)),
        ),
    });
  return chunks;
}

function describePartition(
  partition: Partition,
  isDone: boolean,
): PlannedPartition {
  return {
    ordinal: partition.ordinal,
    rows: Math.max(0, Math.round(partition.estimatedRows)),
    bytes: Math.max(0, Math.round(partition.estimatedBytes)),
    range: describeRange(partition),
    isDone,
  };
}

/** Ranges that have moved from one partition to another. */
export function describeSplit(
  name: { readonly namespace: string; readonly name: string },
  plan: Pick<Plan, "stream" | "rung" | "reason">,
  changed: readonly Partition[],
): Figures[] {
  return describePlan(
    name,
    { ...plan, partitions: changed, estimatedRows: 0, estimatedBytes: 0 },
    [],
  );
}

export function describeDurable(report: DurableReport): Figures {
  const { stream, index, partition, rows, bytes, position, last } = report;
  return {
    type: "checkpoint",
    step: "durable",
    stream,
    index,
    partition,
    rows,
    bytes,
    position: describePosition(position),
    isLast: last,
  };
}

export function describeReleased(stream: number, index: number): Figures {
  return {
    type: "checkpoint",
    step: "released",
    stream,
    index,
    partition: null,
    rows: 0,
    bytes: 0,
    position: null,
    isLast: false,
  };
}

function describePosition(position: Position | null): string | null {
  if (position === null) return null;
  if (position.kind === "pages") return `page ${position.nextPage}`;
  if (position.kind === "log") return position.after;
  return position.after.length === 1
    ? (position.after[0] ?? null)
    : `(${position.after.join(", ")})`;
}
