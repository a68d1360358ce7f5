/** The checkpoints that are durable: each attempt's reports, and what the destination finds of earlier ones. */
import { strict as assert } from "node:assert";
import type { DurableReport, SealedFile } from "../../proto/checkpoint.ts";
import {
  canonicalPosition,
  checkStamp,
  describeStamp,
  mismatch,
  reportText,
} from "../stamps.ts";
import type { LedgerDatabase, Row } from "./database.ts";
import type { Recovery } from "./records.ts";

/**
 * Records a report of the current attempt; the same one again changes nothing.
 * @throws ExtractError CHECKPOINT_MISMATCH when it contradicts one that is recorded, or its stream takes none
 */
export function recordDurable(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  report: DurableReport,
): void {
  db.fenced(runId, epoch, () => {
    checkStamp(report);
    if (report.epoch !== epoch)
      throw mismatch(
        `${describeStamp(report)} is of epoch ${report.epoch}, not ${epoch}`,
        report,
      );
    const known = findReport(db, runId, report);
    if (known) {
      expectSame(known.report, report);
      if (known.dropped)
        throw mismatch(`${describeStamp(report)} was dropped`, report);
      return;
    }
    const standing = findStanding(db, runId, report);
    if (standing !== "current")
      throw mismatch(
        standing === "closed"
          ? `${describeStamp(report)} came after its stream was closed`
          : `${describeStamp(report)} is of a partition that the plan does not have`,
        report,
      );
    insertReport(db, runId, report);
  });
}

/**
 * Merges what the destination found of earlier attempts: it is the truth about what is durable. To be done before
 * the resume is planned; `stale` files are then removed, and anything `missing` is to stop the run.
 * Streams that are committed are left out.
 * @throws ExtractError CHECKPOINT_MISMATCH when a checkpoint that was found contradicts the ledger
 */
export function mergeRecovered(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  reports: readonly DurableReport[],
): Recovery {
  return db.fenced(runId, epoch, () => {
    const added: DurableReport[] = [];
    const stale: DurableReport[] = [];
    const found = new Set<string>();
    for (const report of reports) {
      checkStamp(report);
      if (!Number.isSafeInteger(report.epoch) || report.epoch >= epoch)
        throw mismatch(
          `${describeStamp(report)} of epoch ${report.epoch} was found by attempt ${epoch}`,
          report,
        );
      found.add(placeOf(report));
      const known = findReport(db, runId, report);
      if (known) {
        expectSame(known.report, report);
        if (known.dropped) stale.push(report);
        continue;
      }
      const standing = findStanding(db, runId, report);
      if (standing === "closed")
        throw mismatch(
          `${describeStamp(report)} was found after its stream was closed`,
          report,
        );
      if (standing === "superseded") stale.push(report);
      else {
        insertReport(db, runId, report);
        added.push(report);
      }
    }
    const missing = selectDurable(
      db,
      `d.run = ? AND d.epoch < ? AND d.dropped_epoch IS NULL AND s.state <> 'committed'`,
      [runId, epoch],
    ).filter(
      // a checkpoint without rows has no file that could tell of it, or be lost
      (report) => report.files.length > 0 && !found.has(placeOf(report)),
    );
    return { added, stale, missing };
  });
}

/** What is durable and counts, by stream, epoch and index. */
export function durableOf(
  db: LedgerDatabase,
  runId: string,
  stream: number | null,
): DurableReport[] {
  return selectDurable(
    db,
    "d.run = ?1 AND d.stream = coalesce(?2, d.stream) AND d.dropped_epoch IS NULL",
    [runId, stream],
  );
}

/** The reports no longer count; afterwards their files are to be removed. */
export function dropDurable(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  reports: readonly DurableReport[],
): void {
  db.fenced(runId, epoch, () => {
    for (const report of reports) {
      const changed = db.run(
        `UPDATE durable SET dropped_epoch = coalesce(dropped_epoch, ?)
         WHERE run = ? AND stream = ? AND epoch = ? AND idx = ?`,
        epoch,
        runId,
        report.stream,
        report.epoch,
        report.index,
      );
      assert(changed === 1, `${describeStamp(report)} is not recorded`);
    }
  });
}

/** Within a fenced transaction. Gives the files of what it drops. */
export function dropStream(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
): SealedFile[] {
  const files = durableOf(db, runId, stream).flatMap((report) => report.files);
  db.run(
    "UPDATE durable SET dropped_epoch = ? WHERE run = ? AND stream = ? AND dropped_epoch IS NULL",
    epoch,
    runId,
    stream,
  );
  return files;
}

function placeOf(report: DurableReport): string {
  return `${report.stream}/${report.epoch}/${report.index}`;
}

/** Where a report's partition stands. A stream that is committing has its list of files, and takes no more. */
function findStanding(
  db: LedgerDatabase,
  runId: string,
  report: DurableReport,
): "current" | "superseded" | "closed" {
  const row = db.get(
    `SELECT s.state, p.ordinal, p.superseded_epoch FROM streams s
     LEFT JOIN partitions p ON p.run = s.run AND p.stream = s.number AND p.ordinal = ?
     WHERE s.run = ? AND s.number = ?`,
    report.partition,
    runId,
    report.stream,
  );
  if (!row || row["ordinal"] === null || row["superseded_epoch"] !== null)
    return "superseded";
  return row["state"] === "committing" || row["state"] === "committed"
    ? "closed"
    : "current";
}

function findReport(
  db: LedgerDatabase,
  runId: string,
  report: DurableReport,
): { readonly report: DurableReport; readonly dropped: boolean } | null {
  const row = db.get(
    `SELECT * FROM durable WHERE run = ?1 AND stream = ?2 AND epoch = ?3 AND idx = ?4
     UNION ALL
     SELECT * FROM durable WHERE run = ?1 AND stream = ?2 AND epoch = ?3 AND partition = ?5 AND attempt = ?6 AND sequence = ?7
     LIMIT 1`,
    runId,
    report.stream,
    report.epoch,
    report.index,
    report.partition,
    report.attempt,
    report.sequence,
  );
  return row
    ? { report: toReport(db, row), dropped: row["dropped_epoch"] !== null }
    : null;
}

function expectSame(known: DurableReport, told: DurableReport): void {
  if (reportText(known) !== reportText(told))
    throw mismatch(
      `${describeStamp(told)} of epoch ${told.epoch} is recorded otherwise: ${describeStamp(known)}`,
      told,
    );
}

function insertReport(
  db: LedgerDatabase,
  runId: string,
  report: DurableReport,
): void {
  const position = canonicalPosition(report.position);
  db.run(
    `INSERT INTO durable (run, stream, epoch, idx, partition, attempt, sequence, position, rows, bytes, last, files)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    runId,
    report.stream,
    report.epoch,
    report.index,
    report.partition,
    report.attempt,
    report.sequence,
    position && JSON.stringify(position),
    report.rows,
    report.bytes,
    report.last ? 1 : 0,
    JSON.stringify(report.files),
  );
}

function selectDurable(
  db: LedgerDatabase,
  where: string,
  values: readonly (string | number | null)[],
): DurableReport[] {
  return db
    .all(
      `SELECT d.* FROM durable d JOIN streams s ON s.run = d.run AND s.number = d.stream
       WHERE ${where} ORDER BY d.stream, d.epoch, d.idx`,
      ...values,
    )
    .map((row) => toReport(db, row));
}

function toReport(db: LedgerDatabase, row: Row): DurableReport {
  return {
    stream: Number(row["stream"]),
    partition: Number(row["partition"]),
    attempt: Number(row["attempt"]),
    sequence: Number(row["sequence"]),
    index: Number(row["idx"]),
    position: row["position"] === null ? null : db.parse(row["position"]),
    rows: Number(row["rows"]),
    bytes: Number(row["bytes"]),
    last: row["last"] === 1,
    epoch: Number(row["epoch"]),
    files: db.parse(row["files"]),
  };
}
