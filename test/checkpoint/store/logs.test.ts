import { expect } from "vitest";
import { positionBehind } from "../../../proto/log-position.ts";
import { beginPlannedRun, test } from "./fixtures.ts";

const names = { slot: "millrace_1", publication: "millrace_1" };
const at = (lsn: number) =>
  positionBehind(1, lsn.toString(16).padStart(20, "0"));
const opened = { identity: "7", position: at(1), offset: "o1" };

test("a log is an intent first, and is followed only once it is open", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  expect(ledger.logOf("s1")).toBeNull();
  expect(() => ledger.openLog(runId, epoch, opened)).toThrow("not begun");
  expect(ledger.beginLog(runId, epoch, names)).toMatchObject({
    ...names,
    stage: "creating",
    sourceEpoch: 1,
    position: null,
  });
  ledger.openLog(runId, epoch, opened);
  expect(() => ledger.openLog(runId, epoch, opened)).toThrow("not begun");
  expect(ledger.logOf("s1")).toEqual({
    ...names,
    ...opened,
    stage: "ready",
    sourceEpoch: 1,
    history: [],
  });
});

test("a log goes forward only, by the newest attempt, and keeps its history", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  ledger.beginLog(runId, epoch, names);
  ledger.openLog(runId, epoch, opened);
  const to = { position: at(9), offset: "o9", history: ["ddl"] };
  ledger.advanceLog(runId, epoch, to);
  ledger.advanceLog(runId, epoch, {
    position: at(16),
    offset: null,
    history: null,
  });
  expect(ledger.logOf("s1")).toMatchObject({
    position: at(16),
    offset: "o9",
    history: ["ddl"],
  });
  expect(() => ledger.advanceLog(runId, epoch, to)).toThrow("go back");
  ledger.beginAttempt(runId, { pid: 1, pidStartTime: null, runDir: "/run/n" });
  expect(() =>
    ledger.advanceLog(runId, epoch, { ...to, position: at(17) }),
  ).toThrow(expect.objectContaining({ code: "LEDGER_FENCED" }));
});

test("where a run's log ends is decided once", ({ folder }) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  expect(ledger.logEndOf(runId)).toBeNull();
  expect(ledger.endLog(runId, epoch, at(3))).toBe(at(3));
  expect(ledger.endLog(runId, epoch, at(5))).toBe(at(3));
  expect(ledger.logEndOf(runId)).toBe(at(3));
});

test("a log that is given up begins anew under a higher epoch of the source", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  ledger.beginLog(runId, epoch, names);
  ledger.openLog(runId, epoch, opened);
  ledger.resetLog("s1");
  expect(ledger.logOf("s1")).toMatchObject({
    ...names,
    stage: "creating",
    sourceEpoch: 2,
    position: null,
    history: [],
  });
});
