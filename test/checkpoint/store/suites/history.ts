/** What a ledger tells of the past, and what it forgets on demand, whatever database it is in. */
import { describe, expect } from "vitest";
import type { Ledger } from "../../../../checkpoint/store/ledger.ts";
import { makeReport } from "../../stamps.ts";
import { beginPlannedRun, owner, type LedgerTest } from "../fixtures.ts";

const stream = { namespace: "public", name: "t1" };

function finish(
  ledger: Ledger,
  runId: string,
  state: "succeeded" | "failed",
): void {
  if (state === "succeeded") {
    ledger.setStreamState(runId, 1, 1, "committing");
    ledger.commitStream(runId, 1, 1);
  } else ledger.setStreamState(runId, 1, 1, "failed");
  ledger.finishRun(runId, 1, state, null);
}

export function testHistory(test: LedgerTest): void {
  test("runs are listed newest first, by sync, state and page", ({
    folder,
  }) => {
    const ledger = folder.open();
    const runs = (["succeeded", "failed", "succeeded"] as const).map(
      (state) => {
        const { runId } = beginPlannedRun(ledger);
        finish(ledger, runId, state);
        return runId;
      },
    );
    ledger.upsertSync({ id: "s2", name: null, source: "", destination: "" });
    const other = ledger.beginRun({
      ...owner,
      host: "elsewhere",
      syncId: "s2",
      mode: "x",
      requestJson: "{}",
    });
    const ids = (filter: object): string[] =>
      ledger.listRuns({ limit: 9, ...filter }).map(({ runId }) => runId);
    expect(ids({})).toEqual([other.runId, ...runs.toReversed()]);
    expect(ledger.listRuns({ limit: 1 })).toMatchObject([
      { host: "elsewhere" },
    ]);
    expect(ids({ syncIds: ["s1"] })).toEqual(runs.toReversed());
    expect(ids({ syncIds: [] })).toEqual([]);
    expect(ids({ states: ["succeeded"] })).toEqual([runs[2], runs[0]]);
    expect(ids({ before: runs[2], limit: 1 })).toEqual([runs[1]]);
    expect(ids({ before: "r-none" })).toEqual([]);
  });

  test("runs and streams are counted by day, with the part that succeeded", ({
    folder,
  }) => {
    const ledger = folder.open();
    expect(ledger.countRuns("s1", 0).successRate).toBeNull();
    // a day could end between these
    const today = Math.floor(Date.now() / 86_400_000) * 86_400_000;
    const since = today - 86_400_000;
    const states = ["succeeded", "succeeded", "failed"] as const;
    for (const state of states)
      finish(ledger, beginPlannedRun(ledger).runId, state);
    const { runId } = beginPlannedRun(ledger);
    ledger.recordDurable(runId, 1, makeReport({ index: 1 }));
    const sum = (days: readonly { readonly runs: object }[]) => {
      const counts: Record<string, number> = {};
      for (const { runs } of days)
        for (const [state, count] of Object.entries(runs))
          counts[state] = (counts[state] ?? 0) + Number(count);
      return counts;
    };
    const counted = ledger.countRuns("s1", since);
    expect(sum(counted.days)).toEqual({
      succeeded: 2,
      abandoned: 1,
      running: 1,
    });
    expect(counted.successRate).toBeCloseTo(2 / 3);
    for (const { day } of counted.days) expect(day % 86_400_000).toBe(0);
    const ofStream = ledger.countStreamRuns("s1", stream, since);
    expect(sum(ofStream.days)).toEqual({ committed: 2, failed: 1, planned: 1 });
    expect(ofStream.successRate).toBeCloseTo(2 / 3);
    expect(ledger.countRuns("s1", today + 172_800_000).days).toEqual([]);
    const { rows, bytes } = makeReport({ index: 1 });
    const listed = ledger.listStreamRuns("s1", stream, { limit: 9 });
    expect(listed).toHaveLength(4);
    expect(listed[0]).toMatchObject({
      runId,
      runState: "running",
      state: "planned",
      generation: 4,
      rows,
      bytes,
    });
    expect(
      ledger.listStreamRuns("s1", stream, { before: runId, limit: 1 }),
    ).toEqual([listed[1]]);
    expect(
      ledger.listStreamRuns("s1", { ...stream, name: "t9" }, { limit: 9 }),
    ).toEqual([]);
  });

  test("what happens to a daemon and its syncs is remembered in order", ({
    folder,
  }) => {
    const ledger = folder.open();
    ledger.recordDaemonEvent(null, "config.reloaded", '{"changes":["a"]}');
    ledger.recordDaemonEvent("a", "schema.changed", "{}");
    ledger.recordDaemonEvent("b", "sync.paused", "{}");
    const kinds = (filter: object): string[] =>
      ledger.daemonEventsOf({ limit: 9, ...filter }).map(({ kind }) => kind);
    expect(kinds({})).toEqual([
      "sync.paused",
      "schema.changed",
      "config.reloaded",
    ]);
    expect(kinds({ sync: "a" })).toEqual(["schema.changed"]);
    expect(kinds({ sync: null })).toEqual(["config.reloaded"]);
    const [newest] = ledger.daemonEventsOf({ limit: 1 });
    expect(kinds({ before: newest?.serial })).toEqual([
      "schema.changed",
      "config.reloaded",
    ]);
    expect(ledger.daemonEventsOf({ sync: null, limit: 1 })).toMatchObject([
      { sync: null, detailsJson: '{"changes":["a"]}' },
    ]);
  });

  describe("a stream that is reset", () => {
    const mode = "incremental-append";

    function commit(ledger: Ledger, runId: string, to: string): void {
      ledger.setStreamState(runId, 1, 1, "committing");
      ledger.commitStream(runId, 1, 1, { cursorState: `{"to":"${to}"}` });
      ledger.finishRun(runId, 1, "succeeded", null);
    }

    test("has no cursor, until a run that begins afterwards has copied it", ({
      folder,
    }) => {
      const ledger = folder.open();
      commit(ledger, beginPlannedRun(ledger, { mode }).runId, "5");
      ledger.resetStream("s1", "public", "t1");
      ledger.resetStream("s1", "public", "t1");
      expect(ledger.cursorState("s1", "public", "t1")).toBeNull();
      const { runId } = beginPlannedRun(ledger, { mode });
      expect(ledger.isStreamReset(runId, "public", "t1")).toBe(true);
      expect(ledger.isStreamReset(runId, "public", "t2")).toBe(false);
      commit(ledger, runId, "9");
      expect(ledger.cursorState("s1", "public", "t1")).toBe('{"to":"9"}');
      const next = beginPlannedRun(ledger, { mode });
      expect(ledger.isStreamReset(next.runId, "public", "t1")).toBe(false);
    });

    test("while a run copies what came behind its cursor gets none from that run", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger, { mode });
      ledger.resetStream("s1", "public", "t1");
      expect(ledger.isStreamReset(runId, "public", "t1")).toBe(false);
      commit(ledger, runId, "5");
      expect(ledger.cursorState("s1", "public", "t1")).toBeNull();
      const next = beginPlannedRun(ledger, { mode });
      expect(ledger.isStreamReset(next.runId, "public", "t1")).toBe(true);
    });
  });
}
