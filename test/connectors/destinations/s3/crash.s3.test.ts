import { describe, expect } from "vitest";

import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import { withBucket, test, type S3Fixture } from "../../../fixtures/s3.ts";
import { makeLedger, type Ledger, type Table } from "../file/attempt.ts";
import { digestOf, readTable } from "../file/table.ts";
import { recover, runAttempt } from "./attempt.ts";
import {
  PREFIX,
  download,
  listPaths,
  makeConfig,
  makeContext,
  useKeys,
} from "./config.ts";

const MANIFEST = "public/orders/_manifest.json";
interface Cut {
  /** One that stores its marker in the object, or one that has it beside. */
  readonly format: FormatName;
  /** The request never arrives; or it is done, and its answer never arrives. What comes behind never arrives either. */
  readonly by: "reset" | "loseAnswer";
}

const cuts: readonly Cut[] = [
  { format: "parquet", by: "loseAnswer" },
  { format: "csv", by: "loseAnswer" },
  { format: "csv", by: "reset" },
];

const old: Table = {
  first: 1_000,
  last: 1_009,
  batchRows: 10,
  batchesPerCheckpoint: 1,
};
const table: Table = {
  first: 1,
  last: 25,
  batchRows: 10,
  batchesPerCheckpoint: 2,
};

interface ListedManifest {
  readonly rows: number;
  readonly generations: readonly {
    readonly generation: number;
    readonly files: readonly {
      readonly path: string;
      readonly bytes: number;
    }[];
  }[];
}

/** What readers see is the old table or the new one, each whole. */
async function checkManifest(s3: S3Fixture, ledger: Ledger): Promise<void> {
  const text = (await s3.read(`${PREFIX}/${MANIFEST}`)).toString();
  const manifest = JSON.parse(text) as ListedManifest;
  const [current] = manifest.generations;
  const sizes = new Map(
    (await s3.listObjects()).map(({ key, bytes }) => [key, bytes]),
  );
  for (const { path, bytes } of current?.files ?? [])
    expect(sizes.get(`${PREFIX}/${path}`)).toBe(bytes);
  expect(manifest.rows).toBe(current?.generation === 1 ? 10 : 25);
  if (ledger.state === "committed") expect(manifest.rows).toBe(25);
}

describe("cut off at every request", () => {
  test.for(cuts)(
    "$format by $by: the manifest always names a whole table, and the next attempt ends with the new one",
    { timeout: 180_000 },
    async ({ format, by }, { s3, proxy }) => {
      useKeys(s3, { AWS_MAX_ATTEMPTS: "1" });
      let killed = 0;
      const statesAtCrash = new Set<string>();
      const operations = new Set<string>();
      for (let requestsMax = 0; ; requestsMax += 1) {
        let finished = false;
        await withBucket(s3, async (place) => {
          const straight = makeConfig(place, format, { fileBytesMax: 1 });
          await runAttempt(straight, makeLedger(1), old);
          const ledger = makeLedger(2);
          const begun = proxy.requests.length;
          proxy.findFault = ({ number, operation }) => {
            if (number - begun < requestsMax) return null;
            operations.add(operation);
            if (number - begun > requestsMax || by === "reset")
              return { kind: "reset", afterBytes: 0 };
            return { kind: "loseAnswer" };
          };
          const config = { ...straight, endpoint: proxy.endpoint };
          const error = await runAttempt(config, ledger, table).then(
            () => null,
            (thrown: unknown) => thrown,
          );
          if (error !== null) {
            killed += 1;
            expect(error).toMatchObject({
              message: expect.stringContaining("could not "),
            });
          }
          statesAtCrash.add(ledger.state);
          await checkManifest(place, ledger);
          const storage = await s3Driver.openStorage(makeContext(straight));
          const recovered = await recover(storage, 2);
          await storage.close();
          for (const files of ledger.durable.values())
            expect(recovered.map((report) => report.files)).toContainEqual(
              files,
            );
          await runAttempt(straight, ledger, table);
          await checkManifest(place, ledger);
          const root = await download(place);
          expect(await readTable(`${root}/**/*.${format}`, format)).toEqual(
            digestOf(table.first, table.last),
          );
          expect(
            (await listPaths(place)).filter((path) => path.includes("g000001")),
          ).toEqual([]);
          expect(await place.listUploads()).toEqual([]);
          finished = error === null;
        });
        if (finished) break;
      }
      expect(killed).toBeGreaterThan(22);
      expect([...statesAtCrash].toSorted()).toEqual([
        "committed",
        "committing",
        "writing",
      ]);
      expect([...operations]).toEqual(
        expect.arrayContaining([
          "CompleteMultipartUpload",
          "CreateMultipartUpload",
          "DeleteObjects",
          "GetObject",
          "ListMultipartUploads",
          "ListObjectsV2",
          "PutObject",
          "UploadPart",
        ]),
      );
    },
  );
});
