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
} from "../../../fixtures/postgres.ts";
import { runOnce } from "./attempts.ts";

const schema: StreamSchema = {
  ...buildSchema({ id: "int64", name: "text", _deleted: "boolean" }, ["id"]),
  name: "orders",
  key: ["id"],
};

describe.for(chooseMajors())("Postgres %s", (major) => {
  test("takes every mode, twice", { timeout: 180_000 }, async () => {
    const server = await startPostgres({ major });
    try {
      for (const mode of postgresModes) {
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
    } finally {
      await server.stop();
    }
  });
});
