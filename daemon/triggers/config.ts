/** What `millrace.yaml` says of a Kafka topic that triggers runs. */
import { z } from "zod";
import { TRIGGER_FORMATS } from "./parse-trigger.ts";

const BROKERS_MAX = 100;
const TEXT_LENGTH_MAX = 65_536;
/** @see Kafka, `Topic.MAX_NAME_LENGTH` and `LEGAL_CHARS` */
const TOPIC_LENGTH_MAX = 249;
const PORT_MAX = 65_535;

const topic = z
  .string()
  .max(TOPIC_LENGTH_MAX)
  .regex(
    /^(?!\.{1,2}$)[A-Za-z0-9._-]+$/,
    "must have letters, digits, `.`, `_` and `-`",
  );

const name = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x21-\x7e]+$/, "must have printable ASCII letters, no blanks");

const broker = z
  .string()
  .max(300)
  .regex(
    /^(\[[\da-fA-F:.]+\]|[^:[\]/\s@]+):\d{1,5}$/,
    "is no broker; write it like kafka.example.com:9092",
  )
  .refine((value) => {
    const port = Number(value.slice(value.lastIndexOf(":") + 1));
    return port >= 1 && port <= PORT_MAX;
  }, "has no port between 1 and 65535");

const pem = (what: string) =>
  z
    .string()
    .max(TEXT_LENGTH_MAX)
    .regex(/-----BEGIN [A-Z ]+-----/, "is no PEM; file:PATH reads one")
    .describe(`${what}, as PEM text or file:PATH.`);

const ssl = z.union([
  z.boolean(),
  z
    .strictObject({
      ca: pem("Authorities to trust in place of the system's").optional(),
      cert: pem("This client's certificate").optional(),
      key: pem("Its key").meta({ secret: true }).optional(),
      rejectUnauthorized: z
        .boolean()
        .optional()
        .describe("false takes any certificate: for tests only. Default: true."), // prettier-ignore
    })
    .refine(
      ({ cert, key }) => (cert === undefined) === (key === undefined),
      "needs both of `cert` and `key`, or neither",
    ),
]);

const sasl = z.strictObject({
  mechanism: z.enum(["plain", "scram-sha-256", "scram-sha-512"]),
  username: z.string().min(1).max(TEXT_LENGTH_MAX),
  password: z
    .string()
    .min(1)
    .max(TEXT_LENGTH_MAX)
    .meta({ secret: true })
    .describe("The secret: ${ENV} or file:PATH."),
});

export const kafkaTriggerSchema = z
  .strictObject({
    brokers: z
      .array(broker)
      .min(1)
      .max(BROKERS_MAX)
      .describe("Brokers to ask first, host:port."),
    topic: topic.describe("Topic whose messages trigger runs."),
    group: name
      .optional()
      .describe("Consumer group; daemons of one group share a ledger in Postgres. Default: millrace."), // prettier-ignore
    clientId: name
      .optional()
      .describe("How this client is called at the brokers. Default: millrace."),
    ssl: ssl
      .optional()
      .describe("true for TLS with the system's authorities, or an object."),
    sasl: sasl.optional().describe("User and password."),
    format: z
      .enum(TRIGGER_FORMATS)
      .optional()
      .describe("How messages, and results, are written. Default: json."),
    resultTopic: topic
      .optional()
      .describe("Topic that events of all runs go to. Default: none."),
    deadLetterTopic: topic
      .optional()
      .describe("Topic that malformed messages go to. Default: the topic's name with `.dead-letter` behind it."), // prettier-ignore
    from: z
      .enum(["beginning", "end"])
      .optional()
      .describe("Where a group that has read nothing yet begins. Default: beginning."), // prettier-ignore
  })
  .refine(
    ({ topic: own, resultTopic, deadLetterTopic }) =>
      own !== resultTopic && own !== deadLetterTopic,
    "reads and writes one topic: each result would be taken for a trigger",
  )
  .describe("Runs that are triggered by messages of a Kafka topic.");

/** Where its secrets are, each may be `file:PATH`; from this object on. */
export const kafkaSecretPaths = [
  ["ssl", "ca"],
  ["ssl", "cert"],
  ["ssl", "key"],
  ["sasl", "password"],
] as const;

export interface KafkaTriggerConfig {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly group: string;
  readonly clientId: string;
  readonly ssl:
    | boolean
    | {
        readonly ca?: string | undefined;
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
        readonly rejectUnauthorized?: boolean | undefined;
      };
  readonly sasl: z.output<typeof sasl> | null;
  readonly format: (typeof TRIGGER_FORMATS)[number];
  readonly resultTopic: string | null;
  readonly deadLetterTopic: string;
  readonly from: "beginning" | "end";
}

/** With all defaults. */
export function readKafkaTrigger(
  written: z.output<typeof kafkaTriggerSchema>,
): KafkaTriggerConfig {
  return {
    brokers: written.brokers,
    topic: written.topic,
    group: written.group ?? "millrace",
    clientId: written.clientId ?? "millrace",
    ssl: written.ssl ?? false,
    sasl: written.sasl ?? null,
    format: written.format ?? "json",
    resultTopic: written.resultTopic ?? null,
    deadLetterTopic: written.deadLetterTopic ?? `${written.topic}.dead-letter`,
    from: written.from ?? "beginning",
  };
}
