/** The log of the oldest and of the newest Postgres that is supported; MILLRACE_TEST_MAJORS names others. */
import { beforeEach, expect, inject, test } from "vitest";
import "../services/debezium.setup.ts";
import { withDatabase } from "../fixtures/postgres.ts";
import { chooseMajors, startPostgres } from "../services/postgres.ts";
import { Destination } from "./support/command.ts";
import { dropSlots, expectSame, options } from "./support/log-fixtures.ts";
import {
  accounts,
  createLoggedTables,
  LogWorkload,
  visits,
} from "./support/log-workload.ts";

beforeEach(({ skip }) => {
  const { programs, reason } = inject("debezium");
  if (programs === null) skip(reason);
});

const all = chooseMajors();
// those between are what all other tests of the log run on
const chosen = process.env["MILLRACE_TEST_MAJORS"]
  ? all
  : [all.at(0), all.at(-1)].filter((major) => major !== undefined);

test.for(chosen)("of Postgres %i", async (major) => {
  const service = await startPostgres({ major });
  const destination = new Destination();
  try {
    await withDatabase(service.url, async (source) => {
      expect(source.serverVersion).toBe(major);
      await createLoggedTables(source, 200);
      const sync = ["sync", source.url, destination.root, ...options];
      const first = await destination.run(...sync);
      expect(first.code, first.stderr).toBe(0);
      const workload = await LogWorkload.start(source.url, major);
      await workload.addColumn(source.query);
      await workload.end();
      const second = await destination.run(...sync);
      expect(second.code, second.stderr).toBe(0);
      await expectSame(
        source,
        destination,
        [accounts, workload.linesNow, visits],
        `Postgres ${major}`,
        true,
      );
      await dropSlots(source);
    });
  } finally {
    await destination.dispose();
    await service.stop();
  }
});
