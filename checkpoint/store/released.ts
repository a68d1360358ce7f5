/** The cumulative states that were released, once source and destination agree on them. */
import type { StreamState } from "../../proto/checkpoint.ts";
import { mismatch } from "../stamps.ts";
import { stateJson } from "../state.ts";
import type { LedgerDatabase } from "./database.ts";

/**
 * Records a released state, once the source's and the destination's own texts of it agree, and the rows of the
 * checkpoints that it adds are all recorded as durable. The same state again changes nothing.
 * @throws ExtractError CHECKPOINT_MISMATCH
 */
export function recordReleased(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  state: StreamState,
  sourceJson: string,
  destinationJson: string,
): void {
  db.fenced(runId, epoch, () => {
    const { stream, index } = state;
    if (sourceJson !== destinationJson || stateJson(state) !== destinationJson)
      throw mismatch(
        `source and destination differ at index ${index} of stream ${stream}: ` +
          `${shorten(sourceJson)} against ${shorten(destinationJson)}`,
        state,
      );
    const before = db.get(
      "SELECT idx, rows, state FROM released WHERE run = ? AND stream = ? AND epoch = ?",
      runId,
      stream,
      epoch,
    );
    if (before?.["idx"] === index && before["state"] === destinationJson)
      return;
    const indexBefore = Number(before?.["idx"] ?? 0);
    if (index <= indexBefore)
      throw mismatch(
        `index ${index} of stream ${stream} was released behind ${indexBefore}`,
        state,
      );
    const added = db.get(
      `SELECT coalesce(sum(rows), 0) AS rows, max(idx) AS idx FROM durable
       WHERE run = ? AND stream = ? AND epoch = ? AND idx > ? AND idx <= ? AND dropped_epoch IS NULL`,
      runId,
      stream,
      epoch,
      indexBefore,
      index,
    );
    const rows = Number(before?.["rows"] ?? 0) + Number(added?.["rows"]);
    if (added?.["idx"] !== index || rows !== state.rows)
      throw mismatch(
        `index ${index} of stream ${stream} was released with ${state.rows} rows, while ${rows} are recorded as durable`,
        state,
      );
    db.run(
      `INSERT INTO released (run, stream, epoch, idx, rows, state) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (run, stream, epoch) DO UPDATE SET idx = excluded.idx, rows = excluded.rows, state = excluded.state`,
      runId,
      stream,
      epoch,
      index,
      rows,
      destinationJson,
    );
  });
}

/** The last state that the attempt released of the stream. */
export function releasedOf(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  stream: number,
): StreamState | null {
  const row = db.get(
    "SELECT state FROM released WHERE run = ? AND stream = ? AND epoch = ?",
    runId,
    stream,
    epoch,
  );
  return row ? db.parse<StreamState>(row["state"]) : null;
}

/** Characters of a state that an error message quotes. */
const STATE_QUOTED_MAX = 200;

function shorten(text: string): string {
  return text.length <= STATE_QUOTED_MAX
    ? text
    : `${text.slice(0, STATE_QUOTED_MAX)}…`;
}
