/** Change logs on S3: cut off at every request, what readers see replays to the table at some commit. */
import { describe, expect } from "vitest";

import type { Manifest } from "../../../../connectors/destinations/layout/manifest.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import { withBucket, test, type S3Fixture } from "../../../fixtures/s3.ts";
import type { TestRow } from "../../../fixtures/batches.ts";
import { readByDuckDb } from "../../formats/duckdb.ts";
import {
  listedFiles,
  makeLogLedger,
  replay,
  runLogAttempt,
  type LogLedger,
} from "../change-log.ts";
import {
  makeHistory,
  seedRandom,
  sortRows,
  type History,
} from "../change-model.ts";
import { PREFIX, download, listPaths, makeConfig, useKeys } from "./config.ts";

const MANIFEST = `${PREFIX}/public/orders/_manifest.json`;
const old = makeHistory(seedRandom(11), 2);
const history = makeHistory(seedRandom(12), 6);

function tableAt({ before, transactions }: History, count: number) {
  return sortRows((transactions[count - 1]?.after ?? before).values());
}

async function checkSeen(s3: S3Fixture, ledger: LogLedger): Promise<Manifest> {
  const text = (await s3.read(MANIFEST)).toString();
  const manifest = JSON.parse(text) as Manifest;
  const [entry] = manifest.generations;
  const files = listedFiles(manifest);
  const rows: TestRow[] = [];
  const root = await download(s3);
  for (const path of files)
    rows.push(...(await readByDuckDb(`'${root}/${path}'`)));
  const seen = sortRows(replay(rows));
  if (entry?.generation === 1) {
    expect(ledger.shown).toBe(0);
    expect(seen).toEqual(tableAt(old, old.transactions.length));
    return manifest;
  }
  const upTo = entry?.log?.upTo ?? "";
  const count =
    history.transactions.findLastIndex(({ end }) => end <= upTo) + 1;
  expect(count).toBeGreaterThanOrEqual(ledger.shown);
  expect(seen).toEqual(tableAt(history, count));
  return manifest;
}

describe("cut off where an answer is lost", () => {
  test(
    "at every request, the log that is listed replays to the table at a commit, and never goes back",
    { timeout: 180_000 },
    async ({ s3, proxy }) => {
      useKeys(s3, { AWS_MAX_ATTEMPTS: "1" });
      let killed = 0;
      for (let requestsMax = 0; ; requestsMax += 1) {
        let finished = false;
        await withBucket(s3, async (place) => {
          const straight = makeConfig(place);
          const byProxy = { ...straight, endpoint: proxy.endpoint };
          const first = {
            generation: 1,
            history: old,
            from: 0,
            to: old.transactions.length,
            takesSnapshot: true,
          };
          await runLogAttempt(s3Driver, straight, makeLogLedger(first));
          const ledger = makeLogLedger({
            ...first,
            generation: 2,
            history,
            to: history.transactions.length,
          });
          const begun = proxy.requests.length;
          proxy.findFault = ({ number }) => {
            if (number - begun < requestsMax) return null;
            if (number - begun > requestsMax)
              return { kind: "reset", afterBytes: 0 };
            return { kind: "loseAnswer" };
          };
          const error = await runLogAttempt(s3Driver, byProxy, ledger).then(
            () => null,
            (thrown: unknown) => thrown,
          );
          proxy.findFault = () => null;
          if (error !== null) killed += 1;
          await checkSeen(place, ledger);
          await runLogAttempt(s3Driver, straight, ledger);
          const manifest = await checkSeen(place, ledger);
          expect(manifest.generations).toHaveLength(1);
          const data = (await listPaths(place)).filter((path) =>
            path.endsWith(".parquet"),
          );
          expect(data.toSorted()).toEqual(listedFiles(manifest).toSorted());
          finished = error === null;
        });
        if (finished) break;
      }
      expect(killed).toBeGreaterThan(15);
    },
  );
});
