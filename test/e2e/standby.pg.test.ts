/** A hot standby as the source. */
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startReplicated, type Replicated } from "../services/standby.ts";
import { Destination, signal, waitFor } from "./support/command.ts";
import { expectComplete } from "./support/outcome.ts";
import { createShapes, type Shape } from "./support/shapes.ts";
import { digestTable, type Digest } from "./support/tables.ts";

let servers: Replicated | undefined;
const clients: pg.Client[] = [];
const wanted = new Map<Shape, Digest>();

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // the server ends before the client does, if a test fails
  await client.connect();
  clients.push(client);
  return client;
}

let primary: pg.Client;
let standby: pg.Client;

async function query<Row>(sql: string): Promise<Row[]> {
  const result = (await primary.query(sql)) as unknown as
    | pg.QueryResult
    | pg.QueryResult[];
  const last = Array.isArray(result) ? result.at(-1) : result;
  return (last?.rows ?? []) as Row[];
}

/** Until the standby has all that the primary has written so far. */
async function catchUp(): Promise<void> {
  const [now] = await query<{ lsn: string }>(
    "SELECT pg_current_wal_lsn()::text AS lsn",
  );
  await waitFor("the standby to catch up", async () => {
    const { rows } = await standby.query<{ there: boolean }>(
      "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there",
      [now?.lsn],
    );
    return rows[0]?.there ?? false;
  });
}

beforeAll(async () => {
  // readers give way at once to what the primary has removed
  servers = await startReplicated(["max_standby_streaming_delay=0"]);
  primary = await connect(servers.primary.url);
  standby = await connect(servers.standby.url);
  const { rows } = await primary.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int / 10000 AS version",
  );
  const serverVersion = rows[0]?.version ?? 0;
  for (const shape of await createShapes({ query, serverVersion }))
    wanted.set(shape, await digestTable(query, shape));
  await catchUp();
});

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => {});
  await servers?.stop();
});

function listArguments(destination: Destination): string[] {
  return [
    ...["sync", servers?.standby.url ?? "", destination.root],
    ...["--partition-size", "256KiB", "--checkpoint-every", "50ms"],
    ...["--readers", "2", "--channels", "2"],
  ];
}

test("all tables arrive as they are on the primary", async () => {
  const destination = new Destination();
  try {
    const run = await destination.run(...listArguments(destination));
    expect(run.code, run.stderr).toBe(0);
    expect(run.summary?.snapshots).toBe(1);
    await expectComplete(destination, wanted, "standby");
  } finally {
    await destination.dispose();
  }
});

test("a conflict with recovery costs a snapshot, and the run goes on with the next", async () => {
  const destination = new Destination();
  const countConflicts = async (): Promise<number> => {
    const { rows } = await standby.query<{ n: number }>(
      "SELECT confl_snapshot::int AS n FROM pg_stat_database_conflicts WHERE datname = current_database()",
    );
    return rows[0]?.n ?? 0;
  };
  const before = await countConflicts();
  try {
    const run = destination.start(...listArguments(destination));
    await waitFor("the first durable rows", () =>
      destination.look((ledger) => {
        const [recorded] = ledger.listRuns({ limit: 1 });
        return (
          recorded !== undefined && ledger.durableOf(recorded.runId).length > 0
        );
      }),
    );
    // so that the run cannot end before the conflict comes
    const held = run.find("destination");
    expect(held).not.toBeNull();
    signal(held ?? 0, "SIGSTOP");
    await query("UPDATE accounts SET name = name");
    await query("VACUUM accounts");
    await waitFor(
      "the conflict",
      async () => (await countConflicts()) > before,
    );
    signal(held ?? 0, "SIGCONT");
    const { code, stderr, summary } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(summary?.snapshots).toBe(2);
    await expectComplete(destination, wanted, "after a conflict");
  } finally {
    await destination.dispose();
  }
});
