/** What a killed process leaves in a ledger, whatever database it is in. */
import { describe, expect } from "vitest";
import { makeReport } from "../../stamps.ts";
import { beginPlannedRun, owner, type LedgerTest } from "../fixtures.ts";

export function testCrashes(test: LedgerTest): void {
  describe("a process that is killed", () => {
    test("leaves every report that it had said was recorded", async ({
      folder,
    }) => {
      const { runId, epoch } = beginPlannedRun(folder.open());
      const writer = folder.spawn("reports", runId, String(epoch));
      let said = 0;
      while (said < 50) said = Number(await writer.nextLine());
      await writer.kill();
      for (let line = await writer.nextLine(); line;)
        [said, line] = [Number(line), await writer.nextLine()];
      const indexes = folder
        .open()
        .durableOf(runId)
        .map(({ index }) => index);
      // at most one was recorded and not said
      expect([said, said + 1]).toContain(indexes.length);
      expect(indexes).toEqual(indexes.map((_, at) => at + 1));
    });

    test("in the middle of a transaction leaves nothing of it, and holds nobody up", async ({
      folder,
    }) => {
      const { runId, epoch } = beginPlannedRun(folder.open());
      const writer = folder.spawn("transaction", runId, String(epoch));
      expect(await writer.nextLine()).toBe("in the middle");
      await writer.kill();
      const ledger = folder.open();
      expect(ledger.durableOf(runId)).toEqual([makeReport({ index: 1 })]);
      expect(ledger.beginAttempt(runId, owner)).toBe(2);
    });

    test("while it writes is fenced off by the next attempt", async ({
      folder,
    }) => {
      const ledger = folder.open();
      const { runId, epoch } = beginPlannedRun(ledger);
      const writer = folder.spawn("reports", runId, String(epoch));
      expect(await writer.nextLine()).toBe("1");
      expect(ledger.beginAttempt(runId, owner)).toBe(2);
      const count = ledger.durableOf(runId).length;
      let line = await writer.nextLine();
      while (Number(line) > 0) line = await writer.nextLine();
      expect(line).toBe("LEDGER_FENCED");
      expect(await writer.nextLine()).toBeNull();
      expect(ledger.durableOf(runId)).toHaveLength(count);
    });
  });

  test("processes that make the same ledger at once make one", async ({
    folder,
  }) => {
    const writers = [1, 2, 3].map(() => folder.spawn("create"));
    const ids = await Promise.all(writers.map((writer) => writer.nextLine()));
    expect(new Set(ids)).toEqual(new Set([folder.open().id]));
  });
}
