/** The connection is cut at every statement of a run, before it and behind it: what a resume makes of it is exact. */
import {
  postgresModes,
  type PostgresMode,
} from "../../../../connectors/destinations/postgres/config.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { buildSchema, type TestRow } from "../../../fixtures/batches.ts";
import {
  describe,
  expect,
  test,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import { Bookkeeper, type RunPlan } from "./bookkeeper.ts";
import { startStatementProxy, type CutPlace } from "./statement-proxy.ts";

/** Far more than a run has. */
const STATEMENTS_MAX = 200;

const schema: StreamSchema = {
  ...buildSchema({ id: "int32", name: "text" }, ["id"]),
  name: "orders",
  key: ["id"],
};

const before: readonly TestRow[] = Array.from({ length: 12 }, (_, i) => [
  i,
  "before",
]);
const rows: readonly TestRow[] = Array.from({ length: 20 }, (_, i) => [
  i + 5,
  "now",
]);

const plan = (
  mode: PostgresMode,
  generation: number,
  content: readonly TestRow[],
): RunPlan => ({
  mode,
  schema,
  rows: content,
  generation,
  checkpointRows: 8,
  batchRows: 3,
});

function expected(mode: PostgresMode): TestRow[] {
  const all = (): TestRow[] => {
    switch (mode) {
      case "full-refresh-overwrite":
        return [...rows];
      case "incremental-append-dedupe":
        return [...before.slice(0, 5), ...rows];
      default:
        return [...before, ...rows];
    }
  };
  return all().toSorted(
    (a, b) =>
      Number(a[0]) - Number(b[0]) || String(a[1]).localeCompare(String(b[1])),
  );
}

async function readRows(pg: PostgresFixture): Promise<TestRow[]> {
  const found = await pg.query(
    "SELECT id, name FROM public.orders ORDER BY id, name",
  );
  return found.map(({ id, name }) => [id, name]);
}

/** The rows that the runs before have left, in a table that they made. */
async function startOver(pg: PostgresFixture): Promise<void> {
  await pg.query(
    "TRUNCATE public.orders; INSERT INTO public.orders SELECT i, 'before' FROM generate_series(0, 11) i",
  );
}

// without an answer it is not known whether the server has acted, so that every mode goes through all of these
const cuts: readonly (readonly [PostgresMode, CutPlace])[] = [
  ["full-refresh-overwrite", "before"],
  // what a log does to a copy is cut in changes.pg.test.ts
  ...postgresModes
    .filter((mode) => mode !== "cdc")
    .map((mode) => [mode, "answer"] as const),
];

describe.for(cuts)("%s, %s", ([mode, place]) => {
  test(
    "cut at each statement and resumed: each row exactly once",
    { timeout: 120_000 },
    async ({ pg }) => {
      let count = 0;
      await new Bookkeeper(plan(mode, 1, before)).attempt(pg.url);
      for (let number = 1; ; number++) {
        await startOver(pg);
        const run = new Bookkeeper(plan(mode, number + 1, rows));
        const proxy = await startStatementProxy(pg.url, number, place);
        const outcome = await run.attempt(proxy.url).then(
          () => "done",
          (error: Error) => error.message,
        );
        await proxy.close();
        if (proxy.cutAt === null) {
          expect(outcome).toBe("done");
          break;
        }
        count += 1;
        expect(number).toBeLessThan(STATEMENTS_MAX);
        const where = `${number}: ${proxy.cutAt.slice(0, 80)}`;
        if (!run.isCommitted) {
          // before it is published, nothing of it can be seen
          if (place === "before" && !/COMMIT|DELETE/.test(proxy.cutAt))
            expect(await readRows(pg), where).toEqual(before);
          await run.attempt(pg.url);
        }
        expect(await readRows(pg), where).toEqual(expected(mode));
        expect(
          await pg.query(
            "SELECT relname FROM pg_class WHERE relnamespace = '_millrace'::regnamespace AND relkind = 'r' AND relname LIKE 'orders%'",
          ),
          where,
        ).toEqual([]);
      }
      expect(count).toBeGreaterThan(20);
    },
  );
});
