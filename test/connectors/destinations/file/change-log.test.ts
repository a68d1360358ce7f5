/** Change logs in files: cut off at every system call, what readers see replays to the table at some commit. */
import { join } from "node:path";

import { expect } from "vitest";

import { readManifest } from "../../../../connectors/destinations/file/commit.ts";
import { fileDriver } from "../../../../connectors/destinations/file/driver.ts";
import { queryDuckDb, readByDuckDb } from "../../formats/duckdb.ts";
import type { TestRow } from "../../../fixtures/batches.ts";
import {
  listedFiles,
  makeLogLedger,
  replay,
  runLogAttempt,
  type LogLedger,
} from "../change-log.ts";
import {
  changeSchema,
  makeHistory,
  seedRandom,
  sortRows,
  type History,
} from "../change-model.ts";
import { listFiles, test } from "./folder.ts";
import { makeConfig } from "./table.ts";
import { killAtEachCall } from "./traced-fs.ts";

const FOLDER = "public/orders";
const old = makeHistory(seedRandom(11), 2);
const history = makeHistory(seedRandom(12), 6);

const configOf = (root: string) => ({
  ...makeConfig(root, "parquet"),
  kind: "file",
});

/** As DuckDB reads them, in the order of the manifest. */
async function readLog(root: string): Promise<TestRow[]> {
  const manifest = readManifest(join(root, FOLDER));
  const rows: TestRow[] = [];
  for (const path of manifest ? listedFiles(manifest) : [])
    rows.push(...(await readByDuckDb(`'${join(root, path)}'`)));
  return rows;
}

function tableAt({ before, transactions }: History, count: number) {
  return sortRows((transactions[count - 1]?.after ?? before).values());
}

/** What is seen is the older log, or this one up to a commit that is no earlier than what was shown. */
async function checkSeen(root: string, ledger: LogLedger): Promise<void> {
  const manifest = readManifest(join(root, FOLDER));
  const entry = manifest?.generations.at(-1);
  expect(manifest?.generations).toHaveLength(1);
  const seen = sortRows(replay(await readLog(root)));
  if (entry?.generation === 1) {
    expect(ledger.shown).toBe(0);
    expect(seen).toEqual(tableAt(old, old.transactions.length));
    return;
  }
  const upTo = entry?.log?.upTo ?? "";
  const count =
    history.transactions.findLastIndex(({ end }) => end <= upTo) + 1;
  expect(count).toBeGreaterThanOrEqual(ledger.shown);
  expect(seen).toEqual(tableAt(history, count));
}

test(
  "cut off at every system call, the log that is listed replays to the table at a commit, and never goes back",
  { timeout: 120_000 },
  async ({ root }) => {
    const shownAtCrash = new Set<number>();
    const killed = await killAtEachCall(root, async (place) => {
      const config = configOf(place);
      const first = {
        generation: 1,
        history: old,
        from: 0,
        to: old.transactions.length,
        takesSnapshot: true,
      };
      await runLogAttempt(fileDriver, config, makeLogLedger(first));
      const ledger = makeLogLedger({
        generation: 2,
        history,
        from: 0,
        to: history.transactions.length,
        takesSnapshot: true,
      });
      const work = () => runLogAttempt(fileDriver, config, ledger);
      const after = async () => {
        shownAtCrash.add(ledger.shown);
        await checkSeen(place, ledger);
        await runLogAttempt(fileDriver, config, ledger);
        await checkSeen(place, ledger);
        const manifest = readManifest(join(place, FOLDER));
        const data = listFiles(place).filter((path) =>
          path.endsWith(".parquet"),
        );
        expect(data).toEqual(
          (manifest ? listedFiles(manifest) : []).toSorted(),
        );
        expect(
          listFiles(place).filter(
            (path) => path.startsWith(FOLDER) && path.endsWith(".tmp"),
          ),
        ).toEqual([]);
      };
      return { work, after };
    });
    expect(killed).toBeGreaterThan(60);
    expect(shownAtCrash.size).toBe(3);
  },
);

test("later runs add to the log, in its order, and a reader of SQL makes the table of it", async ({
  root,
}) => {
  const config = configOf(root);
  const whole = makeHistory(seedRandom(5), 30);
  const cuts = [0, 11, 20, whole.transactions.length];
  for (let run = 1; run < cuts.length; run++)
    await runLogAttempt(
      fileDriver,
      config,
      makeLogLedger({
        generation: run,
        history: whole,
        from: cuts[run - 1] ?? 0,
        to: cuts[run] ?? 0,
        takesSnapshot: run === 1,
      }),
    );
  const manifest = readManifest(join(root, FOLDER));
  expect(manifest?.generations.map(({ log }) => log?.firstFile)).toEqual([
    1, 0, 0,
  ]);
  const rows = await readLog(root);
  expect(sortRows(replay(rows))).toEqual(
    tableAt(whole, whole.transactions.length),
  );
  const position = changeSchema.columns.findIndex(
    ({ name }) => name === "_position",
  );
  const places = rows
    .filter((row) => row[5] !== "r")
    .map((row) => String(row[position]));
  expect(places).toEqual(places.toSorted());
  // the columns that are always sent, by SQL alone
  const found = await queryDuckDb(
    `WITH log AS (FROM read_parquet('${root}/**/*.parquet')),
     emptied AS (SELECT coalesce(max(_position) FILTER (_op = 't'), '') AS since FROM log),
     live AS (SELECT log.* FROM log, emptied WHERE _position > since AND (_op <> 'r' OR since = '')),
     newest AS (SELECT id, site, arg_max(_op, (_op <> 'r', _position)) AS op, last(amount ORDER BY _op <> 'r', _position) AS amount
                FROM live WHERE _op <> 't' GROUP BY ALL)
     SELECT id, site, amount FROM newest WHERE op <> 'd' ORDER BY id, site`,
  );
  expect(found).toEqual(
    tableAt(whole, whole.transactions.length).map(([id, site, amount]) => [
      id,
      site,
      amount,
    ]),
  );
});
