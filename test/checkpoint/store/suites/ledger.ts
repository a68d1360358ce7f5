/** What a ledger does, whatever database it is in: runs, streams, plans, generations, checkpoints. */
import { hostname } from "node:os";
import { describe, expect } from "vitest";
import { stateJson } from "../../../../checkpoint/state.ts";
import { planResume } from "../../../../checkpoint/resume.ts";
import type { Ledger } from "../../../../checkpoint/store/ledger.ts";
import {
  EVENT_DETAILS_MAX,
  EVENTS_PER_RUN_MAX,
  EVENTS_PRUNED_EVERY,
} from "../../../../checkpoint/store/timeline.ts";
import type { Partition } from "../../../../proto/partition.ts";
import { keySplit, makePartition, makeReport } from "../../stamps.ts";
import {
  beginPlannedRun,
  makePlan,
  makeStream,
  owner,
  sync,
  type LedgerTest,
} from "../fixtures.ts";

function coded(code: string): unknown {
  return expect.objectContaining({ code });
}

export function testLedger(test: LedgerTest): void {
  describe("runs", () => {
    test("a run's id sorts by time and is found by a prefix that is its own", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId, epoch } = beginPlannedRun(ledger);
      expect(runId).toMatch(/^r-\d{8}-\d{6}-[0-9a-f]{4}$/);
      expect(epoch).toBe(1);
      expect(ledger.findRun(runId.slice(0, 12)).runId).toBe(runId);
      const other = beginPlannedRun(ledger);
      expect(ledger.listRuns({ limit: 9 }).map((run) => run.runId)).toEqual([
        other.runId,
        runId,
      ]);
      expect(ledger.listRuns({ limit: 1 })).toHaveLength(1);
      expect(ledger.findRun(runId)).toMatchObject({
        syncId: "s1",
        state: "abandoned",
        requestJson: "{}",
        ...owner,
      });
      for (const prefix of ["r-", "", "x", "r-%"])
        expect(() => ledger.findRun(prefix)).toThrow(coded("RUN_NOT_FOUND"));
    });

    test("each attempt takes the next epoch, and with it its own process", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const next = { pid: 5, pidStartTime: null, runDir: "/run/n" };
      expect(ledger.beginAttempt(runId, next)).toBe(2);
      expect(ledger.beginAttempt(runId, owner)).toBe(3);
      ledger.recordProcess(runId, 3, "source", 77, "b:9");
      expect(ledger.processesOf(runId)).toEqual([
        {
          epoch: 3,
          host: hostname(),
          role: "source",
          pid: 77,
          pidStartTime: "b:9",
        },
      ]);
      expect(ledger.findRun(runId)).toMatchObject({ epoch: 3, ...owner });
    });

    test("only the newest run of a sync can be resumed, and only while it is unfinished", ({
      folder,
    }) => {
      const ledger = folder.open();
      expect(ledger.findUnfinishedRun("s1")).toBeNull();
      const first = beginPlannedRun(ledger);
      const error = {
        code: "PROCESS_DIED",
        message: "x",
        details: {},
      } as const;
      ledger.finishRun(first.runId, 1, "failed", error);
      expect(ledger.findUnfinishedRun("s1")).toMatchObject({ error });
      const second = beginPlannedRun(ledger);
      expect(() => ledger.beginAttempt(first.runId, owner)).toThrow(
        coded("RUN_NOT_FOUND"),
      );
      ledger.finishRun(second.runId, 1, "interrupted", null);
      expect(ledger.findUnfinishedRun("s1")?.runId).toBe(second.runId);
      expect(ledger.beginAttempt(second.runId, owner)).toBe(2);
      expect(ledger.findUnfinishedRun("s1")).toMatchObject({
        state: "running",
        finishedAt: null,
      });
      ledger.setStreamState(second.runId, 2, 1, "committing");
      ledger.commitStream(second.runId, 2, 1);
      ledger.finishRun(second.runId, 2, "succeeded", null);
      expect(ledger.findUnfinishedRun("s1")).toBeNull();
      expect(() => ledger.beginAttempt(second.runId, owner)).toThrow(
        coded("RUN_NOT_FOUND"),
      );
      expect(() => ledger.beginAttempt("r-none", owner)).toThrow(
        coded("RUN_NOT_FOUND"),
      );
    });

    test("a run that partly failed can be resumed on demand, until its sync has a newer one", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      ledger.setStreamState(runId, 1, 1, "failed");
      ledger.finishRun(runId, 1, "partlyFailed", null);
      expect(ledger.findUnfinishedRun("s1")).toBeNull();
      expect(ledger.beginAttempt(runId, owner)).toBe(2);
      ledger.finishRun(runId, 2, "partlyFailed", null);
      const newer = beginPlannedRun(ledger);
      expect(() => ledger.beginAttempt(runId, owner)).toThrow(
        expect.objectContaining({
          code: "RUN_NOT_FOUND",
          message: expect.stringContaining(newer.runId) as string,
        }),
      );
      expect(ledger.findRun(runId).state).toBe("partlyFailed");
    });

    test("a run does not succeed while a stream of it is not committed", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      expect(() => ledger.finishRun(runId, 1, "succeeded", null)).toThrow(
        "stream 1 is planned",
      );
    });
  });

  test("every write of an older attempt is refused, and changes nothing", ({
    folder,
  }) => {
    const ledger = folder.open();
    const { runId } = beginPlannedRun(ledger, { streams: 2 });
    const report = makeReport({ index: 1, partition: 1 });
    ledger.recordDurable(runId, 1, report);
    ledger.setStreamState(runId, 1, 2, "committing");
    const other = folder.open();
    other.beginAttempt(runId, owner);
    const plan = makePlan();
    const [giver] = plan.partitions as [Partition];
    const state = { stream: 1, index: 1, done: [], open: [], rows: 10 };
    const nothing = planResume([], [], { snapshotKept: true });
    const snapshot = {
      id: "i",
      visible: "1:1:",
      keeperPid: 1,
      keeperStart: null,
      keeperSocket: "k",
    };
    const writes: Record<string, () => unknown> = {
      finishRun: () => ledger.finishRun(runId, 1, "failed", null),
      recordProcess: () => ledger.recordProcess(runId, 1, "source", 1, null),
      putStream: () => ledger.putStream(runId, 1, makeStream(3, 1)),
      putPlan: () => ledger.putPlan(runId, 1, makePlan(3)),
      startStreamOver: () => ledger.startStreamOver(runId, 1, 1),
      replacePlan: () => ledger.replacePlan(runId, 1, plan),
      applyResume: () => ledger.applyResume(runId, 1, nothing),
      splitPartition: () => ledger.splitPartition(runId, 1, giver, giver),
      setStreamState: () => ledger.setStreamState(runId, 1, 1, "reading"),
      commitStream: () => ledger.commitStream(runId, 1, 2),
      recordRemoved: () => ledger.recordRemoved(runId, 1, 2, []),
      recordDurable: () =>
        ledger.recordDurable(runId, 1, makeReport({ index: 2 })),
      recordReleased: () =>
        ledger.recordReleased(
          runId,
          1,
          state,
          stateJson(state),
          stateJson(state),
        ),
      dropDurable: () => ledger.dropDurable(runId, 1, [report]),
      mergeRecovered: () => ledger.mergeRecovered(runId, 1, []),
      recordSnapshot: () => ledger.recordSnapshot(runId, 1, snapshot),
    };
    const look = (): unknown => [
      ledger.findRun(runId),
      ledger.streamsOf(runId),
      ledger.partitionsOf(runId),
      ledger.durableOf(runId),
      ledger.generationsOf("s1", "public", "t2"),
      ledger.snapshotsOf(runId),
      ledger.processesOf(runId),
    ];
    const before = look();
    for (const [name, write] of Object.entries(writes))
      expect(write, name).toThrow(
        expect.objectContaining({
          code: "LEDGER_FENCED",
          details: { runId, epoch: 1, current: 2 },
        }),
      );
    expect(look()).toEqual(before);
  });

  describe("streams and plans", () => {
    test("a stream and its plan come out as they went in", ({ folder }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const plan = makePlan();
      expect(ledger.planOf(runId, 1)).toEqual(plan);
      expect(ledger.partitionsOf(runId)).toEqual(plan.partitions);
      ledger.putStream(runId, 1, {
        ...makeStream(1, 1),
        cursorWindowJson: '{"to":"9"}',
      });
      expect(ledger.streamsOf(runId)).toEqual([
        {
          ...makeStream(1, 1),
          cursorWindowJson: '{"to":"9"}',
          state: "planned",
          error: null,
          planVersion: 1,
        },
      ]);
      expect(() =>
        ledger.putStream(runId, 1, { ...makeStream(1, 1), fingerprint: "f2" }),
      ).toThrow("another stream");
      expect(() => ledger.putPlan(runId, 1, plan)).toThrow("has a plan");
    });

    test("a stream that starts over gets higher ordinals, and nothing of before counts", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const report = makeReport({ index: 1, last: true });
      ledger.recordDurable(runId, 1, report);
      const epoch = ledger.beginAttempt(runId, owner);
      const replaced = ledger.replacePlan(runId, epoch, makePlan());
      expect(replaced).toMatchObject({
        planVersion: 2,
        droppedFiles: report.files,
      });
      expect(replaced.plan.partitions.map(({ ordinal }) => ordinal)).toEqual([
        2, 3,
      ]);
      expect(ledger.planOf(runId, 1)).toEqual(replaced.plan);
      expect(ledger.durableOf(runId)).toEqual([]);
      // found again because the crash came before its file was removed
      const later = ledger.beginAttempt(runId, owner);
      const unheard = makeReport({ index: 2, partition: 1, last: true });
      expect(ledger.mergeRecovered(runId, later, [report, unheard])).toEqual({
        added: [],
        stale: [report, unheard],
        missing: [],
      });
      expect(ledger.durableOf(runId)).toEqual([]);
    });

    test("a split gives the tail of a range to a new partition", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const giver = makePartition(1, keySplit("100", "150"));
      const taker = makePartition(1, keySplit("150", null));
      const added = ledger.splitPartition(runId, 1, giver, taker);
      expect(added).toEqual({ ...taker, ordinal: 2 });
      expect(ledger.partitionsOf(runId, 1)).toEqual([
        makePartition(0, keySplit(null, "100")),
        giver,
        added,
      ]);
    });

    test("pages split too; gaps, overlaps, whole tables and complete partitions do not", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger, {
        splits: [
          { kind: "pages", startPage: 0, endPage: null },
          keySplit("1", "9"),
          { kind: "whole" },
          keySplit("9", null),
        ],
      });
      const split = (
        ordinal: number,
        kept: Partition["split"],
        given: Partition["split"],
      ) =>
        ledger.splitPartition(
          runId,
          1,
          makePartition(ordinal, kept),
          makePartition(99, given),
        );
      split(
        0,
        { kind: "pages", startPage: 0, endPage: 10 },
        { kind: "pages", startPage: 10, endPage: null },
      );
      ledger.recordDurable(
        runId,
        1,
        makeReport({ index: 1, partition: 3, last: true }),
      );
      const before = ledger.partitionsOf(runId);
      expect(() => split(1, keySplit("1", "5"), keySplit("6", "9"))).toThrow();
      expect(() => split(1, keySplit("1", "6"), keySplit("5", "9"))).toThrow();
      expect(() => split(1, keySplit("1", "5"), keySplit("5", null))).toThrow();
      expect(() => split(1, keySplit("2", "5"), keySplit("5", "9"))).toThrow();
      expect(() => split(2, { kind: "whole" }, { kind: "whole" })).toThrow();
      expect(() => split(3, keySplit("9", "12"), keySplit("12", null))).toThrow(
        "is complete",
      );
      expect(ledger.partitionsOf(runId)).toEqual(before);
    });
  });

  describe("generations", () => {
    function commit(ledger: Ledger, runId: string, cursorState?: string) {
      ledger.setStreamState(runId, 1, 1, "committing");
      return ledger.commitStream(
        runId,
        1,
        1,
        cursorState === undefined ? {} : { cursorState },
      );
    }

    function states(ledger: Ledger): string[] {
      return ledger
        .generationsOf("s1", "public", "t1")
        .map(({ generation, state }) => `${generation} ${state}`);
    }

    test("overwriting supersedes what was committed before, and abandoned ones may go too", ({
      folder,
    }) => {
      const ledger = folder.open();
      const first = beginPlannedRun(ledger);
      expect(commit(ledger, first.runId).removable).toEqual([]);
      beginPlannedRun(ledger);
      const third = beginPlannedRun(ledger);
      expect(states(ledger)).toEqual(["1 committed", "2 abandoned", "3 open"]);
      ledger.setStreamState(third.runId, 1, 1, "committing");
      expect(states(ledger)).toEqual([
        "1 committed",
        "2 abandoned",
        "3 committing",
      ]);
      const { removable } = ledger.commitStream(third.runId, 1, 1);
      expect(removable).toEqual([1, 2]);
      expect(states(ledger)).toEqual([
        "1 superseded",
        "2 abandoned",
        "3 committed",
      ]);
      // cut short before the old ones were deleted: the same answer again
      expect(ledger.commitStream(third.runId, 1, 1).removable).toEqual([1, 2]);
      ledger.recordRemoved(third.runId, 1, 1, [1, 2]);
      expect(ledger.commitStream(third.runId, 1, 1).removable).toEqual([]);
      expect(() => ledger.recordRemoved(third.runId, 1, 1, [3])).toThrow(
        "generation 3",
      );
      for (const generation of [1, 2, 3])
        expect(ledger.isKnownGeneration("s1", "public", "t1", generation)).toBe(
          true,
        );
      expect(ledger.isKnownGeneration("s1", "public", "t1", 4)).toBe(false);
      expect(ledger.isKnownGeneration("s1", "public", "t2", 1)).toBe(false);
    });

    test("those that are over are listed until they are swept; what may still count is never among them", ({
      folder,
    }) => {
      const ledger = folder.open();
      const over = (syncId: string | null = null) =>
        ledger
          .listOver(syncId)
          .map(({ generation, state }) => `${generation} ${state}`);
      const first = beginPlannedRun(ledger);
      expect(over()).toEqual([]);
      commit(ledger, first.runId);
      ledger.finishRun(first.runId, 1, "succeeded", null);
      const second = beginPlannedRun(ledger);
      ledger.finishRun(second.runId, 1, "interrupted", null);
      // it can be gone on with
      expect(over()).toEqual([]);
      const third = beginPlannedRun(ledger);
      expect(over()).toEqual(["2 abandoned"]);
      expect(ledger.listOver(null)).toMatchObject([
        { syncId: "s1", namespace: "public", name: "t1", runId: second.runId },
      ]);
      ledger.setStreamState(third.runId, 1, 1, "committing");
      ledger.recordSwept(ledger.listOver("s1"));
      expect(over("s1")).toEqual([]);
      expect(ledger.commitStream(third.runId, 1, 1).removable).toEqual([1]);
      expect(over("s1")).toEqual(["1 superseded"]);
      expect(over("s2")).toEqual([]);
      const known = ledger.listOver("s1");
      // asked for by name, one that counts stays what it is
      ledger.recordSwept([
        ...known,
        ...known.map((one) => ({ ...one, generation: 3 })),
      ]);
      expect(states(ledger)).toEqual(["1 removed", "2 removed", "3 committed"]);
      expect(
        ledger.intentsOf({ syncId: "s1" }).map(({ generation }) => generation),
      ).toEqual([3]);
    });

    test("appending leaves earlier generations to count, and moves the cursor with the commit", ({
      folder,
    }) => {
      const ledger = folder.open();
      const mode = "incremental-append";
      const first = beginPlannedRun(ledger, { mode });
      expect(ledger.cursorState("s1", "public", "t1")).toBeNull();
      commit(ledger, first.runId, '{"to":"5"}');
      const second = beginPlannedRun(ledger, { mode });
      expect(ledger.cursorState("s1", "public", "t1")).toBe('{"to":"5"}');
      expect(commit(ledger, second.runId, '{"to":"9"}').removable).toEqual([]);
      expect(states(ledger)).toEqual(["1 committed", "2 committed"]);
      expect(ledger.cursorState("s1", "public", "t1")).toBe('{"to":"9"}');
      expect(ledger.cursorState("s1", "public", "t2")).toBeNull();
    });

    test("overwriting forgets what a cursor had gathered", ({ folder }) => {
      const ledger = folder.open();
      const gathered = beginPlannedRun(ledger, {
        streams: 2,
        mode: "incremental-append",
      });
      commit(ledger, gathered.runId, '{"to":"5"}');
      ledger.setStreamState(gathered.runId, 1, 2, "committing");
      ledger.commitStream(gathered.runId, 1, 2, { cursorState: '{"to":"6"}' });
      commit(ledger, beginPlannedRun(ledger).runId);
      expect(ledger.cursorState("s1", "public", "t1")).toBeNull();
      expect(ledger.cursorState("s1", "public", "t2")).toBe('{"to":"6"}');
    });

    test("a commit has to be announced first, and from then on there is only forward", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      expect(() => ledger.commitStream(runId, 1, 1)).toThrow("is planned");
      ledger.setStreamState(runId, 1, 1, "committing");
      expect(() => ledger.setStreamState(runId, 1, 1, "failed")).toThrow(
        "is committing",
      );
      expect(() => ledger.startStreamOver(runId, 1, 1)).toThrow(
        "is committing",
      );
      expect(() => beginPlannedRun(ledger)).toThrow("is committing");
      const epoch = ledger.beginAttempt(runId, owner);
      ledger.commitStream(runId, epoch, 1);
      expect(() => ledger.setStreamState(runId, epoch, 1, "reading")).toThrow(
        "is committed",
      );
    });

    test("a generation of another run is not taken", ({ folder }) => {
      const ledger = folder.open();
      beginPlannedRun(ledger);
      ledger.upsertSync({ ...sync, id: "s2" });
      const { runId } = ledger.beginRun({
        ...owner,
        syncId: "s2",
        mode: "full-refresh-append",
        requestJson: "{}",
      });
      expect(() => ledger.putStream(runId, 1, makeStream(1, 1))).toThrow(
        "not this run's",
      );
      expect(ledger.streamsOf(runId)).toEqual([]);
    });

    test("intents name every generation, epoch and partition that may have files, and no other", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const place = {
        namespace: "public",
        name: "t1",
        runId,
        stream: 1,
        generation: 1,
      };
      ledger.beginAttempt(runId, owner);
      ledger.replacePlan(runId, 2, makePlan());
      ledger.beginAttempt(runId, owner);
      const intents = [
        { ...place, epoch: 1, partitions: [0, 1] },
        { ...place, epoch: 2, partitions: [0, 1, 2, 3] },
        { ...place, epoch: 3, partitions: [2, 3] },
      ];
      expect(ledger.intentsOf({ runId })).toEqual(intents);
      expect(ledger.intentsOf({ syncId: "s1" })).toEqual(intents);
      for (const { namespace, name } of intents) {
        const stream = { namespace, name };
        expect(ledger.intentsOf({ syncId: "s1", stream })).toEqual(
          intents.filter((one) => one.name === name),
        );
      }
      expect(
        ledger.intentsOf({ syncId: "s1", stream: { namespace: "", name: "" } }),
      ).toEqual([]);
      expect(ledger.intentsOf({ syncId: "s2" })).toEqual([]);
      const next = beginPlannedRun(ledger);
      expect(ledger.intentsOf({ syncId: "s1" })).toEqual([
        ...intents,
        {
          ...place,
          runId: next.runId,
          generation: 2,
          epoch: 1,
          partitions: [0, 1],
        },
      ]);
      ledger.setStreamState(next.runId, 1, 1, "committing");
      ledger.commitStream(next.runId, 1, 1);
      ledger.recordRemoved(next.runId, 1, 1, [1]);
      expect(ledger.intentsOf({ runId })).toEqual([]);
    });
  });

  describe("checkpoints", () => {
    test("a report comes out as it went in, and once however often it is told", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger, { streams: 2 });
      const reports = [
        makeReport({ index: 2, position: { kind: "key", after: ["ä", "\0"] } }),
        makeReport({ index: 7, partition: 1, last: true, rows: 0 }),
        makeReport({ index: 1, stream: 2, bytes: Number.MAX_SAFE_INTEGER }),
      ];
      for (const report of [...reports, ...reports])
        ledger.recordDurable(runId, 1, report);
      expect(ledger.durableOf(runId)).toEqual(reports);
      expect(ledger.durableOf(runId, 2)).toEqual([reports[2]]);
    });

    test.for([
      ["another content under its index", makeReport({ index: 1, rows: 9 })],
      [
        "its sequence under another index",
        makeReport({ index: 2, sequence: 1 }),
      ],
      ["another epoch", makeReport({ index: 2, epoch: 2 })],
      [
        "a partition that is not planned",
        makeReport({ index: 2, partition: 2 }),
      ],
      ["a stream that there is not", makeReport({ index: 2, stream: 3 })],
      ["a committing stream", makeReport({ index: 2, stream: 2 })],
      ["rows below zero", makeReport({ index: 2, rows: -1 })],
    ] as const)("a report is refused: %s", ([, report], { folder }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger, { streams: 2 });
      const known = makeReport({ index: 1 });
      ledger.recordDurable(runId, 1, known);
      ledger.setStreamState(runId, 1, 2, "committing");
      expect(() => ledger.recordDurable(runId, 1, report)).toThrow(
        coded("CHECKPOINT_MISMATCH"),
      );
      expect(ledger.durableOf(runId)).toEqual([known]);
    });

    test("a state is recorded when both texts agree and its rows are all durable", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const state = {
        stream: 1,
        index: 3,
        done: [0],
        open: [{ partition: 1, position: { kind: "key", after: ["3"] } }],
        rows: 20,
      } as const;
      const text = stateJson(state);
      const release = (source: string, destination: string, of = state) =>
        ledger.recordReleased(runId, 1, of, source, destination);
      ledger.recordDurable(runId, 1, makeReport({ index: 1, last: true }));
      // index 2 was void; index 3 is not recorded yet
      expect(() => release(text, text)).toThrow(coded("CHECKPOINT_MISMATCH"));
      ledger.recordDurable(runId, 1, makeReport({ index: 3, partition: 1 }));
      for (const [source, destination] of [
        [text.replace("20", "21"), text],
        [text, text.replace("20", "21")],
        [text.replace("20", "21"), text.replace("20", "21")],
      ] as const)
        expect(() => release(source, destination)).toThrow(
          coded("CHECKPOINT_MISMATCH"),
        );
      expect(ledger.releasedOf(runId, 1, 1)).toBeNull();
      release(text, text);
      release(text, text);
      expect(ledger.releasedOf(runId, 1, 1)).toEqual(state);
      const back = stateJson({ ...state, index: 1 });
      expect(() =>
        ledger.recordReleased(runId, 1, { ...state, index: 1 }, back, back),
      ).toThrow(coded("CHECKPOINT_MISMATCH"));
    });

    test("an index whose checkpoint is not recorded is refused, though it adds no rows", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const state = { stream: 1, index: 1, done: [0], open: [], rows: 0 };
      const text = stateJson(state);
      expect(() => ledger.recordReleased(runId, 1, state, text, text)).toThrow(
        coded("CHECKPOINT_MISMATCH"),
      );
    });

    test("rows that both sides miscount are refused all the same", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      ledger.recordDurable(runId, 1, makeReport({ index: 1, last: true }));
      const state = { stream: 1, index: 1, done: [0], open: [], rows: 11 };
      expect(() =>
        ledger.recordReleased(
          runId,
          1,
          state,
          stateJson(state),
          stateJson(state),
        ),
      ).toThrow("while 10 are recorded");
    });

    test("what the destination found is merged, and what it lost is named", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const known = makeReport({ index: 1 });
      const gone = makeReport({ index: 2, partition: 1 });
      // no rows, no file: nothing that the destination could find, or lose
      const empty = makeReport({ index: 4, partition: 1, rows: 0, bytes: 0 });
      for (const report of [known, gone, empty])
        ledger.recordDurable(runId, 1, report);
      const epoch = ledger.beginAttempt(runId, owner);
      // sealed, and the process died before the ledger knew
      const sealed = makeReport({ index: 3, last: true });
      expect(ledger.mergeRecovered(runId, epoch, [known, sealed])).toEqual({
        added: [sealed],
        stale: [],
        missing: [gone],
      });
      expect(ledger.durableOf(runId)).toEqual([known, gone, sealed, empty]);
      for (const wrong of [
        { ...known, rows: 11 },
        makeReport({ index: 9, epoch: 2 }),
      ])
        expect(() => ledger.mergeRecovered(runId, epoch, [wrong])).toThrow(
          coded("CHECKPOINT_MISMATCH"),
        );
    });

    test("a stream that is committing has its list of files: a file beside it is a mismatch", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger);
      const report = makeReport({ index: 1, last: true });
      ledger.recordDurable(runId, 1, report);
      ledger.setStreamState(runId, 1, 1, "committing");
      const epoch = ledger.beginAttempt(runId, owner);
      expect(ledger.mergeRecovered(runId, epoch, [report])).toEqual({
        added: [],
        stale: [],
        missing: [],
      });
      const beside = makeReport({ index: 2, partition: 1, last: true });
      expect(() => ledger.mergeRecovered(runId, epoch, [beside])).toThrow(
        coded("CHECKPOINT_MISMATCH"),
      );
    });

    test("a lost snapshot: what was dropped stays dropped through a crash right after", ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId } = beginPlannedRun(ledger, {
        streams: 3,
        splits: [{ kind: "pages", startPage: 0, endPage: null }],
      });
      const snapshot = {
        id: "00000003-1",
        visible: "10:10:",
        keeperPid: 9,
        keeperStart: "b:2",
        keeperSocket: "/run/k",
      };
      ledger.recordSnapshot(runId, 1, snapshot);
      // the third fails on the way, and is not resumed with the others
      const failed = makeReport({
        index: 1,
        stream: 3,
        position: { kind: "pages", nextPage: 2 },
      });
      ledger.recordDurable(runId, 1, failed);
      ledger.setStreamState(runId, 1, 3, "failed");
      const half = makeReport({
        index: 1,
        position: { kind: "pages", nextPage: 4 },
      });
      const whole = makeReport({ index: 1, stream: 2, last: true });
      ledger.recordDurable(runId, 1, half);
      ledger.recordDurable(runId, 1, whole);
      const epoch = ledger.beginAttempt(runId, owner);
      const other = { ...snapshot, id: "00000004-1", visible: "12:12:" };
      expect(() => ledger.recordSnapshot(runId, epoch, other)).toThrow(
        "stream 1 has to start over",
      );
      const isResumed = ({ stream }: { readonly stream: number }): boolean =>
        stream !== 3;
      const resume = planResume(
        ledger.partitionsOf(runId).filter(isResumed),
        ledger.durableOf(runId).filter(isResumed),
        { snapshotKept: false },
      );
      expect(resume).toMatchObject({
        rePlanStreams: [1],
        dropped: [half],
        keptRows: 10,
      });
      ledger.applyResume(runId, epoch, resume);
      ledger.recordSnapshot(runId, epoch, other);
      expect(ledger.durableOf(runId)).toEqual([whole]);
      const later = ledger.beginAttempt(runId, owner);
      // its file was not removed yet
      expect(ledger.mergeRecovered(runId, later, [half, whole])).toEqual({
        added: [],
        stale: [half],
        missing: [],
      });
      // and then it was
      expect(ledger.mergeRecovered(runId, later, [whole]).missing).toEqual([]);
      expect(ledger.durableOf(runId)).toEqual([whole]);
      expect(ledger.planOf(runId, 1)).toBeNull();
      expect(ledger.snapshotsOf(runId)).toEqual([
        { epoch: 1, ...snapshot },
        { epoch: 2, ...other },
      ]);
      expect(
        ledger.putPlan(runId, later, makePlan(1)).plan.partitions[0]?.ordinal,
      ).toBe(1);
    });
  });

  test("calls in one transaction are written together or not at all", ({
    folder,
  }) => {
    const ledger = folder.open();
    const { runId } = beginPlannedRun(ledger);
    const first = makeReport({ index: 1 });
    const second = makeReport({ index: 2 });
    const record = (report: typeof first): void =>
      ledger.recordDurable(runId, 1, report);
    expect(() =>
      ledger.transaction(() => {
        record(first);
        record({ ...first, rows: 1 });
      }),
    ).toThrow(coded("CHECKPOINT_MISMATCH"));
    expect(ledger.durableOf(runId)).toEqual([]);
    expect(() =>
      ledger.transaction(() => {
        record(first);
        // hiding the error does not save the rest
        expect(() => record({ ...first, rows: 1 })).toThrow();
      }),
    ).toThrow("had failed");
    expect(ledger.durableOf(runId)).toEqual([]);
    expect(() => ledger.transaction(async () => record(first))).toThrow();
    expect(ledger.durableOf(runId)).toEqual([]);
    ledger.transaction(() => [first, second].forEach(record));
    expect(folder.open().durableOf(runId)).toEqual([first, second]);
  });

  test("the timeline keeps order, and is bounded in length", ({ folder }) => {
    const ledger = folder.open();
    const { runId } = beginPlannedRun(ledger);
    ledger.recordEvent(runId, "run.started", '{"resumed":null}');
    ledger.recordEvent(runId, "stream.planned", "{}");
    expect(ledger.eventsOf(runId)).toMatchObject([
      { kind: "run.started", detailsJson: '{"resumed":null}' },
      { kind: "stream.planned", detailsJson: "{}" },
    ]);
    ledger.transaction(() => {
      for (let count = 0; count < EVENTS_PER_RUN_MAX + 2_000; count++)
        ledger.recordEvent(runId, String(count), "{}");
    });
    const events = ledger.eventsOf(runId);
    expect(events.length).toBeLessThan(
      EVENTS_PER_RUN_MAX + EVENTS_PRUNED_EVERY,
    );
    expect(events.at(-1)?.kind).toBe(String(EVENTS_PER_RUN_MAX + 1_999));
    expect(() =>
      ledger.recordEvent(runId, "x", "x".repeat(EVENT_DETAILS_MAX + 1)),
    ).toThrow("too long");
  });
}
