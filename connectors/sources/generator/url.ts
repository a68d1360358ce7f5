/** How a generator's URL reads: `generator:?columns=id:int,first:string,last:string&rows=1000000&rate=5000`. */
import { ExtractError } from "../../../proto/error.ts";
import type { LogicalKind } from "../../../proto/schema.ts";

/** The words for types, as they stand in the URL. */
const kinds = {
  int: "int32",
  long: "int64",
  float: "float64",
  boolean: "boolean",
  string: "text",
  timestamp: "timestamptz",
} as const satisfies Readonly<Record<string, LogicalKind>>;

export type GeneratedType = keyof typeof kinds;

export interface GeneratedColumn {
  readonly name: string;
  /** Its place in the URL, from which its values follow. */
  readonly place: number;
  readonly type: GeneratedType;
  readonly kind: LogicalKind;
}

export interface GeneratorConfig {
  /** Of the one table there is. */
  readonly table: string;
  /** The first one is the key, an int or a long: 1, 2, 3 … */
  readonly columns: readonly GeneratedColumn[];
  readonly rows: number;
  /** Rows a second; null: as fast as they are taken. */
  readonly rate: number | null;
  /** Rows of a batch, at most. */
  readonly batchRows: number;
}

const COLUMNS_DEFAULT = "id:int,first:string,last:string";
const ROWS_DEFAULT = 1_000_000;
/** What an int holds. */
const ROWS_MAX = 2_147_483_647;
const RATE_MAX = 100_000_000;
const BATCH_ROWS_DEFAULT = 16_384;
const COLUMNS_MAX = 1_000;

const known = new Set(["columns", "rows", "rate", "table", "batch"]);

/** @throws ExtractError USAGE naming the part that is wrong */
export function parseGeneratorUrl(url: string): GeneratorConfig {
  if (!/^generator:(\?|$)/i.test(url))
    throw usage("a generator is written generator:?columns=…&rows=…&rate=…");
  const parameters = new URL(url).searchParams;
  for (const name of parameters.keys()) {
    if (!known.has(name))
      throw usage(`${name} is none of ${[...known].join(", ")}`);
  }
  const count = (name: string, otherwise: number, most: number): number =>
    readCount(name, parameters.get(name), otherwise, most);
  const rate = parameters.get("rate");
  return {
    table: parameters.get("table") || "rows",
    columns: readColumns(parameters.get("columns") || COLUMNS_DEFAULT),
    rows: count("rows", ROWS_DEFAULT, ROWS_MAX),
    rate: rate === null ? null : Math.max(1, count("rate", 1, RATE_MAX)),
    batchRows: Math.max(
      1,
      count("batch", BATCH_ROWS_DEFAULT, BATCH_ROWS_DEFAULT),
    ),
  };
}

/** What every source's `url.ts` says of its server; here there is none. */
export function parseSourceUrl(url: string): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const { table, columns, rows } = parseGeneratorUrl(url);
  const shape = columns.map(({ name, type }) => `${name}:${type}`).join(",");
  return { host: "", port: 0, database: `${table}(${shape})x${rows}` };
}

/** There is nothing secret in it. */
export function redactUrl(url: string): string {
  return url;
}

export function removePassword(url: string): string {
  return url;
}

export function putPassword(url: string): string {
  return url;
}

function readColumns(text: string): GeneratedColumn[] {
  const columns = text.split(",").map((part, place): GeneratedColumn => {
    const colon = part.lastIndexOf(":");
    const name = part.slice(0, colon);
    const type = part.slice(colon + 1);
    if (colon < 1 || !Object.hasOwn(kinds, type))
      throw usage(
        `${part} is no column; name:type is, of ${Object.keys(kinds).join(", ")}`,
      );
    const known = type as GeneratedType;
    return { name, place, type: known, kind: kinds[known] };
  });
  const [first] = columns;
  if (first?.type !== "int" && first?.type !== "long")
    throw usage("the first column is the key: an int or a long");
  if (new Set(columns.map(({ name }) => name)).size < columns.length)
    throw usage(`columns=${text} names one column twice`);
  if (columns.length > COLUMNS_MAX)
    throw usage(`more than ${COLUMNS_MAX} columns`);
  return columns;
}

function readCount(
  name: string,
  text: string | null,
  otherwise: number,
  most: number,
): number {
  if (text === null || text === "") return otherwise;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0 || count > most)
    throw usage(`${name}=${text} is no whole number up to ${most}`);
  return count;
}

function usage(message: string): ExtractError {
  return new ExtractError("USAGE", message);
}
