/**
 * The configurations of our destination executables: what `spec` says of them, and which destination of ours each means.
 * Their keys are those that Airbyte's own connectors of these kinds have, where they have one.
 */
import { z } from "zod";
import {
  META_COLUMNS,
  type AirbyteSettings,
} from "../../connectors/sources/airbyte/config.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import {
  buildDestination,
  configOf,
  type DestinationRequest,
} from "../destinations.ts";
import { checkDestinationConfig } from "../inspect-destination.ts";
import { requestDefaults, type SyncRequest } from "../request.ts";
import type { DestinationExecutable } from "./executable.ts";

const TEXT_MAX = 65_536;
const SECONDS_MAX = 24 * 3_600;

const text = z.string().min(1).max(TEXT_MAX);

const common = {
  checkpoint_interval_seconds: z
    .number()
    .min(0.01)
    .max(SECONDS_MAX)
    .default(60)
    .meta({
      title: "Seconds between checkpoints",
      description:
        "States are given back once their rows are durable, which is made so after each such time.",
    }),
  metadata_columns: z
    .array(z.enum(META_COLUMNS))
    .default([])
    .meta({ title: "Columns that tell of each record" }),
  numbers: z
    .enum(["float64", "decimalText"])
    .default("float64")
    .meta({ title: "What a number without a word about its size becomes" }),
  unrepresentable: z.enum(["error", "null"]).default("error").meta({
    title: "Values that a column cannot hold",
    description: "An error, or NULL and a recorded change.",
  }),
  ledger: text.optional().meta({
    title: "Ledger",
    description:
      "Path of a file, or postgres:// URL, that remembers what was written from sync to sync. Left out: beside what is written.",
    airbyte_secret: true,
  }),
};

const format = z
  .object({
    format_type: z
      .enum(["Parquet", "Avro", "CSV", "JSONL"])
      .default("Parquet")
      .meta({ title: "Format" }),
    compression: z
      .enum(["zstd", "gzip", "snappy", "none"])
      .optional()
      .meta({ title: "Compression" }),
  })
  .default({ format_type: "Parquet" });

const configs = {
  "destination-file": z.looseObject({
    path: text.meta({ title: "Folder", description: "An absolute path." }),
    format,
    ...common,
  }),
  "destination-s3": z.looseObject({
    s3_bucket_name: text.meta({ title: "Bucket" }),
    s3_bucket_path: z.string().max(TEXT_MAX).default("").meta({
      title: "Prefix of all keys",
    }),
    s3_bucket_region: z.string().max(TEXT_MAX).optional().meta({
      title: "Region",
    }),
    s3_endpoint: z.string().max(TEXT_MAX).optional().meta({
      title: "Endpoint of a store other than AWS",
    }),
    access_key_id: z.string().max(TEXT_MAX).optional().meta({
      title: "Access key",
      airbyte_secret: true,
      description: "Left out: as the AWS default chain finds it.",
    }),
    secret_access_key: z.string().max(TEXT_MAX).optional().meta({
      title: "Secret key",
      airbyte_secret: true,
    }),
    role_arn: z.string().max(TEXT_MAX).optional().meta({ title: "Role" }),
    format,
    ...common,
  }),
  "destination-postgres": z.looseObject({
    host: text.meta({ title: "Host" }),
    port: z.int().min(1).max(65_535).default(5432).meta({ title: "Port" }),
    database: text.meta({ title: "Database" }),
    schema: text.default("public").meta({
      title: "Schema of streams that are in no namespace",
    }),
    username: text.meta({ title: "User" }),
    password: z.string().max(TEXT_MAX).optional().meta({
      title: "Password",
      airbyte_secret: true,
    }),
    url_params: z.string().max(TEXT_MAX).optional().meta({
      title: "URL parameters",
      description: "Such as sslmode=require, joined by &.",
      airbyte_secret: true,
    }),
    ...common,
  }),
} as const;

const titles: Readonly<Record<DestinationExecutable, string>> = {
  "destination-file": "Files",
  "destination-s3": "S3",
  "destination-postgres": "Postgres",
};

const modes: Readonly<Record<DestinationExecutable, readonly string[]>> = {
  "destination-file": ["overwrite", "append"],
  "destination-s3": ["overwrite", "append"],
  "destination-postgres": ["overwrite", "append", "append_dedup"],
};

function describeSpec(kind: DestinationExecutable): object {
  const schema = z.toJSONSchema(configs[kind], { io: "input" });
  return {
    supportsIncremental: true,
    supported_destination_sync_modes: modes[kind],
    protocol_version: "0.2.0",
    connectionSpecification: { ...schema, title: titles[kind] },
  };
}

/** The bodies of their SPEC messages. */
export const destinationSpecs: Readonly<Record<DestinationExecutable, object>> =
  {
    "destination-file": describeSpec("destination-file"),
    "destination-s3": describeSpec("destination-s3"),
    "destination-postgres": describeSpec("destination-postgres"),
  };

/** A destination as its configuration means it, and what else it says of a run. */
export interface DestinationPlan {
  readonly destination: DestinationRequest;
  readonly format: SyncRequest["format"];
  /** Schema of streams that are in no namespace. */
  readonly unnamed: string;
  readonly modes: readonly string[];
  readonly checkpointEverySeconds: number;
  readonly unrepresentable: SyncRequest["unrepresentable"];
  readonly records: Pick<AirbyteSettings, "meta" | "numbers">;
  /** Null: the destination's own. */
  readonly ledgerPath: string | null;
  /** It lies in the bucket, and is brought here while rows are written. */
  readonly keepsLedger: boolean;
  /** Keys that the AWS default chain is to find. */
  readonly env: Readonly<Record<string, string>>;
}

/** @throws ExtractError CONFIG_INVALID listing each fault with its path, and no value */
export function planDestination(
  kind: DestinationExecutable,
  value: unknown,
): DestinationPlan {
  switch (kind) {
    case "destination-file": {
      const config = readConfig(configs[kind], value);
      return {
        ...readCommon(kind, config),
        destination: buildDestination({ destination: config.path }),
        format: readFormat(config.format),
        unnamed: "public",
        env: {},
      };
    }
    case "destination-s3": {
      const config = readConfig(configs[kind], value);
      const prefix = config.s3_bucket_path.replace(/^\/+|\/+$/g, "");
      const options = {
        ...given("region", config.s3_bucket_region),
        ...given("endpoint", config.s3_endpoint),
        ...given("roleArn", config.role_arn),
      };
      return {
        ...readCommon(kind, config),
        keepsLedger: config.ledger === undefined,
        destination: buildDestination({
          destination: `s3://${config.s3_bucket_name}${prefix === "" ? "" : `/${prefix}`}`,
          destinationOptions: options,
        }),
        format: readFormat(config.format),
        unnamed: "public",
        env: {
          ...given("AWS_ACCESS_KEY_ID", config.access_key_id),
          ...given("AWS_SECRET_ACCESS_KEY", config.secret_access_key),
        },
      };
    }
    case "destination-postgres": {
      const config = readConfig(configs[kind], value);
      const { host, port, database, username, password = "" } = config;
      const { url_params: parameters = "" } = config;
      const secret = password === "" ? "" : `:${encodeURIComponent(password)}`;
      const place = host.includes(":") ? `[${host}]` : host;
      const query =
        parameters === "" ? "" : `?${parameters.replace(/^\?/, "")}`;
      const url = `postgres://${encodeURIComponent(username)}${secret}@${place}:${port}/${encodeURIComponent(database)}${query}`;
      const shared = readCommon(kind, config);
      return {
        ...shared,
        destination: buildDestination({ destination: url }),
        format: requestDefaults.format,
        unnamed: config.schema,
        // what was written is remembered where it was written
        ledgerPath: shared.ledgerPath ?? url,
        env: {},
      };
    }
  }
}

function readCommon(
  kind: DestinationExecutable,
  config: z.output<(typeof configs)["destination-file"]> | CommonConfig,
) {
  return {
    modes: modes[kind],
    checkpointEverySeconds: config.checkpoint_interval_seconds,
    unrepresentable: config.unrepresentable,
    records: { meta: config.metadata_columns, numbers: config.numbers },
    ledgerPath: config.ledger ?? null,
    keepsLedger: false,
  };
}

type CommonConfig = z.output<z.ZodObject<typeof common>>;

function readConfig<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new ExtractError(
    "CONFIG_INVALID",
    read.error.issues
      .map(({ path, message }) => `${path.join(".") || "config"}: ${message}`)
      .join("; "),
  );
}

function readFormat({
  format_type: type,
  compression,
}: z.output<typeof format>): SyncRequest["format"] {
  const names = {
    Parquet: "parquet",
    Avro: "avro",
    CSV: "csv",
    JSONL: "jsonl",
  } as const;
  return {
    format: names[type],
    compression: compression ?? null,
    plainEncodings: false,
  };
}

function given<Name extends string>(
  name: Name,
  value: string | undefined,
): { [K in Name]?: string } {
  return (value === undefined || value === "" ? {} : { [name]: value }) as {
    [K in Name]?: string;
  };
}

export interface CheckResult {
  readonly status: "SUCCEEDED" | "FAILED";
  readonly message?: string;
}

/** Never rejects for faults of the world: they are what is asked for. */
export async function checkDestination(
  kind: DestinationExecutable,
  config: unknown,
): Promise<CheckResult> {
  try {
    const { destination, format: chosen, env } = planDestination(kind, config);
    Object.assign(process.env, env);
    await checkDestinationConfig(
      await configOf({
        destination,
        format: chosen,
        mode: "full-refresh-append",
      }),
    );
    return { status: "SUCCEEDED" };
  } catch (error) {
    const { code, message } = toWireError(error);
    return { status: "FAILED", message: `${code}: ${message}` };
  }
}
