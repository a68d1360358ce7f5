/**
 * A source's address: `mysql://user:password@host:port/database?parameter=value` or `mariadb://…`. Parameters are the
 * options of the servers' own clients, with or without the dash: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`,
 * `socket`, `connect-timeout`. Without a database, all of them that the user may see are meant.
 */
import { userInfo } from "node:os";
import { ExtractError } from "../../../proto/error.ts";

/** @see MySQL manual, "Command Options for Encrypted Connections", --ssl-mode */
export type SslMode =
  | "disabled"
  | "preferred"
  | "required"
  | "verify-ca"
  | "verify-identity";

export interface MysqlConfig {
  /** A name or address. */
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket, which then is used in place of host and port; null: none. */
  readonly socket: string | null;
  readonly user: string;
  readonly password: string | null;
  /** Empty where the URL names none. */
  readonly database: string;
  readonly sslMode: SslMode;
  /** Path of the certificates to trust; null: those that Node.js carries. */
  readonly sslCa: string | null;
  /** Paths of a client certificate and its key, for servers that ask for one. */
  readonly sslCert: string | null;
  readonly sslKey: string | null;
  readonly connectTimeoutMs: number;
}

const PORT_DEFAULT = 3306;
const CONNECT_TIMEOUT_MS_DEFAULT = 15_000;

const knownParameters = new Set([
  "connect-timeout",
  "password",
  "socket",
  "ssl-ca",
  "ssl-cert",
  "ssl-key",
  "ssl-mode",
]);

/** Other spellings, and parameters of other tools that mean the same. */
const parameterNames: Readonly<Record<string, string>> = {
  connect_timeout: "connect-timeout",
  sslca: "ssl-ca",
  ssl_ca: "ssl-ca",
  sslcert: "ssl-cert",
  ssl_cert: "ssl-cert",
  sslkey: "ssl-key",
  ssl_key: "ssl-key",
  sslmode: "ssl-mode",
  ssl_mode: "ssl-mode",
};

/** Parameters of other tools that change nothing for a reader; anything unknown is refused: it may be a typing error. */
const ignoredParameters = new Set(["charset", "collation", "timezone"]);

/**
 * Reads a source URL. A password that the URL leaves out is taken from MYSQL_PWD, as the servers' own clients do.
 * @throws ExtractError USAGE naming the part that is wrong; the message never holds the password
 */
export function parseSourceUrl(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): MysqlConfig {
  const parsed = parseUrl(url);
  const parameters = readParameters(parsed);
  const host = readHostname(parsed) ?? env["MYSQL_HOST"] ?? "localhost";
  if (host.includes(",")) {
    throw usage("one host is expected in the source URL, not a list", url);
  }
  const sslCert = parameters.get("ssl-cert") ?? null;
  const sslKey = parameters.get("ssl-key") ?? null;
  if ((sslCert === null) !== (sslKey === null)) {
    throw usage("ssl-cert and ssl-key belong together", url);
  }
  const database = decodePart(parsed.pathname.replace(/^\//, ""), "database");
  if (database.includes("/")) {
    throw usage("the source URL's path is more than one database", url);
  }
  const sslCa = parameters.get("ssl-ca") ?? null;
  return {
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port: readPort(nonEmpty(parsed.port) ?? env["MYSQL_TCP_PORT"], url),
    socket: parameters.get("socket") ?? null,
    user: nonEmpty(decodePart(parsed.username, "user")) ?? userInfo().username,
    password:
      parameters.get("password") ??
      nonEmpty(decodePart(parsed.password, "password")) ??
      env["MYSQL_PWD"] ??
      null,
    database,
    sslMode: readSslMode(parameters.get("ssl-mode"), sslCa !== null, url),
    sslCa,
    sslCert,
    sslKey,
    connectTimeoutMs: readConnectTimeoutMs(
      parameters.get("connect-timeout"),
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
  config: Pick<MysqlConfig, "host" | "port" | "socket">,
): string {
  if (config.socket !== null) return config.socket;
  return config.host.includes(":")
    ? `[${config.host}]:${config.port}`
    : `${config.host}:${config.port}`;
}

/** Stands for the host that a URL does not name. @see RFC 2606: nothing is ever reached under it */
const NO_HOST = "no-host.invalid";

/** Without a host the WHATWG parser refuses user and port; the host may come from elsewhere. */
function nameHost(url: string): string {
  return url.replace(
    /^((?:mysql|mariadb):\/\/)(?:([^/?#]*@)(:\d+)?|(:\d+))(?=[/?#]|$)/i,
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
  if (!/^(mysql|mariadb):\/\//i.test(url)) {
    throw usage("a source URL begins with mysql:// or mariadb://", url);
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
  for (const [given, value] of parsed.searchParams) {
    const lower = given.toLowerCase();
    const name = parameterNames[lower] ?? lower;
    if (knownParameters.has(name)) {
      if (value !== "") parameters.set(name, value);
    } else if (!ignoredParameters.has(name)) {
      throw usage(`the source URL's parameter ${given} is not known`, null);
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

/** Naming certificates to trust means that they are to be verified, as with the servers' own clients. */
function readSslMode(
  text: string | undefined,
  hasCa: boolean,
  url: string,
): SslMode {
  const mode = text?.toLowerCase().replaceAll("_", "-");
  switch (mode) {
    case undefined:
      return hasCa ? "verify-ca" : "preferred";
    case "prefer":
      return "preferred";
    case "require":
      return "required";
    case "disable":
      return "disabled";
    case "disabled":
    case "preferred":
    case "required":
    case "verify-ca":
    case "verify-identity":
      return mode;
    default:
      throw usage(
        `ssl-mode ${text} is none of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY`,
        url,
      );
  }
}

/** In seconds, as the servers' own clients take it; 0 means no limit there, which no wait of ours has. */
function readConnectTimeoutMs(text: string | undefined, url: string): number {
  if (text === undefined) return CONNECT_TIMEOUT_MS_DEFAULT;
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) {
    throw usage(
      `connect-timeout ${text} is not a whole number of seconds`,
      url,
    );
  }
  return seconds === 0 ? CONNECT_TIMEOUT_MS_DEFAULT : seconds * 1000;
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
