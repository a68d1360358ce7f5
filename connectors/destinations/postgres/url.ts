/** How a destination URL reads, and what of it may be shown or kept. */
import { parse, toClientConfig } from "pg-connection-string";

import { ExtractError } from "../../../proto/error.ts";

/** Beside what `pg` takes from PGHOST, PGUSER and their like. */
export interface PostgresTarget {
  /** As the URL says it; empty: PGHOST, else localhost. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** `prefer` unless the URL or PGSSLMODE says otherwise. */
  readonly sslmode: string;
}

const PORT_DEFAULT = 5432;
const sslmodes = new Set([
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
]);

/**
 * Reads a destination URL.
 * @throws ExtractError USAGE; the message never holds the password
 */
export function parseDestinationUrl(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): PostgresTarget {
  if (!isPostgresUrl(url)) {
    throw usage("a Postgres destination begins with postgres://", url);
  }
  let config: ReturnType<typeof toClientConfig>;
  let sslmode: string;
  try {
    const parsed = parse(withoutTls(url));
    config = toClientConfig(parsed);
    sslmode = readParameter(url, "sslmode") ?? env["PGSSLMODE"] ?? "prefer";
  } catch {
    throw usage(
      "the destination URL cannot be read; characters such as # / ? @ in user or password must be percent-encoded",
      url,
    );
  }
  if (!sslmodes.has(sslmode)) {
    throw usage(
      `sslmode ${sslmode} is none of ${[...sslmodes].join(", ")}`,
      url,
    );
  }
  const port = Number(config.port ?? env["PGPORT"] ?? PORT_DEFAULT);
  return {
    host: config.host || env["PGHOST"] || "localhost",
    port,
    database: config.database || env["PGDATABASE"] || "",
    sslmode: sslmode === "allow" ? "prefer" : sslmode,
  };
}

export function isPostgresUrl(url: string): boolean {
  return /^postgres(ql)?:\/\//i.test(url);
}

/** What tells one database from another. @throws ExtractError USAGE */
export function identifyDestination(
  url: string,
): readonly ["postgres", string, number, string] {
  const { host, port, database } = parseDestinationUrl(url);
  return ["postgres", host, port, database];
}

/** `host:port/database`, for messages. */
export function describeTarget(target: PostgresTarget): string {
  const { host, port, database } = target;
  const at = host.includes(":") ? `[${host}]` : host;
  return `${at}:${port}${database === "" ? "" : `/${database}`}`;
}

const userPart = /^(postgres(?:ql)?:\/\/[^:@/?#]*)(?::[^/?#]*)?@/i;
const passwordParameter = /([?&])password=[^&#]*/gi;

/** The URL with its password replaced, for messages and logs. */
export function redactUrl(url: string): string {
  if (!isPostgresUrl(url)) return "<destination>";
  return url
    .replace(userPart, (match, user: string) =>
      match.length === user.length + 1 ? match : `${user}:***@`,
    )
    .replace(passwordParameter, "$1password=***");
}

export function removePassword(url: string): string {
  return url
    .replace(userPart, "$1@")
    .replace(/&password=[^&#]*/gi, "")
    .replace(/\?password=[^&#]*&?/i, "?")
    .replace(/\?(?=#|$)/, "");
}

/** The URL with a password of its own: in its user part, or as a parameter where it names no user. */
export function putPassword(url: string, password: string): string {
  const encoded = encodeURIComponent(password);
  const bare = removePassword(url);
  return userPart.test(bare)
    ? bare.replace(userPart, (_, user: string) => `${user}:${encoded}@`)
    : `${bare}${bare.includes("?") ? "&" : "?"}password=${encoded}`;
}

/** TLS is ours to set up: the parser would read certificate files, and reads `sslmode` in a way of its own. */
function withoutTls(url: string): string {
  return url
    .replace(/&ssl[a-z]*=[^&#]*/gi, "")
    .replace(/\?ssl[a-z]*=[^&#]*&?/i, "?");
}

/** What `pg` is given: the URL's own words without TLS. */
export function clientOptions(url: string): ReturnType<typeof toClientConfig> {
  return toClientConfig(parse(withoutTls(url)));
}

/** A parameter of the URL, e.g. `sslrootcert`. */
export function readParameter(url: string, name: string): string | null {
  return new URL(
    url.replace(/^(postgres(?:ql)?:\/\/)[^/?#]*/i, "$1host"),
  ).searchParams.get(name);
}

function usage(message: string, url: string): ExtractError {
  return new ExtractError("USAGE", message, { url: redactUrl(url) });
}
