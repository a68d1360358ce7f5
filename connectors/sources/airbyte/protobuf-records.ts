/**
 * Envelopes of Airbyte's protobuf mode: which message each is, and the values of records without an object for them.
 * Values come in the order of their fields' names, one for each; both generations of their encoding are read. In the
 * first one integers are plain and dates are texts, in the second integers are zigzag and dates are numbers: which it is
 * is agreed on before, since an integer's bytes do not tell.
 */
import { isUtf8 } from "node:buffer";
import {
  envelopeTags,
  recordTags,
  valueTags,
} from "../../airbyte/record-protobuf/wire.ts";
import { ExtractError } from "../../../proto/error.ts";
import { formatClock, formatDate } from "../batches/read-value.ts";
import { areBytes } from "../../json/strings.ts";
import type {
  RecordColumn,
  RecordFacts,
  RecordRow,
  RecordValues,
} from "./record-decoder.ts";
import type { Refusal } from "./value-writer.ts";

export type ValueGeneration = 1 | 2;

/** Values of one record. */
const VALUES_MAX = 10_000;
const DAY_NANOS = 86_400e9;
const META_TAG = 6 * 8 + 2;
const TWO_32 = 4_294_967_296;
/** Members of a value in the first generation that are numbers in the second: dates and times. */
const TEMPORAL_FIELDS_FIRST = 7;
const TEMPORAL_FIELDS_LAST = 11;
const TIME_WITH_ZONE = 8;
const NULL_FIELD = 13;

const changeKinds = ["NULLED", "TRUNCATED"];
const changeReasons = [
  "SOURCE_RECORD_SIZE_LIMITATION",
  "DESTINATION_RECORD_SIZE_LIMITATION",
  "PLATFORM_RECORD_SIZE_LIMITATION",
  "SOURCE_FIELD_SIZE_LIMITATION",
  "DESTINATION_FIELD_SIZE_LIMITATION",
  "PLATFORM_FIELD_SIZE_LIMITATION",
  "SOURCE_SERIALIZATION_ERROR",
  "DESTINATION_SERIALIZATION_ERROR",
  "PLATFORM_SERIALIZATION_ERROR",
  "SOURCE_RETRIEVAL_ERROR",
  "DESTINATION_TYPECAST_ERROR",
];

function malformed(what: string): ExtractError {
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    `an envelope of the connector holds ${what}`,
  );
}

/** A place in an envelope that moves forward, and never leaves it. */
class WireReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  /** Of the varint that was read last. */
  low = 0;
  high = 0;

  read(bytes: Uint8Array, at: number, end: number): this {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    return this;
  }

  get isMore(): boolean {
    return this.at < this.end;
  }

  /** Up to 64 bits, into `low` and `high` as unsigned halves. */
  readVarint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.at < this.end ? this.bytes[this.at++] : undefined;
      if (byte === undefined) throw malformed("a number that is cut off");
      const part = byte & 0x7f;
      if (shift < 28) low |= part << shift;
      else if (shift === 28) {
        low |= part << 28;
        high = part >> 4;
      } else if (shift < 63) high |= part << (shift - 32);
      else if (part > 1) throw malformed("a number of more than 64 bits");
      else high |= part << 31;
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw malformed("a number that does not end");
  }

  /** An unsigned number that a double holds. */
  readCount(): number {
    this.readVarint();
    const value = this.high * TWO_32 + this.low;
    if (!Number.isSafeInteger(value)) throw malformed("a number out of range");
    return value;
  }

  /** A zigzag number that a double holds. */
  readSigned(): number {
    this.readVarint();
    this.unzigzag();
    const value = (this.high | 0) * TWO_32 + this.low;
    if (!Number.isSafeInteger(value)) throw malformed("a number out of range");
    return value;
  }

  unzigzag(): void {
    const sign = -(this.low & 1);
    const low = ((this.low >>> 1) | (this.high << 31)) ^ sign;
    const high = (this.high >>> 1) ^ sign;
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  /** Bytes of what follows. */
  readLength(): number {
    const length = this.readCount();
    if (length > this.end - this.at)
      throw malformed("a part that is longer than the whole");
    return length;
  }

  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.readVarint();
        return;
      case 1:
        this.at += 8;
        break;
      case 2: {
        const length = this.readLength();
        this.at += length;
        return;
      }
      case 5:
        this.at += 4;
        break;
      default:
        throw malformed(`a member of the unknown kind ${tag & 7}`);
    }
    if (this.at > this.end) throw malformed("a member that is cut off");
  }
}

/** What an envelope is. */
export type EnvelopeKind = "record" | "message" | "probe" | "unknown";

/** The envelope that was read last. Borrowed until the next one is read. */
export class ProtobufRecord implements RecordValues, RecordFacts {
  readonly #generation: ValueGeneration;
  readonly #reader = new WireReader();
  readonly #inner = new WireReader();
  #bytes: Uint8Array = new Uint8Array(0);
  #nameStart = 0;
  #nameEnd = 0;
  #namespaceStart = 0;
  #namespaceEnd = 0;
  #partition: string | null = null;
  #values = 0;
  readonly #starts = new Int32Array(VALUES_MAX);
  readonly #ends = new Int32Array(VALUES_MAX);
  #message = "";
  emittedAtMs = 0;
  changes: readonly unknown[] = [];
  /** Files go with records over standard streams alone. */
  readonly fileReference = null;
  byteCount = 0;
  readonly #double = new DataView(new ArrayBuffer(8));

  constructor(generation: ValueGeneration) {
    this.#generation = generation;
  }

  /** @throws ExtractError CONNECTOR_MESSAGE_INVALID */
  read(bytes: Uint8Array): EnvelopeKind {
    const reader = this.#reader.read(bytes, 0, bytes.length);
    this.#bytes = bytes;
    this.byteCount = bytes.length;
    if (!reader.isMore) throw malformed("nothing");
    const tag = reader.readCount();
    if (tag !== envelopeTags.record && tag !== envelopeTags.message)
      return tag === envelopeTags.probe ? "probe" : "unknown";
    const length = reader.readLength();
    const start = reader.at;
    if (start + length !== bytes.length)
      throw malformed("more than one message");
    if (tag === envelopeTags.message) {
      const text = bytes.subarray(start);
      if (!isUtf8(text)) throw malformed("text that is not UTF-8");
      this.#message = Buffer.from(text).toString("utf8");
      return "message";
    }
    this.#readRecord();
    return "record";
  }

  /** Of an envelope that holds a message as JSON. */
  get message(): string {
    return this.#message;
  }

  get stream(): string {
    return this.#text(this.#nameStart, this.#nameEnd);
  }

  get namespace(): string | null {
    const text = this.#text(this.#namespaceStart, this.#namespaceEnd);
    return text === "" ? null : text;
  }

  get partitionId(): string | null {
    return this.#partition;
  }

  isOf(namespace: Uint8Array | null, name: Uint8Array): boolean {
    return (
      areBytes(this.#bytes, this.#nameStart, this.#nameEnd, name) &&
      areBytes(
        this.#bytes,
        this.#namespaceStart,
        this.#namespaceEnd,
        namespace ?? nothing,
      )
    );
  }

  #text(start: number, end: number): string {
    return Buffer.from(this.#bytes.subarray(start, end)).toString("utf8");
  }

  #readRecord(): void {
    const reader = this.#reader;
    this.#nameStart = this.#nameEnd = 0;
    this.#namespaceStart = this.#namespaceEnd = 0;
    this.#partition = null;
    this.#values = 0;
    this.emittedAtMs = 0;
    this.changes = [];
    while (reader.isMore) {
      const tag = reader.readCount();
      switch (tag) {
        case recordTags.namespace: {
          const length = reader.readLength();
          this.#namespaceStart = reader.at;
          this.#namespaceEnd = reader.at += length;
          break;
        }
        case recordTags.name: {
          const length = reader.readLength();
          this.#nameStart = reader.at;
          this.#nameEnd = reader.at += length;
          break;
        }
        case recordTags.emittedAtMs:
          this.emittedAtMs = reader.readCount();
          break;
        case recordTags.partitionId: {
          const length = reader.readLength();
          const end = reader.at + length;
          const text = this.#text(reader.at, end);
          this.#partition = text === "" ? null : text;
          reader.at = end;
          break;
        }
        case recordTags.data: {
          const length = reader.readLength();
          if (this.#values === VALUES_MAX)
            throw malformed(`more than ${VALUES_MAX} values`);
          this.#starts[this.#values] = reader.at;
          this.#ends[this.#values] = reader.at += length;
          this.#values += 1;
          break;
        }
        case META_TAG: {
          const length = reader.readLength();
          const end = reader.at + length;
          this.changes = this.#readChanges(reader.at, end);
          reader.at = end;
          break;
        }
        default:
          reader.skip(tag);
      }
    }
    if (this.#nameEnd === this.#nameStart)
      throw malformed("a record of no stream");
  }

  #readChanges(start: number, end: number): unknown[] {
    const reader = this.#inner.read(this.#bytes, start, end);
    const changes: unknown[] = [];
    while (reader.isMore) {
      const tag = reader.readCount();
      if (tag !== 1 * 8 + 2) {
        reader.skip(tag);
        continue;
      }
      const length = reader.readLength();
      const behind = reader.at + length;
      let field = "";
      let change = 0;
      let reason = 0;
      while (reader.at < behind) {
        const inner = reader.readCount();
        if (inner === 1 * 8 + 2) {
          const size = reader.readLength();
          field = this.#text(reader.at, reader.at + size);
          reader.at += size;
        } else if (inner === 2 * 8) change = reader.readCount();
        else if (inner === 3 * 8) reason = reader.readCount();
        else reader.skip(inner);
      }
      if (reader.at !== behind) throw malformed("a change that is cut off");
      changes.push({
        field,
        change: changeKinds[change] ?? String(change),
        reason: changeReasons[reason] ?? String(reason),
      });
    }
    return changes;
  }

  write(row: RecordRow): void {
    const { slots } = row;
    if (slots.length !== this.#values)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a record of ${this.stream} has ${this.#values} values, and its schema ${slots.length} fields`,
        { stream: this.stream },
      );
    for (let index = 0; index < slots.length; index++) {
      const column = slots[index];
      if (column === null || column === undefined) continue;
      const start = this.#starts[index] ?? 0;
      const end = this.#ends[index] ?? 0;
      const reader = this.#inner.read(this.#bytes, start, end);
      const tag = reader.isMore ? reader.readCount() : valueTags.isNull;
      if (tag >> 3 === NULL_FIELD) {
        row.putNull(column);
        continue;
      }
      row.take(column);
      const refusal = this.#putValue(row, column, tag);
      if (refusal !== null)
        row.refuse(column, refusal, () => this.#text(start, end));
    }
  }

  #putValue(
    { writer, row, storeOf }: RecordRow,
    column: RecordColumn,
    tag: number,
  ): Refusal {
    const reader = this.#inner;
    const { bytes } = reader;
    const store = storeOf(column);
    const { type } = column;
    const isTextual = type.kind === "text" || type.kind === "json";
    switch (tag) {
      case valueTags.boolean:
        return writer.writeBoolean(type, store, row, reader.readCount() !== 0);
      case valueTags.text:
      case valueTags.json: {
        const length = reader.readLength();
        const start = reader.at;
        if (tag === valueTags.json)
          return writer.writeJson(
            type,
            store,
            row,
            bytes,
            start,
            start + length,
          );
        return writer.writeText(type, store, row, bytes, start, start + length);
      }
      case valueTags.integer:
        reader.readVarint();
        if (this.#generation === 2) reader.unzigzag();
        return writer.writeInteger(
          type,
          store,
          row,
          reader.low | 0,
          reader.high | 0,
        );
      case valueTags.bigInteger:
      case valueTags.bigDecimal: {
        const length = reader.readLength();
        const start = reader.at;
        return writer.writeText(type, store, row, bytes, start, start + length);
      }
      case valueTags.number: {
        if (reader.end - reader.at < 8) throw malformed("a number cut off");
        for (let i = 0; i < 8; i++)
          this.#double.setUint8(i, bytes[reader.at + i] ?? 0);
        return writer.writeDouble(
          type,
          store,
          row,
          this.#double.getFloat64(0, true),
        );
      }
      default:
    }
    const field = tag >> 3;
    if (field < TEMPORAL_FIELDS_FIRST || field > TEMPORAL_FIELDS_LAST)
      throw malformed(`a value of the unknown member ${field}`);
    if (this.#generation === 1) {
      if ((tag & 7) !== 2) throw otherGeneration("0.0.2", "0.0.1");
      const length = reader.readLength();
      const start = reader.at;
      return writer.writeText(type, store, row, bytes, start, start + length);
    }
    switch (tag) {
      case valueTags.date: {
        const days = reader.readSigned();
        return isTextual
          ? this.#putText(row, column, storeOf, writer, formatDate(days))
          : writer.writeDays(type, store, row, days);
      }
      case valueTags.time: {
        const nanos = reader.readCount();
        return isTextual
          ? this.#putText(row, column, storeOf, writer, showClock(nanos))
          : writer.writeTime(type, store, row, nanos);
      }
      case valueTags.timestampUtc:
      case valueTags.timestamp: {
        const isUtc = tag === valueTags.timestampUtc;
        const moment = this.#readMoment(isUtc);
        if (isTextual) {
          const local = shift(moment);
          return this.#putText(
            row,
            column,
            storeOf,
            writer,
            `${formatDate(local.days)}T${showClock(local.nanos)}${isUtc ? showOffset(moment.offset) : ""}`,
          );
        }
        if (isUtc && type.kind !== "timestamptz" && moment.offset !== 0)
          return "it has an offset, and the column has none";
        return writer.writeMoment(type, store, row, moment.days, moment.nanos);
      }
      case TIME_WITH_ZONE * 8 + 2: {
        const { nanos, offset } = this.#readZonedTime();
        if (isTextual)
          return this.#putText(
            row,
            column,
            storeOf,
            writer,
            showClock(nanos) + showOffset(offset),
          );
        if (offset !== 0) return "it has an offset, and the column has none";
        return writer.writeTime(type, store, row, nanos);
      }
      default:
        // a text where this generation has a number
        throw otherGeneration("0.0.1", "0.0.2");
    }
  }

  #putText(
    row: number,
    column: RecordColumn,
    storeOf: RecordRow["storeOf"],
    writer: RecordRow["writer"],
    text: string,
  ): Refusal {
    const bytes = Buffer.from(text, "latin1");
    return writer.writeText(
      column.type,
      storeOf(column),
      row,
      bytes,
      0,
      bytes.length,
    );
  }

  /** Of `timestampUtc`: seconds from 1970, nanoseconds, offset. Of `timestamp`: days from 1970, nanoseconds of the day. */
  #readMoment(isUtc: boolean): {
    readonly days: number;
    readonly nanos: number;
    readonly offset: number;
  } {
    const reader = this.#inner;
    const end = reader.readLength() + reader.at;
    let first = 0;
    let nanos = 0;
    let offset = 0;
    while (reader.at < end) {
      const tag = reader.readCount();
      if (tag === 1 * 8) first = reader.readSigned();
      else if (tag === 2 * 8) nanos = reader.readCount();
      else if (tag === 3 * 8) offset = reader.readSigned();
      else reader.skip(tag);
    }
    if (nanos >= (isUtc ? 1e9 : DAY_NANOS))
      throw malformed("a moment with too many nanoseconds");
    if (!isUtc) return { days: first, nanos, offset: 0 };
    const days = Math.floor(first / 86_400);
    return { days, nanos: (first - days * 86_400) * 1e9 + nanos, offset };
  }

  #readZonedTime(): { readonly nanos: number; readonly offset: number } {
    const reader = this.#inner;
    const end = reader.readLength() + reader.at;
    let nanos = 0;
    let offset = 0;
    while (reader.at < end) {
      const tag = reader.readCount();
      if (tag === 1 * 8) nanos = reader.readCount();
      else if (tag === 2 * 8) offset = reader.readSigned();
      else reader.skip(tag);
    }
    return { nanos, offset };
  }
}

const nothing = new Uint8Array(0);

function otherGeneration(spoken: string, agreed: string): ExtractError {
  return new ExtractError(
    "CONNECTOR_MESSAGE_INVALID",
    `the connector speaks version ${spoken} of the data channel, and ${agreed} was agreed on: its integers would be read as others`,
  );
}

/** On the clock of its offset. */
function shift({
  days,
  nanos,
  offset,
}: {
  readonly days: number;
  readonly nanos: number;
  readonly offset: number;
}): { readonly days: number; readonly nanos: number } {
  const local = nanos + offset * 1e9;
  const over = Math.floor(local / DAY_NANOS);
  return { days: days + over, nanos: local - over * DAY_NANOS };
}

function showClock(nanos: number): string {
  return formatClock(BigInt(nanos), 9).replace(/\.?0+$/, "");
}

function showOffset(seconds: number): string {
  if (seconds === 0) return "Z";
  const minutes = Math.floor(Math.abs(seconds) / 60);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${seconds < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
