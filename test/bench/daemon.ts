/**
 * A daemon under load: thousands of small runs at once on few connections, and none of them lost. What is measured is
 * seen from outside: the API, /metrics, /proc, the server's sessions, the ledger and the files. See `README.md`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Cluster } from "../../deploy/demo/cluster.ts";
import { databaseUrl, ensureDatabase } from "../../deploy/demo/database.ts";
import { toolEnv } from "../arrows.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import { millraceCommand } from "./contenders.ts";
import { findMedian, writeResults } from "./report.ts";

interface Load {
  readonly syncs: number;
  readonly runs: number;
  /** Held at once. */
  readonly held: number;
}

const full: Load = { syncs: 2_000, runs: 10_000, held: 2_000 };
const quick: Load = { syncs: 100, runs: 300, held: 100 };

const TABLES = 50;
/** The server's own limit, less what is kept for superusers and this benchmark. */
const CONNECTIONS_MAX = 90;
const IDLE_ROUNDS = 21;
const CALLERS = 4;
const SAMPLE_MS = 500;
const SCRAPE_MS = 5_000;
const STOP_MS_MAX = 120_000;
const MB = 1_000_000;
const TICKS_PER_SECOND = 100;

const goals = { memoryMb: 2_000, firstRowMs: 300, apiP99Ms: 50 };

const rowsOf = (table: number): number => 20 + table;

async function ensureSmallTables(adminUrl: string): Promise<string> {
  const name = "bench_daemon";
  await ensureDatabase(
    { adminUrl, name, version: `2-${TABLES}`, anew: false },
    async (client: pg.Client) => {
      for (let table = 0; table < TABLES; table += 1)
        await client.query(
          `CREATE TABLE t${table} AS SELECT g AS id, 'name ' || g AS name, (g * 0.5)::float8 AS amount
             FROM generate_series(1, ${rowsOf(table)}) g;
           ALTER TABLE t${table} ADD PRIMARY KEY (id)`,
        );
      await client.query("VACUUM (FREEZE, ANALYZE)");
    },
  );
  return databaseUrl(adminUrl, name);
}

function writeConfig(folder: string, url: string, load: Load): string {
  const { held } = load;
  const syncs = Array.from({ length: load.syncs }, (_, i) => [
    `s${i}`,
    {
      source: { kind: "postgres", url },
      destination: { kind: "file", path: join(folder, "out", `s${i}`) },
      tables: [`t${i % TABLES}`],
    },
  ]);
  const file = join(folder, "millrace.yaml");
  const daemon = {
    listen: "127.0.0.1:0",
    concurrency: { runs: held, perSource: held, perDestination: held },
    connections: { perSource: CONNECTIONS_MAX },
    inline: { firstRuns: true },
  };
  // JSON is YAML
  writeFileSync(
    file,
    JSON.stringify({ daemon, syncs: Object.fromEntries(syncs) }),
  );
  return file;
}

interface DaemonNews {
  readonly type: string;
  readonly url?: string;
  readonly queueId?: string;
  readonly event?: { readonly type: string; readonly rowsRead?: number };
}

/** The daemon as people start it, with its events as they come. */
class LoadedDaemon {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #listeners = new Set<(news: DaemonNews) => void>();
  readonly #ended: Promise<unknown>;
  #stderr = "";
  #url = "";
  #token = "";

  constructor(folder: string, file: string) {
    this.#folder = folder;
    const [program = "", ...args] = millraceCommand(
      ...["daemon", "-f", file, "--json"],
    );
    this.#child = spawn(program, args, {
      env: toolEnv,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#ended = once(this.#child, "exit");
    let rest = "";
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        for (const listener of this.#listeners)
          listener(JSON.parse(line) as DaemonNews);
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-10_000);
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Until `find` gives something. */
  hear<T>(find: (news: DaemonNews) => T | null): Promise<T> {
    return new Promise((resolve, reject) => {
      const listener = (news: DaemonNews): void => {
        const found = find(news);
        if (found === null) return;
        this.#listeners.delete(listener);
        resolve(found);
      };
      this.#listeners.add(listener);
      void this.#ended.then(() =>
        reject(new Error(`the daemon has ended: ${this.#stderr}`)),
      );
    });
  }

  async ready(): Promise<void> {
    this.#url = await this.hear(({ type, url }) =>
      type === "daemon.ready" ? (url ?? null) : null,
    );
    const file = join(this.#folder, ".millrace/daemon.json");
    this.#token = (
      JSON.parse(readFileSync(file, "utf8")) as { token: string }
    ).token;
  }

  /** The body, and how long it took in milliseconds. */
  async call(
    method: "GET" | "POST",
    path: string,
  ): Promise<{ body: string; ms: number }> {
    const began = performance.now();
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(method === "POST" ? { "content-type": "application/json" } : {}),
      },
      ...(method === "POST" ? { body: "{}" } : {}),
    });
    const body = await response.text();
    const ms = performance.now() - began;
    if (!response.ok) throw new Error(`${path}: ${response.status} ${body}`);
    return { body, ms };
  }

  async trigger(sync: string): Promise<{ queueId: string; ms: number }> {
    const { body, ms } = await this.call("POST", `/api/v1/syncs/${sync}/runs`);
    return { queueId: (JSON.parse(body) as { queueId: string }).queueId, ms };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS_MAX);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** From the trigger to the first event that tells of a row, one run after the other. Milliseconds. */
async function measureFirstRow(daemon: LoadedDaemon): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < IDLE_ROUNDS; round += 1) {
    const began = performance.now();
    let queueId: string | null = null;
    const early = new Map<string, number>();
    const first = Promise.withResolvers<number>();
    const ended = daemon.hear((news) => {
      const { event } = news;
      const id = news.queueId ?? "";
      const hasRow = (event?.rowsRead ?? 0) > 0;
      if (event?.type === "stream.finished" || hasRow) {
        if (!early.has(id)) early.set(id, performance.now() - began);
        if (id === queueId) first.resolve(early.get(id) ?? 0);
      }
      return event?.type === "run.finished" && id === queueId ? id : null;
    });
    ({ queueId } = await daemon.trigger("s1"));
    const known = early.get(queueId);
    if (known !== undefined) first.resolve(known);
    const ms = await first.promise;
    await ended;
    // the first one finds the threads still loading
    if (round > 0) times.push(ms);
    await sleep(50);
  }
  return findMedian(times);
}

/**
 * A server beside the daemon that has nothing to do: how long it takes to answer is what the machine costs any caller
 * while it is busy.
 */
async function startIdle(): Promise<{
  readonly url: string;
  readonly stop: () => void;
}> {
  const script = `require("node:http").createServer((_, answer) => answer.end("{}")).listen(0, "127.0.0.1",
    function () { console.log(this.address().port) })`;
  const child = spawn(process.execPath, ["-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [port] = (await once(child.stdout, "data")) as [Buffer];
  const url = `http://127.0.0.1:${port.toString().trim()}/`;
  return { url, stop: () => child.kill() };
}

/** Of the daemon's main thread, in seconds. @see proc_pid_stat(5) */
function readLoopCpu(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function readResidentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024) / MB;
}

function countChildren(pid: number): number {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter((word) => word.trim() !== "").length;
}

const percentile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[
    Math.min(values.length - 1, Math.floor(values.length * part))
  ] ?? NaN;

function readGauge(metrics: string, name: string): number {
  const line = metrics
    .split("\n")
    .find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  return Number(line?.slice(line.lastIndexOf(" ") + 1) ?? NaN);
}

interface Seen {
  held: number;
  memoryMb: number;
  sessions: number;
  children: number;
  loopDelayMs: number;
  readonly apiMs: number[];
  readonly idleMs: number[];
  readonly scrapeMs: number[];
  metrics: string;
}

/** Looks at the daemon until `isOver`. */
async function watch(
  daemon: LoadedDaemon,
  {
    ledger,
    admin,
    idle,
  }: { ledger: DatabaseSync; admin: pg.Client; idle: string },
  isOver: () => boolean,
): Promise<Seen> {
  const seen: Seen = {
    ...{ held: 0, memoryMb: 0, sessions: 0, children: 0, loopDelayMs: 0 },
    ...{ apiMs: [], idleMs: [], scrapeMs: [], metrics: "" },
  };
  const running = ledger.prepare(
    "SELECT count(*) AS runs FROM runs WHERE state = 'running'",
  );
  const paths = ["/api/v1/syncs/s1", "/api/v1/runs?limit=20", "/health/ready"];
  let scrapedAt = 0;
  while (!isOver()) {
    seen.held = Math.max(seen.held, Number(running.get()?.["runs"] ?? 0));
    seen.memoryMb = Math.max(seen.memoryMb, readResidentMb(daemon.pid));
    seen.children = Math.max(seen.children, countChildren(daemon.pid));
    const { rows } = await admin.query<{ count: string }>(
      "SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench_daemon'",
    );
    seen.sessions = Math.max(seen.sessions, Number(rows[0]?.count ?? 0));
    for (const path of paths)
      seen.apiMs.push((await daemon.call("GET", path)).ms);
    const asked = performance.now();
    await (await fetch(idle)).text();
    seen.idleMs.push(performance.now() - asked);
    if (performance.now() - scrapedAt > SCRAPE_MS) {
      scrapedAt = performance.now();
      const { body, ms } = await daemon.call("GET", "/metrics");
      seen.metrics = body;
      seen.scrapeMs.push(ms);
      const delay = readGauge(
        body,
        'millrace_event_loop_delay_seconds{quantile="0.99"}',
      );
      seen.loopDelayMs = Math.max(seen.loopDelayMs, delay * 1000);
    }
    await sleep(SAMPLE_MS);
  }
  return seen;
}

/** Gives what is wrong; nothing when every entry is one run that succeeded, and every file holds its table. */
async function findLosses(
  folder: string,
  ledger: DatabaseSync,
  load: Load,
  queued: readonly string[],
): Promise<string[]> {
  const losses: string[] = [];
  const entries = new Map(
    ledger
      .prepare("SELECT number, state, run FROM queue")
      .all()
      .map((row) => [`q-${String(row["number"])}`, row]),
  );
  const runs = new Map(
    ledger
      .prepare("SELECT id, state FROM runs")
      .all()
      .map((row) => [row["id"], row["state"]]),
  );
  const used = new Set<unknown>();
  for (const queueId of queued) {
    const entry = entries.get(queueId);
    const run = entry?.["run"];
    const isDone =
      entry?.["state"] === "succeeded" && runs.get(run ?? null) === "succeeded";
    if (!isDone) losses.push(`${queueId} is ${String(entry?.["state"])}`);
    if (used.has(run)) losses.push(`run ${String(run)} serves two entries`);
    used.add(run);
  }
  if (runs.size !== entries.size)
    losses.push(`${entries.size} entries, ${runs.size} runs`);
  const found = await queryDuckDb(
    `SELECT regexp_extract(filename, '/out/(s[0-9]+)/', 1), count(*)::int, count(DISTINCT id)::int, sum(amount)::double
     FROM read_parquet('${folder}/out/**/*.parquet', filename = true) GROUP BY 1`,
  );
  const sums = new Map(found.map(([sync, ...values]) => [sync, values]));
  for (let i = 0; i < load.syncs; i += 1) {
    const rows = rowsOf(i % TABLES);
    const expected = [rows, rows, (rows * (rows + 1)) / 4];
    const values = sums.get(`s${i}`);
    if (JSON.stringify(values) !== JSON.stringify(expected))
      losses.push(`s${i} holds ${String(values)}, not ${String(expected)}`);
  }
  return losses;
}

/** @returns whether nothing was lost and the goals are reached */
export async function measureDaemon(
  server: Cluster,
  isQuick: boolean,
): Promise<boolean> {
  const load = isQuick ? quick : full;
  const url = await ensureSmallTables(server.url);
  const folder = mkdtempSync(join(tmpdir(), "millrace-daemon-"));
  const daemon = new LoadedDaemon(folder, writeConfig(folder, url, load));
  const admin = new pg.Client({ connectionString: server.url });
  const idle = await startIdle();
  let ledger: DatabaseSync | null = null;
  try {
    await admin.connect();
    await daemon.ready();
    ledger = new DatabaseSync(join(folder, ".millrace/ledger.sqlite"), {
      readOnly: true,
      timeout: 10_000,
    });
    const idleMb = readResidentMb(daemon.pid);
    const firstRowMs = await measureFirstRow(daemon);
    const open = ledger.prepare(
      "SELECT count(*) AS entries FROM queue WHERE state IN ('queued', 'taken')",
    );
    let isTriggered = false;
    const cpuBefore = readLoopCpu(daemon.pid);
    const began = performance.now();
    const watching = watch(
      daemon,
      { ledger, admin, idle: idle.url },
      () => isTriggered && open.get()?.["entries"] === 0,
    );
    const queued: string[] = [];
    const triggerMs: number[] = [];
    let next = 0;
    const callers = Array.from({ length: CALLERS }, async () => {
      while (next < load.runs) {
        const { queueId, ms } = await daemon.trigger(`s${next++ % load.syncs}`);
        queued.push(queueId);
        triggerMs.push(ms);
      }
    });
    await Promise.race([Promise.all(callers), watching]);
    const triggeredS = (performance.now() - began) / 1000;
    isTriggered = true;
    const seen = await watching;
    const seconds = (performance.now() - began) / 1000;
    const loopCpuMs =
      ((readLoopCpu(daemon.pid) - cpuBefore) * 1000) / queued.length;
    const { body: metrics } = await daemon.call("GET", "/metrics");
    await daemon.stop();
    const losses = await findLosses(folder, ledger, load, queued);
    const apiP99Ms = percentile(seen.apiMs, 0.99);
    const entered = readGauge(metrics, "millrace_inline_entered_total");
    const waited = readGauge(metrics, "millrace_inline_wait_seconds_total");
    const lines = [
      `trigger to first row   ${firstRowMs.toFixed(0)} ms at the median of ${IDLE_ROUNDS - 1}, idle daemon of ${idleMb.toFixed(0)} MB`,
      `runs                   ${queued.length} over ${load.syncs} syncs, queued in ${triggeredS.toFixed(1)} s, done in ${seconds.toFixed(1)} s (${(queued.length / seconds).toFixed(1)} a second)`,
      `at once                ${seen.held} runs, ${seen.sessions} server connections of ${CONNECTIONS_MAX}, ${seen.children} child processes`,
      `permits                ${entered} given, waited ${(waited / entered).toFixed(2)} s at the mean, ${readGauge(metrics, "millrace_inline_wait_seconds_max").toFixed(1)} s at most`,
      `memory                 ${seen.memoryMb.toFixed(0)} MB at most, threads and all`,
      `loop delay             ${seen.loopDelayMs.toFixed(0)} ms at the 99th percentile of the worst ${SCRAPE_MS / 1000} s`,
      `loop's CPU             ${loopCpuMs.toFixed(1)} ms a run`,
      `an idle server beside  ${findMedian(seen.idleMs).toFixed(1)} ms at the median, ${percentile(seen.idleMs, 0.99).toFixed(1)} ms at the 99th percentile of ${seen.idleMs.length} calls`,
      `API                    ${findMedian(seen.apiMs).toFixed(1)} ms at the median, ${apiP99Ms.toFixed(1)} ms at the 99th percentile of ${seen.apiMs.length} calls`,
      `triggers               ${findMedian(triggerMs).toFixed(1)} ms at the median, ${percentile(triggerMs, 0.99).toFixed(1)} ms at the 99th percentile`,
      `/metrics               ${Math.max(...seen.scrapeMs).toFixed(0)} ms at most`,
      `lost                   ${losses.length === 0 ? "none" : losses.slice(0, 5).join("; ")}`,
      `load of the machine    ${loadavg()[0]?.toFixed(1)}`,
    ];
    for (const line of lines) console.log(line);
    const figures = {
      ...{ load, firstRowMs, seconds, apiP99Ms, loopCpuMs },
      ...{ losses, entered },
    };
    console.log(
      `every figure: ${writeResults("daemon", [{ ...figures, ...seen, metrics: "" }])}`,
    );
    const isReached =
      seen.memoryMb < goals.memoryMb &&
      firstRowMs < goals.firstRowMs &&
      apiP99Ms < goals.apiP99Ms &&
      seen.held >= load.held * 0.95;
    if (!isReached) console.log(`goals: ${JSON.stringify(goals)}`);
    return losses.length === 0 && (isReached || isQuick);
  } finally {
    await daemon.stop();
    idle.stop();
    ledger?.close();
    await admin.end();
    rmSync(folder, { recursive: true, force: true });
  }
}
