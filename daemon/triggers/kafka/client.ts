/** The Kafka client: settings turned into the library's words, its log into ours, its errors into ours. */
import kafkajs, {
  type Kafka,
  type KafkaConfig,
  type LogEntry,
  type SASLOptions,
} from "kafkajs";
import { ExtractError } from "../../../proto/error.ts";
import { kafkaCodecs } from "../../../transport/kafka/codecs.ts";
import "../../../transport/kafka/negative-timeouts.ts";
import type { KafkaTriggerConfig } from "../config.ts";

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

/** It looks codecs up by number, here. */
Object.assign(kafkajs.CompressionCodecs, kafkaCodecs);

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
