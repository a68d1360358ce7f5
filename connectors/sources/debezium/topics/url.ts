/**
 * How a source of topics reads: `kafka://user:password@host:9092,host:9092/?topics=shop.public.*`. What is behind the
 * question mark, values with `&`, `%` or `+` in them encoded:
 *
 * | `topics` | topics of Debezium's connectors, `*` as wildcard, with commas between them |
 * | `tables` | URL of the database that they come from, where messages carry no schema |
 * | `ssl` | `true` |
 * | `ca` | path of a PEM file: authorities to trust in place of the system's |
 * | `sasl` | `plain`, `scram-sha-256` or `scram-sha-512`; with a user and nothing said, `plain` |
 * | `times` | `time.precision.mode` of the connector: `adaptive` (Debezium's default) or `microseconds` |
 * | `unavailable` | `unavailable.value.placeholder` of the connector, where it is not Debezium's default |
 * | `away` | seconds for which brokers may be away while they are read, before the attempt ends: 60 unless told otherwise |
 */
import { ExtractError } from "../../../../proto/error.ts";

const saslMechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const;

export interface TopicsConfig {
  /** `host:port`. */
  readonly brokers: readonly string[];
  readonly user: string | null;
  readonly password: string | null;
  readonly sasl: (typeof saslMechanisms)[number] | null;
  readonly ssl: boolean;
  /** Of a PEM file. */
  readonly caPath: string | null;
  /** Names, with `*` as wildcard. */
  readonly topics: readonly string[];
  /** URL of the source's database; null: schemas come with the messages. */
  readonly tables: string | null;
  readonly timePrecision: "adaptive" | "microseconds";
  readonly unavailableValue: string;
  /** Brokers that give no answer for longer end the attempt. */
  readonly awayMs: number;
}

const PORT_DEFAULT = "9092";
const PORT_MAX = 65_535;
const BROKERS_MAX = 100;
const TOPICS_MAX = 1_000;
const UNAVAILABLE_DEFAULT = "__debezium_unavailable_value";
const AWAY_SECONDS_DEFAULT = 60;
const AWAY_SECONDS_MAX = 86_400;
const known = new Set([
  "topics",
  "tables",
  "ssl",
  "ca",
  "sasl",
  "times",
  "unavailable",
  "away",
]);
const shape = /^kafka:\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/?(?:\?([^#]*))?$/i;

/** @throws ExtractError USAGE naming the part that is wrong; the message never holds a password */
export function parseTopicsUrl(
  url: string,
  env: NodeJS.ProcessEnv = process.env,
): TopicsConfig {
  const match = shape.exec(url);
  if (match === null)
    throw usage("topics are written kafka://host:9092,host:9092/?topics=…");
  const [, login = "", hosts = "", query = ""] = match;
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys())
    if (!known.has(name))
      throw usage(`${name} is none of ${[...known].join(", ")}`);
  const topics = (parameters.get("topics") ?? "").split(",").filter(Boolean);
  if (topics.length === 0 || topics.length > TOPICS_MAX)
    throw usage(
      `topics= names 1 to ${TOPICS_MAX} topics, with commas between them`,
    );
  for (const topic of topics)
    if (!/^[A-Za-z0-9._*-]{1,249}$/.test(topic))
      throw usage(`${topic.slice(0, 100)} is no name of a topic`);
  const colon = login.indexOf(":");
  const user = decode(colon < 0 ? login : login.slice(0, colon)) || null;
  const given = colon < 0 ? null : decode(login.slice(colon + 1));
  const password = given ?? env["KAFKA_PASSWORD"] ?? null;
  const ssl = readWord(parameters, "ssl", ["true", "false"]) === "true";
  const mechanism = readWord(parameters, "sasl", saslMechanisms);
  const sasl = mechanism ?? (user === null ? null : "plain");
  if (sasl !== null && (user === null || password === null))
    throw usage(
      "SASL wants a user and a password: kafka://user:password@host, or KAFKA_PASSWORD",
    );
  return {
    brokers: readBrokers(hosts),
    ...{ user, password, sasl, ssl, topics },
    caPath: parameters.get("ca"),
    tables: parameters.get("tables"),
    timePrecision:
      readWord(parameters, "times", ["adaptive", "microseconds"]) ?? "adaptive",
    unavailableValue: parameters.get("unavailable") ?? UNAVAILABLE_DEFAULT,
    awayMs: readAway(parameters) * 1_000,
  };
}

/** What every source's `url.ts` says of its server. */
export function parseSourceUrl(url: string): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const { brokers, topics } = parseTopicsUrl(url);
  return {
    host: brokers.toSorted().join(","),
    port: 0,
    database: topics.toSorted().join(","),
  };
}

export function redactUrl(url: string): string {
  return replaceSecrets(url, "***");
}

export function removePassword(url: string): string {
  return replaceSecrets(url, null);
}

export function putPassword(url: string, password: string): string {
  return url.replace(
    /^(kafka:\/\/[^@/?#:]*)(:[^@/?#]*)?@/i,
    (_, start: string) => `${start}:${encodeURIComponent(password)}@`,
  );
}

/** Of the brokers, and of the database that stands beside them. */
function replaceSecrets(url: string, mark: string | null): string {
  const without = url.replace(
    /^(kafka:\/\/[^@/?#:]*):[^@/?#]*@/i,
    (_, start: string) => (mark === null ? `${start}@` : `${start}:${mark}@`),
  );
  return without.replace(
    /([?&]tables=)([^&#]*)/,
    (_, start: string, value: string) => {
      const inner = decode(value).replace(
        /^([a-z][a-z0-9+.-]*:\/\/[^@/?#:]*):[^@/?#]*@/i,
        (__, scheme: string) =>
          mark === null ? `${scheme}@` : `${scheme}:${mark}@`,
      );
      // what may also be a password, whatever it is called
      const bare = inner.replace(
        /([?&][^=&]*pass[^=&]*=)[^&#]*/gi,
        `$1${mark ?? ""}`,
      );
      return start + encodeURIComponent(bare);
    },
  );
}

function readBrokers(hosts: string): string[] {
  const brokers = hosts.split(",").map((host) => {
    const match = /^(\[[\da-f:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/i.exec(host);
    const port = match?.[2] ?? PORT_DEFAULT;
    if (match === null || Number(port) < 1 || Number(port) > PORT_MAX)
      throw usage(`${host.slice(0, 100)} is no broker; host:9092 is`);
    return `${match[1]}:${port}`;
  });
  if (brokers.length > BROKERS_MAX)
    throw usage(`more than ${BROKERS_MAX} brokers`);
  return brokers;
}

function readAway(parameters: URLSearchParams): number {
  const text = parameters.get("away");
  if (text === null) return AWAY_SECONDS_DEFAULT;
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (seconds < 1 || seconds > AWAY_SECONDS_MAX)
    throw usage(
      `away= is a number of seconds between 1 and ${AWAY_SECONDS_MAX}`,
    );
  return seconds;
}

function readWord<const Word extends string>(
  parameters: URLSearchParams,
  name: string,
  words: readonly Word[],
): Word | null {
  const value = parameters.get(name);
  if (value === null) return null;
  const word = words.find((one) => one === value);
  if (word === undefined) throw usage(`${name}= is one of ${words.join(", ")}`);
  return word;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usage("a part of the URL has a % that begins no character");
  }
}

function usage(message: string): ExtractError {
  return new ExtractError("USAGE", message);
}
