/**
 * The events of one table into rows of column buffers: the table's columns, and what happened to the row. An event gives
 * one row, or two where one update has changed the key, or none at all: then nothing of it stays in the buffers, and the
 * caller is told why. Nothing is passed over in silence.
 */
import { strict as assert } from "node:assert";
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { describeChanges } from "../../../../proto/change-columns.ts";
import { ExtractError } from "../../../../proto/error.ts";
import type { ColumnSchema, StreamSchema } from "../../../../proto/schema.ts";
import {
  BatchSet,
  growValues,
  type ColumnPlan,
  type ColumnStore,
} from "../../batches/batch-set.ts";
import { isSet } from "../../batches/read-value.ts";
import {
  planColumns,
  type ChangeColumn,
  type ChangeSettings,
} from "./columns.ts";
import { findMember, NONE, type ChangeEvent, type ChangeOp } from "./event.ts";
import { invalidEvent, showText, TypeMisfit } from "./faults.ts";
import { formatKey } from "./key-text.ts";
import { NUMBER_DIGITS, writeNumber, type Place } from "./positions.ts";
import { readText } from "./strings.ts";
import { token, TOKEN_WORDS, type TapeSource } from "./tape.ts";
import type { ValueKind } from "./types.ts";
import { endValue, ValueWriter, writeNull } from "./values.ts";

/** The table is no longer what it was when the decoder was opened. */
export interface SchemaChange {
  readonly kind: "schemaChanged";
  readonly column: string;
  /** A column that the stream has not, one that the event has not, or a value of another type. */
  readonly change: "added" | "missing" | "type";
  readonly detail: string;
}

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
  append(event: ChangeEvent, place: Place, set: BatchSet): AppendResult;
}

/** Rows that one event can become. */
const EVENT_ROWS_MAX = 2;
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

const transactionColumn: ColumnSchema = {
  name: "_txid",
  type: { kind: "text" },
  nullable: true,
  sourceType: "millrace",
};

function describeRows(
  table: StreamSchema,
  transactionId: boolean,
): StreamSchema {
  if (!transactionId) return describeChanges(table);
  const fingerprint = `${table.fingerprint} ${transactionColumn.name}`;
  const described = describeChanges({ ...table, fingerprint });
  return { ...described, columns: [...described.columns, transactionColumn] };
}

/** Which columns of an image count. */
type ImagePart = "row" | "key";

class RowDecoder implements ChangeDecoder {
  readonly schema: StreamSchema;
  readonly fields: readonly ColumnPlan[];
  readonly #settings: ChangeSettings;
  readonly #table: string;
  readonly #columns: readonly ChangeColumn[];
  /** In key order. */
  readonly #key: readonly ChangeColumn[];
  readonly #byName: ReadonlyMap<string, ChangeColumn>;
  readonly #values: ValueWriter;
  /** Where the last value of each column stood, and in which reading. */
  readonly #tokens: Int32Array;
  readonly #seen: Int32Array;
  #reading = 0;
  /** `_unchanged` where the log has nothing but the key. */
  readonly #allButKey: Uint8Array;
  #unchanged: number[] = [];
  /** How many times as long as its JSON a value can become. */
  readonly #growth: number;
  /** One row with the key's columns, for the text of an old key. */
  readonly #keySet: BatchSet;

  constructor(table: StreamSchema, settings: ChangeSettings) {
    this.#settings = settings;
    this.#table = `${table.namespace}.${table.name}`;
    this.#columns = planColumns(table, settings);
    this.schema = describeRows(table, settings.transactionId);
    this.fields = this.schema.columns.map(({ type, nullable }) => ({
      logical: type.kind,
      nullable,
    }));
    this.#byName = new Map(
      this.#columns.map((column) => [column.name, column]),
    );
    this.#key = (table.key ?? []).map((name) => {
      const column = this.#byName.get(name);
      assert(column !== undefined);
      return column;
    });
    this.#values = new ValueWriter(
      (column, value, reason) => this.#refuse(column, value, reason),
      settings.connector === "mysql" || settings.connector === "mariadb",
    );
    this.#growth = this.#columns.reduce(
      (growth, { kind }) => Math.max(growth, growthOf(kind)),
      1,
    );
    this.#tokens = new Int32Array(this.#columns.length);
    this.#seen = new Int32Array(this.#columns.length);
    this.#allButKey = this.#writeNames(
      this.#columns.filter(({ isKey }) => !isKey),
    );
    this.#keySet = new BatchSet(
      this.#key.map(({ logical }) => ({ logical, nullable: true })),
      1,
    );
  }

  append(event: ChangeEvent, place: Place, set: BatchSet): AppendResult {
    assert(event.kind === "change" && event.op !== null);
    assert(
      set.columns.length === this.fields.length &&
        set.capacity >= EVENT_ROWS_MAX,
    );
    const bound =
      event.bytes.length * this.#growth +
      (event.headers?.length ?? 0) +
      EVENT_ROWS_MAX *
        (set.rowBytes + ROW_BYTES_EXTRA + this.#allButKey.length);
    if (set.rowCount > 0 && !hasRoom(set, bound)) return "full";
    const first = set.rowCount;
    try {
      this.#appendRows(event, event.op, place, set);
    } catch (error) {
      this.#removeRows(set, first);
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

  #appendRows(
    event: ChangeEvent,
    op: ChangeOp,
    place: Place,
    set: BatchSet,
  ): void {
    const number = event.orderInTransaction * EVENT_ROWS_MAX;
    if (op === "t") {
      for (const column of this.#columns)
        writeNull(column, storeOf(set, column.index), set.rowCount);
      this.#endRow(event, op, place, set, number, nothing, null);
      return;
    }
    if (op === "d") {
      this.#appendDeletion(event, place, set, number);
      return;
    }
    const image: TapeSource = { bytes: event.bytes, words: event.words };
    let oldKey: string | null = null;
    let rowNumber = number;
    if (op === "c") {
      const old = event.readOldKey();
      if (old !== null) oldKey = this.#readKeyText(old, old.at);
    } else if (op === "u" && this.#hasKeyChanged(event, image)) {
      oldKey = this.#readKeyText(image, event.before);
      this.#appendDeletion(event, place, set, number);
      rowNumber += 1;
    }
    this.#writeImage(image, event.after, set, "row");
    this.#endRow(
      event,
      op,
      place,
      set,
      rowNumber,
      this.#listUnchanged(false),
      oldKey,
    );
  }

  /** The row's image before, or where there is none, or none of use, the event's key. */
  #appendDeletion(
    event: ChangeEvent,
    place: Place,
    set: BatchSet,
    number: number,
  ): void {
    const hasAll =
      this.#settings.beforeImage === "full" && event.before !== NONE;
    if (event.before !== NONE) {
      this.#writeImage(event, event.before, set, hasAll ? "row" : "key");
    } else {
      const key = event.readKey();
      if (key === null) throw invalidEvent("a deletion without the row's key");
      this.#writeImage(key, key.at, set, "key");
    }
    this.#endRow(
      event,
      "d",
      place,
      set,
      number,
      this.#listUnchanged(!hasAll),
      null,
    );
  }

  /** Writes the table's columns of the row behind the set's last; of `key`, the others as NULL. */
  #writeImage(
    source: TapeSource,
    image: number,
    set: BatchSet,
    part: ImagePart,
  ): void {
    const found = this.#indexMembers(source, image, part === "key");
    const row = set.rowCount;
    this.#unchanged.length = 0;
    if (part === "row" && found !== this.#columns.length)
      throw this.#missingColumn(source, image);
    for (const column of this.#columns) {
      const { index } = column;
      const store = storeOf(set, index);
      if (part === "key" && !column.isKey) {
        writeNull(column, store, row);
      } else if (this.#seen[index] !== this.#reading) {
        throw invalidEvent(`a row without ${column.name} of its key`);
      } else if (
        !this.#values.write(
          column,
          store,
          row,
          source,
          this.#tokens[index] ?? 0,
        )
      ) {
        this.#unchanged.push(index);
      }
    }
    for (const column of this.#key) {
      const { validity } = storeOf(set, column.index);
      if (validity !== null && !isSet(validity, row))
        throw invalidEvent(
          `a row without a value of ${column.name}, which is of its key`,
        );
    }
  }

  /** Notes where the value of each column stands; their number. Members come in the order of the table's columns. */
  #indexMembers(
    { bytes, words }: TapeSource,
    image: number,
    onlyKey: boolean,
  ): number {
    const columns = this.#columns;
    const reading = ++this.#reading;
    const behind = words[image + 3] ?? 0;
    let found = 0;
    let expected = 0;
    for (let at = image + TOKEN_WORDS; at < behind;) {
      const value = at + TOKEN_WORDS;
      let column = columns[expected];
      if (column === undefined || !isNamed(column, bytes, words, at)) {
        const name = readText(
          bytes,
          words[at] ?? 0,
          words[at + 1] ?? 0,
          words[at + 2] ?? 0,
        );
        column = this.#byName.get(name);
        if (column === undefined) {
          at = words[value + 3] ?? behind;
          if (onlyKey || this.#settings.leftOut?.has(name) === true) continue;
          throw new ShapeChange(
            name,
            "added",
            `a column ${showText(name)} that the table did not have`,
          );
        }
      }
      const { index } = column;
      if (this.#seen[index] === reading)
        throw invalidEvent(`the column ${column.name} is there twice`);
      this.#seen[index] = reading;
      this.#tokens[index] = value;
      found++;
      expected = index + 1;
      at = words[value + 3] ?? behind;
    }
    return found;
  }

  #missingColumn(source: TapeSource, image: number): Error {
    assert(source.words[image] === token.object);
    const missing = this.#columns.find(
      ({ index }) => this.#seen[index] !== this.#reading,
    );
    const name = missing?.name ?? "";
    return new ShapeChange(
      name,
      "missing",
      `no column ${name}, which the table had`,
    );
  }

  /**
   * Whether the image before has another key. Where it is not there, the connector tells of a changed key by a deletion
   * and an insertion, if it knows all of it.
   */
  #hasKeyChanged(event: ChangeEvent, image: TapeSource): boolean {
    if (event.before === NONE) {
      this.#checkKeyIsWatched(event);
      return false;
    }
    const { bytes, words } = image;
    for (const column of this.#key) {
      const before = findMember(bytes, words, event.before, column.nameBytes);
      const after = findMember(bytes, words, event.after, column.nameBytes);
      if (before === NONE || after === NONE || words[before] === token.null) {
        this.#checkKeyIsWatched(event);
        continue;
      }
      if (!areSame(bytes, words, before, after)) return true;
    }
    return false;
  }

  /** @throws ExtractError SOURCE_LOG_UNUSABLE where a change of the key would go unseen */
  #checkKeyIsWatched(event: ChangeEvent): void {
    const key = event.readKey();
    const unseen = this.#key.find(
      ({ nameBytes }) =>
        key === null ||
        findMember(key.bytes, key.words, key.at, nameBytes) === NONE,
    );
    if (unseen === undefined) return;
    throw new ExtractError(
      "SOURCE_LOG_UNUSABLE",
      `an update of ${this.#table} does not say what ${unseen.name} of its key was before: the table's replica identity has other columns`,
      { table: this.#table, column: unseen.name },
    );
  }

  #readKeyText(source: TapeSource, at: number): string {
    const set = this.#keySet;
    set.reset();
    for (const [i, column] of this.#key.entries()) {
      const value = findMember(
        source.bytes,
        source.words,
        at,
        column.nameBytes,
      );
      if (value === NONE || source.words[value] === token.null)
        throw invalidEvent(`an old key without ${column.name}`);
      this.#values.write(column, storeOf(set, i), 0, source, value);
    }
    return formatKey(this.#key, set.columns, 0);
  }

  /** `_unchanged`: names of columns whose value the log did not hold. */
  #listUnchanged(allButKey: boolean): Uint8Array {
    if (allButKey) return this.#allButKey;
    if (this.#unchanged.length === 0) return nothing;
    return this.#writeNames(
      this.#columns.filter(({ index }) => this.#unchanged.includes(index)),
    );
  }

  #writeNames(columns: readonly ChangeColumn[]): Uint8Array {
    return Buffer.from(
      `[${columns.map(({ jsonName }) => Buffer.from(jsonName).toString("utf8")).join(",")}]`,
    );
  }

  /** Writes the columns that say what happened, and makes the row one of the set. */
  #endRow(
    event: ChangeEvent,
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
      writeOptional(storeOf(set, first + 6), row, place.transactionId);
    }
    set.rowCount = row + 1;
  }

  /** Takes away the rows from `first` on, one event's, and what there is of the next. */
  #removeRows(set: BatchSet, first: number): void {
    for (const [index, store] of set.columns.entries()) {
      const { validity, offsets, fixed } = store;
      if (offsets !== null) store.end = offsets[first] ?? 0;
      const isBitmap = this.fields[index]?.logical === "boolean";
      for (let row = first; row < first + EVENT_ROWS_MAX; row++) {
        const bit = 1 << (row & 7);
        const at = row >> 3;
        if (validity !== null && ((validity[at] ?? bit) & bit) === 0) {
          validity[at] = (validity[at] ?? 0) | bit;
          store.nullCount--;
        }
        if (isBitmap) fixed[at] = (fixed[at] ?? 0) & ~bit;
      }
    }
    set.rowCount = first;
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

  #locate(error: ExtractError, event: ChangeEvent, place: Place): ExtractError {
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

/** Thrown where a row has other columns than the stream. */
class ShapeChange extends Error {
  readonly change: SchemaChange;
  constructor(column: string, change: "added" | "missing", detail: string) {
    super(detail);
    this.change = { kind: "schemaChanged", column, change, detail };
  }
}

function storeOf(set: BatchSet, index: number): ColumnStore {
  const store = set.columns[index];
  assert(store !== undefined);
  return store;
}

function isNamed(
  { nameBytes }: ChangeColumn,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): boolean {
  const start = words[at + 1] ?? 0;
  const { length } = nameBytes;
  if ((words[at + 2] ?? 0) - start !== length || words[at] !== token.text)
    return false;
  for (let i = 0; i < length; i++)
    if (bytes[start + i] !== nameBytes[i]) return false;
  return true;
}

function areSame(
  bytes: Uint8Array,
  words: Int32Array,
  a: number,
  b: number,
): boolean {
  const first = words[a + 1] ?? 0;
  const second = words[b + 1] ?? 0;
  const length = (words[a + 2] ?? 0) - first;
  if (words[a] !== words[b] || (words[b + 2] ?? 0) - second !== length)
    return false;
  for (let i = 0; i < length; i++)
    if (bytes[first + i] !== bytes[second + i]) return false;
  return true;
}

function hasRoom(set: BatchSet, byteCount: number): boolean {
  if (set.isFull || set.rowCount > set.capacity - EVENT_ROWS_MAX) return false;
  return (
    set.bytesBound + byteCount <= BATCH_BYTES_MAX ||
    set.measure() + byteCount <= BATCH_BYTES_MAX
  );
}

function writeBytes(store: ColumnStore, row: number, bytes: Uint8Array): void {
  const values = growValues(store, bytes.length);
  let at = store.end;
  for (let i = 0; i < bytes.length; i++) values[at++] = bytes[i] ?? 0;
  store.end = at;
  endValue(store, row);
}

function writeOptional(
  store: ColumnStore,
  row: number,
  value: string | null,
): void {
  if (value !== null) writeBytes(store, row, Buffer.from(value));
  else {
    const { validity } = store;
    assert(validity !== null);
    validity[row >> 3] = (validity[row >> 3] ?? 0) & ~(1 << (row & 7));
    store.nullCount++;
    endValue(store, row);
  }
}
