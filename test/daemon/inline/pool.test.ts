/** Runs in the threads of the pool, and what becomes of them when a thread dies. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { buildRequest } from "../../../daemon/config-request.ts";
import { loadMillraceConfig } from "../../../daemon/config.ts";
import { InlinePool, type Seat } from "../../../daemon/inline/pool.ts";
import type { Placement } from "../../../daemon/placement.ts";
import type { RunEvent, SyncRequest } from "../../../daemon/request.ts";
import { startRun } from "../../../daemon/sync.ts";

function openPool(threads: number): InlinePool {
  const pool = new InlinePool({ threads });
  onTestFinished(() => pool.close());
  return pool;
}

/** Rows that nobody has to serve: 10,000 a second. */
function request(name: string, rows: number): SyncRequest {
  const root = mkdtempSync(join(tmpdir(), "millrace-pool-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const file = join(root, "millrace.yaml");
  const source = {
    kind: "generator",
    url: `generator:?rows=${rows}&rate=10000&batch=200`,
  };
  const destination = { kind: "file", path: name };
  const more = { channels: 1, readers: 1, checkpointEvery: "100ms" };
  writeFileSync(
    file,
    JSON.stringify({ syncs: { [name]: { source, destination, ...more } } }),
  );
  const settings = loadMillraceConfig(file).syncs.get(name);
  expect(settings).toBeDefined();
  return buildRequest(settings!);
}

function sitOn(seat: Seat): Placement {
  return {
    spawn: (role, listener) => seat.spawn(role, listener),
    enter: async () => {},
    leave: () => {},
  };
}

/** What nobody catches: an order whose settings are missing. */
async function breakThread(seat: Seat): Promise<string> {
  const ended = Promise.withResolvers<string>();
  const child = seat.spawn("source", {
    onFact: () => {},
    onProtocolMessage: () => {},
    onExit: ended.resolve,
  });
  child.send({ type: "source.open" });
  return ended.promise;
}

test(
  "several runs share a thread, and leave nothing in it",
  { timeout: 30_000 },
  async () => {
    const pool = openPool(1);
    const runs = ["a", "b", "c"].map((name) => {
      const seat = pool.place();
      const run = startRun(request(name, 1_000), () => {}, {
        placement: sitOn(seat),
      });
      return { run, seat };
    });
    for (const { run, seat } of runs) {
      const summary = await run.done;
      expect(summary).toMatchObject({ state: "succeeded", epoch: 1 });
      expect(summary.streams).toMatchObject([{ rows: 1_000 }]);
      await seat.empty();
    }
  },
);

test(
  "a thread that dies takes the runs in it along by name, and each goes on in another thread",
  { timeout: 30_000 },
  async () => {
    const pool = openPool(1);
    const seats = [pool.place(), pool.place()];
    const atWork = Promise.withResolvers<void>();
    let working = 0;
    const runs = seats.map((seat, i) => {
      const events: RunEvent[] = [];
      let isAtWork = false;
      const run = startRun(
        request(`r${i}`, 6_000),
        (event) => {
          events.push(event);
          if (isAtWork || event.type !== "stream.progress") return;
          if (event.rowsDurable === 0) return;
          isAtWork = true;
          working += 1;
          if (working === seats.length) atWork.resolve();
        },
        { placement: sitOn(seat) },
      );
      return { run, events };
    });
    await atWork.promise;
    expect(await breakThread(pool.place())).toMatch(
      /^the thread that it shared ended: .*undefined/,
    );
    for (const { run, events } of runs) {
      const summary = await run.done;
      expect(summary).toMatchObject({ state: "succeeded", epoch: 2 });
      expect(summary.streams).toMatchObject([{ rows: 6_000 }]);
      expect(summary.streams[0]?.rowsKept).toBeGreaterThan(0);
      const warnings = events.flatMap((event) =>
        event.type === "warning" ? [event.message] : [],
      );
      expect(warnings.join("\n")).toMatch(
        /the thread that it shared ended.*attempt 2 begins/,
      );
    }
  },
);

test(
  "one that is told to end is gone, and its thread lives on",
  { timeout: 30_000 },
  async () => {
    const pool = openPool(1);
    const seat = pool.place();
    const fact = Promise.withResolvers<{ type: string }>();
    const ended = Promise.withResolvers<string>();
    const child = seat.spawn("keeper", {
      onFact: fact.resolve,
      onProtocolMessage: () => {},
      onExit: ended.resolve,
    });
    child.send({ type: "ping", id: 7 } as { type: string });
    expect(await fact.promise).toEqual({ type: "pong", id: 7 });
    await child.end();
    expect(await ended.promise).toBe("exit code 1");
    await seat.empty();
    const summary = await startRun(request("after", 200), () => {}, {
      placement: sitOn(pool.place()),
    }).done;
    expect(summary).toMatchObject({ state: "succeeded", epoch: 1 });
  },
);
