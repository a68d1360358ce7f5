/**
 * A row's image of an event into the table's columns: where the value of each stands, whether all are there, and what the
 * image says of the key.
 */
import { strict as assert } from "node:assert";
import { writeNull, type BatchSet } from "../../batches/batch-set.ts";
import type { ChangeColumn } from "./columns.ts";
import type { ChangeEvent } from "./event.ts";
import { invalidEvent } from "./faults.ts";
import {
  checkKey,
  isUnwatched,
  KeyRow,
  lacksKey,
  lacksOwnKey,
  ShapeChange,
  type ImageOptions,
  type ImagePart,
  type RowImages,
} from "./images.ts";
import { findMember, NONE, type Located } from "../../../json/members.ts";
import { storeOf } from "./rows.ts";
import { readText } from "../../../json/strings.ts";
import { token, TOKEN_WORDS, type TapeSource } from "../../../json/tape.ts";
import type { ValueWriter } from "./values.ts";

export class ImageWriter implements RowImages<ChangeEvent> {
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
  readonly #keyRow: KeyRow;

  constructor({ table, columns, key, leftOut, values }: ImageOptions) {
    this.#table = table;
    this.#columns = columns;
    this.#key = key;
    this.#leftOut = leftOut;
    this.#values = values;
    this.#byName = new Map(columns.map((column) => [column.name, column]));
    this.#tokens = new Int32Array(columns.length);
    this.#seen = new Int32Array(columns.length);
    this.#keyRow = new KeyRow(key);
  }

  writeAfter(event: ChangeEvent, set: BatchSet): void {
    this.#write(event, event.after, set, "row");
  }

  writeBefore(event: ChangeEvent, set: BatchSet, part: ImagePart): void {
    this.#write(event, event.before, set, part);
  }

  writeKey(event: ChangeEvent, set: BatchSet): void {
    const key = event.readKey();
    if (key === null) throw lacksOwnKey();
    this.#write(key, key.at, set, "key");
  }

  /** Writes the table's columns of the row behind the set's last; of `key`, the others as NULL. */
  #write(
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
        throw lacksKey(column.name);
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
    checkKey(this.#key, set, row);
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
          throw new ShapeChange(name, "added");
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
    return new ShapeChange(missing?.name ?? "", "missing");
  }

  hasKeyChanged(event: ChangeEvent): boolean {
    if (event.before === NONE) {
      this.#checkKeyIsWatched(event);
      return false;
    }
    const { bytes, words } = event;
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
    if (unseen !== undefined) throw isUnwatched(this.#table, unseen.name);
  }

  formatKeyBefore(event: ChangeEvent): string {
    return this.#formatKey({
      bytes: event.bytes,
      words: event.words,
      at: event.before,
    });
  }

  formatOldKey(event: ChangeEvent): string | null {
    const old = event.readOldKey();
    return old === null ? null : this.#formatKey(old);
  }

  #formatKey({ bytes, words, at }: Located): string {
    return this.#keyRow.format((column, store) => {
      const value = findMember(bytes, words, at, column.nameBytes);
      if (value === NONE || words[value] === token.null) return false;
      this.#values.write(column, store, 0, { bytes, words }, value);
      return true;
    });
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
