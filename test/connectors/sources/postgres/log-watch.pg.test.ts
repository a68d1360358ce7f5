import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { PostgresLogWatch } from "../../../../connectors/sources/postgres/log-watch.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { startCluster, type Cluster } from "../../../../deploy/demo/cluster.ts";
import { ExtractError } from "../../../../proto/error.ts";
import { test } from "../../../fixtures/postgres.ts";
import { findPrograms } from "../../../services/postgres.ts";

const SLOT = "millrace_watched";
const names = { slot: SLOT, publication: SLOT };
const MEBIBYTE = 1024 * 1024;

/** A server that forgets its log by itself: no other test may have that. */
let cluster: Cluster;
let client: pg.Client;

beforeAll(async () => {
  const { binFolder } = findPrograms(null);
  cluster = await startCluster({
    binFolder,
    dataFolder: mkdtempSync(join(tmpdir(), "millrace-watch-")),
    temporary: true,
    settings: [
      ...["fsync=off", "wal_level=logical", "autovacuum=off"],
      ...["max_slot_wal_keep_size=4MB", "min_wal_size=32MB"],
    ],
  });
  client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await cluster.stop();
});

/** So much more of the log, none of it anybody's. */
async function write(mebibytes: number): Promise<void> {
  for (let i = 0; i < mebibytes * 8; i++)
    await client.query(
      // a commit: what is not is written some time later
      `SELECT pg_logical_emit_message(true, 'millrace', repeat('x', ${MEBIBYTE / 8}))`,
    );
}

async function useSlot(work: (watch: PostgresLogWatch) => Promise<void>) {
  await client.query(
    `SELECT pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`,
  );
  const watch = new PostgresLogWatch(parseSourceUrl(cluster.url, {}), names);
  try {
    await work(watch);
  } finally {
    await watch.close();
    await client.query(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
    );
  }
}

const refusal = (watch: PostgresLogWatch) =>
  watch.measure().then(
    () => null,
    (error: unknown) => (error as ExtractError).code,
  );

describe("the log that a server keeps for a slot", () => {
  test("is measured from the oldest place that it may not forget", async () =>
    useSlot(async (watch) => {
      const before = await watch.measure();
      await write(2);
      const after = await watch.measure();
      const grown = (after.retainedBytes ?? 0) - (before.retainedBytes ?? 0);
      expect(grown).toBeGreaterThanOrEqual(2 * MEBIBYTE);
      expect(grown).toBeLessThan(3 * MEBIBYTE);
      expect(after.lagBytes).toBeGreaterThanOrEqual(2 * MEBIBYTE);
      expect(after.limitBytes).toBe(4 * MEBIBYTE);
    }));

  test("is gone when the server has forgotten it beyond its own limit", async () =>
    useSlot(async (watch) => {
      await write(40);
      await client.query("CHECKPOINT");
      expect(await refusal(watch)).toBe("SOURCE_POSITION_EXPIRED");
    }));

  test("is gone with its slot, and with one that somebody makes for another plugin", async () =>
    useSlot(async (watch) => {
      expect(await refusal(watch)).toBeNull();
      await watch.drop();
      expect(await refusal(watch)).toBe("SOURCE_POSITION_EXPIRED");
      await client.query(
        `SELECT pg_create_logical_replication_slot('${SLOT}', 'test_decoding')`,
      );
      expect(await refusal(watch)).toBe("SOURCE_POSITION_EXPIRED");
    }));

  test("is asked for over another connection when the first one is lost", async () =>
    useSlot(async (watch) => {
      await watch.measure();
      await client.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
      );
      expect(await refusal(watch).catch(() => "lost")).not.toBe(
        "SOURCE_POSITION_EXPIRED",
      );
      expect(await refusal(watch)).toBeNull();
    }));
});
