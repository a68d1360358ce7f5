/** Names of tables, columns and checkpoints, and how SQL quotes them. Pure. */
import { createHash } from "node:crypto";

import { ExtractError } from "../../../proto/error.ts";

/** Bytes of an identifier. @see Postgres manual, "Identifiers and Key Words": NAMEDATALEN is 64 */
export const IDENTIFIER_BYTES_MAX = 63;
/** Hex digits of a hash that make a shortened name unique. */
const HASH_CHARS = 12;

/** The schema with our own tables: epochs, generations, checkpoints and staging. */
export const OWN_SCHEMA = "_millrace";

/** A table by name. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

export interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** For sessions with `standard_conforming_strings`, which ours are. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function quoteTable({ schema, table }: TableName): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

/** `schema.table` for people and for the paths of checkpoints. */
export function showTable({ schema, table }: TableName): string {
  return `${schema}.${table}`;
}

/** A longer name than the server takes keeps its beginning and ends in `~` and a hash: different names stay different. */
export function shortenIdentifier(
  name: string,
  bytesMax: number = IDENTIFIER_BYTES_MAX,
): string {
  if (Buffer.byteLength(name) <= bytesMax) return name;
  const kept = cutUtf8(name, bytesMax - HASH_CHARS - 1);
  return `${kept}~${hash(name)}`;
}

/** The table that a stream is written to. */
export function targetTable(
  config: { readonly schema: string; readonly table: string },
  stream: StreamName,
): TableName {
  return {
    schema: shortenIdentifier(fill(config.schema, stream)),
    table: shortenIdentifier(fill(config.table, stream)),
  };
}

/** The table that a stream's changes are kept in. */
export function historyTable(
  config: { readonly schema: string; readonly historyTable: string },
  stream: StreamName,
): TableName {
  return {
    schema: shortenIdentifier(fill(config.schema, stream)),
    table: shortenIdentifier(fill(config.historyTable, stream)),
  };
}

/** Of one sync, stream and generation; readable, and never the name of another. */
export function stagingTable(
  syncId: string,
  stream: StreamName,
  generation: number,
): TableName {
  return nameStaging(syncId, stream, `g${generation}`);
}

/** Where the snapshot of a stream is staged whose log is staged in `stagingTable`. */
export function snapshotTable(
  syncId: string,
  stream: StreamName,
  generation: number,
): TableName {
  return nameStaging(syncId, stream, `g${generation}_snapshot`);
}

function nameStaging(
  syncId: string,
  stream: StreamName,
  part: string,
): TableName {
  const tag = hash(JSON.stringify([syncId, stream.namespace, stream.name]));
  const end = `_${tag}_${part}`;
  const kept = cutUtf8(stream.name, IDENTIFIER_BYTES_MAX - end.length);
  return { schema: OWN_SCHEMA, table: `${kept}${end}` };
}

/** Names the rows of one checkpoint, as `SealedFile.path`: generation, partition, epoch and checkpoint index. */
export function checkpointPath(
  target: TableName,
  place: {
    readonly generation: number;
    readonly partition: number;
    readonly epoch: number;
    readonly index: number;
  },
): string {
  const { generation, partition, epoch, index } = place;
  return `${showTable(target)}@g${generation}/p${partition}/e${epoch}s${index}`;
}

/** Stands for a generation without rows, where a list of files wants at least one. */
export function emptyPath(target: TableName, generation: number): string {
  return `${showTable(target)}@g${generation}/empty`;
}

/** `application_name` of the connections of one attempt: another attempt of the sync finds them by its beginning. */
export function connectionName(
  syncId: string,
  attempt: { readonly runId: string; readonly epoch: number },
): string {
  return shortenIdentifier(
    `${connectionPrefix(syncId)}${attempt.runId}/${attempt.epoch}`,
  );
}

export function connectionPrefix(syncId: string): string {
  return `millrace/${hash(syncId)}/`;
}

/**
 * Two streams never share a table, nor does a table share its history's.
 * @param tablesOf a stream's
 * @throws ExtractError USAGE naming both
 */
export function checkDistinctTables(
  streams: readonly StreamName[],
  tablesOf: (stream: StreamName) => readonly TableName[],
): void {
  const owners = new Map<string, StreamName>();
  for (const stream of streams)
    for (const table of tablesOf(stream)) {
      const key = quoteTable(table);
      const owner = owners.get(key);
      if (owner) {
        throw new ExtractError(
          "USAGE",
          owner === stream
            ? `${stream.namespace}.${stream.name} and its history would both become ${showTable(table)}`
            : `${owner.namespace}.${owner.name} and ${stream.namespace}.${stream.name} would both become ${showTable(table)}`,
          { table: showTable(table) },
        );
      }
      owners.set(key, stream);
    }
}

function fill(template: string, stream: StreamName): string {
  return template.replaceAll(/\{(namespace|stream)\}/g, (_, part: string) =>
    part === "stream" ? stream.name : stream.namespace,
  );
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, HASH_CHARS);
}

/** The longest beginning of at most `bytesMax` bytes of UTF-8 that ends with a whole character. */
function cutUtf8(text: string, bytesMax: number): string {
  let kept = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return kept;
}
