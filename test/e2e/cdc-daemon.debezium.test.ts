/** A daemon that keeps a sync streaming: through kills, reloads, new columns and its own end. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { readManifest } from "../../connectors/destinations/file/manifest.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { signal, waitFor, type Destination } from "./support/command.ts";
import {
  startDaemon,
  writeConfig,
  type StartedDaemon,
} from "./support/daemon.ts";
import { expectSame, test } from "./support/log-fixtures.ts";
import {
  accounts,
  createLoggedTables,
  LogWorkload,
  visits,
} from "./support/log-workload.ts";

const SYNC = "shop";

function configOf(url: string, { root }: Destination, checkpointEvery: string) {
  return {
    daemon: { listen: "127.0.0.1:0" },
    syncs: {
      [SYNC]: {
        source: { kind: "postgres", url },
        destination: { kind: "file", path: join(root, "out") },
        mode: "continuous",
        checkpointEvery,
      },
    },
  };
}

/** Series of the logs' panels that the daemon does not have. */
async function findMissing(daemon: StartedDaemon, token: string) {
  const { url } = await daemon.ready();
  const answer = await fetch(`${url}/metrics`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await answer.text();
  const dashboard = JSON.parse(
    readFileSync(
      new URL("../../deploy/grafana/millrace.json", import.meta.url),
      "utf8",
    ),
  ) as {
    readonly panels: readonly {
      readonly title: string;
      readonly targets: readonly { readonly expr: string }[];
    }[];
  };
  const wanted = dashboard.panels
    .filter(({ title }) => title.startsWith("Log: "))
    .flatMap(({ targets }) => targets)
    .map(({ expr }) => /millrace_\w+/.exec(expr)?.[0] ?? expr);
  expect(wanted.length).toBeGreaterThan(8);
  return wanted.filter(
    (name) =>
      !new RegExp(`^${name}\\{[^}]*sync="${SYNC}"[^}]*\\} \\S`, "m").test(text),
  );
}

/** Whether readers of the files are shown it. */
async function hasRow(root: string, id: number): Promise<boolean> {
  const files =
    readManifest(join(root, "public", "visits"))?.generations.flatMap(
      (generation) => generation.files.map(({ path }) => join(root, path)),
    ) ?? [];
  if (files.length === 0) return false;
  const rows = await queryDuckDb(
    `SELECT id FROM read_parquet([${files.map((file) => `'${file}'`).join(", ")}], union_by_name = true) WHERE id = ${id}`,
  );
  return rows.length > 0;
}

describe("a daemon that keeps a sync streaming", () => {
  test("goes on through kills, reloads and new columns, and begins again where it has ended", async ({
    source,
    destination,
  }) => {
    await createLoggedTables(source, 200);
    writeConfig(destination, configOf(source.url, destination, "200ms"));
    const out = { root: join(destination.root, "out") };
    const arrives = async (id: number) => {
      await source.query(`INSERT INTO visits VALUES (${id}, '/marked')`);
      await waitFor(`row ${id} in the files`, async () => {
        await sleep(100);
        return hasRow(out.root, id);
      });
    };
    const first = startDaemon(destination);
    await arrives(-1);
    const { token } = JSON.parse(
      readFileSync(join(destination.root, ".millrace/daemon.json"), "utf8"),
    ) as { token: string };
    let missing: string[] = [];
    await waitFor("the series of the log", async () => {
      missing = await findMissing(first, token);
      return missing.length === 0;
    }).catch(() => expect(missing).toEqual([]));

    // a column that the run does not know ends it, and the next one is there at once
    const workload = await LogWorkload.start(source.url, 11);
    await workload.addColumn(source.query);
    await arrives(-2);
    await waitFor("the end of the run before", () =>
      first.summaries(SYNC).some(({ isCut }) => isCut === true),
    );

    writeConfig(destination, configOf(source.url, destination, "100ms"));
    signal(first.running.pid, "SIGHUP");
    await waitFor("the configuration to be read again", () =>
      first.events.some(({ type }) => type === "config.reloaded"),
    );
    await arrives(-3);

    // nothing of it can be said to anybody
    signal(first.running.pid, "SIGKILL");
    await first.running.ended;
    const second = startDaemon(destination);
    await arrives(-4);
    await workload.end();
    signal(second.running.pid, "SIGTERM");
    const drained = await second.running.ended;
    expect(drained.code, drained.stderr).toBe(0);
    // what was followed is committed, not left to be gone on with
    expect(second.summaries(SYNC).at(-1)?.state).toBe("succeeded");

    await source.query("DELETE FROM visits WHERE id = -1");
    const third = startDaemon(destination);
    await arrives(-5);
    signal(third.running.pid, "SIGTERM");
    expect((await third.running.ended).code).toBe(0);
    await expectSame(
      source,
      out,
      [accounts, workload.linesNow, visits],
      "daemon",
      true,
    );
  });
});
