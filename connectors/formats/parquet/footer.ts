/**
 * The end of a Parquet file: page indexes, FileMetaData, its length, the magic.
 * @see parquet.thrift
 */
import type { StreamSchema } from "../../../proto/schema.ts";
import type { CompressionName } from "../format.ts";
import { encodings, pageTypes, type ChunkMetadata } from "./column-chunk.ts";
import { physicalTypeOf, writeSchemaElement } from "./schema.ts";
import { ThriftWriter, thriftType } from "./thrift.ts";

export const MAGIC = new TextEncoder().encode("PAR1");

/** In the form `application version x`, which readers parse to know of old writers' faults. */
const CREATED_BY = "millrace version 0.1.0";
/** 2: files may use the encodings and logical types of format 2. */
const FORMAT_VERSION = 2;

/** Numbers of parquet.thrift's CompressionCodec. */
const codecs: Readonly<Record<CompressionName, number>> = {
  none: 0,
  snappy: 1,
  gzip: 2,
  zstd: 6,
};

export interface RowGroupMetadata {
  readonly rows: number;
  readonly offset: number;
  readonly chunks: readonly ChunkMetadata[];
}

interface IndexPlaces {
  readonly columnIndexOffset: number;
  readonly columnIndexBytes: number;
  readonly offsetIndexOffset: number;
  readonly offsetIndexBytes: number;
}

/** @param fileOffset where the returned bytes will stand */
export function encodeFooter(
  schema: StreamSchema,
  compression: CompressionName,
  groups: readonly RowGroupMetadata[],
  metadata: Readonly<Record<string, string>>,
  fileOffset: number,
): Uint8Array {
  const thrift = new ThriftWriter(64 * 1024);
  const places = appendPageIndexes(thrift, groups, fileOffset);
  const footerAt = thrift.sink.length;
  thrift.beginStruct();
  thrift.writeI32(1, FORMAT_VERSION);
  writeSchema(thrift, schema);
  thrift.writeI64(
    3,
    groups.reduce((rows, group) => rows + group.rows, 0),
  );
  thrift.beginList(4, thriftType.struct, groups.length);
  groups.forEach((group, index) =>
    writeRowGroup(thrift, schema, compression, group, index, places[index]!),
  );
  writeKeyValues(thrift, metadata);
  thrift.writeString(6, CREATED_BY);
  thrift.beginList(7, thriftType.struct, schema.columns.length);
  for (let i = 0; i < schema.columns.length; i++) writeTypeDefinedOrder(thrift);
  thrift.endStruct();
  const { sink } = thrift;
  sink.reserve(8);
  sink.view.setInt32(sink.length, sink.length - footerAt, true);
  sink.length += 4;
  sink.append(MAGIC);
  return sink.written();
}

/** All column indexes, then all offset indexes, as PageIndex.md asks. */
function appendPageIndexes(
  thrift: ThriftWriter,
  groups: readonly RowGroupMetadata[],
  fileOffset: number,
): IndexPlaces[][] {
  const { sink } = thrift;
  const columnOffsets = groups.map((group) =>
    group.chunks.map((chunk) => {
      const offset = fileOffset + sink.length;
      if (chunk.columnIndex) sink.append(chunk.columnIndex);
      return offset;
    }),
  );
  return groups.map((group, groupIndex) =>
    group.chunks.map((chunk, chunkIndex) => {
      const offset = fileOffset + sink.length;
      sink.append(chunk.offsetIndex);
      return {
        columnIndexOffset: columnOffsets[groupIndex]![chunkIndex]!,
        columnIndexBytes: chunk.columnIndex?.length ?? 0,
        offsetIndexOffset: offset,
        offsetIndexBytes: chunk.offsetIndex.length,
      };
    }),
  );
}

function writeSchema(thrift: ThriftWriter, schema: StreamSchema): void {
  thrift.beginList(2, thriftType.struct, schema.columns.length + 1);
  thrift.beginStruct();
  thrift.writeString(4, "schema");
  thrift.writeI32(5, schema.columns.length);
  thrift.endStruct();
  for (const column of schema.columns) writeSchemaElement(thrift, column);
}

function writeRowGroup(
  thrift: ThriftWriter,
  schema: StreamSchema,
  compression: CompressionName,
  group: RowGroupMetadata,
  index: number,
  places: readonly IndexPlaces[],
): void {
  let uncompressedBytes = 0;
  let compressedBytes = 0;
  thrift.beginStruct();
  thrift.beginList(1, thriftType.struct, group.chunks.length);
  group.chunks.forEach((chunk, column) => {
    uncompressedBytes += chunk.uncompressedBytes;
    compressedBytes += chunk.compressedBytes;
    const place = places[column]!;
    thrift.beginStruct();
    thrift.writeI64(2, 0); // file_offset: no longer used, and required
    writeColumnMetadata(thrift, schema, compression, chunk, column);
    thrift.writeI64(4, place.offsetIndexOffset);
    thrift.writeI32(5, place.offsetIndexBytes);
    if (place.columnIndexBytes > 0) {
      thrift.writeI64(6, place.columnIndexOffset);
      thrift.writeI32(7, place.columnIndexBytes);
    }
    thrift.endStruct();
  });
  thrift.writeI64(2, uncompressedBytes);
  thrift.writeI64(3, group.rows);
  thrift.writeI64(5, group.offset);
  thrift.writeI64(6, compressedBytes);
  // a 16-bit field, and optional
  if (index <= 32_767) thrift.writeI16(7, index);
  thrift.endStruct();
}

function writeColumnMetadata(
  thrift: ThriftWriter,
  schema: StreamSchema,
  compression: CompressionName,
  chunk: ChunkMetadata,
  index: number,
): void {
  const column = schema.columns[index]!;
  const used = new Set<number>(chunk.pageCounts.keys());
  used.add(encodings.rle);
  if (chunk.dictionaryOffset !== null) used.add(encodings.plain);
  thrift.beginStruct(3);
  thrift.writeI32(1, physicalTypeOf(column.type));
  thrift.beginList(2, thriftType.i32, used.size);
  for (const encoding of used) thrift.writeIntElement(encoding);
  thrift.beginList(3, thriftType.binary, 1);
  thrift.writeStringElement(column.name);
  thrift.writeI32(4, codecs[compression]);
  thrift.writeI64(5, chunk.rows);
  thrift.writeI64(6, chunk.uncompressedBytes);
  thrift.writeI64(7, chunk.compressedBytes);
  thrift.writeI64(9, chunk.dataOffset);
  if (chunk.dictionaryOffset !== null)
    thrift.writeI64(11, chunk.dictionaryOffset);
  writeStatistics(thrift, chunk);
  writeEncodingStats(thrift, chunk);
  thrift.endStruct();
}

function writeStatistics(thrift: ThriftWriter, chunk: ChunkMetadata): void {
  thrift.beginStruct(12);
  thrift.writeI64(3, chunk.nullCount);
  if (chunk.distinctCount !== null) thrift.writeI64(4, chunk.distinctCount);
  if (chunk.bounds) {
    thrift.writeBinary(5, chunk.bounds.max);
    thrift.writeBinary(6, chunk.bounds.min);
    thrift.writeBool(7, chunk.bounds.maxExact);
    thrift.writeBool(8, chunk.bounds.minExact);
  }
  thrift.endStruct();
}

function writeEncodingStats(thrift: ThriftWriter, chunk: ChunkMetadata): void {
  const hasDictionary = chunk.dictionaryOffset !== null;
  thrift.beginList(
    13,
    thriftType.struct,
    chunk.pageCounts.size + (hasDictionary ? 1 : 0),
  );
  if (hasDictionary)
    writePageCount(thrift, pageTypes.dictionary, encodings.plain, 1);
  for (const [encoding, count] of chunk.pageCounts)
    writePageCount(thrift, pageTypes.data, encoding, count);
}

function writePageCount(
  thrift: ThriftWriter,
  pageType: number,
  encoding: number,
  count: number,
): void {
  thrift.beginStruct();
  thrift.writeI32(1, pageType);
  thrift.writeI32(2, encoding);
  thrift.writeI32(3, count);
  thrift.endStruct();
}

function writeKeyValues(
  thrift: ThriftWriter,
  metadata: Readonly<Record<string, string>>,
): void {
  const entries = Object.entries(metadata);
  if (entries.length === 0) return;
  thrift.beginList(5, thriftType.struct, entries.length);
  for (const [key, value] of entries) {
    thrift.beginStruct();
    thrift.writeString(1, key);
    thrift.writeString(2, value);
    thrift.endStruct();
  }
}

function writeTypeDefinedOrder(thrift: ThriftWriter): void {
  thrift.beginStruct();
  thrift.beginStruct(1);
  thrift.endStruct();
  thrift.endStruct();
}
