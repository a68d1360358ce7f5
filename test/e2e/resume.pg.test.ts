/** What a second call finds and does after a first one was killed, stopped, or is still at work. */
import { expect } from "vitest";
import { processStartTime } from "../../checkpoint/store/process-identity.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import {
  signal,
  waitFor,
  type Destination,
  type Running,
} from "./support/command.ts";
import { test as base } from "./support/fixtures.ts";
import { expectComplete } from "./support/outcome.ts";
import {
  accounts,
  createTables,
  digestTable,
  lines,
  regions,
  visits,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const test = base.extend<{
  $file: { digests: ReadonlyMap<TableSpec, Digest> };
}>({
  digests: [
    async ({ database }, use) => {
      await createTables(database.query);
      const digests = new Map<TableSpec, Digest>();
      for (const table of [accounts, lines, visits, regions])
        digests.set(table, await digestTable(database.query, table));
      await use(digests);
    },
    { scope: "file" },
  ],
});

const options = [
  ...["--partition-by", "key", "--checkpoint-every", "50ms"],
  ...["--readers", "1", "--channels", "1"],
];

function startSync(
  destination: Destination,
  url: string,
  tables: readonly TableSpec[],
  ...more: readonly string[]
): Running {
  const chosen = tables.flatMap(({ name }) => ["--table", name]);
  return destination.start(
    "sync",
    url,
    destination.root,
    ...chosen,
    ...options,
    ...more,
  );
}

function listDurable(destination: Destination): readonly DurableReport[] {
  return (
    destination.look((ledger) => {
      const [run] = ledger.listRuns({ limit: 1 });
      return run ? ledger.durableOf(run.runId) : [];
    }) ?? []
  );
}

/** Waits until a partition is cut in the middle and what is behind the cut is still to come. */
async function waitForCut(destination: Destination): Promise<void> {
  await waitFor("a partition that is cut", () => {
    const last = listDurable(destination).at(-1);
    return last !== undefined && !last.last && last.position !== null;
  });
}

async function killBookkeeper(run: Running): Promise<void> {
  expect(signal(run.pid, "SIGKILL")).toBe(true);
  await run.ended;
}

function only(
  digests: ReadonlyMap<TableSpec, Digest>,
  ...tables: readonly TableSpec[]
): Map<TableSpec, Digest> {
  return new Map([...digests].filter(([table]) => tables.includes(table)));
}

function findStarted(run: Running) {
  const started = run.events.find(({ type }) => type === "run.started");
  if (started?.type !== "run.started") throw new Error("the run did not start");
  return started;
}

test("a resume right after the bookkeeper's death takes its snapshot over", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [visits]);
  await waitForCut(destination);
  signal(first.pid, "SIGKILL");
  // not a moment is left to the children: the next one has to wait for them itself
  const second = destination.start("resume", destination.root);
  const { code, summary, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  expect(findStarted(second).resumed).toMatchObject({ snapshotKept: true });
  expect(summary?.snapshots).toBe(1);
  expect(summary?.streams[0]?.rowsKept).toBeGreaterThan(0);
  await expectComplete(destination, only(digests, visits), "after a resume");
});

test("a process of a dead attempt that cannot end by itself is ended before a file is touched", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [accounts]);
  await waitForCut(destination);
  const stopped = first.find("destination") ?? -1;
  expect(signal(stopped, "SIGSTOP")).toBe(true);
  await killBookkeeper(first);
  const second = destination.start("resume", destination.root);
  await waitFor("the next attempt", () =>
    second.events.some(({ type }) => type === "run.started"),
  );
  expect(processStartTime(stopped)).toBeNull();
  const { code, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  await expectComplete(destination, only(digests, accounts), "after a resume");
});

test("heap pages start over when their snapshot is lost", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [visits]);
  await waitForCut(destination);
  await killBookkeeper(first);
  signal(destination.findKeeper() ?? -1, "SIGKILL");
  const second = destination.start("resume", destination.root);
  const { code, summary, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  const { resumed } = findStarted(second);
  expect(resumed).toMatchObject({ snapshotKept: false, rowsKept: 0 });
  expect(resumed?.rowsToReadAgain).toBeGreaterThan(0);
  expect(summary?.snapshots).toBe(2);
  await expectComplete(destination, only(digests, visits), "two snapshots");
});

test("key ranges go on when their snapshot is lost", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [lines]);
  await waitForCut(destination);
  await killBookkeeper(first);
  const before = listDurable(destination).filter(
    ({ position }) => position !== null,
  );
  signal(destination.findKeeper() ?? -1, "SIGKILL");
  const second = destination.start("resume", destination.root);
  const { code, summary, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  const rows = before.reduce((sum, one) => sum + one.rows, 0);
  expect(findStarted(second).resumed?.rowsKept).toBeGreaterThanOrEqual(rows);
  expect(summary?.snapshots).toBe(2);
  await expectComplete(destination, only(digests, lines), "two snapshots");
});

test("a keeper that hangs when it is to be taken over is ended, and another takes its place", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(
    destination,
    database.url,
    [visits],
    ...["--probe-deadline", "1500ms"],
  );
  await waitForCut(destination);
  await killBookkeeper(first);
  const keeper = destination.findKeeper() ?? -1;
  expect(signal(keeper, "SIGSTOP")).toBe(true);
  const second = destination.start("resume", destination.root);
  const { code, summary, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  expect(processStartTime(keeper)).toBeNull();
  expect(summary?.snapshots).toBe(2);
  await expectComplete(destination, only(digests, visits), "another keeper");
});

test("a second run of the same sync is refused while the first is at work", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [accounts, lines]);
  await waitForCut(destination);
  const second = await startSync(destination, database.url, [accounts, lines])
    .ended;
  expect(second.code).toBe(1);
  expect(second.stderr).toContain("RUN_LOCKED");
  expect(second.stderr).toContain(String(first.pid));
  const { code, stderr } = await first.ended;
  expect(code, stderr).toBe(0);
  await expectComplete(
    destination,
    only(digests, accounts, lines),
    "the first",
  );
});

test("Ctrl-C stops at a checkpoint, and what was read is kept", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [accounts, visits]);
  await waitForCut(destination);
  signal(first.pid, "SIGINT");
  const { code, summary, stderr } = await first.ended;
  expect(code, stderr).toBe(130);
  expect(summary?.state).toBe("interrupted");
  expect(stderr).toContain("millrace resume");
  const kept = listDurable(destination).reduce((sum, one) => sum + one.rows, 0);
  const second = destination.start("resume", destination.root);
  const last = await second.ended;
  expect(last.code, last.stderr).toBe(0);
  expect(findStarted(second).resumed).toMatchObject({
    rowsKept: kept,
    rowsToReadAgain: 0,
    snapshotKept: true,
  });
  await expectComplete(destination, only(digests, accounts, visits), "resumed");
});

test("Ctrl-C twice ends at once, and the run can be resumed", async ({
  database,
  destination,
  digests,
}) => {
  const first = startSync(destination, database.url, [accounts, visits]);
  await waitForCut(destination);
  // the source can no longer drain: only the second signal ends this
  const source = first.find("source") ?? -1;
  signal(source, "SIGSTOP");
  signal(first.pid, "SIGINT");
  await waitFor("the first signal's note", () => first.events.length > 0);
  await new Promise((done) => setTimeout(done, 300));
  expect(first.isOver()).toBe(false);
  signal(first.pid, "SIGINT");
  const { code, stderr } = await first.ended;
  expect(code, stderr).toBe(130);
  expect(processStartTime(source)).toBeNull();
  const { code: last, stderr: said } = await destination.run(
    "resume",
    destination.root,
  );
  expect(last, said).toBe(0);
  await expectComplete(destination, only(digests, accounts, visits), "resumed");
});
