import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { AfterRuns } from "../../../daemon/after-run/after-runs.ts";
import type { AfterRunHook } from "../../../daemon/after-run/config.ts";
import type { RunSummary } from "../../../daemon/request.ts";
import type { DaemonEvent, SyncView } from "../../../daemon/service/types.ts";

type News = DaemonEvent extends infer E
  ? E extends DaemonEvent
    ? Omit<E, "sequence" | "at">
    : never
  : never;

/** A ledger with one run, and a hook that writes a line for each call. */
function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "millrace-hooks-"));
  const ledger = Ledger.open(join(folder, "ledger.sqlite"), { create: true });
  onTestFinished(() => {
    ledger.close();
    rmSync(folder, { recursive: true });
  });
  ledger.upsertSync({ id: "s1", name: "shop", source: "a", destination: "b" });
  const { runId, epoch } = ledger.beginRun({
    syncId: "s1",
    mode: "full-refresh-overwrite",
    requestJson: "{}",
    pid: process.pid,
    pidStartTime: null,
    runDir: folder,
  });
  ledger.finishRun(runId, epoch, "succeeded", null);
  const calls = join(folder, "calls");
  const listeners = new Set<(event: DaemonEvent) => void>();
  const begin = (command?: readonly string[]) => {
    const hook: AfterRunHook = {
      target: {
        kind: "command",
        command: command ?? ["sh", "-c", `cat >> ${calls}`],
      },
      on: "success",
      timeoutMs: 10_000,
      folder,
    };
    return new AfterRuns({
      service: {
        listSyncs: () => [{ name: "shop", syncId: "s1" } as SyncView],
        subscribe: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      ledger,
      hookOf: () => hook,
      cover: (text) => text.replaceAll("secret", "***"),
      onEnded: () => {},
    });
  };
  const tell = (news: News): void => {
    for (const listener of listeners)
      listener({ sequence: 1, at: 0, ...news } as DaemonEvent);
  };
  const summary: RunSummary = {
    runId,
    epoch,
    state: "succeeded",
    exitCode: 0,
    streams: [],
    elapsedMs: 5,
    error: null,
    snapshots: 1,
  };
  const finish = (): void => {
    const about = { queueId: "q-1", sync: "shop" };
    tell({
      type: "run.event",
      runId,
      ...about,
      event: { type: "run.finished", summary },
    });
    tell({ type: "queue.changed", ...about, state: "succeeded" });
  };
  const kinds = () =>
    ledger
      .eventsOf(runId)
      .map(({ kind }) => kind)
      .filter((kind) => kind.startsWith("hook."));
  const called = (): string[] => readFileSync(calls, "utf8").trim().split("\n");
  return { ledger, runId, begin, tell, finish, kinds, called };
}

test("a hook is called when its run is over, and the timeline shows both", async () => {
  const { runId, begin, finish, kinds, called } = setUp();
  const hooks = begin();
  finish();
  await hooks.close();
  expect(called().map((line) => JSON.parse(line) as object)).toMatchObject([
    { sync: "shop", runId, state: "succeeded" },
  ]);
  expect(kinds()).toEqual(["hook.due", "hook.ended"]);
});

test("a run that is tried again later is nobody's end", async () => {
  const { begin, tell, kinds } = setUp();
  const hooks = begin();
  tell({
    type: "queue.changed",
    queueId: "q-1",
    sync: "shop",
    state: "queued",
  });
  tell({
    type: "queue.changed",
    queueId: "q-1",
    sync: "shop",
    state: "paused",
  });
  await hooks.close();
  expect(kinds()).toEqual([]);
});

test("a hook that was due when the daemon died is called by the next one, once", async () => {
  const { begin, finish, kinds, called } = setUp();
  const dying = begin(["sleep", "60"]);
  finish();
  await vi.waitFor(() => expect(kinds()).toEqual(["hook.due"]));
  await dying.close(true);
  expect(kinds()).toEqual(["hook.due"]);
  await begin().close();
  await begin().close();
  expect(called()).toHaveLength(1);
  expect(kinds()).toEqual(["hook.due", "hook.ended"]);
});

test("what a hook answers is kept without secrets", async () => {
  const { ledger, runId, begin, finish } = setUp();
  const hooks = begin(["sh", "-c", "echo the secret; exit 1"]);
  finish();
  await hooks.close();
  const ended = ledger
    .eventsOf(runId)
    .find(({ kind }) => kind === "hook.ended");
  expect(JSON.parse(ended?.detailsJson ?? "")).toMatchObject({
    succeeded: false,
    result: "exit code 1",
    answer: "the ***\n",
  });
});
