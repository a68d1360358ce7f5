import { expect } from "vitest";
import { test } from "./support/fixtures.ts";
import { createTables, digestFiles, digestTable, tables } from "./support/tables.ts";
test("x", async ({ database, destination }) => {
  let t = performance.now();
  const lap = (n: string) => { console.log(n, Math.round(performance.now() - t)); t = performance.now(); };
  await createTables(database.query); lap("create");
  const exp = []; for (const s of tables) exp.push(await digestTable(database.query, s)); lap("digest");
  const e = await destination.run("sync", database.url, destination.root, "--partition-by", "key", "--checkpoint-every", "100ms", "--readers", "2", "--channels", "2"); lap("sync");
  console.log(e.code, e.stderr, JSON.stringify(e.summary));
  for (const [i, s] of tables.entries()) { const d = await digestFiles(destination.root, s); console.log(d, exp[i]); expect(d).toEqual(exp[i]); } lap("duck");
  console.log(destination.snapshots(), destination.look(l => l.durableOf(l.listRuns({limit:1})[0]!.runId).map(d => [d.stream, d.partition, d.rows, d.last])));
});
