/**
 * `npm run bench -- cdc`: changes from the log of Postgres and of MySQL to Parquet, start to exit, beside the same engine
 * with the same settings whose events are thrown away inside of Java before they become JSON. In the same rounds.
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

const owners: Owners = [
  ["decoding JSON", /\/connectors\/(json|sources\/debezium\/events)\//],
  ["the engine's lines", /\/connectors\/sources\/debezium\/engine\//],
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

interface Result {
  readonly origin: string;
  readonly changes: number;
  readonly discarding: readonly Rate[];
  readonly whole: readonly Rate[];
  readonly shares: Readonly<Record<string, number>>;
  readonly memory: readonly MemorySample[];
  /** Flags of Java, and sizes of the engine's queue and batches. */
  readonly settings: string;
}

async function measureServer(
  server: LogServer,
  programs: EnginePrograms,
  changes: number,
  roundCount: number,
): Promise<Result> {
  const syncs: Sync[] = [];
  const profiles = mkdtempSync(join(tmpdir(), "millrace-profile-"));
  try {
    // one more is looked into
    for (let i = 0; i <= roundCount; i += 1)
      syncs.push(await prepareSync(server));
    const followed = await server.follow();
    const expected = await makeChanges(server, changes);
    const discarding: Rate[] = [];
    const whole: Rate[] = [];
    let memory: readonly MemorySample[] = [];
    let settings = "";
    for (const sync of syncs.slice(0, roundCount)) {
      const discarded = await measureDiscarding(
        followed,
        server,
        changes,
        programs,
      );
      discarding.push(discarded);
      settings = discarded.settings;
      const measured = await measureSync(sync, server, expected);
      whole.push(measured.rate);
      memory = measured.memory;
      console.log(
        `  ${server.origin}: discarded in ${discarding.at(-1)?.seconds.toFixed(1)} s, to Parquet in ${measured.rate.seconds.toFixed(1)} s`,
      );
    }
    const [looked] = syncs.slice(roundCount);
    if (!looked) throw new Error("no sync is left");
    await measureSync(looked, server, expected, {
      NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=${SAMPLE_INTERVAL_US} --cpu-prof-dir=${profiles}`,
    });
    const shares = readShares(profiles);
    const { origin } = server;
    return { origin, changes, discarding, whole, shares, memory, settings };
  } finally {
    for (const { folder } of syncs)
      rmSync(folder, { recursive: true, force: true });
    rmSync(profiles, { recursive: true, force: true });
  }
}

/** @returns whether what is to be reached was reached */
function print({
  origin,
  changes,
  discarding,
  whole,
  shares,
  memory,
  settings,
}: Result): boolean {
  const median = (rates: readonly Rate[], pick: (rate: Rate) => number) =>
    findMedian(rates.map(pick));
  const seconds = (rates: readonly Rate[]) =>
    median(rates, (rate) => rate.seconds);
  const line = (name: string, rates: readonly Rate[]): string =>
    `  ${name.padEnd(28)} ${Math.round(changes / seconds(rates))
      .toLocaleString("en")
      .padStart(
        9,
      )} events/s  ${seconds(rates).toFixed(2).padStart(7)} s  CPU: Debezium ${median(rates, (rate) => rate.jvmCpu).toFixed(1)} s, rest ${median(rates, (rate) => rate.otherCpu).toFixed(1)} s, server ${median(rates, (rate) => rate.serverCpu).toFixed(1)} s`;
  const jvm = median(whole, ({ jvmCpu }) => jvmCpu);
  const rest = median(whole, ({ otherCpu }) => otherCpu);
  const decoding = (shares["decoding JSON"] ?? 0) * rest;
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  console.log(
    `\n${origin}, ${changes.toLocaleString("en")} changes of 12 columns; counts and sums agreed`,
  );
  console.log(`  ${settings}`);
  console.log(line("thrown away inside of Java", discarding));
  console.log(line("to Parquet, start to exit", whole));
  console.log(
    `  of its CPU: Debezium ${percent(jvm / (jvm + rest))}, decoding JSON ${percent(decoding / (jvm + rest))}, the rest ${percent((rest - decoding) / (jvm + rest))}`,
  );
  console.log(
    `  outside of Debezium: ${Object.entries(shares)
      .map(([name, share]) => `${name} ${percent(share)}`)
      .join(", ")}`,
  );
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
  return [
    judge(
      "rate, of the discarding engine's",
      seconds(discarding) / seconds(whole),
      "at least",
      RATE_LEAST,
    ),
    judge(
      "CPU of all but Debezium, of Debezium's",
      rest / jvm,
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
