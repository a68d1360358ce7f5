/** Syncs, their runs, the attempts of a run and the processes of an attempt. */
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { WireError } from "../../proto/error.ts";
import { runNotFound } from "./database.ts";
import type { LedgerDatabase, Row } from "./database.ts";
import type {
  AttemptOwner,
  NewRun,
  ProcessRecord,
  RunRecord,
  RunState,
  SyncRecord,
} from "./records.ts";

/** Draws of a run's id before giving up: 65,536 ids a second make even one repeat rare. */
const RUN_ID_TRIES_MAX = 16;

export const RUN_COLUMNS =
  "r.id, r.sync, r.mode, r.state, r.epoch, r.request, r.started_at, r.finished_at, r.error, a.host, a.pid, a.pid_start, a.run_dir" +
  " FROM runs r JOIN attempts a ON a.run = r.id AND a.epoch = r.epoch";

export function upsertSync(db: LedgerDatabase, sync: SyncRecord): void {
  db.run(
    `INSERT INTO syncs (id, name, source, destination) VALUES (?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, source = excluded.source, destination = excluded.destination`,
    sync.id,
    sync.name,
    sync.source,
    sync.destination,
  );
}

/** `r-20261121-054406-3f9a`: when it began (UTC) and four random digits, so that names sort by age. */
function drawRunId(now: number): string {
  const [date = "", time = ""] = new Date(now).toISOString().split("T");
  const clock = time.slice(0, 8).replaceAll(":", "");
  return `r-${date.replaceAll("-", "")}-${clock}-${randomBytes(2).toString("hex")}`;
}

/**
 * Begins a run of a sync. Its earlier runs can no longer be resumed: those that are unfinished, and the generations
 * that they left open, are abandoned. A generation that is committing must be brought to its end before.
 */
export function beginRun(
  db: LedgerDatabase,
  run: NewRun,
): { readonly runId: string; readonly epoch: number } {
  return db.transaction(() => {
    const committing = db.get(
      "SELECT name FROM generations WHERE sync = ? AND state = 'committing'",
      run.syncId,
    );
    assert(!committing, `${String(committing?.["name"])} is committing`);
    db.run(
      "UPDATE runs SET state = 'abandoned' WHERE sync = ? AND state IN ('running', 'failed', 'interrupted')",
      run.syncId,
    );
    db.run(
      "UPDATE generations SET state = 'abandoned' WHERE sync = ? AND state = 'open'",
      run.syncId,
    );
    const now = Date.now();
    const runId = drawFreeRunId(db, now);
    db.run(
      `INSERT INTO runs (id, sync, mode, state, epoch, request, started_at) VALUES (?, ?, ?, 'running', 1, ?, ?)`,
      runId,
      run.syncId,
      run.mode,
      run.requestJson,
      now,
    );
    recordAttempt(db, runId, 1, run, now);
    return { runId, epoch: 1 };
  });
}

function drawFreeRunId(db: LedgerDatabase, now: number): string {
  for (let tries = 0; tries < RUN_ID_TRIES_MAX; tries++) {
    const runId = drawRunId(now);
    if (!db.get("SELECT 1 FROM runs WHERE id = ?", runId)) return runId;
  }
  assert.fail("no free run id");
}

/**
 * Takes a run over under the next epoch: from here on the writes of the attempt before are refused.
 * @throws ExtractError RUN_NOT_FOUND when it is unknown, finished, or older than another run of its sync
 */
export function beginAttempt(
  db: LedgerDatabase,
  runId: string,
  owner: AttemptOwner,
): number {
  return db.transaction(() => {
    const run = findExactRun(db, runId);
    if (!run) throw runNotFound(runId);
    if (run.state === "succeeded" || run.state === "abandoned")
      throw runNotFound(runId, `cannot be resumed: it is ${run.state}`);
    const newer = db.get(
      `SELECT id FROM runs WHERE sync = ? AND serial > (SELECT serial FROM runs WHERE id = ?) LIMIT 1`,
      run.syncId,
      runId,
    );
    if (newer)
      throw runNotFound(
        runId,
        `cannot be resumed: ${String(newer["id"])} of the same sync is newer`,
      );
    const epoch = run.epoch + 1;
    db.run(
      "UPDATE runs SET epoch = ?, state = 'running', finished_at = NULL, error = NULL WHERE id = ?",
      epoch,
      runId,
    );
    recordAttempt(db, runId, epoch, owner, Date.now());
    return epoch;
  });
}

function recordAttempt(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  owner: AttemptOwner,
  now: number,
): void {
  db.run(
    "INSERT INTO attempts (run, epoch, host, pid, pid_start, run_dir, began_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    runId,
    epoch,
    owner.host ?? hostname(),
    owner.pid,
    owner.pidStartTime,
    owner.runDir,
    now,
  );
}

export function finishRun(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  state: Exclude<RunState, "running" | "abandoned">,
  error: WireError | null,
): void {
  db.fenced(runId, epoch, () => {
    if (state === "succeeded" || state === "partlyFailed") {
      const open = db.get(
        `SELECT number, state FROM streams WHERE run = ? AND state <> 'committed' AND (state <> 'failed' OR ? = 1)`,
        runId,
        state === "succeeded" ? 1 : 0,
      );
      assert(
        !open,
        `stream ${String(open?.["number"])} is ${String(open?.["state"])}`,
      );
    }
    db.run(
      "UPDATE runs SET state = ?, finished_at = ?, error = ? WHERE id = ?",
      state,
      Date.now(),
      error && JSON.stringify(error),
      runId,
    );
  });
}

/** The sync's newest run, if it can be resumed. */
export function findUnfinishedRun(
  db: LedgerDatabase,
  syncId: string,
): RunRecord | null {
  const row = db.get(
    `SELECT ${RUN_COLUMNS} WHERE r.sync = ? ORDER BY r.serial DESC LIMIT 1`,
    syncId,
  );
  const run = row ? toRun(db, row) : null;
  return run?.state === "running" ||
    run?.state === "failed" ||
    run?.state === "interrupted"
    ? run
    : null;
}

/**
 * The run with this id, or the only one whose id begins so.
 * @throws ExtractError RUN_NOT_FOUND for none, or for more than one
 */
export function findRun(db: LedgerDatabase, idOrPrefix: string): RunRecord {
  const exact = findExactRun(db, idOrPrefix);
  if (exact) return exact;
  const rows = db.all(
    `SELECT ${RUN_COLUMNS} WHERE substr(r.id, 1, length(?1)) = ?1 ORDER BY r.serial DESC LIMIT 2`,
    idOrPrefix,
  );
  const [row, other] = rows;
  if (!row || idOrPrefix === "") throw runNotFound(idOrPrefix);
  if (other) throw runNotFound(idOrPrefix, "names more than one run");
  return toRun(db, row);
}

function findExactRun(db: LedgerDatabase, runId: string): RunRecord | null {
  const row = db.get(`SELECT ${RUN_COLUMNS} WHERE r.id = ?`, runId);
  return row ? toRun(db, row) : null;
}

export function recordProcess(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  process: Omit<ProcessRecord, "epoch" | "host">,
): void {
  db.fenced(runId, epoch, () =>
    db.run(
      `INSERT INTO processes (run, epoch, role, pid, pid_start) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (run, epoch, role, pid) DO UPDATE SET pid_start = excluded.pid_start`,
      runId,
      epoch,
      process.role,
      process.pid,
      process.pidStartTime,
    ),
  );
}

export function processesOf(
  db: LedgerDatabase,
  runId: string,
): ProcessRecord[] {
  return db
    .all(
      `SELECT p.epoch, a.host, p.role, p.pid, p.pid_start FROM processes p
       JOIN attempts a ON a.run = p.run AND a.epoch = p.epoch WHERE p.run = ? ORDER BY p.epoch, p.role, p.pid`,
      runId,
    )
    .map((row) => ({
      epoch: Number(row["epoch"]),
      host: row["host"] as string | null,
      role: String(row["role"]),
      pid: Number(row["pid"]),
      pidStartTime: row["pid_start"] as string | null,
    }));
}

export function toRun(db: LedgerDatabase, row: Row): RunRecord {
  return {
    runId: String(row["id"]),
    syncId: String(row["sync"]),
    mode: String(row["mode"]),
    state: row["state"] as RunState,
    epoch: Number(row["epoch"]),
    requestJson: String(row["request"]),
    startedAt: Number(row["started_at"]),
    finishedAt: row["finished_at"] as number | null,
    error: row["error"] === null ? null : db.parse<WireError>(row["error"]),
    host: row["host"] as string | null,
    pid: Number(row["pid"]),
    pidStartTime: row["pid_start"] as string | null,
    runDir: String(row["run_dir"]),
  };
}
