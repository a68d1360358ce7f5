/** Reads files back, for people who want to look into them: `millrace cat`, and the footers that recovery trusts. */
import { ExtractError } from "../../proto/error.ts";

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
export async function* readRows(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<Record<string, unknown>> {
  const limit = options.limit ?? Infinity;
  if (limit <= 0) return;
  let count = 0;
  for await (const row of await openRows(path, limit)) {
    yield row;
    if (++count >= limit) return;
  }
}

async function openRows(
  path: string,
  limit: number,
): Promise<AsyncIterable<Record<string, unknown>>> {
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
    return readParquetRows(path, limit);
  }
  if (format === "avro") {
    const { readAvroRows } = await import("./readers/avro-rows.ts");
    return readAvroRows(path);
  }
  const { readCsvRows, readJsonlRows } = await import("./readers/text-rows.ts");
  return format.startsWith("csv") ? readCsvRows(path) : readJsonlRows(path);
}
