/** The Kafka client: settings turned into the library's words, its log into ours, its errors into ours. */
import { promisify } from "node:util";
import { gunzip, gzip, zstdCompress, zstdDecompress } from "node:zlib";
import kafkajs, {
  type Kafka,
  type KafkaConfig,
  type LogEntry,
  type SASLOptions,
} from "kafkajs";
import { ExtractError } from "../../../proto/error.ts";
import type { KafkaTriggerConfig } from "../config.ts";
import { uncompressLz4 } from "./lz4.ts";
import { uncompressSnappy } from "./snappy.ts";

/** What a compressed batch of messages may grow to; a broker's batch has 1 MiB by default. */
const BATCH_BYTES_MAX = 64 * 1024 * 1024;
const CONNECT_MS_MAX = 10_000;
const REQUEST_MS_MAX = 30_000;
/** Of the library; afterwards our own back-off begins, which is seen. */
export const clientRetry = {
  retries: 3,
  initialRetryTime: 200,
  maxRetryTime: 2_000,
} as const;

/** A pino logger, or what looks like one. */
export interface TriggerLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

type Codec = () => {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
};

const bounded = { maxOutputLength: BATCH_BYTES_MAX };
const codec =
  (
    shrink: (bytes: Buffer) => Promise<Buffer>,
    grow: (bytes: Buffer, options: typeof bounded) => Promise<Buffer>,
  ): Codec =>
  () => ({
    compress: ({ buffer }) => shrink(buffer),
    decompress: (bytes) => grow(bytes, bounded),
  });

/** Only read: what we send is not compressed. */
const reader =
  (grow: (bytes: Buffer, bytesMax: number) => Buffer): Codec =>
  () => ({
    compress: () => Promise.reject(new Error("nothing is sent compressed")),
    decompress: async (bytes) => grow(bytes, BATCH_BYTES_MAX),
  });

/** The library's own gzip has no bound, and it has no other one. It looks codecs up by number, here. */
const codecs = kafkajs.CompressionCodecs as Record<number, Codec>;
codecs[kafkajs.CompressionTypes.GZIP] = codec(
  promisify(gzip),
  promisify(gunzip),
);
codecs[kafkajs.CompressionTypes.ZSTD] = codec(
  promisify(zstdCompress),
  promisify(zstdDecompress),
);

codecs[kafkajs.CompressionTypes.Snappy] = reader(uncompressSnappy);
codecs[kafkajs.CompressionTypes.LZ4] = reader(uncompressLz4);

/**
 * The library's request queue asks for a negative delay now and then, which Node takes for 1 ms and warns of once. No
 * other warning is kept back.
 */
const warn = process.emitWarning.bind(process) as (...said: unknown[]) => void;
process.emitWarning = (...said: unknown[]): void => {
  const [, type] = said;
  const name =
    typeof type === "object" && type !== null && "type" in type
      ? type.type
      : type;
  if (name !== "TimeoutNegativeWarning") warn(...said);
};

export function createClient(
  config: KafkaTriggerConfig,
  clientId: string,
  log: TriggerLog,
): Kafka {
  return new kafkajs.Kafka({
    clientId,
    brokers: [...config.brokers],
    connectionTimeout: CONNECT_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    retry: { ...clientRetry },
    ...readSecurity(config),
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => passOn(log, entry),
  });
}

function readSecurity({
  ssl,
  sasl,
}: KafkaTriggerConfig): Pick<KafkaConfig, "ssl" | "sasl"> {
  const tls =
    typeof ssl === "boolean"
      ? ssl
      : {
          ...(ssl.ca === undefined ? {} : { ca: [ssl.ca] }),
          ...(ssl.cert === undefined ? {} : { cert: ssl.cert }),
          ...(ssl.key === undefined ? {} : { key: ssl.key }),
          rejectUnauthorized: ssl.rejectUnauthorized ?? true,
        };
  return { ssl: tls, ...(sasl ? { sasl: sasl as SASLOptions } : {}) };
}

/** What the library calls an error is retried, and told by us when it is not: a line at `debug` is enough. */
function passOn(
  log: TriggerLog,
  { level, namespace, log: said }: LogEntry,
): void {
  const { message, timestamp: _, logger: __, stack: ___, ...fields } = said;
  const isFault = level <= kafkajs.logLevel.WARN;
  const text = `kafka: ${namespace ? `${namespace}: ` : ""}${message}`;
  if (isFault) log.info({ kafka: plain(fields) }, text);
  else log.debug({ kafka: plain(fields) }, text);
}

/** Short values only: some entries hold whole requests. */
function plain(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      ["string", "number", "boolean"].includes(typeof value)
        ? [[name, String(value).slice(0, 500)]]
        : [],
    ),
  );
}

/** The innermost cause; the library wraps what it has retried. */
function unwrap(error: unknown): Error & { type?: string; code?: string } {
  const outer = error instanceof Error ? error : new Error(String(error));
  return outer.cause instanceof Error ? unwrap(outer.cause) : outer;
}

/** Any error of the library, under our codes. */
export function toKafkaError(error: unknown): ExtractError {
  if (error instanceof ExtractError) return error;
  const inner = unwrap(error);
  const words = inner.message || inner.name;
  const isRefused =
    inner.name === "KafkaJSSASLAuthenticationError" ||
    inner.name === "KafkaJSNotImplemented" ||
    /AUTHORIZATION_FAILED|SASL_|UNSUPPORTED/.test(inner.type ?? "");
  const isMissing = inner.type === "UNKNOWN_TOPIC_OR_PARTITION";
  const code = isRefused
    ? "KAFKA_REFUSED"
    : isMissing
      ? "KAFKA_TOPIC_NOT_FOUND"
      : "KAFKA_UNREACHABLE";
  return new ExtractError(
    code,
    words,
    { ...(inner.type ? { kafka: inner.type } : {}) },
    { cause: error },
  );
}
