/** Runs with connectors that are not ours, stopped: nothing of them stays, and the next run goes on. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { RunEvent } from "../../daemon/request.ts";
import { pythonDestination, readKept } from "./support/airbyte.ts";
import {
  signal,
  waitFor,
  type Destination,
  type Running,
} from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test } from "./support/fixtures.ts";
import {
  all,
  countDurable,
  readIds,
  ROWS,
  writeSync,
} from "./support/foreign.ts";

/** What reads and writes: a keeper may stay for a moment, for the next run. */
function listWorkers(destination: Destination): { role: string }[] {
  return destination.listAlive().filter(({ role }) => role !== "keeper");
}

/** It ends by the signal's exit code, and leaves nobody at work. */
async function expectInterrupted(
  destination: Destination,
  running: Running,
): Promise<void> {
  const { code, summary } = await running.ended;
  expect(code).toBe(130);
  expect(summary?.state).toBe("interrupted");
  expect(listWorkers(destination)).toEqual([]);
}

describe("a run that is stopped", () => {
  /** Resolves once some of it is durable, with all its processes. */
  async function begin(
    destination: Destination,
    file: string,
  ): Promise<Running> {
    const running = destination.start("sync", "-f", file);
    await waitFor("rows that are durable", () => countDurable(running) > 0);
    // a connector beside the source and the destination
    expect(listWorkers(destination).length).toBeGreaterThan(2);
    return running;
  }

  test.for([
    { name: "SIGINT", architecture: "stdio" },
    { name: "SIGTERM", architecture: "socket" },
  ] as const)(
    "by $name ends its source over $architecture behind a state, and goes on there",
    async ({ name, architecture }, { destination }) => {
      const file = writeSync(
        destination,
        { pause_ms: 4 },
        { source: { architecture } },
      );
      const running = await begin(destination, file);
      signal(running.pid, name);
      await expectInterrupted(destination, running);
      const { code: after } = await destination.run("sync", "-f", file);
      expect(after).toBe(0);
      expect(readIds(destination.root, "users")).toEqual(all);
      expect(readIds(destination.root, "orders")).toEqual(all);
    },
  );

  test("lets a connector that writes give its last states back", async ({
    destination,
  }) => {
    const { root } = destination;
    const file = writeSync(
      destination,
      { pause_ms: 4, namespace: "shop" },
      {
        sync: {
          destination: {
            command: ["python3", pythonDestination],
            config: { path: root },
          },
          format: undefined,
          ledger: destination.ledgerPath,
        },
      },
    );
    const running = await begin(destination, file);
    signal(running.pid, "SIGTERM");
    const { code, summary } = await running.ended;
    expect(summary?.error).toBeNull();
    expect(code).toBe(130);
    expect(listWorkers(destination)).toEqual([]);
    const { code: after } = await destination.run("sync", "-f", file);
    expect(after).toBe(0);
    for (const stream of ["shop.users", "shop.orders"]) {
      const kept = readKept(root, stream);
      expect(kept).toHaveLength(ROWS);
      expect(new Set(kept).size).toBe(ROWS);
    }
  });

  test("does not wait without end for a connector that writes", async ({
    destination,
  }) => {
    const { root, ledgerPath } = destination;
    const file = writeSync(
      destination,
      { pause_ms: 4, namespace: "shop" },
      {
        sync: {
          destination: {
            // it has read all, and stays
            command: [
              ...["bash", "-c", `python3 "$0" "$@"; sleep 600`],
              pythonDestination,
            ],
            config: { path: root },
            stateDeadline: 0.5,
          },
          format: undefined,
          ledger: ledgerPath,
        },
      },
    );
    const running = await begin(destination, file);
    signal(running.pid, "SIGTERM");
    const { code, summary } = await running.ended;
    expect(summary?.state).toBe("interrupted");
    expect(code).toBe(130);
    expect(listWorkers(destination)).toEqual([]);
  });

  test("a second time ends connectors at once that have nothing more to say", async ({
    destination,
  }) => {
    const once = `${destination.root}.once`;
    const file = writeSync(destination, {
      pause_ms: 4,
      fault: "silence",
      fault_at: 105,
      fault_once: once,
    });
    const running = await begin(destination, file);
    await waitFor("its silence", () => existsSync(once));
    signal(running.pid, "SIGINT");
    await waitFor("the first note", () =>
      running.stderr().includes("press again"),
    );
    // what comes at once is taken for the same press
    await sleep(150);
    signal(running.pid, "SIGINT");
    await expectInterrupted(destination, running);
    const { code: after } = await destination.run("sync", "-f", file);
    expect(after).toBe(0);
    expect(readIds(destination.root, "users")).toEqual(all);
  });

  test("by an order to its daemon", async ({ destination }) => {
    const { syncs } = JSON.parse(
      readFileSync(writeSync(destination, { pause_ms: 4 }), "utf8"),
    ) as { syncs: object };
    writeConfig(destination, { daemon: { listen: "127.0.0.1:0" }, syncs });
    const daemon = startDaemon(destination);
    const { running, call, trigger, summaries, events } = daemon;
    const told = (what: RunEvent["type"], queueId: string) =>
      events.some(
        (event) =>
          event.type === "run.event" &&
          event.queueId === queueId &&
          event.event.type === what,
      );
    // before its source has a channel, and in the middle
    for (const [index, what] of (
      ["stream.planned", "stream.progress"] as const
    ).entries()) {
      const queueId = await trigger("things");
      await waitFor("the moment", () => told(what, queueId));
      const { status } = await call("POST", `/runs/${queueId}/cancel`);
      expect(status).toBe(202);
      await waitFor("its end", () => summaries("things").length > index);
      expect(summaries("things")[index]?.state).toBe("interrupted");
      expect(listWorkers(destination)).toEqual([]);
    }
    await trigger("things");
    await waitFor("the last run", () => summaries("things").length === 3);
    expect(summaries("things")[2]?.state).toBe("succeeded");
    expect(readIds(destination.root, "users")).toEqual(all);
    signal(running.pid, "SIGTERM");
    expect((await running.ended).code).toBe(0);
  });
});
