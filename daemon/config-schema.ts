/**
 * The shape of `millrace.yaml`. The descriptions are the manual: the JSON Schema for editors is made from them.
 */
import { z } from "zod";
import { parsePartitionColumn } from "../connectors/formats/partition-rows.ts";
import { mapperSets } from "../connectors/mappers/config.ts";
import { postgresDestinationSchema } from "../connectors/destinations/postgres/config-schema.ts";
import { identifyDestination } from "../connectors/destinations/postgres/url.ts";
import {
  parseS3Url,
  s3Destination,
} from "../connectors/destinations/s3/url.ts";
import { mssqlSource } from "../connectors/sources/mssql/config.ts";
import { mysqlSource } from "../connectors/sources/mysql/config.ts";
import { postgresSource } from "../connectors/sources/postgres/config.ts";
import { identifyDatabase } from "../connectors/sources/url.ts";
import { ExtractError } from "../proto/error.ts";
import {
  ATTEMPTS_MAX,
  CHANNELS_MAX,
  CHECKPOINT_MS_MIN,
  COMPRESSIONS,
  DURATION_MS_MAX,
  FILE_BYTES_MAX,
  FILE_BYTES_MIN,
  FORMATS,
  InvalidValue,
  MODES,
  PARTITION_BY,
  PARTITION_BYTES_MAX,
  PARTITION_BYTES_MIN,
  PROBE_DEADLINE_MS_MIN,
  ROW_BYTES_MAX,
  ROW_BYTES_MIN,
  UNREPRESENTABLE,
  parseDestinationRoot,
  parseDurationMs,
  parseMode,
  parsePathTemplate,
  parseSizeBytes,
  parseWhole,
} from "./config-values.ts";

const SYNCS_MAX = 1000;
const PATTERNS_MAX = 10_000;
const PARTITION_COLUMNS_MAX = 16;
const TEXT_LENGTH_MAX = 65_536;

const text = z.string().min(1).max(TEXT_LENGTH_MAX);

/** Runs one of the parsers that the command line uses, and turns its refusal into an issue. */
function parsed<I extends z.ZodType, T>(
  input: I,
  parse: (value: z.output<I>) => T,
) {
  return input.transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

const textOrNumber = z.union([text, z.number()]);
const durationMs = (minMs: number, maxMs = DURATION_MS_MAX) =>
  parsed(textOrNumber, (value) => parseDurationMs(value, minMs, maxMs));
const seconds = (minMs: number) =>
  parsed(textOrNumber, (value) => parseDurationMs(value, minMs) / 1000);
const sizeBytes = (minBytes: number, maxBytes: number) =>
  parsed(textOrNumber, (value) => parseSizeBytes(value, minBytes, maxBytes));

const whole = (max: number) =>
  parsed(textOrNumber, (value) => parseWhole(value, 1, max));

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

const sourceSchema = z.discriminatedUnion("kind", [
  postgresSource.extend({ password }),
  mysqlSource.extend({ password }),
  mssqlSource.extend({ password }),
  generatorSource.extend({ password }),
]);

/** A text that its connector takes. */
function checkText(text: string, check: () => unknown): string {
  try {
    check();
    return text;
  } catch (error) {
    if (!(error instanceof ExtractError)) throw error;
    throw new InvalidValue(error.message);
  }
}

const fileLayout = {
  pathTemplate: parsed(text, parsePathTemplate)
    .optional()
    .describe(
      "Folder of one stream below the destination, from {namespace} and {stream}. Default: {namespace}/{stream}.",
    ),
  fileSize: sizeBytes(FILE_BYTES_MIN, FILE_BYTES_MAX)
    .optional()
    .describe("Size at which a new file is begun. Default: 512MiB."),
};

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

const fileSchema = z.strictObject({
  kind: z.literal("file").describe("What the destination is."),
  path: parsed(text, (path) => {
    parseDestinationRoot(path, "/");
    return path;
  }).describe("Folder or file:// URL; a relative one lies beside this file."),
  ...fileLayout,
  foldersBy,
});

const s3Schema = z
  .strictObject({ ...s3Destination.shape, ...fileLayout })
  .superRefine(
    (
      { kind: _, url, pathTemplate: __, fileSize: ___, ...options },
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

const destinationSchema = z.discriminatedUnion("kind", [
  fileSchema,
  s3Schema,
  postgresSchema,
]);

const patterns = z.array(text).max(PATTERNS_MAX);

const syncSchema = z.strictObject({
  source: sourceSchema,
  destination: destinationSchema,
  tables: patterns
    .optional()
    .describe(
      "Patterns of tables to copy: table, schema.table, * as wildcard. Default: all.",
    ),
  exclude: patterns.optional().describe("Patterns of tables to leave out."),
  mode: parsed(z.enum(Object.keys(MODES)), parseMode)
    .optional()
    .describe("How rows arrive. Default: full-refresh-overwrite."),
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
      "Path of the ledger. Default: .millrace/ledger.sqlite below the destination.",
    ),
  trace: text
    .optional()
    .describe(
      "File for the inspection events of all processes, as JSON lines.",
    ),
});

export const configSchema = z.strictObject({
  $schema: z.string().optional().describe("For editors; not read."),
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
  return inner instanceof z.ZodDiscriminatedUnion
    ? inner.options.flatMap((option) => listObjects(option as z.ZodType))
    : [];
}

function unwrap(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional
    ? unwrap(schema.unwrap() as z.ZodType)
    : schema;
}

function descend(schema: z.ZodType, step: string): z.ZodType | undefined {
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
