/** The streams of a run and where each stands. */
import { strict as assert } from "node:assert";
import type { WireError } from "../../proto/error.ts";
import type { LedgerDatabase, Row } from "./database.ts";
import { claimGeneration, setGenerationState } from "./generations.ts";
import type {
  NewStream,
  StreamMode,
  StreamProgress,
  StreamRecord,
} from "./records.ts";

/**
 * Records a stream of the run, or what became known of it later (schema JSON, cursor window). Its generation was
 * taken from `nextGeneration` and belongs to the run from here on.
 */
export function putStream(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: NewStream,
): void {
  db.fenced(runId, epoch, () => {
    const changed = db.run(
      `INSERT INTO streams (run, number, namespace, name, discovered, fingerprint, generation, mode, cursor_window, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')
       ON CONFLICT (run, number) DO UPDATE SET discovered = excluded.discovered, cursor_window = excluded.cursor_window
       WHERE streams.namespace = excluded.namespace AND streams.name = excluded.name AND streams.mode = excluded.mode
         AND streams.fingerprint = excluded.fingerprint AND streams.generation = excluded.generation`,
      runId,
      stream.number,
      stream.namespace,
      stream.name,
      stream.schemaJson,
      stream.fingerprint,
      stream.generation,
      stream.mode,
      stream.cursorWindowJson,
    );
    assert(changed === 1, `stream ${stream.number} is another stream already`);
    claimGeneration(db, runId, stream);
  });
}

/** `committed` is set by `commitStream` only. */
export function setStreamState(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
  state: Exclude<StreamProgress, "committed">,
  error: WireError | null,
): void {
  db.fenced(runId, epoch, () => {
    const row = findStreamRow(db, runId, stream);
    assert(
      row["state"] !== "committed",
      `stream ${stream} is committed already`,
    );
    // the manifest may be in place: from here on there is only forward
    assert(
      row["state"] !== "committing" || state === "committing",
      `stream ${stream} is committing`,
    );
    writeStreamState(db, runId, stream, state, error);
    if (state === "committing")
      setGenerationState(db, runId, stream, "committing");
  });
}

export function writeStreamState(
  db: LedgerDatabase,
  runId: string,
  stream: number,
  state: StreamProgress,
  error: WireError | null,
): void {
  db.run(
    "UPDATE streams SET state = ?, error = ? WHERE run = ? AND number = ?",
    state,
    error && JSON.stringify(error),
    runId,
    stream,
  );
}

export function streamsOf(db: LedgerDatabase, runId: string): StreamRecord[] {
  return db
    .all("SELECT * FROM streams WHERE run = ? ORDER BY number", runId)
    .map((row) => ({
      number: Number(row["number"]),
      namespace: String(row["namespace"]),
      name: String(row["name"]),
      schemaJson: String(row["discovered"]),
      fingerprint: String(row["fingerprint"]),
      generation: Number(row["generation"]),
      mode: row["mode"] as StreamMode,
      cursorWindowJson: row["cursor_window"] as string | null,
      state: row["state"] as StreamProgress,
      error: row["error"] === null ? null : db.parse<WireError>(row["error"]),
      planVersion: Number(row["plan_version"]),
    }));
}

export function findStreamRow(
  db: LedgerDatabase,
  runId: string,
  stream: number,
): Row {
  const row = db.get(
    "SELECT * FROM streams WHERE run = ? AND number = ?",
    runId,
    stream,
  );
  assert(row, `run ${runId} has no stream ${stream}`);
  return row;
}
