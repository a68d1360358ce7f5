/** The rows of the engine's frames into a table's columns. */
import { isUtf8 } from "node:buffer";
import { isVariableWidth } from "../../../../proto/schema.ts";
import {
  endValue,
  growValues,
  writeNull,
  type BatchSet,
  type ColumnStore,
} from "../../batches/batch-set.ts";
import type { BatchEvent, RowPlace } from "./batch-event.ts";
import { formatValue } from "./batch-json.ts";
import {
  planShape,
  step,
  type FieldPlan,
  type RowPlan,
  type ShapePlan,
} from "./batch-plan.ts";
import { RowCursor } from "./batch-rows.ts";
import {
  fieldType,
  wireTypes,
  type FieldType,
  type Shape,
  type ShapeField,
} from "./batch-shapes.ts";
import type { ChangeColumn } from "./columns.ts";
import { invalidEvent } from "./faults.ts";
import {
  checkKey,
  isUnwatched,
  KeyRow,
  lacksOwnKey,
  type ImageOptions,
  type ImagePart,
  type RowImages,
} from "./images.ts";
import { storeOf } from "./rows.ts";
import { areBytes } from "../../../json/strings.ts";
import { JsonFault, Tape, token, TOKEN_WORDS } from "../../../json/tape.ts";
import { DATE_MAX, DATE_MIN, US_HIGH_MAX, US_HIGH_MIN } from "./value-times.ts";
import { readWord, wire, WireFault } from "./wire.ts";

/** What a number can become as text, besides its own bytes. */
const TEXT_OF_NUMBER_BYTES = 24;
/** Values longer than this are copied by the runtime, shorter ones byte by byte: a view for its calls costs 100 ns. */
const COPY_LOOP_BYTES_MAX = 96;

export class BatchImages implements RowImages<BatchEvent> {
  readonly unchanged: number[] = [];
  /** What the texts of an event's rows can have more than their bytes in its frame. */
  readonly bytesExtra: number;
  readonly #options: ImageOptions;
  readonly #keyRow: KeyRow;
  readonly #plans = new WeakMap<Shape, ShapePlan>();
  #latest: { readonly shape: Shape; readonly plan: ShapePlan } | null = null;
  readonly #cursor = new RowCursor();
  readonly #other = new RowCursor();
  readonly #tape = new Tape();
  /** The token of a text that stands in a frame. */
  readonly #words = Int32Array.of(token.text, 0, 0, TOKEN_WORDS);

  constructor(options: ImageOptions) {
    this.#options = options;
    this.#keyRow = new KeyRow(options.key);
    const converted = options.columns.filter(
      ({ logical, kind }) =>
        isVariableWidth(logical) && kind !== "text" && kind !== "binary",
    );
    this.bytesExtra = 2 * converted.length * TEXT_OF_NUMBER_BYTES;
  }

  writeAfter(event: BatchEvent, set: BatchSet): void {
    const { row } = this.#planOf(event);
    this.#write(event, event.after, row, set);
  }

  writeBefore(event: BatchEvent, set: BatchSet, part: ImagePart): void {
    const { row, keyOfRow } = this.#planOf(event);
    this.#write(event, event.before, part === "row" ? row : keyOfRow, set);
  }

  writeKey(event: BatchEvent, set: BatchSet): void {
    if (!event.key.isThere) throw lacksOwnKey();
    this.#write(event, event.key, this.#planOf(event).keyOfKey, set);
  }

  #planOf({ shape }: BatchEvent): ShapePlan {
    if (this.#latest?.shape === shape) return this.#latest.plan;
    let plan = this.#plans.get(shape);
    if (plan === undefined) {
      const { values } = this.#options;
      const { isBinlog } = values;
      plan = planShape(shape, { ...this.#options, isBinlog });
      this.#plans.set(shape, plan);
    }
    this.#latest = { shape, plan };
    return plan;
  }

  #write(
    { bytes }: BatchEvent,
    { start, end }: RowPlace,
    plan: RowPlan,
    set: BatchSet,
  ): void {
    this.unchanged.length = 0;
    if (plan.makeFault !== null) throw plan.makeFault();
    const row = set.rowCount;
    try {
      this.#writeFields(bytes, start, end, plan.fields, set, row);
    } catch (error) {
      throw toInvalid(error);
    }
    for (const { index, logical } of plan.nulls)
      writeNull(storeOf(set, index), logical, row);
    checkKey(this.#options.key, set, row);
  }

  #writeFields(
    bytes: Uint8Array,
    start: number,
    end: number,
    fields: readonly FieldPlan[],
    set: BatchSet,
    row: number,
  ): void {
    const { columns } = set;
    let at = start;
    for (let i = 0; i < fields.length; i++) {
      const plan = fields[i];
      if (plan === undefined) break;
      const { column, secondByte } = plan;
      let isThere = at < end && bytes[at] === plan.firstByte;
      if (secondByte !== 0)
        isThere &&= at + 1 < end && bytes[at + 1] === secondByte;
      if (column === null) {
        if (isThere)
          at = skipField(bytes, at + (secondByte === 0 ? 1 : 2), end, plan);
        continue;
      }
      const store = columns[column.index];
      if (store === undefined) throw new WireFault("a column is not there");
      if (!isThere) {
        writeNull(store, column.logical, row);
        continue;
      }
      at = this.#writeField(
        bytes,
        at + (secondByte === 0 ? 1 : 2),
        end,
        plan,
        column,
        store,
        row,
      );
    }
    if (at !== end) throw new WireFault("a row has a field too many");
  }

  /** @returns the place behind the value */
  #writeField(
    bytes: Uint8Array,
    at: number,
    end: number,
    plan: FieldPlan,
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
  ): number {
    switch (plan.step) {
      case step.copyText:
      case step.copyBytes: {
        let length = bytes[at] ?? 0;
        let from = at + 1;
        if (length > 127) {
          from = skipVarint(bytes, at, end);
          length = readVarint(bytes, at, from);
        }
        const behind = from + length;
        if (behind > end) throw cutOff();
        const { placeholder } = plan;
        if (
          placeholder !== null &&
          length === placeholder.length &&
          areBytes(bytes, from, behind, placeholder)
        ) {
          writeNull(store, column.logical, row);
          this.unchanged.push(column.index);
          return behind;
        }
        copyBytes(store, bytes, from, behind, plan.step === step.copyText);
        endValue(store, row);
        return behind;
      }
      case step.convertText: {
        const from = skipVarint(bytes, at, end);
        const behind = from + readVarint(bytes, at, from);
        if (behind > end) throw cutOff();
        this.#convertText(column, store, row, bytes, from, behind);
        return behind;
      }
      case step.int32:
      case step.int16:
      case step.widen:
      case step.date:
      case step.bit: {
        const behind = skipVarint(bytes, at, end);
        const zigzag = readVarint(bytes, at, behind);
        const value = ((zigzag >>> 1) ^ -(zigzag & 1)) | 0;
        if (!writeSigned(plan.step, store, row, value))
          this.#convert(column, store, row, plan.field.type, bytes, at, behind);
        return behind;
      }
      case step.int64:
      case step.float64: {
        const behind = at + 8;
        if (behind > end) throw cutOff();
        store.words[2 * row] = readWord(bytes, at);
        store.words[2 * row + 1] = readWord(bytes, at + 4);
        return behind;
      }
      case step.timestamp: {
        const behind = at + 8;
        if (behind > end) throw cutOff();
        const high = readWord(bytes, at + 4);
        if (high > US_HIGH_MIN && high < US_HIGH_MAX) {
          store.words[2 * row] = readWord(bytes, at);
          store.words[2 * row + 1] = high;
        } else
          this.#convert(column, store, row, plan.field.type, bytes, at, behind);
        return behind;
      }
      case step.float32: {
        const behind = at + 4;
        if (behind > end) throw cutOff();
        store.words[row] = readWord(bytes, at);
        return behind;
      }
      case step.boolean: {
        if (at >= end) throw cutOff();
        const behind = skipVarint(bytes, at, end);
        if (bytes[at] !== 0) setBit(store, row);
        return behind;
      }
      default: {
        const { type } = plan.field;
        const behind = skipField(bytes, at, end, plan);
        const from =
          wireTypes[type] === wire.length ? skipVarint(bytes, at, end) : at;
        this.#convert(column, store, row, type, bytes, from, behind);
        return behind;
      }
    }
  }

  /** By the rules of JSON's values. */
  #convert(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    type: FieldType,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (type === fieldType.text)
      return this.#convertText(column, store, row, bytes, start, end);
    const tape = this.#tape;
    const isJson = type === fieldType.json || type === fieldType.number;
    const json = isJson
      ? bytes.subarray(start, end)
      : Buffer.from(formatValue(type, bytes, start, end));
    tape.read(json, 0, json.length);
    const source = { bytes: json, words: tape.words };
    if (!this.#options.values.write(column, store, row, source, 0))
      this.unchanged.push(column.index);
  }

  #convertText(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const words = this.#words;
    words[1] = start;
    words[2] = end;
    if (!this.#options.values.write(column, store, row, { bytes, words }, 0))
      this.unchanged.push(column.index);
  }

  hasKeyChanged(event: BatchEvent): boolean {
    const { shape, before, after, bytes } = event;
    const { keyInRow } = this.#planOf(event);
    if (!before.isThere) {
      this.#checkKeyIsWatched(event);
      return false;
    }
    const { row } = shape;
    const first = this.#cursor;
    const second = this.#other;
    try {
      for (const index of keyInRow) {
        first.begin(bytes, before.start, before.end);
        second.begin(bytes, after.start, after.end);
        if (index < 0 || !first.find(row, index))
          this.#checkKeyIsWatched(event);
        else if (!second.find(row, index) || !areSame(bytes, first, second))
          return true;
      }
    } catch (error) {
      throw toInvalid(error);
    }
    return false;
  }

  #checkKeyIsWatched(event: BatchEvent): void {
    const { key, table } = this.#options;
    const { keyInKey } = this.#planOf(event);
    const unseen = key.find(
      (_, i) => !event.key.isThere || (keyInKey[i] ?? -1) < 0,
    );
    if (unseen !== undefined) throw isUnwatched(table, unseen.name);
  }

  formatKeyBefore(event: BatchEvent): string {
    const { keyInRow } = this.#planOf(event);
    return this.#formatKey(event, event.before, event.shape.row, keyInRow);
  }

  formatOldKey(event: BatchEvent): string | null {
    if (!event.oldKey.isThere) return null;
    const { keyInKey } = this.#planOf(event);
    return this.#formatKey(event, event.oldKey, event.shape.key, keyInKey);
  }

  #formatKey(
    { bytes }: BatchEvent,
    { start, end }: RowPlace,
    fields: readonly ShapeField[],
    indexes: readonly number[],
  ): string {
    const cursor = this.#cursor;
    let next = 0;
    try {
      return this.#keyRow.format((column, store) => {
        const index = indexes[next++] ?? -1;
        const field = fields[index];
        cursor.begin(bytes, start, end);
        if (field === undefined || !cursor.find(fields, index)) return false;
        this.#convert(
          column,
          store,
          0,
          field.type,
          bytes,
          cursor.start,
          cursor.end,
        );
        return true;
      });
    } catch (error) {
      throw toInvalid(error);
    }
  }
}

/** Whether it was written: it is within the bounds of its column. */
function writeSigned(
  kind: number,
  store: ColumnStore,
  row: number,
  value: number,
): boolean {
  switch (kind) {
    case step.int32:
      store.words[row] = value;
      return true;
    case step.widen:
      store.words[2 * row] = value;
      store.words[2 * row + 1] = value >> 31;
      return true;
    case step.int16:
      store.halves[row] = value;
      return (value << 16) >> 16 === value;
    case step.date:
      store.words[row] = value;
      return value >= DATE_MIN && value <= DATE_MAX;
    default:
      if (value === 1) setBit(store, row);
      return value === 0 || value === 1;
  }
}

function setBit({ fixed }: ColumnStore, row: number): void {
  fixed[row >> 3] = (fixed[row >> 3] ?? 0) | (1 << (row & 7));
}

function copyBytes(
  store: ColumnStore,
  bytes: Uint8Array,
  start: number,
  end: number,
  isText: boolean,
): void {
  const values = growValues(store, end - start);
  let high = 0;
  if (end - start > COPY_LOOP_BYTES_MAX) {
    values.set(viewOf(bytes, start, end), store.end);
    store.end += end - start;
    high = 255;
  } else {
    let to = store.end;
    for (let from = start; from < end; from++) {
      const byte = bytes[from] ?? 0;
      high |= byte;
      values[to++] = byte;
    }
    store.end = to;
  }
  if (isText && high > 127 && !isUtf8(viewOf(bytes, start, end)))
    throw new WireFault("a text is not UTF-8");
}

/** Of a plain class: a view of Buffer's takes twice as long to make. */
function viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** The place behind the number at `at`, which is of up to 32 bits. */
function skipVarint(bytes: Uint8Array, at: number, end: number): number {
  let behind = at;
  while (behind < end && (bytes[behind] ?? 0) > 127) behind++;
  if (behind >= end) throw cutOff();
  if (behind - at > 4) throw new WireFault("a number does not end");
  return behind + 1;
}

/** The number whose bytes are at `[at, behind)`. */
function readVarint(bytes: Uint8Array, at: number, behind: number): number {
  let value = 0;
  for (let p = behind - 1; p >= at; p--)
    value = value * 128 + ((bytes[p] ?? 0) & 127);
  return value;
}

/** The place behind the field's value at `at`. */
function skipField(
  bytes: Uint8Array,
  at: number,
  end: number,
  { field }: FieldPlan,
): number {
  let behind = at;
  switch (wireTypes[field.type]) {
    case wire.varint:
      behind = skipVarint(bytes, at, end);
      break;
    case wire.length:
      behind = skipVarint(bytes, at, end);
      behind += readVarint(bytes, at, behind);
      break;
    default:
      behind += wireTypes[field.type] === wire.fixed64 ? 8 : 4;
  }
  if (behind > end) throw cutOff();
  return behind;
}

function areSame(bytes: Uint8Array, a: RowCursor, b: RowCursor): boolean {
  const length = a.end - a.start;
  if (b.end - b.start !== length) return false;
  for (let i = 0; i < length; i++)
    if (bytes[a.start + i] !== bytes[b.start + i]) return false;
  return true;
}

function cutOff(): WireFault {
  return new WireFault("a value is cut off");
}

function toInvalid(error: unknown): unknown {
  if (error instanceof WireFault) return invalidEvent(error.message, {}, error);
  if (error instanceof JsonFault)
    return invalidEvent(`a value is no JSON: ${error.message}`, {}, error);
  return error;
}
