/**
 * A row's image of an event into the table's columns: where the value of each stands, whether all are there, and what the
 * image says of the key.
 */
import { strict as assert } from "node:assert";
import { ExtractError } from "../../../../proto/error.ts";
import { BatchSet, writeNull } from "../../batches/batch-set.ts";
import { isSet } from "../../batches/read-value.ts";
import type { ChangeColumn } from "./columns.ts";
import type { ChangeEvent } from "./event.ts";
import { invalidEvent, showText } from "./faults.ts";
import { formatKey } from "./key-text.ts";
import { findMember, NONE } from "../../../json/members.ts";
import { storeOf } from "./rows.ts";
import { readText } from "../../../json/strings.ts";
import { token, TOKEN_WORDS, type TapeSource } from "../../../json/tape.ts";
import type { ValueWriter } from "./values.ts";

/** The table is no longer what it was when the decoder was opened. */
export interface SchemaChange {
  readonly kind: "schemaChanged";
  readonly column: string;
  /** A column that the stream has not, one that the event has not, or a value of another type. */
  readonly change: "added" | "missing" | "type";
  readonly detail: string;
}

/** Thrown where a row has other columns than the stream. */
export class ShapeChange extends Error {
  readonly change: SchemaChange;
  constructor(column: string, change: "added" | "missing", detail: string) {
    super(detail);
    this.change = { kind: "schemaChanged", column, change, detail };
  }
}

/** Which columns of an image count. */
type ImagePart = "row" | "key";

export interface ImageWriterOptions {
  readonly table: string;
  readonly columns: readonly ChangeColumn[];
  /** In key order. */
  readonly key: readonly ChangeColumn[];
  /** Columns that an image may have besides. */
  readonly leftOut: ReadonlySet<string>;
  readonly values: ValueWriter;
}

export class ImageWriter {
  /** Columns of the last image whose value the log did not hold. */
  readonly unchanged: number[] = [];
  readonly #table: string;
  readonly #columns: readonly ChangeColumn[];
  readonly #key: readonly ChangeColumn[];
  readonly #leftOut: ReadonlySet<string>;
  readonly #byName: ReadonlyMap<string, ChangeColumn>;
  readonly #values: ValueWriter;
  /** Where the last value of each column stood, and in which reading. */
  readonly #tokens: Int32Array;
  readonly #seen: Int32Array;
  #reading = 0;
  /** One row with the key's columns, for the text of an old key. */
  readonly #keySet: BatchSet;

  constructor({ table, columns, key, leftOut, values }: ImageWriterOptions) {
    this.#table = table;
    this.#columns = columns;
    this.#key = key;
    this.#leftOut = leftOut;
    this.#values = values;
    this.#byName = new Map(columns.map((column) => [column.name, column]));
    this.#tokens = new Int32Array(columns.length);
    this.#seen = new Int32Array(columns.length);
    this.#keySet = new BatchSet(
      key.map(({ logical }) => ({ logical, nullable: true })),
      1,
    );
  }

  /** Writes the table's columns of the row behind the set's last; of `key`, the others as NULL. */
  write(
    source: TapeSource,
    image: number,
    set: BatchSet,
    part: ImagePart,
  ): void {
    const found = this.#indexMembers(source, image, part === "key");
    const row = set.rowCount;
    this.unchanged.length = 0;
    if (part === "row" && found !== this.#columns.length)
      throw this.#missingColumn(source, image);
    for (const column of this.#columns) {
      const { index } = column;
      const store = storeOf(set, index);
      if (part === "key" && !column.isKey) {
        writeNull(store, column.logical, row);
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
        this.unchanged.push(index);
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
          if (onlyKey || this.#leftOut.has(name)) continue;
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
  hasKeyChanged(event: ChangeEvent, image: TapeSource): boolean {
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

  /** The text of the key of the image at `at`. */
  formatKey(source: TapeSource, at: number): string {
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
