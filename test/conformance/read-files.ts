/** Reads a table's files by DuckDB and avsc, which share no code with what wrote them. */
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatDecimal } from "../../connectors/formats/text/digits.ts";
import { decodeByAvsc } from "../connectors/formats/avro/avsc.ts";
import { parseExactly, quoteText } from "../fixtures/read-back.ts";
import { noteJson, normalise, type Column, type Row } from "./model.ts";

export type FileFormat = "parquet" | "csv" | "jsonl" | "avro";
type Take = (row: Row) => void;

/** DuckDB takes 32 times as much for each thread. */
const LINE_BYTES_MAX = 8 * 1024 * 1024;
/** A byte that lines of JSON cannot hold: the line is one field. */
const NO_DELIMITER = "\u0001";

let connection: Promise<DuckDBConnection> | undefined;

/** Rows chunk by chunk, so that large tables never lie in memory. */
async function stream(
  sql: string,
  take: (row: readonly unknown[]) => void,
): Promise<void> {
  connection ??= DuckDBInstance.create().then((instance) => instance.connect());
  const result = await (await connection).stream(sql);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) return;
    for (const row of chunk.getRows()) take(row);
  }
}

async function listColumns(from: string): Promise<string[]> {
  const names: string[] = [];
  await stream(`DESCRIBE FROM ${from}`, ([name]) => names.push(String(name)));
  return names;
}

/** @returns the columns' names; null where the files have none */
export function readFiles(
  format: FileFormat,
  folder: string,
  columns: readonly Column[],
  take: Take,
): Promise<readonly string[] | null> {
  const pattern = `${folder}/**/*.${format}`;
  switch (format) {
    case "parquet":
      return readTables(
        `read_parquet(${quotePattern(pattern)}, union_by_name = true)`,
        columns,
        take,
        castColumn,
      );
    case "csv":
      return readTables(
        `read_csv(${quotePattern(pattern)}, header = true, delim = ',', quote = '"', escape = '"',
          new_line = '\\n', all_varchar = true, nullstr = '', allow_quoted_nulls = false,
          union_by_name = true, hive_partitioning = false, max_line_size = ${LINE_BYTES_MAX})`,
        columns,
        take,
        ({ name }) => quoteName(name),
      );
    case "jsonl":
      return readJsonLines(pattern, columns, take);
    case "avro":
      return readAvro(folder, columns, take);
  }
}

/** What would be a wildcard within the folder's name stands for itself. */
function quotePattern(pattern: string): string {
  return quoteText(pattern.replaceAll(/[[\]?]/g, "[$&]"));
}

function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

async function readTables(
  from: string,
  columns: readonly Column[],
  take: Take,
  express: (column: Column) => string,
): Promise<readonly string[]> {
  const names = await listColumns(from);
  // what is missing is told by the names
  if (columns.every(({ name }) => names.includes(name)))
    await stream(
      `SELECT ${columns.map(express).join(", ")} FROM ${from}`,
      (row) =>
        take(
          columns.map((column, i) =>
            row[i] === null ? null : normalise(column, row[i] as string),
          ),
        ),
    );
  return names;
}

/** As text that `normalise` takes. */
function castColumn({ name, kind }: Column): string {
  const quoted = quoteName(name);
  switch (kind) {
    case "binary":
      return `lower(hex(${quoted}))`;
    case "timestamp":
      return `strftime(${quoted}, '%Y-%m-%dT%H:%M:%S.%f')`;
    case "timestamptz":
      // the time zone's own functions are an extension
      return `strftime(make_timestamp(epoch_us(${quoted})), '%Y-%m-%dT%H:%M:%S.%fZ')`;
    case "timestampNs":
      return `strftime(${quoted}, '%Y-%m-%dT%H:%M:%S.%n')`;
    default:
      return `${quoted}::varchar`;
  }
}

async function readJsonLines(
  pattern: string,
  columns: readonly Column[],
  take: Take,
): Promise<readonly string[] | null> {
  const names = new Set<string>();
  await stream(
    `FROM read_csv(${quotePattern(pattern)}, header = false, auto_detect = false, delim = '${NO_DELIMITER}',
      quote = '', escape = '', columns = {'line': 'VARCHAR'}, max_line_size = ${LINE_BYTES_MAX})`,
    ([line]) => {
      const row = parseExactly(String(line)) as Record<string, unknown>;
      for (const name of Object.keys(row)) names.add(name);
      take(columns.map((column) => noteJsonValue(column, row[column.name])));
    },
  );
  return names.size === 0 ? null : [...names];
}

function noteJsonValue({ kind }: Column, value: unknown): string | null {
  // a line that was written before the column came does not have it
  if (value === null || value === undefined) return null;
  if (kind === "json") return noteJson(value);
  if (kind === "binary")
    return Buffer.from(value as string, "base64").toString("hex");
  const text =
    typeof value === "object"
      ? (value as { number: string }).number
      : String(value as string | boolean);
  return normalise({ kind }, text);
}

async function readAvro(
  folder: string,
  columns: readonly Column[],
  take: Take,
): Promise<readonly string[] | null> {
  const names = new Set<string>();
  for (const path of globSync(`**/*.avro`, { cwd: folder })) {
    const file = await decodeByAvsc(readFileSync(join(folder, path)));
    const fields = new Map(
      file.schema.fields.map((field) => [
        (field["sourceName"] ?? field["name"]) as string,
        field["name"] as string,
      ]),
    );
    for (const name of fields.keys()) names.add(name);
    for (const row of file.rows)
      take(
        columns.map((column) => {
          const value = row[fields.get(column.name) ?? ""];
          return value === null || value === undefined
            ? null
            : normalise(column, printAvro(column, value));
        }),
      );
  }
  return names.size === 0 ? null : [...names];
}

/** Avro 1.11, "Logical Types". */
function printAvro({ kind, scale = 0 }: Column, value: unknown): string {
  switch (kind) {
    case "uint64":
      return String(readUnscaled(value as Buffer));
    case "decimal64":
    case "decimal128":
      return formatDecimal(readUnscaled(value as Buffer), scale);
    case "binary":
      return (value as Buffer).toString("hex");
    case "date":
      return printInstant(BigInt(value as number) * DAY_NS).slice(0, 10);
    case "time":
      return printInstant((value as bigint) * 1000n).slice(11, -3);
    case "timestamp":
      return printInstant((value as bigint) * 1000n).slice(0, -3);
    case "timestamptz":
      return `${printInstant((value as bigint) * 1000n).slice(0, -3)}Z`;
    case "timestampNs":
      return printInstant(value as bigint);
    default:
      return Object.is(value, -0) ? "-0" : String(value);
  }
}

const DAY_NS = 86_400_000_000_000n;
const SECOND_NS = 1_000_000_000n;

/** Nanoseconds since 1970 as `2024-02-29T12:34:56.000000001`; years from 1 to 9999. */
function printInstant(ns: bigint): string {
  const fraction = ((ns % SECOND_NS) + SECOND_NS) % SECOND_NS;
  const seconds = new Date(Number((ns - fraction) / 1_000_000n));
  return `${seconds.toISOString().slice(0, 19)}.${String(fraction).padStart(9, "0")}`;
}

function readUnscaled(bytes: Buffer): bigint {
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString("hex")}`));
}
