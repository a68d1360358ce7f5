/** One column of the row group at hand: pages go in compressed, and stay until the row group is complete. */
import assert from "node:assert/strict";
import type { ColumnVector } from "../../../proto/columns.ts";
import type { ColumnSchema } from "../../../proto/schema.ts";
import type { CompressBlock } from "../compression.ts";
import { mergeBounds, type Bounds } from "./bounds.ts";
import type { ByteSink } from "../byte-sink.ts";
import { appendDefinitionLevels } from "./levels.ts";
import type { PageCompressor } from "./page-compressor.ts";
import { encodeColumnIndex, encodeOffsetIndex } from "./page-index.ts";
import { createPageValues, physicalTypeOf, physicalType } from "./schema.ts";
import { SegmentList } from "./segments.ts";
import type { ThriftWriter } from "./thrift.ts";
import type { PageValues, Scratch, ValueEncoding } from "./values.ts";

/** Rows of a full row group: sixteen batches. */
export const ROW_GROUP_ROWS = 262_144;

/** Numbers of parquet.thrift's Encoding. */
export const encodings = {
  plain: 0,
  rle: 3,
  deltaBinaryPacked: 5,
  deltaLengthByteArray: 6,
  rleDictionary: 8,
} as const;

/** Numbers of parquet.thrift's PageType. */
export const pageTypes = { data: 0, dictionary: 2 } as const;

/** Pages between two trials of the encodings: data change slowly, and a trial costs a page of each. */
const PAGES_PER_TRIAL = 128;
/** What a byte before compression counts beside one after: it takes time to compress, and to read back. */
const RAW_BYTE_COST = 1 / 64;

/** What all columns of all files of a thread share: encoders run one at a time. */
export interface Workspace {
  /** The page under construction. */
  readonly page: ByteSink;
  readonly header: ThriftWriter;
  readonly scratch: Scratch;
}

/**
 * How a column is encoded: what the last trial found. The files of a format share it, since a small file would
 * otherwise spend a good part of its time on the trial.
 */
export class EncodingChoice {
  encoding: ValueEncoding | null = null;
  /** What takes over when the dictionary is given up. */
  fallback: ValueEncoding = "plain";
  pagesSinceTrial = 0;
}

interface CompressedPage {
  readonly rawBytes: number;
  readonly compressed: Uint8Array;
  readonly crc: number;
}

/** The place of a page that is still compressed is not known yet. */
export interface PageRecord {
  /** Within the chunk's data pages. */
  offset: number;
  /** With its header, compressed. */
  bytes: number;
  readonly firstRow: number;
  readonly nullCount: number;
  /** False: all null. */
  readonly hasValues: boolean;
  /** Null without values, and where none can be named. */
  readonly bounds: Bounds | null;
}

/** What the footer says of a chunk; offsets count from the file's first byte. */
export interface ChunkMetadata {
  readonly rows: number;
  readonly nullCount: number;
  readonly bounds: Bounds | null;
  /** Known when every page is encoded by the dictionary. */
  readonly distinctCount: number | null;
  readonly uncompressedBytes: number;
  readonly compressedBytes: number;
  readonly dictionaryOffset: number | null;
  readonly dataOffset: number;
  /** Data pages by encoding. */
  readonly pageCounts: ReadonlyMap<number, number>;
  /** The thrift structures of the page index; a column index only where every page has bounds. */
  readonly columnIndex: Uint8Array | null;
  readonly offsetIndex: Uint8Array;
}

export class ColumnChunk {
  readonly #column: ColumnSchema;
  readonly #values: PageValues;
  /** For trials. */
  readonly #compress: CompressBlock;
  readonly #compressor: PageCompressor;
  readonly #workspace: Workspace;
  readonly #choice: EncodingChoice;
  readonly #pages = new SegmentList();
  #records: PageRecord[] = [];
  #pageCounts = new Map<number, number>();
  #dictionaryPages = 0;
  #rows = 0;
  #nullCount = 0;
  #uncompressedBytes = 0;
  /** Before compression, of pages that are on their way. */
  #pendingBytes = 0;
  /** Of the page that came last: compressed bytes for one before. */
  #ratio = 0.5;

  constructor(
    column: ColumnSchema,
    compress: CompressBlock,
    compressor: PageCompressor,
    workspace: Workspace,
    choice: EncodingChoice,
    plainEncodings: boolean,
  ) {
    this.#column = column;
    this.#compress = compress;
    this.#compressor = compressor;
    this.#workspace = workspace;
    this.#choice = choice;
    this.#values = createPageValues(
      column.type,
      workspace.scratch,
      plainEncodings,
    );
  }

  /** Estimated for pages that are on their way. */
  get bufferedBytes(): number {
    return (
      this.#pages.length +
      Math.round(this.#pendingBytes * this.#ratio) +
      this.#values.dictionaryBytes
    );
  }

  get heldBytes(): number {
    return (
      this.#pages.heldBytes +
      this.#pendingBytes +
      this.#values.dictionaryHeldBytes
    );
  }

  /** Bytes of the chunk so far, before compression. */
  get uncompressedBytes(): number {
    return this.#uncompressedBytes + this.#pendingBytes;
  }

  /** Adds a page of `rowCount` (at least 1) rows. */
  writePage(vector: ColumnVector, rowCount: number): void {
    assert(
      this.#column.nullable || vector.nullCount === 0,
      `column ${this.#column.name} is declared not nullable and has nulls`,
    );
    const { page } = this.#workspace;
    const count = this.#values.load(vector, rowCount);
    assert.equal(
      count,
      rowCount - vector.nullCount,
      `column ${this.#column.name}: the null count differs from the validity bitmap`,
    );
    if (count > 0 && this.#mustChoose()) this.#chooseEncoding(count);
    page.length = 0;
    if (this.#column.nullable) appendDefinitionLevels(page, vector, rowCount);
    const encoding = count === 0 ? "plain" : this.#encodeValues(page);
    const pageEncoding = this.#pageEncoding(encoding);
    this.#pageCounts.set(
      pageEncoding,
      (this.#pageCounts.get(pageEncoding) ?? 0) + 1,
    );
    const raw = page.written();
    const rawBytes = raw.length;
    const record: PageRecord = {
      offset: 0,
      bytes: 0,
      firstRow: this.#rows,
      nullCount: vector.nullCount,
      hasValues: count > 0,
      bounds: count > 0 ? this.#values.computeBounds() : null,
    };
    this.#records.push(record);
    this.#pendingBytes += rawBytes;
    this.#compressor.compress(raw, (compressed, crc) => {
      this.#pendingBytes -= rawBytes;
      this.#ratio = compressed.length / rawBytes;
      record.offset = this.#pages.length;
      this.#appendPage(this.#pages, { rawBytes, compressed, crc }, (header) => {
        header.beginStruct(5);
        header.writeI32(1, rowCount);
        header.writeI32(2, pageEncoding);
        header.writeI32(3, encodings.rle);
        header.writeI32(4, encodings.rle);
        header.endStruct();
      });
      record.bytes = this.#pages.length - record.offset;
    });
    this.#rows += rowCount;
    this.#nullCount += vector.nullCount;
    this.#choice.pagesSinceTrial++;
  }

  /**
   * The chunk's bytes, valid until `reclaimSegments`, and what the footer says of them. The chunk is empty again, for
   * the next row group.
   */
  finish(fileOffset: number): {
    pieces: Uint8Array[];
    metadata: ChunkMetadata;
  } {
    this.#compressor.settle();
    const values = this.#values;
    const distinctCount =
      this.#dictionaryPages === this.#records.length
        ? values.dictionaryEntries
        : null;
    const dictionary = new SegmentList();
    if (this.#dictionaryPages > 0) this.#writeDictionaryPage(dictionary);
    const dictionaryBytes = dictionary.length;
    const dataOffset = fileOffset + dictionaryBytes;
    const metadata: ChunkMetadata = {
      rows: this.#rows,
      nullCount: this.#nullCount,
      bounds: this.#mergePageBounds(),
      distinctCount,
      uncompressedBytes: this.#uncompressedBytes,
      compressedBytes: dictionaryBytes + this.#pages.length,
      dictionaryOffset: dictionaryBytes > 0 ? fileOffset : null,
      dataOffset,
      pageCounts: this.#pageCounts,
      columnIndex: encodeColumnIndex(this.#records, values.sortOrder),
      offsetIndex: encodeOffsetIndex(this.#records, dataOffset),
    };
    const pieces = [...dictionary.lend(), ...this.#pages.lend()];
    this.#reset();
    return { pieces, metadata };
  }

  #reset(): void {
    this.#values.resetDictionary();
    this.#records = [];
    this.#pageCounts = new Map();
    this.#dictionaryPages = 0;
    this.#rows = 0;
    this.#nullCount = 0;
    this.#uncompressedBytes = 0;
  }

  #mustChoose(): boolean {
    const { encoding, pagesSinceTrial } = this.#choice;
    if (encoding === null) return true;
    // in the middle of a row group the dictionary may hold entries of earlier pages
    return pagesSinceTrial >= PAGES_PER_TRIAL && this.#records.length === 0;
  }

  /** Encodes and compresses the loaded page in each way that comes into question, and takes the cheapest. */
  #chooseEncoding(count: number): void {
    const choice = this.#choice;
    choice.pagesSinceTrial = 0;
    const { candidates } = this.#values;
    choice.encoding = candidates[0]!;
    if (candidates.length === 1) return;
    const { page } = this.#workspace;
    let smallest = Infinity;
    let smallestFallback = Infinity;
    for (const candidate of candidates) {
      page.length = 0;
      if (!this.#values.encode(candidate, page)) continue;
      const raw = page.written();
      let bytes = this.#compress(raw).length + raw.length * RAW_BYTE_COST;
      if (candidate === "dictionary") {
        // a page of mostly new values says nothing of how large the dictionary will become
        if (this.#values.dictionaryEntries * 2 > count) bytes = Infinity;
        bytes += this.#values.dictionaryBytes * (count / ROW_GROUP_ROWS);
        this.#values.resetDictionary();
      } else if (bytes < smallestFallback) {
        smallestFallback = bytes;
        choice.fallback = candidate;
      }
      if (bytes < smallest) {
        smallest = bytes;
        choice.encoding = candidate;
      }
    }
  }

  #encodeValues(page: ByteSink): ValueEncoding {
    const choice = this.#choice;
    let encoding = choice.encoding!;
    if (this.#values.encode(encoding, page)) {
      if (encoding === "dictionary") this.#dictionaryPages++;
      return encoding;
    }
    if (encoding === "dictionary") {
      encoding = choice.fallback;
      choice.encoding = encoding;
      if (this.#values.encode(encoding, page)) return encoding;
    }
    assert(this.#values.encode("plain", page), "PLAIN holds every value");
    return "plain";
  }

  #pageEncoding(encoding: ValueEncoding): number {
    switch (encoding) {
      case "plain":
        return encodings.plain;
      case "dictionary":
        return encodings.rleDictionary;
      case "delta":
        return physicalTypeOf(this.#column.type) === physicalType.byteArray
          ? encodings.deltaLengthByteArray
          : encodings.deltaBinaryPacked;
    }
  }

  #writeDictionaryPage(sink: SegmentList): void {
    const { page } = this.#workspace;
    page.length = 0;
    this.#values.appendDictionary(page);
    const raw = page.written();
    this.#compressor.compress(raw, (compressed, crc) =>
      this.#appendPage(
        sink,
        { rawBytes: raw.length, compressed, crc },
        (header) => {
          header.beginStruct(7);
          header.writeI32(1, this.#values.dictionaryEntries);
          header.writeI32(2, encodings.plain);
          header.endStruct();
        },
      ),
    );
    this.#compressor.settle();
  }

  #appendPage(
    sink: SegmentList,
    { rawBytes, compressed, crc }: CompressedPage,
    writeKind: (header: ThriftWriter) => void,
  ): void {
    assert(rawBytes < 2 ** 31, "a page is smaller than 2 GiB");
    const isDictionary = sink !== this.#pages;
    const { header } = this.#workspace;
    header.reset();
    header.beginStruct();
    header.writeI32(1, isDictionary ? pageTypes.dictionary : pageTypes.data);
    header.writeI32(2, rawBytes);
    header.writeI32(3, compressed.length);
    header.writeI32(4, crc);
    writeKind(header);
    header.endStruct();
    sink.append(header.sink.written());
    sink.append(compressed);
    this.#uncompressedBytes += header.sink.length + rawBytes;
  }

  /** Null when a page with values has none. */
  #mergePageBounds(): Bounds | null {
    let merged: Bounds | null = null;
    for (const { hasValues, bounds } of this.#records) {
      if (!hasValues) continue;
      if (bounds === null) return null;
      merged =
        merged === null
          ? bounds
          : mergeBounds(this.#values.sortOrder, merged, bounds);
    }
    return merged;
  }
}
