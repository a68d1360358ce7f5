/**
 * The same sync between two of our executables, connected directly, in each of the ways that the Airbyte protocol and we
 * have: what a row costs on its way.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryRoot, toolFolder } from "../arrows.ts";
import type { Contender, Job } from "./contenders.ts";
import {
  describeMachine,
  findMedian,
  renderRounds,
  writeResults,
  type Round,
} from "./report.ts";
import { runRounds } from "./rounds.ts";
import { ensureTables, sizes, type BenchServer } from "./server.ts";
import type { BenchTable } from "./verify.ts";

/** Rows for each CPU-second, over columns against JSON lines over standard streams. */
const GOAL_FACTOR = 10;

const SOCKETS = 2;

const SLOWEST = "STDIO JSONL";
const FASTEST = "SOCKET columnar";

function executable(name: string): string[] {
  return [join(toolFolder, "node"), join(repositoryRoot, "bin", `${name}.js`)];
}

interface Files {
  readonly source: string;
  readonly destination: string;
  readonly catalog: string;
  readonly folder: string;
}

function writeFiles({ url, table, folder }: Job): Files {
  const { hostname, port, pathname, username, password } = new URL(url);
  const place = mkdtempSync(join(tmpdir(), "millrace-architectures-"));
  const write = (name: string, value: unknown): string => {
    const path = join(place, `${name}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const source = write("source", {
    host: hostname,
    port: Number(port),
    database: pathname.slice(1),
    username: decodeURIComponent(username),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
    concurrency: 1,
  });
  return {
    source,
    destination: write("destination", {
      path: folder,
      format: { format_type: "Parquet" },
    }),
    catalog: write("catalog", describeCatalog(source, table)),
    folder: place,
  };
}

/** What `discover` says of the table, as a platform configures it. */
function describeCatalog(config: string, table: BenchTable): object {
  const [command = "", ...args] = executable("source-postgres");
  const { stdout } = spawnSync(
    command,
    [...args, "discover", "--config", config],
    { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  const messages = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map(
      (line) =>
        JSON.parse(line) as {
          type: string;
          catalog?: { streams: { name: string }[] };
        },
    );
  const streams = messages.flatMap(({ catalog }) => catalog?.streams ?? []);
  return {
    streams: streams
      .filter(({ name }) => name === table)
      .map((stream) => ({
        stream,
        sync_mode: "full_refresh",
        destination_sync_mode: "overwrite",
        generation_id: 1,
        minimum_generation_id: 1,
        sync_id: 1,
      })),
  };
}

/** By a pipe, or by sockets that both are told of. */
function createContender(name: string, format: string | null): Contender {
  return {
    name,
    writes: true,
    prepare: (job) => {
      const { source, destination, catalog, folder } = writeFiles(job);
      const read = [
        ...executable("source-postgres"),
        ...["read", "--config", source, "--catalog", catalog],
      ].join(" ");
      const write = [
        ...executable("destination-file"),
        ...["write", "--config", destination, "--catalog", catalog],
      ].join(" ");
      if (format === null)
        return ["bash", "-c", `set -o pipefail; ${read} | ${write}`];
      const paths = Array.from({ length: SOCKETS }, (_, i) =>
        join(folder, `airbyte_socket_${i + 1}.sock`),
      ).join(",");
      const env = `DATA_CHANNEL_MEDIUM=SOCKET DATA_CHANNEL_FORMAT=${format} DATA_CHANNEL_SOCKET_PATHS=${paths}`;
      const both = `${read} >/dev/null & first=$!; ${write} </dev/null && wait "$first"`;
      return ["bash", "-c", `export ${env}; ${both}`];
    },
  };
}

const contenders: readonly Contender[] = [
  createContender(SLOWEST, null),
  createContender("SOCKET JSONL", "JSONL"),
  createContender("SOCKET protobuf", "PROTOBUF"),
  createContender(FASTEST, "COLUMNAR"),
];

/** @returns whether all wrote the table, and columns are as much better as they should be */
export async function compareArchitectures(
  server: BenchServer,
  {
    roundCount,
    quick,
    tables,
  }: {
    readonly roundCount: number;
    readonly quick: boolean;
    readonly tables: readonly BenchTable[];
  },
): Promise<boolean> {
  const url = await ensureTables(server.url, quick ? sizes.quick : sizes.full);
  const rounds: Round[] = [];
  let isReached = true;
  for (const table of tables) {
    const target = { serverPids: [server.pid], url, table };
    const result = await runRounds(target, contenders, roundCount);
    rounds.push(...result);
    console.log(`\n${table}, ${result[0]?.rows} rows`);
    for (const line of renderRounds(result)) console.log(line);
    const factor =
      rowsPerCpuSecond(result, FASTEST) / rowsPerCpuSecond(result, SLOWEST);
    console.log(
      `rows for each CPU-second, ${FASTEST} against ${SLOWEST}: ${factor.toFixed(1)} (to reach: ${GOAL_FACTOR})`,
    );
    isReached &&= factor >= GOAL_FACTOR;
  }
  console.log(`\n${describeMachine()}`);
  console.log(`every figure: ${writeResults("architectures", rounds)}`);
  return rounds.every(({ fault }) => fault === null) && (quick || isReached);
}

function rowsPerCpuSecond(rounds: readonly Round[], name: string): number {
  return findMedian(
    rounds
      .filter(({ contender }) => contender === name)
      .map(({ rows, clientCpuSeconds }) => rows / clientCpuSeconds),
  );
}
