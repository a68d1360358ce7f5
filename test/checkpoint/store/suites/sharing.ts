/** Several processes at once on one ledger, whatever database it is in. */
import { describe, expect } from "vitest";
import type { LedgerTest, WriterProcess } from "../fixtures.ts";

const ENTRIES = 40;

async function readLines(writer: WriterProcess): Promise<string[]> {
  const lines: string[] = [];
  for (let line = await writer.nextLine(); line !== null;) {
    lines.push(line);
    line = await writer.nextLine();
  }
  return lines;
}

export function testSharing(test: LedgerTest): void {
  describe("processes that share a queue", () => {
    test("take each entry once, and never two of a sync at a time", async ({
      folder,
    }) => {
      const ledger = folder.open();
      ledger.transaction(() => {
        for (let count = 0; count < ENTRIES; count++)
          ledger.enqueue({
            sync: `s${count % 7}`,
            key: null,
            originJson: "{}",
            scopeJson: "{}",
            dueAt: null,
            message: null,
          });
      });
      const writers = ["d1", "d2", "d3"].map((daemon) =>
        folder.spawn("take", daemon),
      );
      const lines = await Promise.all(writers.map(readLines));
      expect(lines.flat().toSorted()).toEqual(
        ledger
          .listQueue({ limit: 100 })
          .map(({ queueId }) => queueId)
          .toSorted(),
      );
      expect(ledger.countQueue()).toMatchObject({
        queued: 0,
        taken: 0,
        succeeded: ENTRIES,
      });
      // each was taken once: a second one would have had the next epoch
      for (const { epoch } of ledger.listQueue({ limit: 100 }))
        expect(epoch).toBe(1);
    });

    test("record the same messages once, and lose none of their scopes", async ({
      folder,
    }) => {
      const ledger = folder.open();
      const writers = ["d1", "d2", "d3"].map(() =>
        folder.spawn("enqueue", String(ENTRIES)),
      );
      const lines = (await Promise.all(writers.map(readLines))).flat();
      const known = lines.filter((line) => line === "known");
      expect(lines).toHaveLength(3 * ENTRIES);
      expect(known).toHaveLength(2 * ENTRIES);
      expect(lines.filter((line) => line === "queued")).toHaveLength(1);
      const [entry, ...others] = ledger.listQueue({ limit: 9 });
      expect(others).toEqual([]);
      expect(
        (JSON.parse(entry?.scopeJson ?? "[]") as number[]).toSorted(
          (a, b) => a - b,
        ),
      ).toEqual(Array.from({ length: ENTRIES }, (_, at) => at));
    });
  });
}
