/** What writing a value needs besides the value, and what is said of one that its column cannot hold. */
import { writeNull, type ColumnStore } from "../../batches/batch-set.ts";
import type { ChangeColumn } from "./columns.ts";
import { showText, TypeMisfit } from "./faults.ts";
import { Integer64 } from "../../../json/numbers.ts";
import { readText } from "../../../json/strings.ts";
import { ClockReading } from "../../../json/times.ts";

/** Under the policy `null` it returns, and NULL is written. */
export type Refuse = (
  column: ChangeColumn,
  value: string,
  reason: string,
) => void;

/** One for all values of a decoder; each value overwrites what the one before has left. */
export class ValueContext {
  /** Of MySQL and MariaDB, whose first timestamp is the one that says there is none. */
  readonly isBinlog: boolean;
  readonly integer = new Integer64();
  readonly clock = new ClockReading();
  readonly double = new Float64Array(1);
  readonly doubleWords = new Int32Array(this.double.buffer);
  readonly float = new Float32Array(1);
  readonly floatWords = new Int32Array(this.float.buffer);
  readonly #refuse: Refuse;

  constructor(refuse: Refuse, isBinlog: boolean) {
    this.#refuse = refuse;
    this.isBinlog = isBinlog;
  }

  writeInteger({ words }: ColumnStore, row: number): true {
    words[2 * row] = this.integer.low;
    words[2 * row + 1] = this.integer.high;
    return true;
  }

  refuseValue(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    value: string,
    reason: string,
  ): true {
    this.#refuse(column, value, reason);
    writeNull(store, column.logical, row);
    return true;
  }
}

/**
 * Writes the value whose token is at `at` as row `row`, or NULL where it was refused.
 * @throws TypeMisfit, and what refusing it throws
 */
export type WriteValue = (
  context: ValueContext,
  column: ChangeColumn,
  store: ColumnStore,
  row: number,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
) => true;

export function readToken(
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): string {
  return readText(
    bytes,
    words[at] ?? 0,
    words[at + 1] ?? 0,
    words[at + 2] ?? 0,
  );
}

export function misfit(
  column: ChangeColumn,
  bytes: Uint8Array,
  words: Int32Array,
  at: number,
): TypeMisfit {
  const start = words[at + 1] ?? 0;
  // a long value is not made a string for a message
  const end = Math.min(words[at + 2] ?? 0, start + 400);
  const shown = showText(
    Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(
      "utf8",
    ),
  );
  return new TypeMisfit(
    column.name,
    `${shown} is no value of its type, ${column.logical}`,
  );
}
