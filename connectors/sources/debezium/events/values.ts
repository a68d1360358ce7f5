/**
 * One value of an event into one place of a column buffer. A value that its logical type cannot hold is refused, which
 * throws under the policy `error`, and NULL is written; one that is of another type than the column's is a misfit.
 */
import {
  endValue,
  writeNull,
  type ColumnStore,
} from "../../batches/batch-set.ts";
import type { ChangeColumn } from "./columns.ts";
import { readSmallInteger } from "../../../json/numbers.ts";
import {
  copyString,
  writeBase64,
  writeUuid,
} from "../../batches/json-values.ts";
import { areBytes } from "../../../json/strings.ts";
import { token, type TapeSource } from "../../../json/tape.ts";
import { misfit, ValueContext, type Refuse } from "./value-context.ts";
import {
  writeBits,
  writeBoolean,
  writeDecimalBytes,
  writeDecimalValue,
  writeFloat,
  writeUnsigned,
} from "./value-numbers.ts";
import { writeDuration, writeFromText, writeGeometry } from "./value-texts.ts";
import {
  writeDate,
  writeInstant,
  writeTime,
  writeTimestamp,
} from "./value-times.ts";

/** Debezium counts MySQL's years from 1900, the year 0 too; there are 0 and 1901 to 2155. */
const MYSQL_YEAR_0 = 1_900;

export class ValueWriter {
  readonly #context: ValueContext;

  /** @param isBinlog of MySQL and MariaDB */
  constructor(refuse: Refuse, isBinlog: boolean) {
    this.#context = new ValueContext(refuse, isBinlog);
  }

  get isBinlog(): boolean {
    return this.#context.isBinlog;
  }

  /**
   * Writes the value whose token is at `at` as row `row`.
   * @returns false where the log does not hold the value, and NULL stands for it
   * @throws TypeMisfit, ExtractError SOURCE_VALUE_UNREPRESENTABLE
   */
  write(
    column: ChangeColumn,
    store: ColumnStore,
    row: number,
    { bytes, words }: TapeSource,
    at: number,
  ): boolean {
    const context = this.#context;
    const kind = words[at] ?? 0;
    const start = words[at + 1] ?? 0;
    const end = words[at + 2] ?? 0;
    if (kind === token.null) {
      writeNull(store, column.logical, row);
      return true;
    }
    const { placeholder } = column;
    if (
      placeholder !== null &&
      kind === token.text &&
      end - start === placeholder.length &&
      areBytes(bytes, start, end, placeholder)
    ) {
      writeNull(store, column.logical, row);
      return false;
    }
    switch (column.kind) {
      case "text":
        if (kind !== token.text && kind !== token.escapedText)
          throw misfit(column, bytes, words, at);
        copyString(store, bytes, kind, start, end);
        endValue(store, row);
        return true;
      case "mysqlYear":
      case "int32":
      case "int16": {
        const value =
          kind === token.integer ? readSmallInteger(bytes, start, end) : NaN;
        const isShort = column.kind !== "int32";
        if ((isShort ? (value << 16) >> 16 : value | 0) !== value)
          throw misfit(column, bytes, words, at);
        if (isShort)
          store.halves[row] =
            column.kind === "mysqlYear" && value === MYSQL_YEAR_0 ? 0 : value;
        else store.words[row] = value;
        return true;
      }
      case "int64":
        if (
          kind !== token.integer ||
          !context.integer.read(bytes, start, end, false)
        )
          throw misfit(column, bytes, words, at);
        return context.writeInteger(store, row);
      case "boolean":
        return writeBoolean(context, column, store, row, bytes, words, at);
      case "float64":
      case "float32":
        return writeFloat(context, column, store, row, bytes, words, at);
      case "decimal64":
      case "decimal128":
      case "decimalText":
        return writeDecimalValue(context, column, store, row, bytes, words, at);
      case "decimalBytes":
        return writeDecimalBytes(column, store, row, bytes, words, at);
      case "date":
        return writeDate(context, column, store, row, bytes, words, at);
      case "timestamp":
        return writeTimestamp(context, column, store, row, bytes, words, at);
      case "timestamptz":
        return writeInstant(context, column, store, row, bytes, words, at);
      case "time":
        return writeTime(context, column, store, row, bytes, words, at);
      case "uint64":
        return writeUnsigned(context, column, store, row, bytes, words, at);
      case "bits":
        return writeBits(context, column, store, row, bytes, words, at);
      case "uuid":
        if (kind !== token.text || !writeUuid(store, row, bytes, start, end))
          throw misfit(column, bytes, words, at);
        return true;
      case "binary":
        if (kind !== token.text || !writeBase64(store, bytes, start, end))
          throw misfit(column, bytes, words, at);
        endValue(store, row);
        return true;
      case "geometry":
        writeGeometry(column, store, bytes, words, at);
        endValue(store, row);
        return true;
      case "duration":
        writeDuration(column, store, bytes, words, at);
        endValue(store, row);
        return true;
      default:
        writeFromText(column, store, bytes, words, at);
        endValue(store, row);
        return true;
    }
  }
}
