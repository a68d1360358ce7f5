/**
 * The events of one table into rows of column buffers: the table's columns, and what happened to the row. An event gives
 * one row, or two where one update has changed the key, or none at all: then nothing of it stays in the buffers, and the
 * caller is told why. Nothing is passed over in silence.
 */
import { strict as assert } from "node:assert";
import { describeChanges } from "../../../../proto/change-columns.ts";
import { ExtractError } from "../../../../proto/error.ts";
import { NUMBER_DIGITS } from "../../../../proto/log-position.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";
import {
  endValue,
  growValues,
  writeNull,
  type BatchSet,
  type ColumnPlan,
} from "../../batches/batch-set.ts";
import {
  planColumns,
  type ChangeColumn,
  type ChangeSettings,
} from "./columns.ts";
import type { ChangeOp } from "./envelope.ts";
import { BatchEvent } from "./batch-event.ts";
import { BatchImages } from "./batch-images.ts";
import type { ChangeEvent } from "./event.ts";
import { showText, TypeMisfit } from "./faults.ts";
import { ImageWriter } from "./image-writer.ts";
import { ShapeChange, type RowImages, type SchemaChange } from "./images.ts";
import { writeNumber, type Place } from "./positions.ts";
import {
  EVENT_ROWS_MAX,
  hasRoom,
  removeRows,
  storeOf,
  writeBytes,
  writeOptional,
} from "./rows.ts";
import type { ValueKind } from "./types.ts";

import { ValueWriter } from "./values.ts";

/** As a line or a record of Kafka has it, or as a frame. */
export type RowEvent = ChangeEvent | BatchEvent;

/** `full`: nothing was appended; the batch is to be handed on, and the event to be given again with an empty one. */
export type AppendResult = "appended" | "full" | SchemaChange;

export interface ChangeDecoder {
  /** The stream's columns on the channels. */
  readonly schema: StreamSchema;
  /** What the batches are made of (`BatchSupply`, `BatchSet`). */
  readonly fields: readonly ColumnPlan[];
  /**
   * Appends an event of the kind `change` that is of this table.
   * @throws ExtractError SOURCE_EVENT_INVALID, SOURCE_VALUE_UNREPRESENTABLE, SOURCE_ROW_TOO_LARGE; nothing was appended
   */
  append(event: RowEvent, place: Place, set: BatchSet): AppendResult;
}

/** Bytes of the columns that are the same in every row, besides those that `BatchSet` counts. */
const ROW_BYTES_EXTRA = 128;

/** @throws ExtractError SOURCE_TYPE_NOT_IN_LOG, SOURCE_LOG_UNUSABLE */
export function openChangeDecoder(
  table: StreamSchema,
  settings: ChangeSettings,
): ChangeDecoder {
  return new RowDecoder(table, settings);
}

const text = (word: string): Uint8Array => Buffer.from(word);
const ops: Readonly<Record<ChangeOp, Uint8Array>> = {
  c: text("c"),
  u: text("u"),
  d: text("d"),
  r: text("r"),
  t: text("t"),
};
const nothing = text("[]");

class RowDecoder implements ChangeDecoder {
  readonly schema: StreamSchema;
  readonly fields: readonly ColumnPlan[];
  readonly #settings: ChangeSettings;
  readonly #table: string;
  readonly #columns: readonly ChangeColumn[];
  readonly #images: ImageWriter;
  readonly #batchImages: BatchImages;
  /** `_unchanged` where the log has nothing but the key. */
  readonly #allButKey: Uint8Array;
  /** How many times as long as its JSON a value can become. */
  readonly #growth: number;

  constructor(table: StreamSchema, settings: ChangeSettings) {
    this.#settings = settings;
    this.#table = `${table.namespace}.${table.name}`;
    this.#columns = planColumns(table, settings);
    this.schema = describeChanges(table, settings.transactionId);
    this.fields = this.schema.columns.map(({ type, nullable }) => ({
      logical: type.kind,
      nullable,
    }));
    const key = (table.key ?? []).map((name) => {
      const column = this.#columns.find((one) => one.name === name);
      assert(column !== undefined);
      return column;
    });
    const images = {
      table: this.#table,
      columns: this.#columns,
      key,
      leftOut: settings.leftOut ?? new Set(),
      values: new ValueWriter(
        (column, value, reason) => this.#refuse(column, value, reason),
        settings.connector === "mysql" || settings.connector === "mariadb",
      ),
    };
    this.#images = new ImageWriter(images);
    this.#batchImages = new BatchImages(images);
    this.#growth = this.#columns.reduce(
      (growth, { kind }) => Math.max(growth, growthOf(kind)),
      1,
    );
    this.#allButKey = this.#writeNames(
      this.#columns.filter(({ isKey }) => !isKey),
    );
  }

  append(event: RowEvent, place: Place, set: BatchSet): AppendResult {
    return event instanceof BatchEvent
      ? this.#append(
          event,
          this.#batchImages,
          event.byteCount * this.#growth + this.#batchImages.bytesExtra,
          place,
          set,
        )
      : this.#append(
          event,
          this.#images,
          event.bytes.length * this.#growth + (event.headers?.length ?? 0),
          place,
          set,
        );
  }

  /** @param byteCount that the event's values can become, besides those of fixed width */
  #append<Event extends RowEvent>(
    event: Event,
    images: RowImages<Event>,
    byteCount: number,
    place: Place,
    set: BatchSet,
  ): AppendResult {
    assert(event.kind === "change" && event.op !== null);
    assert(
      set.columns.length === this.fields.length &&
        set.capacity >= EVENT_ROWS_MAX,
    );
    const bound =
      byteCount +
      EVENT_ROWS_MAX *
        (set.rowBytes + ROW_BYTES_EXTRA + this.#allButKey.length);
    if (set.rowCount > 0 && !hasRoom(set, bound)) return "full";
    const first = set.rowCount;
    try {
      this.#appendRows(event, images, event.op, place, set);
    } catch (error) {
      removeRows(set, this.fields, first);
      if (error instanceof TypeMisfit)
        return {
          kind: "schemaChanged",
          column: error.column,
          change: "type",
          detail: error.detail,
        };
      if (error instanceof ShapeChange) return error.change;
      if (error instanceof ExtractError)
        throw this.#locate(error, event, place);
      throw error;
    }
    set.bytesBound += bound;
    if (set.rowCount > set.capacity - EVENT_ROWS_MAX) set.isFull = true;
    return "appended";
  }

  #appendRows<Event extends RowEvent>(
    event: Event,
    images: RowImages<Event>,
    op: ChangeOp,
    place: Place,
    set: BatchSet,
  ): void {
    const number = event.orderInTransaction * EVENT_ROWS_MAX;
    if (op === "t") {
      for (const column of this.#columns)
        writeNull(storeOf(set, column.index), column.logical, set.rowCount);
      this.#endRow(event, op, place, set, number, nothing, null);
      return;
    }
    if (op === "d") {
      this.#appendDeletion(event, images, place, set, number);
      return;
    }
    let oldKey: string | null = null;
    let rowNumber = number;
    if (op === "c") {
      oldKey = images.formatOldKey(event);
    } else if (op === "u" && images.hasKeyChanged(event)) {
      oldKey = images.formatKeyBefore(event);
      this.#appendDeletion(event, images, place, set, number);
      rowNumber += 1;
    }
    images.writeAfter(event, set);
    const unchanged = this.#listUnchanged(images);
    this.#endRow(event, op, place, set, rowNumber, unchanged, oldKey);
  }

  /** The row's image before, or where there is none, or none of use, the event's key. */
  #appendDeletion<Event extends RowEvent>(
    event: Event,
    images: RowImages<Event>,
    place: Place,
    set: BatchSet,
    number: number,
  ): void {
    const hasAll = this.#settings.beforeImage === "full" && event.hasBefore;
    if (event.hasBefore) images.writeBefore(event, set, hasAll ? "row" : "key");
    else images.writeKey(event, set);
    const unchanged = hasAll ? this.#listUnchanged(images) : this.#allButKey;
    this.#endRow(event, "d", place, set, number, unchanged, null);
  }

  /** `_unchanged`: names of columns whose value the log did not hold. */
  #listUnchanged({
    unchanged,
  }: {
    readonly unchanged: readonly number[];
  }): Uint8Array {
    if (unchanged.length === 0) return nothing;
    return this.#writeNames(
      this.#columns.filter(({ index }) => unchanged.includes(index)),
    );
  }

  #writeNames(columns: readonly ChangeColumn[]): Uint8Array {
    return Buffer.from(
      `[${columns.map(({ jsonName }) => Buffer.from(jsonName).toString("utf8")).join(",")}]`,
    );
  }

  /** Writes the columns that say what happened, and makes the row one of the set. */
  #endRow(
    event: RowEvent,
    op: ChangeOp,
    place: Place,
    set: BatchSet,
    number: number,
    unchanged: Uint8Array,
    oldKey: string | null,
  ): void {
    const row = set.rowCount;
    const first = this.#columns.length;
    writeBytes(storeOf(set, first), row, ops[op]);
    const position = storeOf(set, first + 1);
    writeBytes(position, row, place.prefix);
    growValues(position, NUMBER_DIGITS);
    writeNumber(position.values, position.end, number);
    position.end += NUMBER_DIGITS;
    endValue(position, row);
    const us = event.committedUs;
    const { words } = storeOf(set, first + 2);
    const high = Math.floor(us / 4_294_967_296);
    words[2 * row] = (us - high * 4_294_967_296) | 0;
    words[2 * row + 1] = high;
    const { fixed } = storeOf(set, first + 3);
    if (op === "d" || op === "t") {
      fixed[row >> 3] = (fixed[row >> 3] ?? 0) | (1 << (row & 7));
    }
    writeBytes(storeOf(set, first + 4), row, unchanged);
    writeOptional(storeOf(set, first + 5), row, oldKey);
    if (this.#settings.transactionId) {
      const id = place.transactionId ?? event.transactionId;
      writeOptional(storeOf(set, first + 6), row, id);
    }
    set.rowCount = row + 1;
  }

  #refuse(column: ChangeColumn, value: string, reason: string): void {
    if (this.#settings.policy === "null") {
      this.#settings.valueNulled(column.name, reason);
      return;
    }
    const shown = showText(value);
    throw new ExtractError(
      "SOURCE_VALUE_UNREPRESENTABLE",
      `${this.#table}.${column.name} holds ${shown}: ${reason}`,
      { table: this.#table, column: column.name, value: shown },
    );
  }

  #locate(error: ExtractError, event: RowEvent, place: Place): ExtractError {
    const position = Buffer.from(place.prefix).toString("latin1");
    const details = {
      ...error.details,
      table: this.#table,
      position,
      number: event.number,
    };
    return new ExtractError(error.code, error.message, details, {
      cause: error,
    });
  }
}

/** A control character of an array's text is six in JSON; a document's commas get a blank. */
function growthOf(kind: ValueKind): number {
  if (kind === "array" || kind === "vector") return 6;
  return kind === "mysqlJson" ? 2 : 1;
}
