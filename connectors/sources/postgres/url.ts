/**
 * A source's address: `postgres://user:password@host:port/database?parameter=value`, with libpq's parameters,
 * environment variables and defaults for what the URL leaves out.
 */
import { existsSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { ExtractError } from "../../../proto/error.ts";

export type SslMode =
  | "disable"
  | "prefer"
  | "require"
  | "verify-ca"
  | "verify-full";

export interface PostgresConfig {
  /** A name or address, or the folder of a Unix socket when it begins with `/`. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Null: none is given here; a password file may still hold one. */
  readonly password: string | null;
  readonly database: string;
  readonly sslmode: SslMode;
  /** Path of the certificates to trust; `system` for those that Node.js carries; null: none named. */
  readonly sslrootcert: string | null;
  /** Paths of a client certificate and its key, for servers that ask for one. */
  readonly sslcert: string | null;
  readonly sslkey: string | null;
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  /** The session can make replication slots; it takes statements without parameters only. */
  readonly replication?: boolean;
}

const PORT_DEFAULT = 5432;
const CONNECT_TIMEOUT_MS_DEFAULT = 15_000;

/** Parameters of libpq that change nothing for a reader; anything unknown is refused, since it may be a typing error. */
const ignoredParameters = new Set([
  "channel_binding",
  "client_encoding",
  "fallback_application_name",
  "gssencmode",
  "keepalives",
  "keepalives_count",
  "keepalives_idle",
  "keepalives_interval",
  "krbsrvname",
  "options",
  "sslcompression",
  "sslnegotiation",
  "sslsni",
  "target_session_attrs",
  "tcp_user_timeout",
]);

const knownParameters = new Set([
  "application_name",
  "connect_timeout",
  "dbname",
  "host",
  "password",
  "port",
  "sslcert",
  "sslkey",
  "sslmode",
  "sslrootcert",
  "user",
]);

/**
 * Reads a source URL.
 * @throws ExtractError USAGE naming the part that is wrong; the message never holds the password
 */
export function parseSourceUrl(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): PostgresConfig {
  const parsed = parseUrl(url);
  const parameters = readParameters(parsed);
  const host =
    parameters.get("host") ??
    readHostname(parsed) ??
    env["PGHOST"] ??
    "localhost";
  if (host.includes(",")) {
    throw usage("one host is expected in the source URL, not a list", url);
  }
  const user =
    parameters.get("user") ??
    nonEmpty(decodePart(parsed.username, "user")) ??
    env["PGUSER"] ??
    userInfo().username;
  const path = decodePart(parsed.pathname.replace(/^\//, ""), "database");
  return {
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port: readPort(
      parameters.get("port") ?? nonEmpty(parsed.port) ?? env["PGPORT"],
      url,
    ),
    user,
    password:
      parameters.get("password") ??
      nonEmpty(decodePart(parsed.password, "password")) ??
      env["PGPASSWORD"] ??
      null,
    database:
      parameters.get("dbname") ?? nonEmpty(path) ?? env["PGDATABASE"] ?? user,
    sslmode: readSslMode(parameters.get("sslmode") ?? env["PGSSLMODE"], url),
    sslrootcert:
      parameters.get("sslrootcert") ??
      env["PGSSLROOTCERT"] ??
      findUserFile("root.crt"),
    sslcert:
      parameters.get("sslcert") ??
      env["PGSSLCERT"] ??
      findUserFile("postgresql.crt"),
    sslkey:
      parameters.get("sslkey") ??
      env["PGSSLKEY"] ??
      findUserFile("postgresql.key"),
    applicationName:
      parameters.get("application_name") ?? env["PGAPPNAME"] ?? "millrace",
    connectTimeoutMs: readConnectTimeoutMs(
      parameters.get("connect_timeout") ?? env["PGCONNECT_TIMEOUT"],
      url,
    ),
  };
}

/** The URL with its password replaced, for messages and logs. What is no URL comes back as `<source>`. */
export function redactUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(nameHost(url));
  } catch {
    return "<source>";
  }
  if (parsed.password !== "") parsed.password = "***";
  if (parsed.searchParams.has("password")) {
    parsed.searchParams.set("password", "***");
  }
  return dropHostName(parsed.href);
}

/**
 * The URL without its password.
 * @throws TypeError for what parseSourceUrl refuses, too
 */
export function removePassword(url: string): string {
  const parsed = new URL(nameHost(url));
  parsed.password = "";
  parsed.searchParams.delete("password");
  return dropHostName(parsed.href);
}

/**
 * The URL with a password of its own: in its user part, or as a parameter where it names no user. What is no URL
 * stays wrong.
 */
export function putPassword(url: string, password: string): string {
  const encoded = encodeURIComponent(password);
  const named = nameHost(url);
  const parsed = URL.canParse(named) ? new URL(named) : null;
  if (parsed === null || parsed.username === "") {
    return `${url}${url.includes("?") ? "&" : "?"}password=${encoded}`;
  }
  parsed.password = encoded;
  return dropHostName(parsed.href);
}

/** `host:port`, or the path of the Unix socket, for messages. */
export function describeServer(
  config: Pick<PostgresConfig, "host" | "port">,
): string {
  if (config.host.startsWith("/")) {
    return `${config.host}/.s.PGSQL.${config.port}`;
  }
  return config.host.includes(":")
    ? `[${config.host}]:${config.port}`
    : `${config.host}:${config.port}`;
}

/** Stands for the host that a URL does not name. @see RFC 2606: nothing is ever reached under it */
const NO_HOST = "no-host.invalid";

/** Without a host the WHATWG parser refuses user and port, which libpq takes: the host may come from elsewhere. */
function nameHost(url: string): string {
  return url.replace(
    /^(postgres(?:ql)?:\/\/)(?:([^/?#]*@)(:\d+)?|(:\d+))(?=[/?#]|$)/,
    (_, scheme: string, user = "", port = "", portAlone = "") =>
      `${scheme}${user}${NO_HOST}${port}${portAlone}`,
  );
}

function dropHostName(url: string): string {
  return url.replace(NO_HOST, "");
}

function readHostname({ hostname }: URL): string | undefined {
  return hostname === NO_HOST
    ? undefined
    : nonEmpty(decodePart(hostname, "host"));
}

function parseUrl(url: string): URL {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw usage("a source URL begins with postgres:// or postgresql://", url);
  }
  let parsed: URL;
  try {
    parsed = new URL(nameHost(url));
  } catch (cause) {
    throw usage(
      "the source URL cannot be read; characters such as # / ? @ in user or password must be percent-encoded",
      url,
      cause,
    );
  }
  if (parsed.hash !== "") {
    throw usage(
      "the source URL has a # in it; in a password it must be written %23",
      url,
    );
  }
  return parsed;
}

function readParameters(parsed: URL): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of parsed.searchParams) {
    if (knownParameters.has(name)) {
      if (value !== "") parameters.set(name, value);
    } else if (!ignoredParameters.has(name)) {
      throw usage(`the source URL's parameter ${name} is not known`, null);
    }
  }
  return parameters;
}

function readPort(text: string | undefined, url: string): number {
  if (text === undefined || text === "") return PORT_DEFAULT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw usage(`port ${text} is not between 1 and 65535`, url);
  }
  return port;
}

function readSslMode(text: string | undefined, url: string): SslMode {
  switch (text) {
    case undefined:
    case "":
    case "allow":
    case "prefer":
      return "prefer";
    case "disable":
    case "require":
    case "verify-ca":
    case "verify-full":
      return text;
    default:
      throw usage(
        `sslmode ${text} is none of disable, prefer, require, verify-ca, verify-full`,
        url,
      );
  }
}

/** libpq counts in seconds; 0 and less mean no limit there, which no wait of ours has: the default is taken. */
function readConnectTimeoutMs(text: string | undefined, url: string): number {
  if (text === undefined || text === "") return CONNECT_TIMEOUT_MS_DEFAULT;
  const seconds = Number(text);
  if (!Number.isInteger(seconds)) {
    throw usage(
      `connect_timeout ${text} is not a whole number of seconds`,
      url,
    );
  }
  return seconds <= 0 ? CONNECT_TIMEOUT_MS_DEFAULT : seconds * 1000;
}

function findUserFile(name: string): string | null {
  const path = join(homedir(), ".postgresql", name);
  return existsSync(path) ? path : null;
}

function decodePart(text: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw usage(
      `the ${part} in the source URL has a % that begins no percent-encoded character (write %25)`,
      null,
      cause,
    );
  }
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function usage(
  message: string,
  url: string | null,
  cause?: unknown,
): ExtractError {
  const details = url === null ? {} : { url: redactUrl(url) };
  return new ExtractError("USAGE", message, details, { cause });
}
