/** Reads files back, for people who want to look into them: `millrace cat`, and the footers that recovery trusts. */
import { ExtractError } from "../../proto/error.ts";
import {
  checkSlices,
  withFile,
  wrapError,
  type FileBytes,
} from "./readers/file.ts";

export type { FileBytes } from "./readers/file.ts";
export {
  readParquetMetadata,
  readParquetMetadataOf,
} from "./readers/parquet-metadata.ts";

export interface ReadOptions {
  /** Rows at most; all when left out. */
  readonly limit?: number;
}

/**
 * The rows of a file of any of our formats, told by its name: `.parquet`, `.avro`, `.csv` and `.jsonl`, the latter two
 * also with `.gz` and `.zst`. Values are exact: numbers where they hold the value, else bigint (integers) or text (decimals);
 * dates, times and UUIDs as ISO text; binary as `\x` and hex from Parquet and Avro. CSV gives text and null only.
 * @throws ExtractError USAGE for a name of another kind or a file that is not there, DESTINATION_FAILED for a file that is
 * not what its name says
 */
export function readRows(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<Record<string, unknown>> {
  return withFile(path, (file) => readRowsOf(file, options));
}

/**
 * The same of a file that is no file of this machine.
 * @throws ExtractError as `readRows`, and what `slice` throws
 */
export async function* readRowsOf(
  file: FileBytes,
  { limit = Infinity }: ReadOptions = {},
): AsyncGenerator<Record<string, unknown>> {
  if (limit <= 0) return;
  let count = 0;
  try {
    for await (const row of await openRows(checkSlices(file), limit)) {
      yield row;
      if (++count >= limit) return;
    }
  } catch (error) {
    throw wrapError(file.path, error);
  }
}

async function openRows(
  file: FileBytes,
  limit: number,
): Promise<AsyncIterable<Record<string, unknown>>> {
  const { path } = file;
  const [, format] =
    /\.(parquet|avro|(?:csv|jsonl)(?:\.gz|\.zst)?)$/.exec(path) ?? [];
  if (format === undefined)
    throw new ExtractError(
      "USAGE",
      `${path} is no file of ours: .parquet, .avro, .csv, .jsonl, the latter two also with .gz or .zst, are read`,
      { path },
    );
  if (format === "parquet") {
    const { readParquetRows } = await import("./readers/parquet-rows.ts");
    return readParquetRows(file, limit);
  }
  if (format === "avro") {
    const { readAvroRows } = await import("./readers/avro-rows.ts");
    return readAvroRows(file);
  }
  const { readCsvRows, readJsonlRows } = await import("./readers/text-rows.ts");
  return format.startsWith("csv") ? readCsvRows(file) : readJsonlRows(file);
}
