/**
 * The generation switch is killed between any two of its steps: files durable, ledger `committing`, manifest, ledger
 * `committed`, old files removed. Whatever was reached, the next run ends with one whole generation.
 */
import { existsSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { readManifest } from "../../connectors/destinations/file/manifest.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { signal, waitFor, type Destination } from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import { expectNothingLeft, expectOnlyManifest } from "./support/outcome.ts";
import { createRandom, pick } from "./support/random.ts";

/** Many streams, so that a kill meets them at different steps. */
const TABLES = 40;
const ROWS_EACH = 50;
const TRIES_MAX = 25;
const names = Array.from({ length: TABLES }, (_, i) => `t${i + 1}`);

const arrows = [
  "files are durable, the ledger does not say committing",
  "the ledger says committing, the manifest is the old one",
  "the manifest is in place, the ledger says committing",
  "the ledger says committed, the old files are there",
  "the old files are removed",
] as const;
type Arrow = (typeof arrows)[number];

/** Between which steps each stream of the newest run stands, as ledger and disk say. */
function findArrows(destination: Destination): Set<Arrow> {
  const found = new Set<Arrow>();
  destination.look((ledger) => {
    const [run] = ledger.listRuns({ limit: 1 });
    if (!run) return;
    for (const stream of ledger.streamsOf(run.runId)) {
      const { name, number, state, generation } = stream;
      const folder = join(destination.root, "public", name);
      const published = readManifest(folder)?.generations.some(
        (one) => one.generation === generation,
      );
      const durable = ledger.durableOf(run.runId, number);
      if (state === "committed") {
        const generations = readdirSync(folder, { withFileTypes: true });
        const folders = generations.filter((entry) => entry.isDirectory());
        found.add(folders.length > 1 ? arrows[3] : arrows[4]);
      } else if (state === "committing")
        found.add(published ? arrows[2] : arrows[1]);
      else if (durable.some(({ last }) => last)) found.add(arrows[0]);
    }
  });
  return found;
}

test("a kill between any two steps of the commit leaves one whole generation", async ({
  database,
  destination,
}) => {
  for (const name of names)
    await database.query(
      `CREATE TABLE ${name} AS SELECT g AS id, 0 AS version FROM generate_series(1, ${ROWS_EACH}) AS g`,
    );
  const sync = [
    ...["sync", database.url, destination.root],
    ...["--channels", "1", "--readers", "1"],
  ];
  expect((await destination.run(...sync)).code).toBe(0);
  const met = new Set<Arrow>();
  for (let version = 1; met.size < arrows.length; version += 1) {
    expect(version, `met: ${[...met].join("; ")}`).toBeLessThan(TRIES_MAX);
    const random = createRandom(version);
    for (const name of names)
      await database.query(`UPDATE ${name} SET version = ${version}`);
    const run = destination.start(...sync);
    const wanted = pick(
      random,
      arrows.filter((arrow) => !met.has(arrow)),
    );
    await waitFor(
      "a moment to kill",
      () =>
        run.isOver() ||
        // until it has begun, the ledger speaks of the run before
        (run.events.some(({ type }) => type === "run.started") &&
          findArrows(destination).has(wanted)),
    );
    await sleep(random() * 20);
    const role = pick(random, ["bookkeeper", "destination"] as const);
    signal(run.find(role) ?? run.pid, "SIGKILL");
    // a killed destination would be followed by another attempt of the same run
    if (role === "destination") signal(run.pid, "SIGKILL");
    await run.ended;
    const hint = `seed ${version}: ${role}`;
    if (!run.events.some(({ type }) => type === "run.finished")) {
      for (const arrow of findArrows(destination)) met.add(arrow);
      await expectReadable(destination, version, hint);
      const { code, stderr } = await destination.run(
        "resume",
        destination.root,
      );
      // killed behind the ledger's last word, it has nothing left to do
      const wasOver = stderr.includes("is succeeded");
      expect(code, `${hint}\n${stderr}`).toBe(wasOver ? 2 : 0);
    }
    const [row] = await queryDuckDb(
      `SELECT count(*), count(DISTINCT filename.split('/')[-3]), min(version), max(version)
       FROM read_parquet('${destination.root}/public/**/*.parquet', filename = true)`,
    );
    expect(row?.map(Number), hint).toEqual([
      TABLES * ROWS_EACH,
      TABLES,
      version,
      version,
    ]);
    for (const name of names) expectOnlyManifest(destination, { name }, hint);
    expectNothingLeft(destination, hint);
  }
});

/** Whoever follows the manifests sees a whole table at any time: of this version or of the one before. */
async function expectReadable(
  { root }: Destination,
  version: number,
  hint: string,
): Promise<void> {
  for (const name of names) {
    const manifest = readManifest(join(root, "public", name));
    const files = manifest?.generations.flatMap((one) => one.files) ?? [];
    const paths = files.map(({ path }) => join(root, path));
    expect(
      paths.filter((path) => !existsSync(path)),
      hint,
    ).toEqual([]);
    const list = paths.map((path) => `'${path}'`).join(", ");
    const [row] = await queryDuckDb(
      `SELECT count(*), count(DISTINCT id), count(DISTINCT version), max(version) FROM read_parquet([${list}])`,
    );
    const [rows, ids, versions, last] = row?.map(Number) ?? [];
    expect([rows, ids, versions], `${name}, ${hint}`).toEqual([
      ROWS_EACH,
      ROWS_EACH,
      1,
    ]);
    expect([version - 1, version], `${name}, ${hint}`).toContain(last);
  }
}
