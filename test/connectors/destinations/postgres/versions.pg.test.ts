/** Every mode on the oldest and the newest server that can be written to, and on what is at hand. */
import { postgresModes } from "../../../../connectors/destinations/postgres/config.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import { chooseMajors, startPostgres } from "../../../services/postgres.ts";
import { buildBatch, buildSchema } from "../../../fixtures/batches.ts";
import {
  describe,
  expect,
  test,
  withDatabase,
  type PostgresFixture,
} from "../../../fixtures/postgres.ts";
import {
  changeSchema,
  makeHistory,
  seedRandom,
  sortRows,
  type TableRow,
} from "../change-model.ts";
import { runOnce } from "./attempts.ts";
import { ChangeRun } from "./change-run.ts";

const schema: StreamSchema = {
  ...buildSchema({ id: "int64", name: "text", _deleted: "boolean" }, ["id"]),
  name: "orders",
  key: ["id"],
};

/** Mode `cdc`, in two runs. */
async function followLog(
  pg: PostgresFixture,
  deletes: "hard" | "soft",
): Promise<void> {
  const random = seedRandom(3);
  const history = makeHistory(random, 20);
  const config = { deletes, history: "beside" } as const;
  const ends = [0, 12, history.transactions.length];
  for (const generation of [1, 2]) {
    const run = new ChangeRun({
      schema: changeSchema,
      history,
      random,
      syncId: "sync",
      generation,
      config,
      from: ends[generation - 1] ?? 0,
      to: ends[generation] ?? 0,
      takesSnapshot: generation === 1,
    });
    await run.attempt(pg.url, async () => {});
  }
  const found = await pg.query(
    `SELECT id, site, amount, note, body FROM public.orders ${deletes === "soft" ? "WHERE NOT _deleted" : ""}`,
  );
  const rows = found.map(({ id, site, amount, note, body }): TableRow => {
    return [id, site, amount === null ? null : BigInt(amount), note, body];
  });
  const last = history.transactions.at(-1);
  expect(sortRows(rows)).toEqual(sortRows(last?.after.values() ?? []));
}

describe.for(chooseMajors())("Postgres %s", (major) => {
  test("takes every mode, twice", { timeout: 180_000 }, async () => {
    const server = await startPostgres({ major });
    try {
      for (const mode of postgresModes) {
        if (mode === "cdc") continue;
        await withDatabase(server.url, async (pg) => {
          expect(pg.serverVersion).toBe(major);
          const run = (generation: number, rows: [bigint, string, boolean][]) =>
            runOnce(
              {
                url: pg.url,
                generation,
                runId: `r-20261121-10000${generation}-0001`,
                config: { mode, batchRowsMax: 1 },
              },
              schema,
              [buildBatch(schema, rows)],
            );
          await run(1, [
            [1n, "a", false],
            [2n, "b", false],
          ]);
          await run(2, [
            [2n, "c", true],
            [3n, "d", false],
          ]);
          const found = await pg.query(
            "SELECT name FROM public.orders ORDER BY name",
          );
          expect(found.map(({ name }) => name).join(""), mode).toBe(
            {
              "full-refresh-overwrite": "cd",
              "incremental-append-dedupe": "ad",
            }[mode as string] ?? "abcd",
          );
        });
      }
      for (const deletes of ["hard", "soft"] as const)
        await withDatabase(server.url, (pg) => followLog(pg, deletes));
    } finally {
      await server.stop();
    }
  });
});
