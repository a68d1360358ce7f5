import { expect, test } from "vitest";
import { SuccessTimes } from "../../../daemon/api/success-times.ts";

/** A ledger that counts what it is asked. */
function start(succeeded: Readonly<Record<string, number>>) {
  const asked: string[] = [];
  const listRuns = ({ syncIds }: { syncIds?: readonly string[] | null }) => {
    const [id = ""] = syncIds ?? [];
    asked.push(id);
    const finishedAt = succeeded[id];
    return finishedAt === undefined ? [] : [{ finishedAt }];
  };
  let breaths = 0;
  const times = new SuccessTimes({ listRuns } as never);
  return {
    times,
    asked,
    list: async (syncs: readonly string[]) => {
      const named = syncs.map((name) => ({ name, syncId: `id of ${name}` }));
      return times.list(named, async () => void (breaths += 1));
    },
    breaths: () => breaths,
  };
}

test("the ledger is asked once about each sync, also about those that have never succeeded", async () => {
  const { list, asked, breaths } = start({ "id of a": 5 });
  const syncs = ["a", ...Array.from({ length: 2_000 }, (_, i) => `s${i}`)];
  expect(await list(syncs)).toEqual([{ name: "a", at: 5 }]);
  expect(asked).toHaveLength(2_001);
  expect(breaths()).toBe(2_001);
  expect(await list(syncs)).toEqual([{ name: "a", at: 5 }]);
  expect(asked).toHaveLength(2_001);
});

test("a run that succeeds is known without the ledger", async () => {
  const { list, asked, times } = start({});
  times.note("a", 7);
  expect(await list(["a"])).toEqual([{ name: "a", at: 7 }]);
  expect(asked).toEqual([]);
});
