/** The URLs of all sources, for those that start none: which kind a URL means, and what may be shown or kept of it. */
import { ExtractError } from "../../proto/error.ts";
import * as kafka from "./debezium/topics/url.ts";
import * as airbyte from "./airbyte/url.ts";
import * as generator from "./generator/url.ts";
import * as mssql from "./mssql/url.ts";
import * as mysql from "./mysql/url.ts";
import * as postgres from "./postgres/url.ts";

export const SOURCE_KINDS = [
  "postgres",
  "mysql",
  "mssql",
  "kafka",
  "generator",
  "airbyte",
] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

/** What each source's `url.ts` offers. */
interface UrlReader {
  /** @throws ExtractError USAGE naming the part that is wrong; the message never holds the password */
  parseSourceUrl(url: string): {
    readonly host: string;
    readonly port: number;
    readonly database: string;
  };
  redactUrl(url: string): string;
  removePassword(url: string): string;
  putPassword(url: string, password: string): string;
}

const readers: Readonly<Record<SourceKind, UrlReader>> = {
  postgres,
  mysql,
  mssql,
  kafka,
  generator,
  airbyte,
};

const kindOfScheme: Readonly<Record<string, SourceKind>> = {
  postgres: "postgres",
  postgresql: "postgres",
  mysql: "mysql",
  mariadb: "mysql",
  sqlserver: "mssql",
  mssql: "mssql",
  kafka: "kafka",
  generator: "generator",
  airbyte: "airbyte",
};

/** The schemes that name a source, as people write them. */
export const sourceSchemes: readonly string[] = Object.keys(kindOfScheme).map(
  (scheme) =>
    scheme === "generator" || scheme === "airbyte"
      ? `${scheme}:`
      : `${scheme}://`,
);

/** The scheme of a URL in lower case; null for what is no URL. */
export function readScheme(url: string): string | null {
  return /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() ?? null;
}

/** @returns null for a scheme that is no source's */
export function findSourceKind(url: string): SourceKind | null {
  return kindOfScheme[readScheme(url) ?? ""] ?? null;
}

/** @throws ExtractError USAGE for a scheme that is no source's */
export function readSourceKind(url: string): SourceKind {
  const kind = findSourceKind(url);
  if (kind !== null) return kind;
  throw new ExtractError(
    "USAGE",
    `${readScheme(url) ?? "this"} is no source; supported are ${sourceSchemes.join(", ")}`,
  );
}

/**
 * What tells one database from another: host, port, name.
 * @throws ExtractError USAGE naming the part that is wrong
 */
export function identifyDatabase(url: string): readonly (string | number)[] {
  const kind = readSourceKind(url);
  const { host, port, database } = readers[kind].parseSourceUrl(url);
  // the first kind there was has no name of its own in what ledgers hold
  return kind === "postgres"
    ? [host, port, database]
    : [kind, host, port, database];
}

/** The URL with its password replaced, for messages and logs. */
export function redactUrl(url: string): string {
  const kind = findSourceKind(url);
  return kind === null ? "<source>" : readers[kind].redactUrl(url);
}

export function removePassword(url: string): string {
  return readers[readSourceKind(url)].removePassword(url);
}

export function putPassword(url: string, password: string): string {
  return readers[readSourceKind(url)].putPassword(url, password);
}
