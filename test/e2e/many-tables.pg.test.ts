/** Hundreds of small tables share the processes, the sockets and the connections of one. */
import { expect } from "vitest";
import { listChildren, waitFor } from "./support/command.ts";
import { test } from "./support/fixtures.ts";
import { expectNothingLeft, expectOnlyManifest } from "./support/outcome.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";

const TABLES = 500;
const ROWS_EACH = 20;
const CHANNELS = 2;
/** The source's own connection and the keeper's, beside one a channel. */
const BACKENDS_MAX = CHANNELS + 2;
/** Source, destination, keeper. */
const CHILDREN_MAX = 3;

test(`${TABLES} tables take no process and no connection each`, async ({
  database,
  destination,
}) => {
  await database.query(`
    DO $$ BEGIN
      FOR i IN 1..${TABLES} LOOP
        EXECUTE format('CREATE TABLE small_%s AS SELECT g AS id, %s AS number FROM generate_series(1, ${ROWS_EACH}) AS g', i, i);
      END LOOP;
    END $$`);
  const run = destination.start(
    ...["sync", database.url, destination.root],
    ...["--channels", String(CHANNELS), "--readers", String(CHANNELS)],
  );
  let backends = 0;
  let children = 0;
  await waitFor("the run's end", async () => {
    const [row] = await database.query<{ count: string }>(
      `SELECT count(*) AS count FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    backends = Math.max(backends, Number(row?.count));
    children = Math.max(children, listChildren(run.pid).length);
    return run.isOver();
  });
  const { code, summary, stderr } = await run.ended;
  expect(code, stderr).toBe(0);
  expect(summary?.streams).toHaveLength(TABLES);
  expect(children).toBe(CHILDREN_MAX);
  expect(backends).toBeLessThanOrEqual(BACKENDS_MAX);
  expect(backends).toBeGreaterThan(0);
  const [row] = await queryDuckDb(
    `SELECT count(*), count(DISTINCT (number, id)) FROM read_parquet('${destination.root}/public/**/*.parquet')`,
  );
  expect(row?.map(Number)).toEqual([TABLES * ROWS_EACH, TABLES * ROWS_EACH]);
  for (const number of [1, TABLES / 2, TABLES])
    expectOnlyManifest(destination, { name: `small_${number}` }, "many tables");
  expectNothingLeft(destination, "many tables");
});
