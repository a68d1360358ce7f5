/**
 * The states that foreign connectors have given in a run. One counts once every checkpoint that it covers is durable and
 * so is all that the states before it cover: what is read again after a kill begins behind the last that counts.
 */
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { StateGroupWire } from "../../proto/control.ts";
import type { LedgerDatabase, Row } from "./database.ts";

/** Characters of one state. */
const BODY_CHARS_MAX = 64 * 1024 * 1024;

export type SourceStateRecord = Omit<StateGroupWire, "bodies"> & {
  readonly epoch: number;
};

/** Within a fenced transaction, before any checkpoint that it covers is released. */
export function recordSourceState(
  db: LedgerDatabase,
  runId: string,
  epoch: number,
  { group, scope, stream, body, members }: StateGroupWire,
): void {
  db.fenced(runId, epoch, () => {
    if (body !== null && body.length > BODY_CHARS_MAX)
      throw new RangeError(`a state of ${body.length} characters`);
    db.run(
      `INSERT INTO source_states (run, epoch, part, scope, stream, body, members) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      runId,
      epoch,
      group,
      scope,
      stream,
      body,
      JSON.stringify(members.map((one) => [one.stream, one.index])),
    );
  });
}

/** In the order in which they were given. */
export function sourceStatesOf(
  db: LedgerDatabase,
  runId: string,
): SourceStateRecord[] {
  return db
    .all(
      "SELECT * FROM source_states WHERE run = ? ORDER BY epoch, part",
      runId,
    )
    .map((row) => readRecord(db, row));
}

function readRecord(db: LedgerDatabase, row: Row): SourceStateRecord {
  return {
    epoch: Number(row["epoch"]),
    group: Number(row["part"]),
    scope: row["scope"] as StateGroupWire["scope"],
    stream: row["stream"] === null ? null : Number(row["stream"]),
    body: row["body"] as string | null,
    members: db
      .parse<[number, number][]>(row["members"])
      .map(([stream, index]) => ({ stream, index })),
  };
}

/** What of a run counts, by the states that its source has given. */
export interface CoveredStates {
  /** Whether a checkpoint is covered by a state that counts. */
  covers(report: Pick<DurableReport, "stream" | "epoch" | "index">): boolean;
  /** The last body of each stream's own states. */
  readonly ofStreams: ReadonlyMap<number, string>;
  /** The last body of a state of all streams; null: there is none. */
  readonly ofAll: string | null;
}

const placeOf = (epoch: number, stream: number, index: number): string =>
  `${epoch}/${stream}/${index}`;

/** Pure. `durable`: the checkpoints that count so far. */
export function findCovered(
  states: readonly SourceStateRecord[],
  durable: readonly Pick<DurableReport, "stream" | "epoch" | "index">[],
): CoveredStates {
  const known = new Set(
    durable.map(({ epoch, stream, index }) => placeOf(epoch, stream, index)),
  );
  const covered = new Set<string>();
  const ofStreams = new Map<number, string>();
  let ofAll: string | null = null;
  // behind one that does not count, none of the same stream (or of all) does, in its attempt
  const broken = new Set<string>();
  for (const { epoch, scope, stream, body, members } of states) {
    const key = `${epoch}/${stream ?? "*"}`;
    const isWhole = members.every((one) =>
      known.has(placeOf(epoch, one.stream, one.index)),
    );
    if (!isWhole) broken.add(key);
    if (broken.has(key) || broken.has(`${epoch}/*`)) continue;
    for (const one of members)
      covered.add(placeOf(epoch, one.stream, one.index));
    if (body === null) continue;
    if (scope === "STREAM" && stream !== null) ofStreams.set(stream, body);
    else ofAll = body;
  }
  return {
    covers: ({ epoch, stream, index }) =>
      covered.has(placeOf(epoch, stream, index)),
    ofStreams,
    ofAll,
  };
}
