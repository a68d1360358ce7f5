/** `npm run bench`: see `README.md` of this folder. */
import { parseArgs } from "node:util";
import {
  findPsql,
  listDrains,
  millrace,
  millraceAgain,
  millraceUnwatched,
  type Contender,
} from "./contenders.ts";
import { compareArchitectures } from "./architectures.ts";
import { measureControlPlane } from "./control-plane.ts";
import { measureDaemon } from "./daemon.ts";
import { measureGrowth } from "./growth.ts";
import { describeMachine, renderRounds, writeResults } from "./report.ts";
import { listRivals } from "./rivals.ts";
import { runRounds } from "./rounds.ts";
import {
  ensureTables,
  sizes,
  startBenchServer,
  type BenchServer,
} from "./server.ts";
import { measureSmall } from "./small.ts";
import { runStages } from "./stages.ts";
import type { BenchTable } from "./verify.ts";

const help = `Usage: npm run bench -- [command] [options]

Commands:
  (none)         lineitem (3 M rows) and users (1 M rows) from Postgres to Parquet, beside psql's raw drain
  small          one row, start to exit
  growth         memory at 3 M and at 12 M rows
  control-plane  share of the CPU that machines and checkpoints take
  stages         each stage alone, without a server
  daemon         10,000 small runs, 2,000 at once, in one daemon: memory, waits, latencies, and whether one is lost
  mysql          both tables from MariaDB to Parquet, local and in S3, beside mariadb --quick, and what is to be reached
  cdc            a million changes from the log of Postgres and of MySQL to Parquet, beside the same engine throwing them away
  architectures  two executables of ours, connected by pipe and by sockets, in each format: what a row costs on its way
  postgres-destination  rows a second and latency by batch size, beside one INSERT per row

Options:
  --rivals       others in the same rounds (from PyPI, into the cache folder): DuckDB, ConnectorX, ADBC, Rivet; with mysql ingestr
  --rounds N     rounds per contender (default 5)
  --table NAME   lineitem or users only
  --changes N    with cdc: so many changes, in thousands (default 1000)
  --source NAME  with cdc: postgres or mysql only
  --quick        a tenth of the rows, 2 rounds: whether it works, not how fast it is
  --help
`;

const ROUNDS_DEFAULT = 5;
const ROUNDS_QUICK = 2;
const ROUNDS_MAX = 1000;

class UsageError extends Error {}

function parseOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rivals: { type: "boolean", default: false },
      rounds: { type: "string" },
      table: { type: "string" },
      changes: { type: "string" },
      source: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const roundCount =
    values.rounds === undefined
      ? values.quick
        ? ROUNDS_QUICK
        : ROUNDS_DEFAULT
      : Number(values.rounds);
  if (
    !Number.isInteger(roundCount) ||
    roundCount < 1 ||
    roundCount > ROUNDS_MAX
  )
    throw new UsageError(`--rounds wants a number from 1 to ${ROUNDS_MAX}`);
  const tables = (["lineitem", "users"] as const).filter(
    (name) => values.table === undefined || name === values.table,
  );
  if (tables.length === 0)
    throw new UsageError("--table wants lineitem or users");
  const thousands =
    values.changes === undefined ? null : Number(values.changes);
  if (thousands !== null && !(Number.isInteger(thousands) && thousands > 0))
    throw new UsageError("--changes wants a number of thousands");
  const kinds = (["postgres", "mysql"] as const).filter(
    (name) => values.source === undefined || name === values.source,
  );
  if (kinds.length === 0)
    throw new UsageError("--source wants postgres or mysql");
  if (positionals.length > 1)
    throw new UsageError(`one command, not ${positionals.join(" ")}`);
  return {
    ...values,
    ...{ roundCount, tables, kinds },
    changes: thousands === null ? null : thousands * 1_000,
    command: positionals[0] ?? "all",
  };
}

type Options = ReturnType<typeof parseOptions>;

async function compareAll(
  server: BenchServer,
  options: Options,
): Promise<boolean> {
  const size = options.quick ? sizes.quick : sizes.full;
  const url = await ensureTables(server.url, size);
  const contenders: Contender[] = [millrace, millraceAgain, millraceUnwatched];
  const drains = listDrains(findPsql(server.binFolder));
  if (drains.length === 0) console.log("no psql: the raw drain is left out");
  contenders.push(...drains);
  if (options.rivals) contenders.push(...listRivals());
  const rounds = [];
  for (const table of options.tables as readonly BenchTable[]) {
    const target = { serverPids: [server.pid], url, table };
    const result = await runRounds(target, contenders, options.roundCount);
    rounds.push(...result);
    console.log(`\n${table}, ${result[0]?.rows} rows`);
    for (const line of renderRounds(result)) console.log(line);
    console.log();
  }
  console.log(describeMachine());
  console.log(
    "medians of the rounds in which others used at most 5 % of the cores; x: of the first line's",
  );
  console.log(`every figure: ${writeResults("all", rounds)}`);
  return rounds.every(
    ({ contender, fault }) =>
      fault === null || !contender.startsWith(millrace.name),
  );
}

/** @returns whether ours did what it should */
async function run(options: Options): Promise<boolean> {
  if (options.command === "stages") return runStages();
  if (options.command === "postgres-destination") {
    const { measurePostgresDestination } =
      await import("./postgres-destination.ts");
    return measurePostgresDestination();
  }
  if (options.command === "mysql") {
    const { compareMysql } = await import("./mysql.ts");
    return compareMysql(options);
  }
  if (options.command === "cdc") {
    const { compareCdc } = await import("./cdc.ts");
    return compareCdc(options);
  }
  const withServer = {
    all: compareAll,
    small: (server: BenchServer) => measureSmall(server, options.roundCount),
    growth: measureGrowth,
    "control-plane": (server: BenchServer) =>
      measureControlPlane(server, options.quick),
    architectures: compareArchitectures,
    daemon: (server: BenchServer) => measureDaemon(server, options.quick),
  }[options.command];
  if (withServer === undefined)
    throw new UsageError(`unknown command ${options.command}`);
  const server = await startBenchServer();
  try {
    return await withServer(server, options);
  } finally {
    await server.stop();
  }
}

try {
  const options = parseOptions();
  if (options.help) process.stdout.write(help);
  else if (!(await run(options))) process.exitCode = 1;
} catch (error) {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (!(error instanceof UsageError) && !code.startsWith("ERR_PARSE_ARGS"))
    throw error;
  process.stderr.write(`${(error as Error).message}\n\n${help}`);
  process.exitCode = 2;
}
