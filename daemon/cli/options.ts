/**
 * The options of the commands, and what they say as settings of a sync. Defaults are left to `buildRequest`, so that
 * options given beside a configuration file override it and others do not.
 */
import { resolve } from "node:path";
import type { Command, Option } from "commander";
import { resolveLedger } from "../../checkpoint/store/postgres-url.ts";
import type { SyncSettings } from "../config-request.ts";
import {
  ATTEMPTS_MAX,
  CHANNELS_MAX,
  CHECKPOINT_MS_MIN,
  COMPRESSIONS,
  FILE_BYTES_MAX,
  FILE_BYTES_MIN,
  FORMATS,
  LOG_BUDGET_BYTES_MAX,
  LOG_BUDGET_BYTES_MIN,
  PARTITION_BY,
  PARTITION_BYTES_MAX,
  PARTITION_BYTES_MIN,
  PROBE_DEADLINE_MS_MIN,
  ROW_BYTES_MAX,
  ROW_BYTES_MIN,
  UNREPRESENTABLE,
  parseMode,
  parsePathTemplate,
} from "../config-values.ts";
import { FILLED_COLUMNS, UNDECODABLE, parseSteps } from "../log-request.ts";
import { SCHEMA_POLICIES } from "../schema-changes.ts";
import {
  choice,
  durationMs,
  flag,
  list,
  sizeBytes,
  text,
  valued,
  whole,
} from "./option-kinds.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How a command prints what it finds. */
export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly logLevel?: LogLevel;
}

/** As commander hands them over: camel-cased long names, absent when not given. */
export interface SyncOptions extends OutputOptions {
  readonly file?: string;
  readonly table?: readonly string[];
  readonly exclude?: readonly string[];
  readonly mode?: SyncSettings["mode"];
  readonly namespace?: string;
  readonly streamPrefix?: string;
  readonly cursor?: string;
  readonly cursorLag?: number;
  readonly columns?: readonly string[];
  readonly where?: string;
  readonly format?: SyncSettings["format"];
  readonly compression?: SyncSettings["compression"];
  readonly plainEncodings?: boolean;
  readonly path?: string;
  readonly fileSize?: number;
  readonly foldersBy?: readonly string[];
  readonly channels?: number;
  readonly readers?: number;
  readonly attempts?: number;
  readonly partitionBy?: SyncSettings["partitionBy"];
  readonly partitionSize?: number;
  readonly checkpointEvery?: number;
  readonly unrepresentable?: SyncSettings["unrepresentable"];
  readonly schemaChanges?: SyncSettings["schemaChanges"];
  readonly acceptSchemaChanges?: boolean;
  readonly rowBytesMax?: number;
  readonly restart?: boolean;
  readonly resync?: boolean;
  readonly logBudget?: number;
  readonly logSteps?: SyncSettings["logSteps"];
  readonly logPatience?: number;
  readonly filledColumns?: SyncSettings["filledColumns"];
  readonly transactionId?: boolean;
  readonly onUndecodable?: SyncSettings["onUndecodable"];
  readonly dryRun?: boolean;
  readonly ledger?: string;
  readonly trace?: string;
  readonly snapshotGrace?: number;
  readonly probeDeadline?: number;
}

/** Options that several commands share, each made anew for its command. */
export const options = {
  file: () =>
    text("-f, --file <yaml>", "take the sync from this configuration file"),
  table: () =>
    list(
      "-t, --table <pattern>",
      "table, schema.table, * as wildcard; repeatable (default: every table)",
    ),
  exclude: () =>
    list("-x, --exclude <pattern>", "leave these tables out; repeatable"),
  channels: () =>
    whole(
      "-c, --channels <count>",
      "at most so many connections and sockets (default: two per core)",
      1,
      CHANNELS_MAX,
    ),
  readers: () =>
    whole(
      "--readers <count>",
      "readers at work, fixed (default: one, and more while that raises the rate)",
      1,
      CHANNELS_MAX,
    ),
  attempts: () =>
    whole(
      "--attempts <count>",
      "attempts of one run while its faults are worth retrying (default: 3)",
      1,
      ATTEMPTS_MAX,
    ),
  partitionBy: () =>
    choice(
      "--partition-by",
      "how tables are cut (default: auto)",
      PARTITION_BY,
    ),
  partitionSize: () =>
    sizeBytes(
      "--partition-size <size>",
      "a table is not cut into smaller partitions (default: 32MiB)",
      PARTITION_BYTES_MIN,
      PARTITION_BYTES_MAX,
    ),
  checkpointEvery: () =>
    durationMs(
      "--checkpoint-every <duration>",
      "work that a crash may cost (default: 5m)",
      CHECKPOINT_MS_MIN,
    ),
  ledger: () =>
    text(
      "--ledger <path or URL>",
      "the ledger's file, or a Postgres that holds it, postgres://… (default: .millrace/ledger.sqlite in the destination)",
    ),
  trace: () =>
    text(
      "--trace <file>",
      "write the inspection events of all processes there, as JSON lines",
    ),
  json: () => flag("--json", "print JSON for programs instead of text"),
  logLevel: () =>
    choice(
      "--log-level",
      "of the processes' logs; debug shows stacks, too (default: warn)",
      LOG_LEVELS,
    ),
} as const satisfies Record<string, () => Option>;

/** The options of `sync`, each group under its heading in the help. */
const syncOptionGroups: Readonly<Record<string, () => readonly Option[]>> = {
  "What is copied:": () => [
    options.table(),
    options.exclude(),
    list(
      "--columns <names>",
      "only these columns, parted by commas; one table",
    ),
    text("--where <sql>", "only rows for which the server finds this true"),
    valued(
      "-m, --mode <mode>",
      "full-refresh-overwrite (overwrite), full-refresh-append (append), incremental-append (incremental) or, into a database, incremental-append-dedupe (dedupe); cdc (a snapshot once, then the changes from the source's log), continuous (the same without end) (default: overwrite)",
      parseMode,
    ),
    text(
      "--namespace <template>",
      "what the tables' schema is called at the destination, e.g. raw or raw_{namespace} (default: as in the source)",
    ),
    text(
      "--stream-prefix <text>",
      "in front of each table's name at the destination",
    ),
    text(
      "--cursor <column>",
      "column whose growth marks new rows (incremental)",
    ),
    durationMs(
      "--cursor-lag <duration>",
      "how far behind the newest cursor rows may still appear (default: by type and oldest transaction)",
    ),
    choice(
      "--unrepresentable",
      "what becomes of values such as infinity in a timestamp (default: error)",
      UNREPRESENTABLE,
    ),
    choice(
      "--schema-changes",
      "what becomes of a table whose columns have changed since its last run (default: propagate)",
      SCHEMA_POLICIES,
    ),
    flag(
      "--accept-schema-changes",
      "take this run's changes of columns, whatever the policy",
    ),
  ],
  "What is written:": () => [
    choice("--format", "format of the files (default: parquet)", FORMATS),
    choice(
      "--compression",
      "default: zstd for parquet, gzip for avro, none for csv and jsonl",
      COMPRESSIONS,
    ),
    flag(
      "--plain-encodings",
      "parquet: only PLAIN and dictionary encodings, for readers that know no others",
    ),
    valued(
      "--path <template>",
      "folder of one table below the destination (default: {namespace}/{stream})",
      parsePathTemplate,
    ),
    list(
      "--folders-by <columns>",
      "folders by the values of columns, parted by commas, e.g. country,created:day",
    ),
    sizeBytes(
      "--file-size <size>",
      "size at which a new file is begun (default: 512MiB)",
      FILE_BYTES_MIN,
      FILE_BYTES_MAX,
    ),
  ],
  "How it runs:": () => [
    flag("--dry-run", "show the plan and move nothing"),
    flag(
      "--restart",
      "begin anew even where an unfinished run could be resumed",
    ),
    flag(
      "--resync",
      "cdc: give up the log that is followed, copy every table again and begin a new one",
    ),
    sizeBytes(
      "--log-budget <size>",
      "cdc: what the source may keep of its log for this sync; beyond, it is given up (default: 10GiB, and nothing is)",
      LOG_BUDGET_BYTES_MIN,
      LOG_BUDGET_BYTES_MAX,
    ),
    valued<SyncSettings["logSteps"]>(
      "--log-steps <list>",
      "cdc: at which share of the budget what is done (default: warn=50%,hurry=70%,pause=85%,give-up=100%)",
      parseSteps,
    ),
    durationMs(
      "--log-patience <duration>",
      "cdc: a log that becomes shorter within so long is not given up (default: 60s)",
    ),
    choice(
      "--filled-columns",
      "cdc: a table with a new column that older rows have values in is copied again, or told of (default: copy)",
      FILLED_COLUMNS,
    ),
    flag(
      "--transaction-id",
      "cdc: rows have the column _txid, the source's name of their transaction",
    ),
    choice(
      "--on-undecodable",
      "cdc: an event that cannot be decoded ends the run, or is set aside in a file and told of (default: fail)",
      UNDECODABLE,
    ),
    options.channels(),
    options.readers(),
    options.attempts(),
    options.partitionBy(),
    options.partitionSize(),
    options.checkpointEvery(),
    sizeBytes(
      "--row-bytes-max <size>",
      "a single row above this is an error (default: 256MiB)",
      ROW_BYTES_MIN,
      ROW_BYTES_MAX,
    ),
    options.ledger(),
    options.trace(),
    durationMs(
      "--snapshot-grace <duration>",
      "how long a snapshot outlives its run, for a resume (default: 60s)",
    ),
    durationMs(
      "--probe-deadline <duration>",
      "silence after which a process counts as hung (default: 10s)",
      PROBE_DEADLINE_MS_MIN,
    ),
  ],
};

export function addSyncOptions(command: Command): void {
  for (const [heading, group] of Object.entries(syncOptionGroups)) {
    for (const option of group()) {
      command.addOption(option.helpGroup(heading));
    }
  }
}

/** For the commands that run a sync. */
export function addRunOutputOptions(command: Command): void {
  const shown = [
    flag("--json", "one JSON object per event on stdout, the summary last"),
    flag("-q, --quiet", "only warnings and errors"),
    options.logLevel(),
  ];
  for (const option of shown) {
    command.addOption(option.helpGroup("What is printed:"));
  }
}

/** The settings that the options give, without source and destination; absent options stay absent. */
export function readSettings(
  given: SyncOptions,
  cwd: string,
): Omit<SyncSettings, "url" | "destination"> {
  const entries = Object.entries({
    tables: given.table,
    exclude: given.exclude,
    mode: given.mode,
    namespace: given.namespace,
    streamPrefix: given.streamPrefix,
    cursor: given.cursor,
    cursorLagSeconds: toSeconds(given.cursorLag),
    columns: given.columns,
    where: given.where,
    format: given.format,
    compression: given.compression,
    plainEncodings: given.plainEncodings,
    pathTemplate: given.path,
    fileBytesMax: given.fileSize,
    foldersBy: given.foldersBy,
    channels: given.channels,
    readers: given.readers,
    attemptsMax: given.attempts,
    partitionBy: given.partitionBy,
    partitionBytesMin: given.partitionSize,
    checkpointEverySeconds: toSeconds(given.checkpointEvery),
    unrepresentable: given.unrepresentable,
    schemaChanges: given.schemaChanges,
    acceptSchemaChanges: given.acceptSchemaChanges,
    rowBytesMax: given.rowBytesMax,
    restart: given.restart,
    resync: given.resync,
    logBudget: given.logBudget,
    logSteps: given.logSteps,
    logPatienceMs: given.logPatience,
    filledColumns: given.filledColumns,
    transactionId: given.transactionId,
    onUndecodable: given.onUndecodable,
    ledgerPath:
      given.ledger === undefined ? undefined : resolveLedger(given.ledger, cwd),
    tracePath: toAbsolute(given.trace, cwd),
    snapshotGraceMs: given.snapshotGrace,
    probeDeadlineMs: given.probeDeadline,
  } satisfies Record<string, unknown>);
  return Object.fromEntries(
    entries.filter(([, value]) => value !== undefined),
  ) as Omit<SyncSettings, "url" | "destination">;
}

function toSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}

function toAbsolute(path: string | undefined, cwd: string): string | undefined {
  return path === undefined ? undefined : resolve(cwd, path);
}
