/**
 * Rows as delimited protobuf records, in the current generation of values: what stands in each record beside its values
 * is made once for many rows. Columns are sent in the order of their names, since no name travels with a value.
 */
import { strict as assert } from "node:assert";
import type { ColumnBatch, ColumnVector } from "../../../proto/columns.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { ByteSink } from "../../formats/byte-sink.ts";
import type { ValueWriter } from "../../formats/text/value-writer.ts";
import type { RecordEncoder, RecordFrame } from "../record-encoder.ts";
import { envelopeTags, recordTags } from "./wire.ts";
import {
  countVarint,
  createProtobufWriter,
  nullValue,
  writeVarint32,
} from "./writers.ts";

/** Rows whose room is made sure of at once. */
const STEP_ROWS = 64;
/** The buffer is given back above this. */
const BUFFER_BYTES_KEPT = 16 * 1024 * 1024;
/** A tag, and a length of 32 bits. */
const META_HEAD_BYTES = 6;
/** Two lengths of 32 bits, and the tag between them. */
const HEAD_BYTES_MAX = 11;

const utf8 = new TextEncoder();

/** Columns by the order of their names: that of UTF-16, as in every other implementation. */
function sortColumns(schema: StreamSchema): readonly number[] {
  return schema.columns
    .map((_, column) => column)
    .toSorted((a, b) =>
      schema.columns[a]!.name < schema.columns[b]!.name ? -1 : 1,
    );
}

export class ProtobufRecordEncoder implements RecordEncoder {
  readonly #stream: Pick<StreamSchema, "namespace" | "name">;
  readonly #order: readonly number[];
  readonly #writers: readonly ValueWriter[];
  readonly #valuesBytesMax: number;
  readonly #sink = new ByteSink(64 * 1024);
  #begun: Uint8Array = new Uint8Array(0);
  /** Bytes of the head of the row before: nearly always those of the next one. */
  #headBytes = 5;
  readonly #metaAt: number | null;
  #meta: ColumnVector | null = null;

  /** @param hasMeta the last column is no value of its record: it holds the record's `meta`, encoded */
  constructor(schema: StreamSchema, hasMeta = false) {
    const last = schema.columns.length - 1;
    this.#stream = schema;
    this.#metaAt = hasMeta ? last : null;
    this.#order = sortColumns(schema).filter((one) => !hasMeta || one !== last);
    this.#writers = this.#order.map((column) =>
      createProtobufWriter(schema.columns[column]!.type),
    );
    this.#valuesBytesMax = this.#writers.reduce(
      (bytes, { bytesMax }) => bytes + Math.max(bytesMax, nullValue.length),
      0,
    );
  }

  begin({ partitionId, emittedAt }: RecordFrame): void {
    const { namespace, name } = this.#stream;
    const sink = new ByteSink(256);
    const appendText = (tag: number, text: string): void => {
      const bytes = utf8.encode(text);
      sink.appendByte(tag);
      sink.appendVarint(bytes.length);
      sink.append(bytes);
    };
    if (namespace !== "") appendText(recordTags.namespace, namespace);
    appendText(recordTags.name, name);
    sink.appendByte(recordTags.emittedAtMs);
    sink.appendVarint(emittedAt);
    if (partitionId !== null) appendText(recordTags.partitionId, partitionId);
    this.#begun = sink.written().slice();
  }

  encode(batch: ColumnBatch): readonly Uint8Array[] {
    this.#sink.shrink(BUFFER_BYTES_KEPT);
    this.#writers.forEach((writer, i) =>
      writer.bind(batch.columns[this.#order[i]!]!, batch.rowCount),
    );
    this.#meta = this.#metaAt === null ? null : batch.columns[this.#metaAt]!;
    for (let from = 0; from < batch.rowCount; from += STEP_ROWS)
      this.#writeRows(from, Math.min(from + STEP_ROWS, batch.rowCount));
    for (const writer of this.#writers) writer.unbind();
    return [this.#sink.written()];
  }

  #writeRows(from: number, end: number): void {
    const writers = this.#writers;
    const begun = this.#begun;
    let bytes =
      (end - from) * (HEAD_BYTES_MAX + begun.length + this.#valuesBytesMax);
    for (const writer of writers) bytes += writer.bound(from, end);
    const offsets = this.#meta?.offsets;
    if (offsets)
      bytes += offsets[end]! - offsets[from]! + (end - from) * META_HEAD_BYTES;
    this.#sink.reserve(bytes);
    const out = this.#sink.bytes;
    let at = this.#sink.length;
    for (let row = from; row < end; row++) {
      let headBytes = this.#headBytes;
      const start = at + headBytes;
      at = start;
      for (let i = 0; i < begun.length; i++) out[at + i] = begun[i]!;
      at += begun.length;
      for (let column = 0; column < writers.length; column++) {
        const writer = writers[column]!;
        const validity = writer.validity;
        if (
          validity !== null &&
          (validity[row >>> 3]! & (1 << (row & 7))) === 0
        ) {
          for (let i = 0; i < nullValue.length; i++)
            out[at + i] = nullValue[i]!;
          at += nullValue.length;
        } else at = writer.write(row, out, at);
      }
      if (this.#meta) at = writeMeta(this.#meta, row, out, at);
      const recordBytes = at - start;
      const innerBytes = 1 + countVarint(recordBytes) + recordBytes;
      const wanted = countVarint(innerBytes) + innerBytes - recordBytes;
      if (wanted !== headBytes) {
        out.copyWithin(start - headBytes + wanted, start, at);
        at += wanted - headBytes;
        this.#headBytes = wanted;
      }
      const place = writeVarint32(out, at - recordBytes - wanted, innerBytes);
      out[place] = envelopeTags.record;
      writeVarint32(out, place + 1, recordBytes);
      headBytes = wanted;
    }
    this.#sink.length = at;
  }
}

function writeMeta(
  { validity, offsets, data }: ColumnVector,
  row: number,
  out: Uint8Array,
  at: number,
): number {
  if (validity !== null && (validity[row >>> 3]! & (1 << (row & 7))) === 0)
    return at;
  assert(offsets);
  const bytes = data.subarray(offsets[row]!, offsets[row + 1]!);
  out[at] = recordTags.meta;
  const place = writeVarint32(out, at + 1, bytes.length);
  out.set(bytes, place);
  return place + bytes.length;
}

/** A message of the protocol inside of an envelope: a state, a trace. */
export function encodeMessage(json: string): Uint8Array {
  return encodeEnvelope(envelopeTags.message, utf8.encode(json));
}

/** Says that the peer is there. */
export const probe: Uint8Array = Uint8Array.of(2, envelopeTags.probe, 0);

function encodeEnvelope(tag: number, body: Uint8Array): Uint8Array {
  const sink = new ByteSink(body.length + HEAD_BYTES_MAX);
  sink.appendVarint(1 + countVarint(body.length) + body.length);
  sink.appendByte(tag);
  sink.appendVarint(body.length);
  sink.append(body);
  return sink.written();
}
