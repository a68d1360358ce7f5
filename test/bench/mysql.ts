/** `npm run bench -- mysql`: from MariaDB to Parquet, local and in S3, beside the raw drain and the rivals. */
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { S3_REGION, startS3, type S3Service } from "../services/s3.ts";
import {
  millrace,
  millraceAgain,
  millraceCommand,
  watched,
  type Contender,
} from "./contenders.ts";
import { judgeGoal, type Goal } from "./goals.ts";
import { connectorxName, listMysqlRivals } from "./mysql-rivals.ts";
import { startMysqlBenchServer } from "./mysql-server.ts";
import { describeMachine, renderRounds, writeResults } from "./report.ts";
import { runRounds } from "./rounds.ts";
import { sizes } from "./server.ts";
import type { BenchTable } from "./verify.ts";

export interface MysqlOptions {
  readonly rivals: boolean;
  readonly quick: boolean;
  readonly roundCount: number;
  readonly tables: readonly BenchTable[];
}

const BUCKET = "bench";
const s3Name = "millrace to S3";
const drainProgram = "mariadb";
const drainName = `${drainProgram} --quick, 1 connection`;

/** Of the fastest rival's wall on each table, of what a C client takes to throw the rows away, of the local wall. */
const CONNECTORX_SHARE_MAX = { lineitem: 0.6, users: 0.7 } as const;
const RIVAL_SHARE_MAX = 1;
const DRAIN_SHARE_MAX = 1;
const S3_SHARE_MAX = 1.05;

/** The same as local, but for the destination; each round has a prefix of its own, read where the server keeps it. */
async function createS3Contender(
  { endpoint, accessKeyId, secretAccessKey }: S3Service,
  dataFolder: string,
): Promise<Contender> {
  const client = new S3Client({
    ...{ endpoint, region: S3_REGION, forcePathStyle: true },
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  client.destroy();
  return {
    name: s3Name,
    writes: true,
    env: {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: S3_REGION,
    },
    locateOutput: ({ folder }) => join(dataFolder, BUCKET, basename(folder)),
    prepare: ({ url, table, folder }) => {
      const destination = `s3://${BUCKET}/${basename(folder)}?endpoint=${endpoint}`;
      return millraceCommand(
        ...["sync", url, destination, "--table", table],
        ...["--ledger", join(folder, "ledger.sqlite"), ...watched],
      );
    },
  };
}

function listDrains(): Contender[] {
  if (spawnSync(drainProgram, ["--version"]).status !== 0) {
    console.log(`no ${drainProgram} client: the raw drain is left out`);
    return [];
  }
  const prepare: Contender["prepare"] = ({ url, table }) => {
    const { hostname, port, username, pathname } = new URL(url);
    const drain = `${drainProgram} --no-defaults --protocol=tcp -h "$1" -P "$2" -u "$3" --default-character-set=utf8mb4 --quick -e "SELECT * FROM ${table}" "$4" >/dev/null`;
    return [
      ...["bash", "-c", drain, "drain", hostname, port, username],
      pathname.slice(1),
    ];
  };
  return [{ name: drainName, writes: false, prepare }];
}

function listGoals(table: BenchTable, rivals: readonly Contender[]): Goal[] {
  const ours = millrace.name;
  const goals: Goal[] = rivals.map(({ name }) => ({
    ours,
    other: name,
    shareMax:
      name === connectorxName ? CONNECTORX_SHARE_MAX[table] : RIVAL_SHARE_MAX,
  }));
  if (table === "lineitem")
    goals.push({ ours, other: drainName, shareMax: DRAIN_SHARE_MAX });
  goals.push({ ours: s3Name, other: ours, shareMax: S3_SHARE_MAX });
  return goals;
}

/** @returns null, having said why, where there is none to be had */
async function startS3OrSay(): Promise<S3Service | null> {
  try {
    return await startS3();
  } catch (error) {
    console.log(`S3 is left out: ${(error as Error).message}`);
    return null;
  }
}

/** @returns whether ours did what it should and, unless it was quick, all that is to be reached was */
export async function compareMysql(options: MysqlOptions): Promise<boolean> {
  const { quick, roundCount, tables } = options;
  const rivals = options.rivals ? listMysqlRivals() : [];
  const server = await startMysqlBenchServer(quick ? sizes.quick : sizes.full);
  console.log(`MariaDB ${server.origin}`);
  const s3 = await startS3OrSay();
  try {
    const contenders: Contender[] = [millrace];
    if (s3?.folder != null) {
      console.log(`S3 server ${s3.origin}`);
      contenders.push(await createS3Contender(s3, s3.folder));
    }
    contenders.push(millraceAgain, ...listDrains(), ...rivals);
    const serverPids = [server.pid, ...(s3?.pid == null ? [] : [s3.pid])];
    const rounds = [];
    const verdicts = [];
    for (const table of tables) {
      const target = { serverPids, url: server.url, table };
      const result = await runRounds(target, contenders, roundCount);
      rounds.push(...result);
      console.log(`\n${table}, ${result[0]?.rows} rows`);
      for (const line of renderRounds(result)) console.log(line);
      console.log();
      const goals = listGoals(table, rivals);
      verdicts.push(...goals.map((goal) => judgeGoal(goal, result)));
    }
    for (const { line } of verdicts) console.log(line);
    if (quick) console.log("quick: too short a run to judge by");
    console.log(`\n${describeMachine()}`);
    console.log(`every figure: ${writeResults("mysql", rounds)}`);
    const works = rounds.every(
      ({ contender, fault }) =>
        fault === null || !contender.startsWith(millrace.name),
    );
    return works && (quick || verdicts.every(({ reached }) => reached));
  } finally {
    await s3?.stop();
    await server.stop();
  }
}
