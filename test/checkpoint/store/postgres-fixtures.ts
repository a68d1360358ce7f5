/** The fixture of `fixtures.ts` with a ledger in a Postgres database of its own. */
import { test as base } from "../../fixtures/postgres.ts";
import { withLedger, type LedgerFolder, type LedgerTest } from "./fixtures.ts";

export const test = base.extend<{ folder: LedgerFolder }>({
  folder: async ({ pg }, use) => {
    await withLedger(pg.url, use);
  },
});

/** For the suites, which ask for nothing but the ledger. */
export const ledgerTest = test as unknown as LedgerTest;
