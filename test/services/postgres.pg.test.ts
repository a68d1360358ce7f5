import { once } from "node:events";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { existsSync } from "node:fs";
import pg from "pg";
import { vi } from "vitest";
import { describe, expect, test, withDatabase } from "../fixtures/postgres.ts";
import { startPostgres } from "./postgres.ts";

describe("the Postgres of the tests", () => {
  test("gives each test an empty database of its own", async ({ pg }) => {
    await pg.query("CREATE TABLE kept (a int); INSERT INTO kept VALUES (7)");
    expect(await pg.query("SELECT a FROM kept WHERE a = $1", [7])).toEqual([
      { a: 7 },
    ]);
    let other: unknown[] = [];
    await withDatabase(pg.adminUrl, async (second) => {
      other = await second.query("SELECT to_regclass('kept') AS kept");
    });
    expect(other).toEqual([{ kept: null }]);
  });

  test("drops the database even with a slot and a session left in it", async ({
    pg: own,
  }) => {
    let url = "";
    let left: pg.Client | null = null;
    await withDatabase(own.adminUrl, async (second) => {
      url = second.url;
      await second.query(
        "SELECT pg_create_logical_replication_slot('left_' || current_database(), 'pgoutput')",
      );
      left = new pg.Client({ connectionString: url });
      left.on("error", () => {});
      await left.connect();
    });
    const name = new URL(url).pathname.slice(1);
    expect(
      await own.query("SELECT FROM pg_database WHERE datname = $1", [name]),
    ).toEqual([]);
    expect(left).not.toBeNull();
  });

  test("runs other versions beside it and leaves nothing behind", async () => {
    const service = await startPostgres({ major: 18 });
    const client = new pg.Client({ connectionString: service.url });
    await client.connect();
    const { rows } = await client.query<{ folder: string; version: string }>(
      "SELECT current_setting('data_directory') AS folder, current_setting('server_version_num') AS version",
    );
    await client.end();
    await service.stop();
    expect(Number(rows[0]?.version)).toBeGreaterThanOrEqual(180_000);
    expect(existsSync(rows[0]?.folder ?? "/")).toBe(false);
  });
});

const lone = fileURLToPath(new URL("./lone-server.ts", import.meta.url));

test.skipIf(process.platform !== "linux")(
  "a server ends with the process that started it, even by SIGKILL",
  { timeout: 60_000 },
  async () => {
    const starter = spawn(process.execPath, [lone], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(starter.stdout, "data")) as [Buffer];
    const server = Number(line.toString());
    expect(() => process.kill(server, 0)).not.toThrow();
    starter.kill("SIGKILL");
    await vi.waitFor(() => expect(() => process.kill(server, 0)).toThrow(), {
      timeout: 30_000,
    });
  },
);
