/** A daemon under whose ledger the disk becomes full: it says so, loses nothing, and goes on when there is room. */
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { signal, waitFor } from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test } from "./support/fixtures.ts";

const ROWS = 20_000;

/** Writes until nothing fits any more. */
function fill(folder: string): string {
  const file = join(folder, "filler");
  const block = Buffer.alloc(4096);
  for (;;)
    try {
      writeFileSync(file, block, { flag: "a" });
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
      return file;
    }
}

test("a full disk under the ledger is named, refuses what it cannot keep, and costs no row and no run", async ({
  database,
  destination,
  skip,
}) => {
  const folder = join(destination.root, ".millrace");
  const mount = (...args: string[]) => spawnSync("mount", args).status === 0;
  spawnSync("mkdir", ["-p", folder]);
  if (!mount("-t", "tmpfs", "-o", "size=3m", "millrace-test", folder))
    return skip("mounting is not permitted here");
  try {
    await database.query("CREATE TABLE t (id int PRIMARY KEY, a text)");
    await database.query(
      `INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, ${ROWS}) n`,
    );
    writeConfig(destination, {
      daemon: {
        listen: "127.0.0.1:0",
        retry: { attempts: 100, backoffMin: "200ms", backoffMax: "500ms" },
      },
      syncs: {
        shop: {
          source: { kind: "postgres", url: database.url },
          destination: { kind: "file", path: "shop" },
          partitionBy: "key",
          checkpointEvery: "50ms",
        },
      },
    });
    const started = startDaemon(destination);
    await started.ready();
    const recorded = await started.trigger("shop");
    const filler = fill(folder);
    // the log of SQLite has some room left inside; what does not fit any more is refused by name
    const refused = await waitFor("a trigger that is refused", async () => {
      const answer = await started.call("POST", "/syncs/shop/runs", {});
      return answer.status === 202 ? null : answer;
    });
    expect(refused.status).toBe(507);
    expect(refused.body.error.code).toBe("LEDGER_DISK_FULL");
    expect(refused.body.error.message).toContain(
      "no space left for the ledger",
    );
    await waitFor("the daemon's own words", () =>
      started.running.stderr().includes("no space left for the ledger"),
    );
    expect(started.running.isOver()).toBe(false);
    const waiting = await started.call("GET", "/queue?limit=1000");
    expect(waiting.status).toBe(200);
    rmSync(filler);
    const ids = waiting.body.queue.map(
      ({ queueId }: { queueId: string }) => queueId,
    );
    expect(ids).toContain(recorded);
    await waitFor("the end of all that was recorded", async () => {
      const { body } = await started.call("GET", "/queue?limit=1000");
      return body.queue.every(
        ({ state }: { state: string }) => state === "succeeded",
      );
    });
    const after = await started.call("GET", "/queue?limit=1000");
    expect(
      after.body.queue.map(({ queueId }: { queueId: string }) => queueId),
    ).toEqual(ids);
    const last = started.summaries("shop").at(-1);
    expect(last).toMatchObject({ state: "succeeded" });
    expect(last?.streams[0]?.rows).toBe(ROWS);
    expect((await started.call("GET", "/syncs/shop")).status).toBe(200);
    signal(started.running.pid, "SIGTERM");
    const { code, stderr } = await started.running.ended;
    expect(code, stderr).toBe(0);
  } finally {
    spawnSync("umount", ["-l", folder]);
  }
});
