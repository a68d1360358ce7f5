/**
 * The page index: where each page of a chunk begins, and what its values lie between.
 * @see Parquet "PageIndex.md"
 */
import { compareValues, type SortOrder } from "./bounds.ts";
import type { PageRecord } from "./column-chunk.ts";
import { ThriftWriter, thriftType } from "./thrift.ts";

/** Numbers of parquet.thrift's BoundaryOrder. */
const boundaryOrder = { unordered: 0, ascending: 1, descending: 2 } as const;

const EMPTY = new Uint8Array(0);

/** Null when a page has values and no bounds: the index speaks for all pages or for none. */
export function encodeColumnIndex(
  pages: readonly PageRecord[],
  order: SortOrder,
): Uint8Array | null {
  if (pages.some((page) => page.hasValues && page.bounds === null)) return null;
  const thrift = new ThriftWriter(64 + pages.length * 24);
  thrift.beginStruct();
  thrift.beginList(1, thriftType.true, pages.length);
  for (const page of pages) thrift.writeBoolElement(!page.hasValues);
  thrift.beginList(2, thriftType.binary, pages.length);
  for (const { bounds } of pages)
    thrift.writeBinaryElement(bounds?.min ?? EMPTY);
  thrift.beginList(3, thriftType.binary, pages.length);
  for (const { bounds } of pages)
    thrift.writeBinaryElement(bounds?.max ?? EMPTY);
  thrift.writeI32(4, findBoundaryOrder(pages, order));
  thrift.beginList(5, thriftType.i64, pages.length);
  for (const page of pages) thrift.writeIntElement(page.nullCount);
  thrift.endStruct();
  return thrift.sink.written().slice();
}

/** @param dataOffset of the first page, from the file's first byte */
export function encodeOffsetIndex(
  pages: readonly PageRecord[],
  dataOffset: number,
): Uint8Array {
  const thrift = new ThriftWriter(16 + pages.length * 16);
  thrift.beginStruct();
  thrift.beginList(1, thriftType.struct, pages.length);
  for (const page of pages) {
    thrift.beginStruct();
    thrift.writeI64(1, dataOffset + page.offset);
    thrift.writeI32(2, page.bytes);
    thrift.writeI64(3, page.firstRow);
    thrift.endStruct();
  }
  thrift.endStruct();
  return thrift.sink.written().slice();
}

function findBoundaryOrder(
  pages: readonly PageRecord[],
  order: SortOrder,
): number {
  const bounds = pages.flatMap((page) => page.bounds ?? []);
  let ascending = true;
  let descending = true;
  for (let i = 1; i < bounds.length; i++) {
    const byMin = compareValues(order, bounds[i - 1]!.min, bounds[i]!.min);
    const byMax = compareValues(order, bounds[i - 1]!.max, bounds[i]!.max);
    ascending &&= byMin <= 0 && byMax <= 0;
    descending &&= byMin >= 0 && byMax >= 0;
  }
  if (ascending) return boundaryOrder.ascending;
  return descending ? boundaryOrder.descending : boundaryOrder.unordered;
}
