import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { openEngine } from "../../../../../connectors/sources/debezium/engine/engine.ts";
import { debeziumProperties } from "../../../../../connectors/sources/debezium/engine/properties.ts";
import { BatchEvent } from "../../../../../connectors/sources/debezium/events/batch-event.ts";
import { expect, test } from "../../../../fixtures/debezium.ts";

const parent = fileURLToPath(new URL("parent-main.ts", import.meta.url));
const ROWS = 60_000;
const HEAP_BYTES = 160 * 1024 * 1024;

/** Resident memory in bytes, as the kernel counts it. */
function readMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

test.skipIf(process.platform !== "linux")(
  "nobody takes the events: the engine waits, in bounded memory, and later gives all of them",
  async ({ pg, engines: _ends, skip }) => {
    const { programs, reason } = inject("debezium");
    if (programs === null) return skip(reason);
    await pg.query("CREATE TABLE a (id bigint PRIMARY KEY, note text)");
    const offset = await pg.prepare("a");
    const engine = openEngine(
      {
        properties: debeziumProperties(pg.log),
        offset,
        history: [],
        heapBytesMax: HEAP_BYTES,
      },
      programs,
    );
    try {
      const messages = engine.messages();
      const started = await messages.next();
      expect(started.value?.[0]).toMatchObject({ type: "started" });
      // a hundred megabytes, of which neither the heap nor the pipe could hold half
      await pg.query(
        `INSERT INTO a SELECT id, repeat(md5(id::text), 50) FROM generate_series(1, ${ROWS}) AS id`,
      );
      let before = -1;
      await expect
        .poll(
          () => {
            const now = readMemory(engine.pid!);
            const isSettled = Math.abs(now - before) < 1024 * 1024;
            before = now;
            return isSettled;
          },
          { interval: 3_000, timeout: 120_000 },
        )
        .toBe(true);
      // the heap's ceiling, and what a JVM has beside it
      expect(readMemory(engine.pid!)).toBeLessThan(2.5 * HEAP_BYTES);
      let events = 0;
      for await (const some of messages) {
        for (const one of some) {
          if (one.type !== "events") continue;
          const event = new BatchEvent().begin(one.run);
          while (event.next()) events += 1;
        }
        if (some.some(({ type }) => type === "commit")) break;
      }
      expect(events).toBe(ROWS);
    } finally {
      await engine.kill();
    }
  },
);

test("a change beyond its bound ends the engine by name", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY, note text)");
  const offset = await pg.prepare("a");
  const run = engines.open(pg.log, { offset, changeBytesMax: 100_000 });
  await pg.query("INSERT INTO a VALUES (1, repeat('x', 200000))");
  expect(await run.ended).toMatchObject({ code: "SOURCE_ROW_TOO_LARGE" });
});

test("drained while it is behind it leaves in good order, and its slot is free", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const offset = await pg.prepare("a");
  const run = engines.open(pg.log, { offset });
  await run.untilReady();
  await pg.query("INSERT INTO a SELECT generate_series(1, 20000)");
  await run.engine.drain();
  expect(await run.ended).toBeNull();
  expect(run.messages.at(-1)).toEqual({ type: "stopped" });
  await expect
    .poll(
      async () => {
        const [row] = await pg.query<{ active: boolean }>(
          "SELECT active FROM pg_replication_slots WHERE database = current_database()",
        );
        return row?.active;
      },
      { timeout: 30_000 },
    )
    .toBe(false);
});

test.skipIf(process.platform !== "linux")(
  "it ends with the process that started it, even by SIGKILL",
  async ({ pg, engines: _ends, skip }) => {
    const { programs, reason } = inject("debezium");
    if (programs === null) return skip(reason);
    await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
    const settings = {
      properties: debeziumProperties(pg.log),
      offset: await pg.prepare("a"),
      history: [],
    };
    const child = spawn(process.execPath, [parent], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.end(JSON.stringify({ settings, programs }));
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    expect(() => process.kill(pid, 0)).not.toThrow();
    child.kill("SIGKILL");
    await expect
      .poll(
        () => {
          try {
            // a process that nobody waits for is gone, too
            return /^State:\s+(\w)/m.exec(
              readFileSync(`/proc/${pid}/status`, "utf8"),
            )?.[1];
          } catch {
            return "gone";
          }
        },
        { timeout: 60_000 },
      )
      .toMatch(/gone|Z/);
  },
);

test("passwords and rows are in no argument and no environment of its process", async ({
  pg,
  engines,
}) => {
  await pg.query("CREATE TABLE a (id bigint PRIMARY KEY)");
  const offset = await pg.prepare("a");
  const address = { ...pg.log.address, password: "a-secret-of-this-test" };
  const run = engines.open({ ...pg.log, address }, { offset });
  await run.untilReady();
  for (const name of ["cmdline", "environ"])
    expect(
      readFileSync(`/proc/${run.engine.pid}/${name}`, "utf8"),
    ).not.toContain("a-secret-of-this-test");
});
