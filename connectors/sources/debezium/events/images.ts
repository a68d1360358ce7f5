/** What a decoder asks of the images of an event's row, however the event is written; and what can be wrong with them. */
import { BatchSet } from "../../batches/batch-set.ts";
import { isSet } from "../../batches/read-value.ts";
import type { ColumnStore } from "../../batches/batch-set.ts";
import { ExtractError } from "../../../../proto/error.ts";
import type { ChangeColumn } from "./columns.ts";
import { invalidEvent, showText } from "./faults.ts";
import { formatKey } from "./key-text.ts";
import { storeOf } from "./rows.ts";
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
  constructor(column: string, change: "added" | "missing") {
    const detail =
      change === "added"
        ? `a column ${showText(column)} that the table did not have`
        : `no column ${column}, which the table had`;
    super(detail);
    this.change = { kind: "schemaChanged", column, change, detail };
  }
}

/** Which columns of an image count. */
export type ImagePart = "row" | "key";

export interface ImageOptions {
  readonly table: string;
  readonly columns: readonly ChangeColumn[];
  /** In key order. */
  readonly key: readonly ChangeColumn[];
  /** Columns that an image may have besides. */
  readonly leftOut: ReadonlySet<string>;
  readonly values: ValueWriter;
}

/** The images of events that are written in one of the two ways. A row is written behind the set's last. */
export interface RowImages<Event> {
  /** Columns of the last image whose value the log did not hold. */
  readonly unchanged: readonly number[];
  writeAfter(event: Event, set: BatchSet): void;
  /** Of `key` the other columns are NULL. */
  writeBefore(event: Event, set: BatchSet, part: ImagePart): void;
  /** The columns of the event's key; the others are NULL. */
  writeKey(event: Event, set: BatchSet): void;
  /**
   * Whether the image before has another key. Where it is not there, the connector tells of a changed key by a deletion
   * and an insertion, if it knows all of it.
   * @throws ExtractError SOURCE_LOG_UNUSABLE where a change of the key would go unseen
   */
  hasKeyChanged(event: Event): boolean;
  /** Of the image before. */
  formatKeyBefore(event: Event): string;
  /** Of the first half of a key's change, in its second half; null: it is none. */
  formatOldKey(event: Event): string | null;
}

/** @throws ExtractError SOURCE_EVENT_INVALID where the row has no value in its key */
export function checkKey(
  key: readonly ChangeColumn[],
  set: BatchSet,
  row: number,
): void {
  for (const { index, name } of key) {
    const { validity } = storeOf(set, index);
    if (validity !== null && !isSet(validity, row))
      throw invalidEvent(
        `a row without a value of ${name}, which is of its key`,
      );
  }
}

export function lacksKey(column: string): ExtractError {
  return invalidEvent(`a row without ${column} of its key`);
}

export function lacksOwnKey(): ExtractError {
  return invalidEvent("a deletion without the row's key");
}

export function isUnwatched(table: string, column: string): ExtractError {
  return new ExtractError(
    "SOURCE_LOG_UNUSABLE",
    `an update of ${table} does not say what ${column} of its key was before: the table's replica identity has other columns`,
    { table, column },
  );
}

/** One row with the key's columns, for the text of an old key. */
export class KeyRow {
  readonly #key: readonly ChangeColumn[];
  readonly #set: BatchSet;

  constructor(key: readonly ChangeColumn[]) {
    this.#key = key;
    this.#set = new BatchSet(
      key.map(({ logical }) => ({ logical, nullable: true })),
      1,
    );
  }

  /** @param write writes the column's value as row 0; false where there is none */
  format(write: (column: ChangeColumn, store: ColumnStore) => boolean): string {
    const set = this.#set;
    set.reset();
    for (const [i, column] of this.#key.entries()) {
      if (!write(column, storeOf(set, i)))
        throw invalidEvent(`an old key without ${column.name}`);
    }
    return formatKey(this.#key, set.columns, 0);
  }
}
