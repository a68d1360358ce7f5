/** The footer of a Parquet file. */
import { parquetMetadata, type FileMetaData } from "hyparquet";
import { ExtractError } from "../../../proto/error.ts";
import { openFile, readSlice, wrapError } from "./file.ts";

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

/** Bytes of a file that may lie anywhere. */
export interface FileBytes {
  /** For the messages. */
  readonly path: string;
  readonly size: number;
  /** `start` to `end`, exclusive. */
  readonly slice: (start: number, end: number) => Promise<ArrayBuffer>;
}

/**
 * Reads the footer alone.
 * @throws ExtractError USAGE for a file that cannot be opened, DESTINATION_FAILED for one that is no whole Parquet file
 */
export async function readParquetMetadata(
  path: string,
): Promise<ParquetFileInfo> {
  return describeFooter(await readFooter(path));
}

/**
 * The same of a file that is no file of this machine.
 * @throws ExtractError DESTINATION_FAILED for one that is no whole Parquet file, and what `slice` throws
 */
export async function readParquetMetadataOf(
  file: FileBytes,
): Promise<ParquetFileInfo> {
  return describeFooter(await readFooterOf(file));
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
export async function readFooter(path: string): Promise<FileMetaData> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    return await readFooterOf({
      path,
      size,
      slice: (start, end) => readSlice(handle, path, start, end, size),
    });
  } catch (error) {
    throw wrapError(path, error);
  } finally {
    await handle.close();
  }
}

async function readFooterOf(file: FileBytes): Promise<FileMetaData> {
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
