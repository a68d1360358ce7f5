/**
 * `npm run bench -- cdc`: changes from the log of Postgres and of MySQL to Parquet, start to exit, with events as the
 * engine's JSON and as its batches, beside the same engine with the same settings whose events are thrown away inside of
 * Java before they become either. In the same rounds.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  openEngine,
  provideEnginePrograms,
  type EnginePrograms,
} from "../../connectors/sources/debezium/engine/engine.ts";
import type { EngineFormat } from "../../connectors/sources/debezium/engine/protocol.ts";
import { repositoryRoot } from "../arrows.ts";
import { queryDuckDb } from "../connectors/formats/duckdb.ts";
import {
  figures,
  ROWS_PER_CHANGE,
  startMysqlLog,
  startPostgresLog,
  TABLE,
  type LogServer,
} from "./cdc-servers.ts";
import { buildWithMaps, millraceCommand } from "./contenders.ts";
import {
  addProfile,
  createLocator,
  createShares,
  type CpuProfile,
  type Owners,
} from "./cpu-profile.ts";
import { measureCommand, type Measurement } from "./measure.ts";
import { readServersCpuSeconds, type MemorySample } from "./process-tree.ts";
import { describeMachine, findMedian, writeResults } from "./report.ts";

const CHANGES_DEFAULT = 1_000_000;
const CHANGES_QUICK = 100_000;
/** Of ten transactions: six insert, three update, one deletes. */
const CYCLE = ["insert", "insert", "update", "insert", "insert", "update", "insert", "update", "insert", "delete"] as const; // prettier-ignore
/** End to end, of the rate of the discarding engine; and CPU of all that is not Debezium, of Debezium's. */
const RATE_LEAST = 0.8;
const CPU_SHARE_MAX = 0.25;
/** The second half may hold this much more than the first; the JVM fills its heap at its leisure. */
const GROWTH_MAX = 0.25;
const SAMPLE_INTERVAL_US = 500;

/** What is to be reached is asked of the first, which is what people get. */
const formats: readonly EngineFormat[] = ["batches", "json"];
const DECODING = "decoding";

const owners: Owners = [
  [DECODING, /\/connectors\/(json|sources\/debezium\/events)\//],
  ["the engine's messages", /\/connectors\/sources\/debezium\/engine\//],
  ["batches", /\/connectors\/(channels|sources)\//],
  ["Parquet", /\/connectors\/(formats|destinations)\//],
  ["transport", /\/(transport|proto)\//],
  [
    "machines, ledger, the rest of ours",
    /\/(actors|checkpoint|daemon|partitioning)\//,
  ],
];

/** One of the two, in one round. */
interface Rate {
  readonly seconds: number;
  readonly jvmCpu: number;
  /** Of everything else that was started. */
  readonly otherCpu: number;
  readonly serverCpu: number;
  readonly othersShare: number | null;
}

interface Sync {
  readonly folder: string;
  readonly command: readonly string[];
}

export interface CdcOptions {
  readonly quick: boolean;
  readonly roundCount: number;
  readonly changes: number | null;
  readonly kinds: readonly ("postgres" | "mysql")[];
}

/** A ledger and a folder of its own; the first run copies the empty table, and its log begins there. */
async function prepareSync(server: LogServer): Promise<Sync> {
  const parent = join(repositoryRoot, ".cache", "bench");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "out-"));
  const command = millraceCommand(
    ...["sync", server.url, folder, "--table", TABLE],
    ...["--mode", "cdc"],
  );
  const { exitCode, output } = await run({ folder, command }, server);
  if (exitCode !== 0) throw new Error(`the first run failed: ${output}`);
  return { folder, command };
}

function run(
  { folder, command }: Sync,
  server: LogServer,
  env: Readonly<Record<string, string>> = {},
): Promise<Measurement> {
  return measureCommand({
    ...{ command, env, cwd: folder },
    serverPids: [server.pid],
    outputFolder: folder,
  });
}

const isJava = (command: string): boolean => /(^|\/)java /.test(command);

/** @throws Error where the files do not hold what the server does: such a run has no speed */
async function measureSync(
  sync: Sync,
  server: LogServer,
  expected: Expected,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly rate: Rate; readonly memory: readonly MemorySample[] }> {
  const measured = await run(sync, server, env);
  if (measured.exitCode !== 0)
    throw new Error(`the sync failed: ${measured.output}`);
  await checkFiles(sync.folder, server, expected);
  const jvmCpu = measured.processes
    .filter(({ command }) => isJava(command))
    .reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  return {
    rate: {
      seconds: measured.wallSeconds,
      jvmCpu,
      otherCpu: measured.clientCpuSeconds - jvmCpu,
      serverCpu: measured.serverCpuSeconds,
      othersShare: measured.othersShare,
    },
    memory: measured.memory,
  };
}

async function measureDiscarding(
  followed: Awaited<ReturnType<LogServer["follow"]>>,
  server: LogServer,
  changes: number,
  programs: EnginePrograms,
): Promise<Rate & { readonly settings: string }> {
  const serverBefore = readServersCpuSeconds([server.pid]);
  const startedAt = performance.now();
  const engine = openEngine(
    { ...followed, history: [], discard: true },
    programs,
  );
  const pid = engine.pid ?? 0;
  let jvmCpu = 0;
  let settings = "";
  for await (const messages of engine.messages()) {
    // not before it is Java
    settings ||= describeEngine(pid, followed.properties);
    const isDone = messages.some(
      (one) => one.type === "commit" && one.number >= changes,
    );
    if (!isDone) continue;
    jvmCpu = readServersCpuSeconds([pid]);
    break;
  }
  return {
    seconds: (performance.now() - startedAt) / 1_000,
    jvmCpu,
    otherCpu: 0,
    serverCpu: readServersCpuSeconds([server.pid]) - serverBefore,
    othersShare: null,
    settings,
  };
}

interface Expected {
  readonly counts: Readonly<Record<string, number>>;
  readonly table: readonly string[];
}

async function checkFiles(
  folder: string,
  { namespace }: LogServer,
  { counts, table }: Expected,
): Promise<void> {
  const files = `read_parquet('${join(folder, namespace, TABLE)}/**/*.parquet', union_by_name = true)`;
  const found = await queryDuckDb(
    `SELECT "_op", CAST(count(*) AS VARCHAR), CAST(count(DISTINCT "_position") AS VARCHAR) FROM ${files} GROUP BY 1 ORDER BY 1`,
  );
  const wanted = Object.entries(counts)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([op, count]) => [op, String(count), String(count)]);
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(
      `the files have ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`,
    );
  const [row] = await queryDuckDb(
    `SELECT ${figures.map((figure) => `CAST(${figure.replace("length(reference)", "length(CAST(reference AS VARCHAR))")} AS VARCHAR)`).join(", ")}
     FROM (SELECT * FROM ${files} QUALIFY row_number() OVER (PARTITION BY id ORDER BY "_position" DESC) = 1) WHERE NOT "_deleted"`,
  );
  if (JSON.stringify(row) !== JSON.stringify(table))
    throw new Error(
      `the log makes a table of ${JSON.stringify(row)}, and the server has ${JSON.stringify(table)}`,
    );
}

async function makeChanges(
  server: LogServer,
  changes: number,
): Promise<Expected> {
  const blocks = { insert: 0, update: 0, delete: 0 };
  for (let done = 0; done < changes / ROWS_PER_CHANGE; done += 1) {
    const kind = CYCLE[done % CYCLE.length] ?? "insert";
    await server.change(kind, blocks[kind]);
    blocks[kind] += 1;
  }
  return {
    counts: {
      c: blocks.insert * ROWS_PER_CHANGE,
      d: blocks.delete * ROWS_PER_CHANGE,
      u: blocks.update * ROWS_PER_CHANGE,
    },
    table: await server.measure(),
  };
}

/** Shares of the samples of all Node processes, by whose work they were. */
function readShares(folder: string): Readonly<Record<string, number>> {
  const shares = createShares();
  const locate = createLocator();
  for (const name of readdirSync(folder)) {
    const text = readFileSync(join(folder, name), "utf8");
    addProfile(shares, JSON.parse(text) as CpuProfile, locate, owners);
  }
  return Object.fromEntries(
    Object.entries(shares.busyByOwner)
      .map(([name, samples]) => [name, samples / shares.busy] as const)
      .toSorted(([, a], [, b]) => b - a),
  );
}

interface FormatResult {
  readonly whole: readonly Rate[];
  readonly shares: Readonly<Record<string, number>>;
  readonly memory: readonly MemorySample[];
}

interface Result {
  readonly origin: string;
  readonly changes: number;
  readonly discarding: readonly Rate[];
  readonly formats: Readonly<Record<EngineFormat, FormatResult>>;
  /** Flags of Java, and sizes of the engine's queue and batches. */
  readonly settings: string;
}

async function measureServer(
  server: LogServer,
  programs: EnginePrograms,
  changes: number,
  roundCount: number,
): Promise<Result> {
  const syncs: Record<EngineFormat, Sync[]> = { batches: [], json: [] };
  try {
    // one more of each is looked into
    for (const format of formats)
      for (let i = 0; i <= roundCount; i += 1)
        syncs[format].push(await prepareSync(server));
    const followed = await server.follow();
    const expected = await makeChanges(server, changes);
    const discarding: Rate[] = [];
    const whole: Record<EngineFormat, Rate[]> = { batches: [], json: [] };
    const memory: Record<EngineFormat, readonly MemorySample[]> = {
      batches: [],
      json: [],
    };
    let settings = "";
    for (let round = 0; round < roundCount; round += 1) {
      const discarded = await measureDiscarding(
        followed,
        server,
        changes,
        programs,
      );
      discarding.push(discarded);
      settings = discarded.settings;
      for (const format of formats) {
        const sync = takeNext(syncs[format], round);
        const measured = await measureSync(sync, server, expected, {
          MILLRACE_ENGINE_FORMAT: format,
        });
        whole[format].push(measured.rate);
        memory[format] = measured.memory;
        console.log(
          `  ${server.origin}: discarded in ${discarded.seconds.toFixed(1)} s, as ${format} to Parquet in ${measured.rate.seconds.toFixed(1)} s`,
        );
      }
    }
    const measured = async (format: EngineFormat): Promise<FormatResult> => ({
      whole: whole[format],
      memory: memory[format],
      shares: await profileSync(
        takeNext(syncs[format], roundCount),
        server,
        expected,
        format,
      ),
    });
    const { origin } = server;
    const batches = await measured("batches");
    const json = await measured("json");
    const results = { batches, json };
    return { origin, changes, discarding, formats: results, settings };
  } finally {
    for (const { folder } of [...syncs.batches, ...syncs.json])
      rmSync(folder, { recursive: true, force: true });
  }
}

function takeNext(syncs: readonly Sync[], index: number): Sync {
  const sync = syncs[index];
  if (!sync) throw new Error("no sync is left");
  return sync;
}

/** One more sync, under V8's profiler: the shares of its samples. */
async function profileSync(
  sync: Sync,
  server: LogServer,
  expected: Expected,
  format: EngineFormat,
): Promise<Readonly<Record<string, number>>> {
  const profiles = mkdtempSync(join(tmpdir(), "millrace-profile-"));
  try {
    await measureSync(sync, server, expected, {
      MILLRACE_ENGINE_FORMAT: format,
      NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=${SAMPLE_INTERVAL_US} --cpu-prof-dir=${profiles}`,
    });
    return readShares(profiles);
  } finally {
    rmSync(profiles, { recursive: true, force: true });
  }
}

/** @returns whether what is to be reached was reached */
function print(result: Result): boolean {
  const { origin, changes, discarding, settings } = result;
  console.log(
    `\n${origin}, ${changes.toLocaleString("en")} changes of 12 columns; counts and sums agreed`,
  );
  console.log(`  ${settings}`);
  console.log(describeRates("thrown away inside of Java", changes, discarding));
  for (const format of formats) printFormat(format, result);
  const { whole, memory } = result.formats.batches;
  const middle = memory.length >> 1;
  const heldBy = (samples: readonly MemorySample[]): number =>
    findMedian(samples.map(({ residentMb }) => residentMb));
  const growth =
    heldBy(memory.slice(middle)) / heldBy(memory.slice(middle >> 1, middle)) -
    1;
  const step = Math.max(1, Math.ceil(memory.length / 12));
  console.log(
    `  memory of all processes, MB: ${memory
      .filter((_, i) => i % step === 0)
      .map(({ residentMb }) => residentMb.toFixed(0))
      .join(" ")} (one each ${step} s)`,
  );
  const seconds = ({ seconds: taken }: Rate): number => taken;
  return [
    judge(
      "rate, of the discarding engine's",
      medianOf(discarding, seconds) / medianOf(whole, seconds),
      "at least",
      RATE_LEAST,
    ),
    judge(
      "CPU of all but Debezium, of Debezium's",
      medianOf(whole, otherCpuOf) / medianOf(whole, jvmCpuOf),
      "at most",
      CPU_SHARE_MAX,
    ),
    // too short to say where there are few
    memory.length < 8 ||
      judge(
        "growth of memory, second half over the quarter before",
        growth,
        "at most",
        GROWTH_MAX,
      ),
  ].every((reached) => reached);
}

const jvmCpuOf = ({ jvmCpu }: Rate): number => jvmCpu;
const otherCpuOf = ({ otherCpu }: Rate): number => otherCpu;

function medianOf(
  rates: readonly Rate[],
  pick: (rate: Rate) => number,
): number {
  return findMedian(rates.map(pick));
}

function describeRates(
  name: string,
  changes: number,
  rates: readonly Rate[],
): string {
  const seconds = medianOf(rates, ({ seconds: taken }) => taken);
  const speed = Math.round(changes / seconds).toLocaleString("en");
  const server = medianOf(rates, ({ serverCpu }) => serverCpu).toFixed(1);
  return `  ${name.padEnd(28)} ${speed.padStart(9)} events/s  ${seconds.toFixed(2).padStart(7)} s  CPU: Debezium ${medianOf(rates, jvmCpuOf).toFixed(1)} s, rest ${medianOf(rates, otherCpuOf).toFixed(1)} s, server ${server} s`;
}

function printFormat(
  format: EngineFormat,
  { changes, formats: results }: Result,
): void {
  const { whole, shares } = results[format];
  const jvm = medianOf(whole, jvmCpuOf);
  const rest = medianOf(whole, otherCpuOf);
  const decoding = (shares[DECODING] ?? 0) * rest;
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  console.log(describeRates(`as ${format} to Parquet`, changes, whole));
  console.log(
    `    of its CPU: Debezium ${percent(jvm / (jvm + rest))}, decoding ${percent(decoding / (jvm + rest))}, the rest ${percent((rest - decoding) / (jvm + rest))}; all but Debezium ${(rest / jvm).toFixed(2)} of Debezium's`,
  );
  console.log(
    `    outside of Debezium: ${Object.entries(shares)
      .map(([name, share]) => `${name} ${percent(share)}`)
      .join(", ")}`,
  );
}

function judge(
  name: string,
  value: number,
  word: "at least" | "at most",
  limit: number,
): boolean {
  const reached = word === "at least" ? value >= limit : value <= limit;
  console.log(
    `  ${reached ? "reached" : "MISSED "}  ${name} = ${value.toFixed(2)} (${word} ${limit})`,
  );
  return reached;
}

/** What the engine is told that matters for its speed. */
function describeEngine(
  pid: number,
  properties: Readonly<Record<string, string>>,
): string {
  const flags = readFileSync(`/proc/${pid}/cmdline`, "utf8")
    .split("\0")
    .filter((flag) => flag.startsWith("-X"))
    // a path
    .map((flag) => flag.replace(/=\/.*/, "=…"));
  const sizes = ["max.batch.size", "max.queue.size", "max.queue.size.in.bytes", "poll.interval.ms"]; // prettier-ignore
  return `Java: ${flags.join(" ")}; ${sizes.map((name) => `${name}=${properties[name]}`).join(", ")}`;
}

/** @returns whether ours did what it should, and as fast as it should */
export async function compareCdc(options: CdcOptions): Promise<boolean> {
  const changes =
    options.changes ?? (options.quick ? CHANGES_QUICK : CHANGES_DEFAULT);
  buildWithMaps();
  const programs = await provideEnginePrograms();
  const results: Result[] = [];
  let reached = true;
  for (const kind of options.kinds) {
    const server = await (kind === "postgres"
      ? startPostgresLog()
      : startMysqlLog());
    try {
      const result = await measureServer(
        server,
        programs,
        changes,
        options.roundCount,
      );
      results.push(result);
      reached = print(result) && reached;
    } finally {
      await server.stop();
    }
  }
  console.log(describeMachine());
  console.log(`every figure: ${writeResults("cdc", results)}`);
  return reached || options.quick;
}
