/** What makes a checkpoint's stamp well-formed, and the texts by which two of them are compared. */
import { ExtractError } from "../proto/error.ts";
import type { CheckpointStamp, DurableReport } from "../proto/checkpoint.ts";
import type { Position } from "../proto/partition.ts";

/** Source and destination disagree; the stamp's place is in the details. */
export function mismatch(
  message: string,
  place: {
    readonly stream: number;
    readonly index?: number;
    readonly partition?: number;
  },
): ExtractError {
  const { stream, index, partition } = place;
  return new ExtractError("CHECKPOINT_MISMATCH", message, {
    stream,
    ...(index === undefined ? {} : { index }),
    ...(partition === undefined ? {} : { partition }),
  });
}

/** "checkpoint 7 of stream 1 (partition 3, attempt 2, sequence 41)" */
export function describeStamp(stamp: CheckpointStamp): string {
  return (
    `checkpoint ${stamp.index} of stream ${stamp.stream} ` +
    `(partition ${stamp.partition}, attempt ${stamp.attempt}, sequence ${stamp.sequence})`
  );
}

const countMin = {
  stream: 1,
  partition: 0,
  attempt: 1,
  sequence: 0,
  index: 1,
  rows: 0,
  bytes: 0,
} as const;

/**
 * Stamps come from other processes: every count is a safe integer at or above its least value.
 * @throws ExtractError CHECKPOINT_MISMATCH naming the count
 */
export function checkStamp(stamp: CheckpointStamp): void {
  for (const name of Object.keys(countMin) as (keyof typeof countMin)[]) {
    const count = stamp[name];
    if (!Number.isSafeInteger(count) || count < countMin[name])
      throw mismatch(
        `${describeStamp(stamp)} has ${name} ${String(count)}`,
        stamp,
      );
  }
}

/** A position with its members in one order, so that equal positions have equal JSON. */
export function canonicalPosition(position: Position | null): Position | null {
  if (position === null) return null;
  switch (position.kind) {
    case "key":
      return { kind: "key", after: position.after };
    case "pages":
      return { kind: "pages", nextPage: position.nextPage };
    case "log":
      return { kind: "log", after: position.after };
  }
}

function canonicalStamp(stamp: CheckpointStamp): CheckpointStamp {
  return {
    stream: stamp.stream,
    partition: stamp.partition,
    attempt: stamp.attempt,
    sequence: stamp.sequence,
    index: stamp.index,
    position: canonicalPosition(stamp.position),
    rows: stamp.rows,
    bytes: stamp.bytes,
    last: stamp.last,
  };
}

/** Two stamps are the same exactly when these texts are equal; members that a report adds do not count. */
export function stampText(stamp: CheckpointStamp): string {
  return JSON.stringify(canonicalStamp(stamp));
}

/** Two reports are the same exactly when these texts are equal; the order of their files does not count. */
export function reportText(report: DurableReport): string {
  const files = report.files
    .map(({ path, rows, bytes }) => ({ path, rows, bytes }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return JSON.stringify({
    ...canonicalStamp(report),
    epoch: report.epoch,
    files,
  });
}
