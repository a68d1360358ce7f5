/**
 * The shape of `millrace.yaml`. The descriptions are the manual: the JSON Schema for editors is made from them.
 */
import { z } from "zod";
import { parsePartitionColumn } from "../connectors/formats/partition-rows.ts";
import { mapperSets } from "../connectors/mappers/config.ts";
import { airbyteDestinationSchema } from "../connectors/destinations/airbyte/config-schema.ts";
import { postgresDestinationSchema } from "../connectors/destinations/postgres/config-schema.ts";
import { identifyDestination } from "../connectors/destinations/postgres/url.ts";
import {
  parseS3Url,
  s3Destination,
} from "../connectors/destinations/s3/url.ts";
import { topicsSource } from "../connectors/sources/debezium/topics/config.ts";
import { airbyteSource } from "../connectors/sources/airbyte/config.ts";
import { mssqlSource } from "../connectors/sources/mssql/config.ts";
import { mysqlSource } from "../connectors/sources/mysql/config.ts";
import { postgresSource } from "../connectors/sources/postgres/config.ts";
import { identifyDatabase } from "../connectors/sources/url.ts";
import { ExtractError } from "../proto/error.ts";
import {
  CPUS_MAX,
  MEMORY_BYTES_MAX,
  MEMORY_BYTES_MIN,
} from "./limits/limits.ts";
import { SCHEMA_POLICIES } from "./schema-changes.ts";
import { afterRunSchema } from "./after-run/config.ts";
import { daemonSchema, ledgerSchema, scheduleSchema } from "./config-daemon.ts";
import {
  TEXT_LENGTH_MAX,
  checkText,
  durationMs,
  parsed,
  seconds,
  sizeBytes,
  text,
  whole,
} from "./config-parsing.ts";
import {
  ATTEMPTS_MAX,
  CHANNELS_MAX,
  CHECKPOINT_MS_MIN,
  COMPRESSIONS,
  FILE_BYTES_MAX,
  FILE_BYTES_MIN,
  FORMATS,
  MODES,
  LOG_BUDGET_BYTES_MAX,
  LOG_BUDGET_BYTES_MIN,
  PARTITION_BY,
  PARTITION_BYTES_MAX,
  PARTITION_BYTES_MIN,
  PROBE_DEADLINE_MS_MIN,
  ROW_BYTES_MAX,
  ROW_BYTES_MIN,
  UNREPRESENTABLE,
  parseDestinationRoot,
  parseMode,
  parsePathTemplate,
} from "./config-values.ts";
import { FILLED_COLUMNS, UNDECODABLE, parseSteps } from "./log-request.ts";

const SYNCS_MAX = 10_000;
const PATTERNS_MAX = 10_000;
const PARTITION_COLUMNS_MAX = 16;

const password = z
  .string()
  .max(TEXT_LENGTH_MAX)
  .optional()
  .describe(
    "Password for the URL, as it is, without percent-encoding: ${ENV} or file:PATH. Default: the URL's own, else that of the environment (PGPASSWORD, MYSQL_PWD, MSSQL_PASSWORD).",
  );

const generatorSource = z.strictObject({
  kind: z.literal("generator"),
  url: parsed(text, (url) =>
    checkText(url, () => identifyDatabase(url)),
  ).describe(
    "generator:?columns=id:int,name:string&rows=1000: rows that are made up.",
  ),
});

const foreignSource = airbyteSource.superRefine(
  ({ command, image }, context) => {
    if ((command === undefined) === (image === undefined))
      context.addIssue({
        code: "custom",
        message: "a connector is a `command` or an `image`, one of them",
      });
  },
);

const sourceSchema = z.discriminatedUnion("kind", [
  foreignSource,
  postgresSource.extend({ password }),
  mysqlSource.extend({ password }),
  mssqlSource.extend({ password }),
  topicsSource.extend({ password }),
  generatorSource.extend({ password }),
]);

const foldersBy = z
  .array(
    parsed(text, (column) =>
      checkText(column, () => parsePartitionColumn(column)),
    ),
  )
  .max(PARTITION_COLUMNS_MAX)
  .optional()
  .describe(
    'Folders by the values of columns, e.g. [country, "created:day"]: column=value, as Hive names them. Units: year, month, day, hour.',
  );

const fileLayout = {
  pathTemplate: parsed(text, parsePathTemplate)
    .optional()
    .describe(
      "Folder of one stream below the destination, from {namespace} and {stream}. Default: {namespace}/{stream}.",
    ),
  fileSize: sizeBytes(FILE_BYTES_MIN, FILE_BYTES_MAX)
    .optional()
    .describe("Size at which a new file is begun. Default: 512MiB."),
  foldersBy,
};

const fileSchema = z.strictObject({
  kind: z.literal("file").describe("What the destination is."),
  path: parsed(text, (path) => {
    parseDestinationRoot(path, "/");
    return path;
  }).describe("Folder or file:// URL; a relative one lies beside this file."),
  ...fileLayout,
});

const s3Schema = z
  .strictObject({ ...s3Destination.shape, ...fileLayout })
  .superRefine(
    (
      {
        kind: _,
        url,
        pathTemplate: __,
        fileSize: ___,
        foldersBy: ____,
        ...options
      },
      context,
    ) => {
      try {
        parseS3Url(url, options);
      } catch (error) {
        if (!(error instanceof ExtractError)) throw error;
        context.addIssue({ code: "custom", message: error.message });
      }
    },
  );

const postgresSchema = z.strictObject({
  ...postgresDestinationSchema.shape,
  url: parsed(text, (url) =>
    checkText(url, () => identifyDestination(url)),
  ).describe(
    "postgres://user@host:5432/database. May be file:PATH, and may hold ${ENV} references.",
  ),
  password,
});

const airbyteSchema = airbyteDestinationSchema.superRefine(
  ({ command, image }, context) => {
    if ((command === undefined) === (image === undefined))
      context.addIssue({
        code: "custom",
        message: "a connector is a `command` or an `image`, one of them",
      });
  },
);

const destinationSchema = z.discriminatedUnion("kind", [
  fileSchema,
  s3Schema,
  postgresSchema,
  airbyteSchema,
]);

const patterns = z.array(text).max(PATTERNS_MAX);

const syncSchema = z.strictObject({
  source: sourceSchema,
  destination: destinationSchema,
  schedule: scheduleSchema.optional(),
  tables: patterns
    .optional()
    .describe(
      "Patterns of tables to copy: table, schema.table, * as wildcard. Default: all.",
    ),
  exclude: patterns.optional().describe("Patterns of tables to leave out."),
  mode: parsed(z.enum(Object.keys(MODES)), parseMode)
    .optional()
    .describe("How rows arrive. Default: full-refresh-overwrite."),
  namespace: text
    .optional()
    .describe(
      "What the streams' namespace becomes at the destination: a fixed name, or a template such as raw_{namespace}. Default: {namespace}, the source's own.",
    ),
  streamPrefix: text
    .optional()
    .describe("In front of each stream's name at the destination."),
  cursor: text
    .optional()
    .describe("Column whose growth marks new rows, for the incremental modes."),
  cursorLag: seconds(0)
    .optional()
    .describe(
      "How far behind the newest cursor rows may still appear, e.g. 60s. Default: chosen from the column's type and the oldest open transaction.",
    ),
  columns: z
    .array(text)
    .min(1)
    .max(PATTERNS_MAX)
    .optional()
    .describe("Columns to copy, for a sync of exactly one table."),
  where: text
    .optional()
    .describe("SQL predicate that the server applies to each table."),
  format: z
    .enum(FORMATS)
    .optional()
    .describe("Format of the files. Default: parquet."),
  compression: z
    .enum(COMPRESSIONS)
    .optional()
    .describe(
      "Default: zstd for parquet, gzip for avro, none for csv and jsonl.",
    ),
  plainEncodings: z
    .boolean()
    .optional()
    .describe(
      "Parquet: only PLAIN and dictionary encodings, for readers that know no others.",
    ),
  channels: whole(CHANNELS_MAX)
    .optional()
    .describe(
      "At most so many connections and sockets. Default: two per core.",
    ),
  limits: z
    .strictObject({
      memory: sizeBytes(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)
        .optional()
        .describe(
          "Memory that source and destination may hold together; a run that needs more ends by name. Default: no limit.",
        ),
      cpus: whole(CPUS_MAX)
        .optional()
        .describe(
          "CPUs that source and destination share, on Linux. Default: all.",
        ),
    })
    .optional()
    .describe(
      "What the processes of a run may take of the machine. Such a sync always has processes of its own.",
    ),
  readers: whole(CHANNELS_MAX)
    .optional()
    .describe(
      "Readers at work, fixed. Default: one, and more while that raises the rate.",
    ),
  attempts: whole(ATTEMPTS_MAX)
    .optional()
    .describe(
      "Attempts of one run while its faults are worth retrying, the first included. Default: 3.",
    ),
  checkpointEvery: seconds(CHECKPOINT_MS_MIN)
    .optional()
    .describe("Work that a crash may cost, as a duration. Default: 5m."),
  log: z
    .strictObject({
      budget: sizeBytes(LOG_BUDGET_BYTES_MIN, LOG_BUDGET_BYTES_MAX)
        .optional()
        .describe(
          "What the source may keep of its log for this sync. What it would keep beyond is given up, and copied anew by the next run. Default: 10GiB, and nothing is given up.",
        ),
      steps: parsed(text, parseSteps)
        .optional()
        .describe(
          "At which share of the budget what is done: warn=50%,hurry=70%,pause=85%,give-up=100%, or never.",
        ),
      patience: durationMs(0)
        .optional()
        .describe(
          "A log that becomes shorter within so long is not given up. Default: 60s.",
        ),
      filledColumns: z
        .enum(FILLED_COLUMNS)
        .optional()
        .describe(
          "What becomes of a table that has got a column whose values the log does not tell, by a default. copy: it is copied again. warn: older rows have NULL there. Default: copy.",
        ),
      transactionId: z
        .boolean()
        .optional()
        .describe(
          "Rows have the column _txid, the source's name of their transaction. Default: false.",
        ),
      onUndecodable: z
        .enum(UNDECODABLE)
        .optional()
        .describe(
          "What becomes of an event that cannot be decoded. fail: the run ends there by name. quarantine: it is set aside in a file beside the ledger, and the run says so. Default: fail.",
        ),
    })
    .optional()
    .describe("How the source's log is followed, in mode cdc and continuous."),
  partitionBy: z
    .enum(PARTITION_BY)
    .optional()
    .describe("How tables are cut. Default: auto."),
  partitionSize: sizeBytes(PARTITION_BYTES_MIN, PARTITION_BYTES_MAX)
    .optional()
    .describe("A table is not cut into smaller partitions. Default: 32MiB."),
  unrepresentable: z
    .enum(UNREPRESENTABLE)
    .optional()
    .describe(
      "What becomes of values such as infinity in a timestamp. Default: error.",
    ),
  schemaChanges: z
    .enum(SCHEMA_POLICIES)
    .optional()
    .describe(
      "What becomes of a table whose columns have changed since its last run. propagate: the copy follows. new-columns-only: columns may come, any other change fails the table. ignore: the copy keeps its columns. pause: the table waits until somebody agrees. Default: propagate.",
    ),
  afterRun: afterRunSchema
    .optional()
    .describe(
      "What follows a run: a command or a request, e.g. to start dbt or Airflow. Called at least once, by the daemon and by `sync -f`.",
    ),
  mappers: mapperSets
    .optional()
    .describe(
      "What is done to rows where they are read: select, drop, rename, filter, hash, encrypt, mask. Default: nothing.",
    ),
  rowBytesMax: sizeBytes(ROW_BYTES_MIN, ROW_BYTES_MAX)
    .optional()
    .describe("A single row above this is an error. Default: 256MiB."),
  snapshotGrace: durationMs(0)
    .optional()
    .describe(
      "How long a snapshot outlives its run, for a resume. Default: 60s.",
    ),
  probeDeadline: durationMs(PROBE_DEADLINE_MS_MIN)
    .optional()
    .describe("Silence after which a process counts as hung. Default: 10s."),
  ledger: text
    .optional()
    .describe(
      "Path of this sync's own ledger, in a file without `ledger` and `daemon`. Default: .millrace/ledger.sqlite below the destination.",
    ),
  trace: text
    .optional()
    .describe(
      "File for the inspection events of all processes, as JSON lines.",
    ),
});

export const configSchema = z.strictObject({
  $schema: z.string().optional().describe("For editors; not read."),
  ledger: ledgerSchema.optional(),
  daemon: daemonSchema.optional(),
  syncs: z
    .record(
      z
        .string()
        .regex(
          /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/,
          "a sync's name has letters, digits, `_`, `-` and `.`, 100 at most",
        ),
      syncSchema,
    )
    .refine(
      (syncs) => {
        const count = Object.keys(syncs).length;
        return count >= 1 && count <= SYNCS_MAX;
      },
      { error: `must name between 1 and ${SYNCS_MAX} syncs` },
    )
    .describe("The syncs by name."),
});

export type SyncConfig = z.output<typeof syncSchema>;

/** The keys an object may have at a path of the configuration; empty where nothing is known. */
export function listKeysAt(path: readonly (string | number)[]): string[] {
  let schema: z.ZodType | undefined = configSchema;
  for (const step of path) {
    schema = descend(unwrap(schema), String(step));
    if (schema === undefined) return [];
  }
  return listObjects(schema).flatMap(({ shape }) => Object.keys(shape));
}

/** A union's objects are one: which of them is meant may be what is wrong. */
function listObjects(schema: z.ZodType): z.ZodObject[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) return [inner];
  return inner instanceof z.ZodUnion
    ? inner.options.flatMap((option) => listObjects(option as z.ZodType))
    : [];
}

function unwrap(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional
    ? unwrap(schema.unwrap() as z.ZodType)
    : schema;
}

function descend(schema: z.ZodType, step: string): z.ZodType | undefined {
  if (schema instanceof z.ZodArray) return schema.element as z.ZodType;
  for (const { shape } of listObjects(schema)) {
    const found = (shape as Record<string, z.ZodType>)[step];
    if (found !== undefined) return found;
  }
  if (schema instanceof z.ZodRecord) return schema.valueType as z.ZodType;
  return undefined;
}

/** JSON Schema (draft 2020-12) of what may be written, for editors. */
export function buildJsonSchema(): Record<string, unknown> {
  return {
    title: "millrace.yaml",
    ...z.toJSONSchema(configSchema, { io: "input", target: "draft-2020-12" }),
  };
}
