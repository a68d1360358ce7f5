/** Processes that are alive and do nothing: named within the deadline, waited for below it. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import {
  readResidentKib,
  signal,
  waitFor,
  type Destination,
  type Running,
} from "./support/command.ts";
import { stallWorker } from "./support/inspector.ts";
import { test as base } from "./support/fixtures.ts";
import { expectComplete } from "./support/outcome.ts";
import {
  accounts,
  createTables,
  digestTable,
  lines,
  visits,
  type Digest,
  type TableSpec,
} from "./support/tables.ts";

const test = base.extend<{
  $file: { digests: ReadonlyMap<TableSpec, Digest> };
}>({
  digests: [
    async ({ database }, use) => {
      const tables = [accounts, lines, visits];
      await createTables(database.query, tables);
      const digests = new Map<TableSpec, Digest>();
      for (const table of tables)
        digests.set(table, await digestTable(database.query, table));
      await use(digests);
    },
    { scope: "file" },
  ],
});

const options = [
  ...["--partition-by", "key", "--checkpoint-every", "100ms"],
  ...["--readers", "1", "--channels", "1"],
];

/** Nobody waits for a keeper, so a run that it is to be missed in has to last: the server itself sleeps between rows. */
const lasting = [
  "--where",
  "pg_sleep(CASE WHEN (amount * 100)::int % 20 = 0 THEN 0.001 ELSE 0 END) IS NOT NULL",
];

function countRead(run: Running): number {
  const last = new Map<number, number>();
  for (const event of run.events)
    if (event.type === "stream.progress")
      last.set(event.stream.number, event.rowsRead);
  return [...last.values()].reduce((sum, rows) => sum + rows, 0);
}

async function startReading(
  destination: Destination,
  url: string,
  ...more: readonly string[]
): Promise<Running> {
  const run = destination.start(
    ...["sync", url, destination.root],
    ...options,
    ...more,
  );
  await waitFor("rows", () => countRead(run) > 0);
  return run;
}

describe("a process that is stopped", () => {
  test.for(["source", "destination", "keeper"] as const)(
    "%s: is named, the run ends as worth retrying, and a resume brings the rest",
    async (role, { database, destination, digests }) => {
      const run = await startReading(
        destination,
        database.url,
        ...["--probe-deadline", "1s", "--attempts", "1"],
        ...(role === "keeper" ? lasting : []),
      );
      expect(signal(run.find(role) ?? -1, "SIGSTOP")).toBe(true);
      const { code, summary, stderr } = await run.ended;
      expect(code, stderr).toBe(3);
      expect(summary?.error?.code).toBe("PEER_STALLED");
      expect(summary?.error?.message).toContain(role);
      const { code: last, stderr: said } = await destination.run(
        "resume",
        destination.root,
      );
      expect(last, said).toBe(0);
      await expectComplete(destination, digests, `${role} was stopped`);
    },
  );

  test.for(["source", "destination", "keeper"] as const)(
    "%s: a second attempt of the same call brings the rest",
    async (role, { database, destination, digests }) => {
      const run = await startReading(
        destination,
        database.url,
        ...["--probe-deadline", "1s"],
        ...(role === "keeper" ? lasting : []),
      );
      expect(signal(run.find(role) ?? -1, "SIGSTOP")).toBe(true);
      const { code, stderr, summary } = await run.ended;
      expect(code, stderr).toBe(0);
      expect(summary?.epoch).toBe(2);
      expect(
        run.events.some(
          (event) => event.type === "warning" && event.message.includes(role),
        ),
      ).toBe(true);
      await expectComplete(destination, digests, `${role} was stopped`);
    },
  );

  test("the bookkeeper itself: blames nobody when it goes on", async ({
    database,
    destination,
    digests,
  }) => {
    const run = await startReading(
      destination,
      database.url,
      ...["--probe-deadline", "1s"],
    );
    signal(run.pid, "SIGSTOP");
    await sleep(3_000);
    signal(run.pid, "SIGCONT");
    const { code, stderr, summary } = await run.ended;
    expect(code, stderr).toBe(0);
    expect(summary?.epoch).toBe(1);
    await expectComplete(destination, digests, "the bookkeeper was stopped");
  });
});

describe("a worker thread that hangs while its process answers", () => {
  test.for(["source", "destination"] as const)(
    "of the %s: is named, and the next attempt brings the rest",
    async (role, { database, destination, digests }) => {
      const run = await startReading(
        destination,
        database.url,
        ...["--probe-deadline", "1500ms"],
      );
      await stallWorker(run, role);
      const { code, stderr, summary } = await run.ended;
      expect(code, stderr).toBe(0);
      expect(summary?.epoch).toBeGreaterThan(1);
      const warnings = run.events.flatMap((event) =>
        event.type === "warning" ? [event.message] : [],
      );
      expect(warnings.join("\n")).toContain(role);
      await expectComplete(destination, digests, `a worker of ${role} hung`);
    },
  );
});

/** Beyond what is buffered at once: sockets, batches in flight, the reader's window. */
const GROWTH_KIB_MAX = 48 * 1024;

test("a destination that pauses stops the reader, and the source does not grow", async ({
  database,
  destination,
  digests,
}) => {
  const run = await startReading(
    destination,
    database.url,
    ...["--probe-deadline", "30s"],
  );
  const source = run.find("source") ?? -1;
  const stopped = run.find("destination") ?? -1;
  signal(stopped, "SIGSTOP");
  const before = readResidentKib(source);
  await sleep(1_000);
  const readEarly = countRead(run);
  let peak = 0;
  for (let i = 0; i < 20; i += 1) {
    peak = Math.max(peak, readResidentKib(source));
    await sleep(100);
  }
  expect(countRead(run)).toBe(readEarly);
  const total = [...digests.values()].reduce((sum, { rows }) => sum + rows, 0);
  expect(readEarly).toBeLessThan(total / 2);
  expect(peak - before).toBeLessThan(GROWTH_KIB_MAX);
  signal(stopped, "SIGCONT");
  const { code, stderr, summary } = await run.ended;
  expect(code, stderr).toBe(0);
  expect(summary?.epoch).toBe(1);
  await expectComplete(destination, digests, "the destination was paused");
});
