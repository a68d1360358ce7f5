/** The footer of a Parquet file. */
import assert from "node:assert/strict";
import { parquetMetadata, type FileMetaData } from "hyparquet";
import { ExtractError } from "../../../proto/error.ts";
import { checkSlices, withFile, wrapError, type FileBytes } from "./file.ts";

/** A footer of this size describes some 300,000 column chunks; more is not read into memory on a file's word. */
const FOOTER_BYTES_MAX = 64 * 1024 * 1024;
/** The footer's length and the magic. */
const TAIL_BYTES = 8;
/** The magic at both ends, and the footer's length. */
const FILE_BYTES_MIN = 12;
const MAGIC = 0x31524150;

export interface ParquetFileInfo {
  readonly rows: number;
  /** The key-value metadata. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly columns: readonly ParquetColumnInfo[];
}

export interface ParquetColumnInfo {
  readonly name: string;
  /** The physical type, e.g. `INT64`. */
  readonly type: string;
  /** The annotation, e.g. `TIMESTAMP`; null without one. */
  readonly logicalType: string | null;
  readonly nullable: boolean;
}

/**
 * Reads the footer alone.
 * @throws ExtractError USAGE for a file that cannot be opened, DESTINATION_FAILED for one that is no whole Parquet file
 */
export async function readParquetMetadata(
  path: string,
): Promise<ParquetFileInfo> {
  const describe = async function* (file: FileBytes) {
    yield await readParquetMetadataOf(file);
  };
  for await (const info of withFile(path, describe)) return info;
  assert.fail("a file that is open gives its footer");
}

/**
 * The same of a file that is no file of this machine.
 * @throws ExtractError DESTINATION_FAILED for one that is no whole Parquet file, and what `slice` throws
 */
export async function readParquetMetadataOf(
  file: FileBytes,
): Promise<ParquetFileInfo> {
  try {
    return describeFooter(await readFooter(checkSlices(file)));
  } catch (error) {
    throw wrapError(file.path, error);
  }
}

function describeFooter(footer: FileMetaData): ParquetFileInfo {
  const [, ...elements] = footer.schema;
  return {
    rows: Number(footer.num_rows),
    metadata: Object.fromEntries(
      (footer.key_value_metadata ?? []).map(({ key, value }) => [
        key,
        value ?? "",
      ]),
    ),
    columns: elements
      .filter((element) => element.type !== undefined)
      .map((element) => ({
        name: element.name,
        type: element.type!,
        logicalType:
          element.logical_type?.type ?? element.converted_type ?? null,
        nullable: element.repetition_type !== "REQUIRED",
      })),
  };
}

/** The whole footer as hyparquet knows it. */
export async function readFooter(file: FileBytes): Promise<FileMetaData> {
  const { path, size } = file;
  if (size < FILE_BYTES_MIN)
    throw makeError(path, `it has ${size} bytes`, { size });
  const tail = new DataView(await file.slice(size - TAIL_BYTES, size));
  if (tail.getUint32(4, true) !== MAGIC)
    throw makeError(path, "it does not end in PAR1", { size });
  const bytes = tail.getUint32(0, true);
  if (bytes > FOOTER_BYTES_MAX || bytes > size - FILE_BYTES_MIN)
    throw makeError(path, `its footer would have ${bytes} bytes`, {
      size,
      bytes,
    });
  const start = size - TAIL_BYTES - bytes;
  const footer = await file.slice(start, size);
  try {
    return parquetMetadata(footer, { geoparquet: false });
  } catch (error) {
    throw wrapError(path, error);
  }
}

function makeError(
  path: string,
  reason: string,
  details: Readonly<Record<string, number>>,
): ExtractError {
  return new ExtractError(
    "DESTINATION_FAILED",
    `${path} is no whole Parquet file: ${reason}`,
    { path, ...details },
  );
}
