/** `test` with a database whose slots go with it, and what a change log is compared with. */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, expect, inject } from "vitest";
import "../../services/debezium.setup.ts";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import type { Destination } from "./command.ts";
import { test as base } from "./fixtures.ts";
import { replayFiles } from "./log-replay.ts";
import { readSource, type ComparedTable } from "./log-workload.ts";

beforeEach(({ skip }) => {
  const { programs, reason } = inject("debezium");
  if (programs === null) skip(reason);
});

/** A database of the test's own, whose slots go with it. */
export const test = base.extend<{ source: PostgresFixture }>({
  // eslint-disable-next-line no-empty-pattern
  source: async ({}, use) => {
    const adminUrl = inject("postgresUrl");
    if (adminUrl === null) throw new Error(inject("postgresReason"));
    await withDatabase(adminUrl, async (fixture) => {
      try {
        await use(fixture);
      } finally {
        await dropSlots(fixture);
      }
    });
  },
});

export async function dropSlots({ query }: PostgresFixture): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const slots = await query<{ pid: number | null }>(
      `SELECT pg_terminate_backend(active_pid), active_pid AS pid FROM pg_replication_slots WHERE database = current_database()`,
    );
    if (slots.every(({ pid }) => pid === null)) break;
    await sleep(50);
  }
  await query(
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()",
  );
}

export const options = [
  ...["--mode", "cdc", "--checkpoint-every", "200ms"],
  ...["--partition-by", "key", "--readers", "2", "--channels", "2"],
  // a workload that empties tables all the time may do so between the snapshot and its locks, more than once
  ...["--attempts", "8"],
];

export async function expectSame(
  source: PostgresFixture,
  destination: Pick<Destination, "root">,
  tables: readonly ComparedTable[],
  hint: string,
  isOneSnapshot = false,
): Promise<void> {
  for (const table of tables)
    expect(
      await replayFiles(destination.root, table, { isOneSnapshot }),
      `${table.name}, ${hint}`,
    ).toEqual(await readSource(source, table));
}
