/**
 * Rows of a Parquet file, by hyparquet. It is given a schema without annotations, so that it hands over the physical
 * values; what they mean is put back here, because its own conversions round (decimals to doubles, time to milliseconds).
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import {
  parquetReadObjects,
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  type SchemaElement,
} from "hyparquet";
import { uncompressSnappyBlock } from "../../../proto/snappy-block.ts";
import type { FileBytes } from "./file.ts";
import { readFooter } from "./parquet-metadata.ts";
import { createValueFormatter } from "./parquet-values.ts";

/** Rows made into objects at once. */
const WINDOW_ROWS = 16_384;
/** A page that says it is larger is not decompressed: ours hold one batch, or one row of 256 MiB. */
const PAGE_BYTES_MAX = 512 * 1024 * 1024;

export async function* readParquetRows(
  file: FileBytes,
  limit: number,
): AsyncGenerator<Record<string, unknown>> {
  const footer = await readFooter(file);
  const bytes = {
    byteLength: file.size,
    slice: (start: number, end = file.size) => file.slice(start, end),
  };
  yield* readWindows(bytes, footer, limit);
}

async function* readWindows(
  file: AsyncBuffer,
  footer: FileMetaData,
  limit: number,
): AsyncGenerator<Record<string, unknown>> {
  const formatters = new Map<string, (value: unknown) => unknown>();
  const schema = stripAnnotations(footer.schema, formatters);
  const metadata = { ...footer, schema };
  let groupStart = 0;
  for (const group of footer.row_groups) {
    const groupEnd = groupStart + Number(group.num_rows);
    // without an offset index each window would read the whole chunk again
    const hasIndex = group.columns.every(
      (column) => column.offset_index_offset !== undefined,
    );
    const windowRows = hasIndex ? WINDOW_ROWS : groupEnd - groupStart;
    for (let start = groupStart; start < groupEnd; start += windowRows) {
      if (start >= limit) return;
      const rows = await parquetReadObjects({
        file,
        metadata,
        compressors,
        rowStart: start,
        rowEnd: Math.min(start + windowRows, groupEnd, limit),
        useOffsetIndex: true,
        utf8: false,
        geoparquet: false,
      });
      for (const row of rows) yield formatRow(row, formatters);
    }
    groupStart = groupEnd;
  }
}

function formatRow(
  row: Record<string, unknown>,
  formatters: ReadonlyMap<string, (value: unknown) => unknown>,
): Record<string, unknown> {
  const formatted: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    const format = formatters.get(name);
    formatted[name] =
      value === null || value === undefined || !format
        ? (value ?? null)
        : format(value);
  }
  return formatted;
}

/** Takes the annotations off the plain columns and leaves a formatter for each; nested columns stay as they are. */
function stripAnnotations(
  elements: readonly SchemaElement[],
  formatters: Map<string, (value: unknown) => unknown>,
): SchemaElement[] {
  let nested = 0;
  return elements.map((element, i) => {
    if (i === 0) return element;
    const isNested = nested > 0;
    if (isNested) nested--;
    nested += element.num_children ?? 0;
    if (
      isNested ||
      element.num_children !== undefined ||
      element.repetition_type === "REPEATED"
    )
      return element;
    formatters.set(element.name, createValueFormatter(element));
    const {
      logical_type: _logical,
      converted_type: _converted,
      ...physical
    } = element;
    return physical;
  });
}

const compressors: Compressors = {
  ZSTD: (page, bytes) =>
    zstdDecompressSync(page, { maxOutputLength: checkPageBytes(bytes) }),
  GZIP: (page, bytes) =>
    gunzipSync(page, { maxOutputLength: checkPageBytes(bytes) }),
  SNAPPY: (page, bytes) => {
    const out = uncompressSnappyBlock(page, checkPageBytes(bytes));
    if (out.length !== bytes)
      throw new RangeError(`a page of ${bytes} bytes has ${out.length}`);
    return out;
  },
};

/** zlib wants a limit of at least 1. */
function checkPageBytes(bytes: number): number {
  if (bytes < 0 || bytes > PAGE_BYTES_MAX)
    throw new RangeError(`a page says it has ${bytes} bytes`);
  return Math.max(bytes, 1);
}
