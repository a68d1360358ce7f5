/**
 * A source's address: `sqlserver://user:password@host:port/database?parameter=value` (`mssql://` means the same), with
 * `MSSQL_…` variables and defaults for what the URL leaves out. A named instance stands behind the host:
 * `sqlserver://host\instance/database` or `?instance=`; its port is asked of the server's browser service.
 */
import { ExtractError } from "../../../proto/error.ts";

/** `strict` is TLS before the first byte of TDS (8.0); `true` is TLS from the login on. */
export type Encryption = "strict" | "true" | "false";

export interface MssqlConfig {
  readonly host: string;
  readonly port: number;
  /** Null: the port is known. */
  readonly instance: string | null;
  readonly user: string;
  /** Null: none is given. */
  readonly password: string | null;
  readonly database: string;
  readonly encrypt: Encryption;
  /** Any certificate will do. */
  readonly trustServerCertificate: boolean;
  /** Path of the certificates to trust; null: those that Node.js carries. */
  readonly ca: string | null;
  /** A secondary that may be read will do. */
  readonly readOnlyIntent: boolean;
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
}

const PORT_DEFAULT = 1433;
const CONNECT_TIMEOUT_MS_DEFAULT = 15_000;

/** Anything else is refused, since it may be a typing error. In lower case: they are taken in any. */
const knownParameters = new Set([
  "applicationintent",
  "applicationname",
  "ca",
  "connecttimeout",
  "database",
  "encrypt",
  "instance",
  "password",
  "port",
  "trustservercertificate",
  "user",
]);

/**
 * Reads a source URL.
 * @throws ExtractError USAGE naming the part that is wrong; the message never holds the password
 */
export function parseSourceUrl(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): MssqlConfig {
  const parsed = parseUrl(url);
  const parameters = readParameters(parsed);
  const { host, instance } = splitInstance(
    decodePart(parsed.hostname, "host").replace(/^\[(.*)\]$/, "$1") ||
      env["MSSQL_HOST"] ||
      "localhost",
  );
  const user =
    parameters.get("user") ||
    decodePart(parsed.username, "user") ||
    env["MSSQL_USER"];
  if (user === undefined) {
    throw usage("the source URL names no user, nor does MSSQL_USER", url);
  }
  const path = decodePart(parsed.pathname.replace(/^\//, ""), "database");
  const port = parameters.get("port") || parsed.port || env["MSSQL_PORT"];
  const named = parameters.get("instance") ?? instance;
  return {
    host,
    port: readPort(port, url),
    // a port that is written needs no service to be found
    instance: port ? null : named,
    user,
    password:
      parameters.get("password") ||
      decodePart(parsed.password, "password") ||
      env["MSSQL_PASSWORD"] ||
      null,
    database:
      parameters.get("database") || path || env["MSSQL_DATABASE"] || "master",
    encrypt: readEncryption(parameters.get("encrypt"), url),
    trustServerCertificate: readFlag(
      "trustServerCertificate",
      parameters.get("trustservercertificate"),
      url,
    ),
    ca: parameters.get("ca") ?? null,
    readOnlyIntent: readIntent(parameters.get("applicationintent"), url),
    applicationName: parameters.get("applicationname") ?? "millrace",
    connectTimeoutMs: readTimeoutMs(parameters.get("connecttimeout"), url),
  };
}

/** The URL with its password replaced, for messages and logs. What is no URL comes back as `<source>`. */
export function redactUrl(url: string): string {
  const parsed = readParts(url);
  if (parsed === null) return "<source>";
  if (parsed.password !== "") parsed.password = "***";
  for (const name of [...parsed.searchParams.keys()]) {
    if (name.toLowerCase() === "password") parsed.searchParams.set(name, "***");
  }
  return restoreScheme(url, parsed);
}

/**
 * The URL without its password.
 * @throws TypeError for what parseSourceUrl refuses, too
 */
export function removePassword(url: string): string {
  const parsed = readParts(url);
  if (parsed === null) throw new TypeError("not a source URL");
  parsed.password = "";
  for (const name of [...parsed.searchParams.keys()]) {
    if (name.toLowerCase() === "password") parsed.searchParams.delete(name);
  }
  return restoreScheme(url, parsed);
}

/**
 * The URL with a password of its own: in its user part, or as a parameter where it names no user. What is no URL
 * stays wrong.
 */
export function putPassword(url: string, password: string): string {
  const encoded = encodeURIComponent(password);
  const parsed = readParts(url);
  if (parsed === null || parsed.username === "") {
    return `${url}${url.includes("?") ? "&" : "?"}password=${encoded}`;
  }
  parsed.password = encoded;
  return restoreScheme(url, parsed);
}

/** `host:port` or `host\instance`, for messages. */
export function describeServer(
  config: Pick<MssqlConfig, "host" | "port" | "instance">,
): string {
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return config.instance === null
    ? `${host}:${config.port}`
    : `${host}\\${config.instance}`;
}

/** A backslash is a slash to the WHATWG parser where a host stands; other schemes than http take no user without host. */
function readParts(url: string): URL | null {
  const text = url.replace(/^(?:sqlserver|mssql):\/\//i, "tds://");
  const rest = text.slice("tds://".length);
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? "";
  const escaped = `tds://${authority.replaceAll("\\", "%5C")}${rest.slice(authority.length)}`;
  try {
    return new URL(escaped);
  } catch {
    return null;
  }
}

function restoreScheme(url: string, parsed: URL): string {
  const scheme = /^[a-z]+/i.exec(url)?.[0] ?? "sqlserver";
  return parsed.href.replace(/^tds:/, `${scheme}:`).replaceAll("%5C", "\\");
}

function parseUrl(url: string): URL {
  if (!/^(sqlserver|mssql):\/\//i.test(url)) {
    throw usage("a source URL begins with sqlserver:// or mssql://", url);
  }
  const parsed = readParts(url);
  if (parsed === null) {
    throw usage(
      "the source URL cannot be read; characters such as # / ? @ in user or password must be percent-encoded",
      url,
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
    const known = name.toLowerCase();
    if (!knownParameters.has(known)) {
      throw usage(`the source URL's parameter ${name} is not known`, null);
    }
    if (value !== "") parameters.set(known, value);
  }
  return parameters;
}

function splitInstance(host: string): {
  host: string;
  instance: string | null;
} {
  const at = host.indexOf("\\");
  return at < 0
    ? { host, instance: null }
    : { host: host.slice(0, at), instance: host.slice(at + 1) };
}

function readPort(text: string | undefined, url: string): number {
  if (text === undefined || text === "") return PORT_DEFAULT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw usage(`port ${text} is not between 1 and 65535`, url);
  }
  return port;
}

function readEncryption(text: string | undefined, url: string): Encryption {
  switch (text?.toLowerCase()) {
    case undefined:
    case "true":
    case "mandatory":
      return "true";
    case "strict":
      return "strict";
    case "false":
    case "optional":
      return "false";
    default:
      throw usage(`encrypt ${text} is none of true, false, strict`, url);
  }
}

function readFlag(
  name: string,
  text: string | undefined,
  url: string,
): boolean {
  switch (text?.toLowerCase()) {
    case undefined:
    case "false":
      return false;
    case "true":
      return true;
    default:
      throw usage(`${name} ${text} is neither true nor false`, url);
  }
}

function readIntent(text: string | undefined, url: string): boolean {
  switch (text?.toLowerCase()) {
    case undefined:
    case "readwrite":
      return false;
    case "readonly":
      return true;
    default:
      throw usage(
        `applicationIntent ${text} is neither ReadOnly nor ReadWrite`,
        url,
      );
  }
}

function readTimeoutMs(text: string | undefined, url: string): number {
  if (text === undefined) return CONNECT_TIMEOUT_MS_DEFAULT;
  const seconds = Number(text);
  if (!Number.isInteger(seconds)) {
    throw usage(`connectTimeout ${text} is not a whole number of seconds`, url);
  }
  return seconds <= 0 ? CONNECT_TIMEOUT_MS_DEFAULT : seconds * 1000;
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

function usage(
  message: string,
  url: string | null,
  cause?: unknown,
): ExtractError {
  const details = url === null ? {} : { url: redactUrl(url) };
  return new ExtractError("USAGE", message, details, { cause });
}
