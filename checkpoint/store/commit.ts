/** The end of a stream: its generation counts, earlier ones do not, and the cursor moves, all in one transaction. */
import { strict as assert } from "node:assert";
import type { LedgerDatabase, Row } from "./database.ts";
import { setGenerationState } from "./generations.ts";
import type { StreamMode } from "./records.ts";
import { findReset } from "./sync-states.ts";
import { findStreamRow, writeStreamState } from "./streams.ts";

/**
 * Once the manifest is in place. Overwriting supersedes the generations before, and what had been copied by a cursor
 * into them; appending leaves them to count.
 * A stream that was reset since the run began leaves no cursor.
 * May be repeated: a commit that was cut short is done again from the manifest on.
 * Gives the generations whose files may be removed now.
 */
export function commitStream(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
  cursorState: string | null,
): { readonly removable: readonly number[] } {
  return db.fenced(runId, epoch, () => {
    const row = findStreamRow(db, runId, stream);
    assert(
      row["state"] === "committing" || row["state"] === "committed",
      `stream ${stream} is ${String(row["state"])}`,
    );
    const place = placeOf(db, runId, row);
    writeStreamState(db, runId, stream, "committed", null);
    setGenerationState(db, runId, stream, "committed");
    if ((row["mode"] as StreamMode) === "full-refresh-overwrite") {
      db.run(
        `UPDATE generations SET state = 'superseded'
         WHERE sync = ? AND namespace = ? AND name = ? AND generation < ? AND state = 'committed'`,
        ...place,
        Number(row["generation"]),
      );
      db.run(
        "DELETE FROM cursor_states WHERE sync = ? AND namespace = ? AND name = ?",
        ...place,
      );
    }
    const [, namespace, name] = place;
    const reset = findReset(db, runId, namespace, name);
    if (cursorState !== null && reset !== "later")
      writeCursorState(db, place, cursorState, runId);
    if (reset === "due")
      db.run(
        "DELETE FROM stream_resets WHERE sync = ? AND namespace = ? AND name = ?",
        ...place,
      );
    const removable = db
      .all(
        `SELECT generation FROM generations
         WHERE sync = ? AND namespace = ? AND name = ? AND generation < ? AND state IN ('superseded', 'abandoned')
         ORDER BY generation`,
        ...place,
        Number(row["generation"]),
      )
      .map(({ generation }) => Number(generation));
    return { removable };
  });
}

/** The files of these generations, from `removable`, are gone. */
export function recordRemoved(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
  removed: readonly number[],
): void {
  db.fenced(runId, epoch, () => {
    const place = placeOf(db, runId, findStreamRow(db, runId, stream));
    for (const generation of removed) {
      const changed = db.run(
        `UPDATE generations SET state = 'removed'
         WHERE sync = ? AND namespace = ? AND name = ? AND generation = ? AND state IN ('superseded', 'abandoned', 'removed')`,
        ...place,
        generation,
      );
      assert(changed === 1, `generation ${generation} was not to be removed`);
    }
  });
}

type Place = readonly [syncId: string, namespace: string, name: string];

function placeOf(db: LedgerDatabase, runId: string, stream: Row): Place {
  const run = db.get("SELECT sync FROM runs WHERE id = ?", runId);
  return [
    String(run?.["sync"]),
    String(stream["namespace"]),
    String(stream["name"]),
  ];
}

function writeCursorState(
  db: LedgerDatabase,
  place: Place,
  state: string,
  runId: string,
): void {
  db.run(
    `INSERT INTO cursor_states (sync, namespace, name, state, run) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (sync, namespace, name) DO UPDATE SET state = excluded.state, run = excluded.run`,
    ...place,
    state,
    runId,
  );
}

/** What the next incremental run begins with; null before the first commit. */
export function cursorState(
  db: LedgerDatabase,
  syncId: string,
  namespace: string,
  name: string,
): string | null {
  const row = db.get(
    "SELECT state FROM cursor_states WHERE sync = ? AND namespace = ? AND name = ?",
    syncId,
    namespace,
    name,
  );
  return row ? String(row["state"]) : null;
}
