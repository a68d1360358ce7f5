/** The plans of a run's streams and their partitions: begun, split, and started over. */
import { strict as assert } from "node:assert";
import type { SealedFile } from "../../proto/checkpoint.ts";
import type { Partition, Plan } from "../../proto/partition.ts";
import type { ResumePlan } from "../resume.ts";
import type { LedgerDatabase } from "./database.ts";
import { dropDurable, dropStream } from "./durable.ts";
import { findStreamRow } from "./streams.ts";

/**
 * Records a stream's plan; its partitions are intents from here on. A stream that starts over has used ordinals
 * before, and none is used twice: the plan that is returned has the ordinals that count.
 */
export function putPlan(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  plan: Plan,
): { readonly plan: Plan; readonly planVersion: number } {
  return db.fenced(runId, epoch, () => {
    const { partitions, stream, ...header } = plan;
    const before = findStreamRow(db, runId, stream);
    assert(before["plan"] === null, `stream ${stream} has a plan`);
    const base = nextOrdinal(db, runId, stream);
    const planVersion = Number(before["plan_version"]) + 1;
    db.run(
      "UPDATE streams SET plan = ?, plan_version = ? WHERE run = ? AND number = ?",
      JSON.stringify(header),
      planVersion,
      runId,
      stream,
    );
    const numbered = partitions.map((partition) => {
      assert(partition.stream === stream, "a plan is of one stream");
      return { ...partition, ordinal: base + partition.ordinal };
    });
    for (const partition of numbered)
      insertPartition(db, runId, epoch, partition);
    return { plan: { ...plan, partitions: numbered }, planVersion };
  });
}

/**
 * Forgets a stream's plan and drops all that is durable of it; gives the files to remove once this has returned.
 * To be done before a new snapshot is recorded.
 */
export function startStreamOver(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
): SealedFile[] {
  return db.fenced(runId, epoch, () => {
    const { state } = findStreamRow(db, runId, stream);
    assert(
      state !== "committing" && state !== "committed",
      `stream ${stream} is ${String(state)}`,
    );
    db.run(
      "UPDATE partitions SET superseded_epoch = ? WHERE run = ? AND stream = ? AND superseded_epoch IS NULL",
      epoch,
      runId,
      stream,
    );
    db.run(
      "UPDATE streams SET plan = NULL WHERE run = ? AND number = ?",
      runId,
      stream,
    );
    return dropStream(db, runId, epoch, stream);
  });
}

/** `startStreamOver` and `putPlan` in one transaction. */
export function replacePlan(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  plan: Plan,
): {
  readonly plan: Plan;
  readonly planVersion: number;
  readonly droppedFiles: readonly SealedFile[];
} {
  return db.fenced(runId, epoch, () => {
    const droppedFiles = startStreamOver(db, runId, epoch, plan.stream);
    return { ...putPlan(db, runId, epoch, plan), droppedFiles };
  });
}

/**
 * Moves the tail of a partition's range into a new one, in one transaction, before either is read on.
 * `giver`: with its new end. `taker`: from there to the giver's old end; its ordinal is given here.
 */
export function splitPartition(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  giver: Partition,
  taker: Omit<Partition, "ordinal">,
): Partition {
  return db.fenced(runId, epoch, () => {
    const { stream, ordinal } = giver;
    const whole = partitionsOf(db, runId, stream).find(
      (partition) => partition.ordinal === ordinal,
    );
    assert(whole, `stream ${stream} has no partition ${ordinal}`);
    assert(taker.stream === stream, "both parts are of one stream");
    assertParts(whole, giver, taker);
    const done = db.get(
      "SELECT 1 FROM durable WHERE run = ? AND stream = ? AND partition = ? AND last = 1 AND dropped_epoch IS NULL",
      runId,
      stream,
      ordinal,
    );
    assert(!done, `partition ${ordinal} is complete`);
    db.run(
      "UPDATE partitions SET split = ?, estimated_rows = ?, estimated_bytes = ? WHERE run = ? AND stream = ? AND ordinal = ?",
      JSON.stringify(giver.split),
      giver.estimatedRows,
      giver.estimatedBytes,
      runId,
      stream,
      ordinal,
    );
    const added = { ...taker, ordinal: nextOrdinal(db, runId, stream) };
    insertPartition(db, runId, epoch, added);
    return added;
  });
}

/** What the giver keeps and what the taker gets are together exactly the range before; only ordered ranges split. */
function assertParts(
  { split: before }: Partition,
  { split: kept }: Partition,
  { split: given }: Omit<Partition, "ordinal">,
): void {
  if (before.kind === "key") {
    assert(kept.kind === "key" && given.kind === "key");
    assert(kept.end !== null, "the giver gives up its tail");
    assert.deepEqual(kept, { ...before, end: kept.end });
    assert.deepEqual(given, { ...before, start: kept.end });
    return;
  }
  assert(before.kind === "pages", "a whole table does not split");
  assert(kept.kind === "pages" && given.kind === "pages");
  assert(kept.endPage !== null, "the giver gives up its tail");
  assert.deepEqual(kept, { ...before, endPage: kept.endPage });
  assert.deepEqual(given, { ...before, startPage: kept.endPage });
}

/** The stream's current plan; null before it is planned, and after it started over. */
export function planOf(
  db: LedgerDatabase,
  runId: string,
  stream: number,
): Plan | null {
  const { plan } = findStreamRow(db, runId, stream);
  if (plan === null) return null;
  const header = db.parse<Omit<Plan, "stream" | "partitions">>(plan);
  return { ...header, stream, partitions: partitionsOf(db, runId, stream) };
}

/** The partitions of the current plans, by stream and ordinal. */
export function partitionsOf(
  db: LedgerDatabase,
  runId: string,
  stream: number | null,
): Partition[] {
  return db
    .all(
      `SELECT * FROM partitions WHERE run = ?1 AND stream = coalesce(?2, stream) AND superseded_epoch IS NULL
       ORDER BY stream, ordinal`,
      runId,
      stream,
    )
    .map((row) => ({
      stream: Number(row["stream"]),
      ordinal: Number(row["ordinal"]),
      relation: db.parse(row["relation"]),
      only: row["only_relation"] === 1,
      split: db.parse(row["split"]),
      estimatedRows: Number(row["estimated_rows"]),
      estimatedBytes: Number(row["estimated_bytes"]),
    }));
}

function nextOrdinal(
  db: LedgerDatabase,
  runId: string,
  stream: number,
): number {
  const row = db.get(
    "SELECT coalesce(max(ordinal) + 1, 0) AS next FROM partitions WHERE run = ? AND stream = ?",
    runId,
    stream,
  );
  return Number(row?.["next"]);
}

function insertPartition(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  partition: Partition,
): void {
  db.run(
    `INSERT INTO partitions (run, stream, ordinal, epoch, relation, only_relation, split, estimated_rows, estimated_bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    runId,
    partition.stream,
    partition.ordinal,
    epoch,
    JSON.stringify(partition.relation),
    partition.only ? 1 : 0,
    JSON.stringify(partition.split),
    partition.estimatedRows,
    partition.estimatedBytes,
  );
}

/**
 * Writes down, in one transaction, what `planResume` decided to drop and to plan again. Only when this has returned
 * are the files removed and a new snapshot recorded: a crash in between then finds the same decision.
 */
export function applyResume(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  resume: ResumePlan,
): void {
  db.fenced(runId, epoch, () => {
    dropDurable(db, runId, epoch, resume.dropped);
    for (const stream of resume.rePlanStreams)
      startStreamOver(db, runId, epoch, stream);
  });
}
