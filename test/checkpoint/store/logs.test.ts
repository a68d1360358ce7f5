import { expect } from "vitest";
import { positionBehind } from "../../../proto/log-position.ts";
import { beginPlannedRun, test } from "./fixtures.ts";

const names = { slot: "millrace_1", publication: "millrace_1" };
const at = (lsn: number) =>
  positionBehind(1, lsn.toString(16).padStart(20, "0"));
const opened = {
  ...{ identity: "7", position: at(1), offset: "o1" },
  history: ["create table a"],
};

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
    givenUp: null,
  });
});

test("a log that its source is to forget is gone on with by nobody, and says why until it begins anew", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  ledger.beginLog(runId, epoch, names);
  ledger.openLog(runId, epoch, opened);
  ledger.giveUpLog(runId, epoch, "too much of it");
  expect(ledger.logOf("s1")).toMatchObject({
    stage: "givenUp",
    givenUp: "too much of it",
  });
  expect(() => ledger.beginLog(runId, epoch, names)).toThrow("given up");
  expect(() =>
    ledger.advanceLog(runId, epoch, { ...opened, position: at(9) }),
  ).toThrow("go back");
  ledger.resetLog("s1");
  expect(ledger.logOf("s1")).toMatchObject({
    stage: "creating",
    givenUp: null,
    sourceEpoch: 2,
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
  expect(ledger.endLog(runId, epoch, at(5), "shop.orders")).toBe(at(3));
  expect(ledger.logCutOf(runId)).toBeNull();
  expect(ledger.logEndOf(runId)).toBe(at(3));
});

test("where tables come to a log that goes on is decided by a run's first attempt, and never for the run that began it", ({
  folder,
}) => {
  const ledger = folder.open();
  const { runId, epoch } = beginPlannedRun(ledger);
  const entry = { position: at(5), offset: "o5", history: ["create table b"] };
  const later = { ...entry, position: at(7) };
  expect(ledger.enterLog(runId, epoch, null)).toBeNull();
  expect(ledger.enterLog(runId, epoch, entry)).toEqual(entry);
  expect(ledger.enterLog(runId, epoch, later)).toEqual(entry);
  expect(ledger.enterLog(runId, epoch, null)).toEqual(entry);
  ledger.beginLog(runId, epoch, names);
  ledger.openLog(runId, epoch, opened);
  expect(ledger.enterLog(runId, epoch, later)).toBeNull();
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
