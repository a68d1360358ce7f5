/** Small runs in the daemon's threads, from a server of each kind into each kind of destination, by one daemon. */
import { expect, onTestFinished, test } from "vitest";
import { Destination, signal, waitFor } from "../e2e/support/command.ts";
import { startDaemon, writeConfig } from "../e2e/support/daemon.ts";
import { parquet } from "./destinations/files.ts";
import { postgresTables } from "./destinations/postgres.ts";
import { s3 } from "./destinations/s3.ts";
import { Unavailable } from "./drivers.ts";
import type { Row, Table } from "./model.ts";
import { mysql } from "./sources/mysql.ts";
import { sqlServer } from "./sources/sqlserver.ts";
import { createTable, insertRows } from "./tables.ts";

const ROWS = 700;
const table: Table = {
  name: "people",
  columns: [
    { name: "id", kind: "int32", required: true },
    { name: "name", kind: "text" },
    { name: "changed", kind: "timestamp" },
  ],
  primaryKey: ["id"],
};
const rows: readonly Row[] = Array.from({ length: ROWS }, (_, id) => [
  String(id),
  id % 7 === 0 ? null : `näme ${id}`,
  `2024-02-29T12:00:00.${String(id).padStart(6, "0")}`,
]);

const sources = [
  { kind: "mysql", driver: mysql },
  { kind: "mssql", driver: sqlServer },
] as const;
const targets = [parquet, s3, postgresTables];

const sorted = (found: readonly Row[]): string[] =>
  found.map((row) => JSON.stringify(row)).toSorted();

/** As the YAML file has it. */
function describeTarget(target: string): object {
  if (target.startsWith("s3:")) {
    const url = new URL(target);
    const options = Object.fromEntries(url.searchParams);
    url.search = "";
    return { kind: "s3", url: url.href, ...options, pathStyle: true };
  }
  return target.startsWith("postgres")
    ? { kind: "postgres", url: target }
    : { kind: "file", path: target };
}

test("no process is started, and each destination holds each source's rows", async ({
  skip,
}) => {
  const open = async <T extends { close(): Promise<void> }>(
    opening: Promise<T>,
  ): Promise<T> => {
    const opened = await opening;
    onTestFinished(() => opened.close());
    return opened;
  };
  try {
    const ways = [];
    for (const { kind, driver } of sources) {
      const source = await open(driver.open(false));
      await createTable({ driver, source }, table);
      await insertRows({ driver, source }, table, rows);
      for (const target of targets) {
        const destination = await open(target.open());
        const name = `${kind}-into-${target.name.replace(" ", "-")}`;
        ways.push({ name, kind, source, destination });
      }
    }
    const home = new Destination(
      Object.assign({}, ...ways.map(({ destination }) => destination.env)),
    );
    onTestFinished(() => home.dispose());
    writeConfig(home, {
      daemon: { listen: "127.0.0.1:0", inline: { firstRuns: true } },
      syncs: Object.fromEntries(
        ways.map(({ name, kind, source, destination }) => [
          name,
          {
            source: { kind, url: source.url },
            destination: describeTarget(destination.target),
          },
        ]),
      ),
    });
    const daemon = startDaemon(home);
    // the second run finds what the first has left: tables, objects, generations
    for (const count of [1, 2]) {
      for (const { name } of ways) await daemon.trigger(name);
      for (const { name } of ways)
        await waitFor(
          `run ${count} of ${name}`,
          () => daemon.summaries(name).length === count,
        );
    }
    for (const { name, source, destination } of ways) {
      const summary = daemon.summaries(name).at(-1);
      expect(summary, name).toMatchObject({ state: "succeeded" });
      const found: Row[] = [];
      const folder = summary?.streams[0]?.folder ?? "";
      const place = { namespace: source.namespace, name: table.name, folder };
      await destination.read(place, table.columns, (row) => {
        found.push(row);
      });
      expect(sorted(found), name).toEqual(sorted(rows));
    }
    const withProcesses = home.look((ledger) =>
      ledger
        .listRuns({ limit: 100 })
        .filter(({ runId }) => ledger.processesOf(runId).length > 0),
    );
    expect(withProcesses).toEqual([]);
    signal(daemon.running.pid, "SIGTERM");
    const { code, stderr } = await daemon.running.ended;
    expect(code, stderr).toBe(0);
  } catch (error) {
    if (error instanceof Unavailable) return skip(error.message);
    throw error;
  }
});
