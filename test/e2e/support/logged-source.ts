/** A database whose log is followed while transactions go on, as the tests with kills see it. */
import { inject } from "vitest";
import { commitOfLsn } from "../../../connectors/sources/postgres/replication-slot.ts";
import { withDatabase } from "../../fixtures/postgres.ts";
import { dropSlots } from "./log-fixtures.ts";
import {
  accounts,
  createLoggedTables,
  LogWorkload,
  readSource,
  visits,
  type ComparedTable,
} from "./log-workload.ts";

/** Random transactions over all tables of a source. */
export interface LoggedWork {
  /** As they are now. */
  readonly tables: readonly ComparedTable[];
  goOn(seed: number): void;
  /** None is under way when it resolves. */
  pause(): Promise<void>;
  /** A column more, and rows that have it. */
  addColumn(): Promise<void>;
  end(): Promise<void>;
}

export interface LoggedSource {
  readonly url: string;
  /** Begins transactions. */
  work(seed: number): Promise<LoggedWork>;
  /** All rows as one sorted text each. */
  read(table: ComparedTable): Promise<string[]>;
  /** Where its log ends: 20 hexadecimal digits, as a position has them. */
  now(): Promise<string>;
}

/** Its tables are filled. What is left of it goes afterwards. */
export type UseSource = (
  use: (source: LoggedSource) => Promise<void>,
) => Promise<void>;

/** A database of its own. */
export const usePostgres: UseSource = async (use) => {
  const adminUrl = inject("postgresUrl");
  if (adminUrl === null) throw new Error(inject("postgresReason"));
  await withDatabase(adminUrl, async (database) => {
    await createLoggedTables(database);
    try {
      await use({
        url: database.url,
        read: (table) => readSource(database, table),
        now: async () => {
          const [row] = await database.query<{ lsn: string }>(
            "SELECT pg_current_wal_insert_lsn()::text AS lsn",
          );
          return commitOfLsn(row?.lsn ?? "");
        },
        work: async (seed) => {
          const workload = await LogWorkload.start(database.url, seed);
          return {
            get tables() {
              return [accounts, workload.linesNow, visits];
            },
            goOn: (other) => workload.goOn(other),
            pause: () => workload.pause(),
            addColumn: () => workload.addColumn(database.query),
            end: () => workload.end(),
          };
        },
      });
    } finally {
      await dropSlots(database);
    }
  });
};
