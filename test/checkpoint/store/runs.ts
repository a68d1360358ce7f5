/** Runs with planned streams: for tests and for their children, which have no vitest. */
import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import type {
  NewStream,
  StreamMode,
} from "../../../checkpoint/store/records.ts";
import type { Plan, Split } from "../../../proto/partition.ts";
import { keySplit, makePartition } from "../stamps.ts";

export const owner = { pid: 4242, pidStartTime: "b:1", runDir: "/run/m" };

export const sync = {
  id: "s1",
  name: null,
  source: "postgres://db/app",
  destination: "/out",
};

export function makePlan(
  stream = 1,
  splits: readonly Split[] = [keySplit(null, "100"), keySplit("100", null)],
): Plan {
  return {
    stream,
    rung: "keyRanges",
    reason: "it has a primary key",
    partitions: splits.map((split, ordinal) =>
      makePartition(ordinal, split, stream),
    ),
    estimatedRows: 200,
    estimatedBytes: 20_000,
  };
}

export function makeStream(
  number: number,
  generation: number,
  mode: StreamMode = "full-refresh-overwrite",
): NewStream {
  return {
    number,
    namespace: "public",
    name: `t${number}`,
    schemaJson: '{"columns":[]}',
    fingerprint: "f1",
    generation,
    mode,
    cursorWindowJson: null,
  };
}

/** A run of `sync` with these streams, each under a new generation and planned. */
export function beginPlannedRun(
  ledger: Ledger,
  {
    streams = 1,
    mode = "full-refresh-overwrite" as StreamMode,
    splits = undefined as readonly Split[] | undefined,
  } = {},
): { readonly runId: string; readonly epoch: number } {
  ledger.upsertSync(sync);
  const run = ledger.beginRun({
    ...owner,
    syncId: sync.id,
    mode,
    requestJson: "{}",
  });
  for (let number = 1; number <= streams; number++) {
    const generation = ledger.nextGeneration(sync.id, "public", `t${number}`);
    ledger.putStream(
      run.runId,
      run.epoch,
      makeStream(number, generation, mode),
    );
    ledger.putPlan(run.runId, run.epoch, makePlan(number, splits));
  }
  return run;
}
