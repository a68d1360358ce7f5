/** `test` with one database for the whole file, filled once, and a destination of each test's own. */
import { beforeEach, inject, test as base } from "vitest";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import { type Destination, useDestination } from "./command.ts";

// before any fixture is made: the database's could only fail
beforeEach(({ skip }) => {
  if (inject("postgresUrl") === null) skip(inject("postgresReason"));
});

export const test = base.extend<{
  $test: { destination: Destination };
  $file: { database: PostgresFixture };
}>({
  database: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const adminUrl = inject("postgresUrl");
      if (adminUrl === null) throw new Error(inject("postgresReason"));
      await withDatabase(adminUrl, use);
    },
    { scope: "file" },
  ],
  destination: useDestination,
});
