/**
 * Positions behind a row of a key range: the exact server text of its key, from the columns that were decoded.
 */
import type { KeyTuple } from "../../../proto/partition.ts";
import type { BatchSet, ColumnStore } from "../batches/batch-set.ts";
import {
  formatClock,
  formatMoment,
  formatValue,
  isSet,
  readBytes,
  readInteger,
} from "../batches/read-value.ts";
import type { SelectedField } from "./read-query.ts";
import type { MssqlReadTask } from "./stream.ts";
import { formatGuid } from "./value-text.ts";

/** A row's key; null where it holds NULL, which no position can name. */
export type KeyReader = (set: BatchSet, row: number) => KeyTuple | null;

export interface Positions {
  readonly readKey: KeyReader;
  /** A place may be named behind any row; else only where the next row's key is another one. */
  readonly unique: boolean;
}

/**
 * How positions are read for a task, or null where it has none inside: it is no key range, a type of its key has no
 * exact text (floats), or the key is not unique and two values that are not the same may be equal to the server.
 */
export function createPositions(
  task: Pick<MssqlReadTask, "stream" | "partition">,
  fields: readonly SelectedField[],
): Positions | null {
  const { split } = task.partition;
  const { rangeKey } = task.stream;
  if (split.kind !== "key" || rangeKey === null) return null;
  const readers: ((set: BatchSet, row: number) => string | null)[] = [];
  for (const [i, name] of split.columns.entries()) {
    const key = rangeKey.columns.find((column) => column.name === name);
    const type = split.types[i] ?? "";
    if (key?.exact !== true) return null;
    if (!rangeKey.unique && hasEqualTwins(type)) return null;
    const index = fields.findIndex((field) => field.name === name);
    const field = fields[index];
    if (field === undefined) return null;
    readers.push((set, row) => {
      const store = set.columns[index];
      return store === undefined ? null : readText(field, type, store, row);
    });
  }
  return {
    unique: rangeKey.unique,
    readKey(set, row) {
      const key: string[] = [];
      for (const read of readers) {
        const text = read(set, row);
        if (text === null) return null;
        key.push(text);
      }
      return key;
    },
  };
}

/**
 * Whether different values of a type may be equal: letters under a collation, spaces at the end of text, zeros at the
 * end of bytes.
 */
function hasEqualTwins(type: string): boolean {
  return /^(n?(var)?char|(var)?binary)\b/i.test(type) && type !== "binary(8)";
}

/** One value as `keyToText` prints it, or as `textToKey` takes it just as well; null for NULL. */
function readText(
  field: SelectedField,
  type: string,
  store: ColumnStore,
  row: number,
): string | null {
  const bitmap = store.validity;
  if (bitmap !== null && !isSet(bitmap, row)) return null;
  const { words } = store;
  const zone = type.startsWith("datetimeoffset") ? " +00:00" : "";
  switch (field.logical) {
    case "boolean":
      return isSet(store.fixed, row) ? "1" : "0";
    case "time":
      return formatClock(readInteger(words, row, 2), 6);
    case "timeNs":
      return formatClock(readInteger(words, row, 2) / 100n, 7);
    case "timestamp":
    case "timestamptz": {
      const us = readInteger(words, row, 2);
      // datetime takes three digits behind the second and no more
      return type === "datetime" || type === "smalldatetime"
        ? formatMoment(us / 1000n, 3)
        : `${formatMoment(us, 6)}${zone}`;
    }
    case "timestampNs":
      return `${formatMoment(readInteger(words, row, 2) / 100n, 7)}${zone}`;
    case "uuid":
      return formatGuid(store.fixed.subarray(16 * row, 16 * row + 16));
    case "binary":
      return `0x${readBytes(store, row).toString("hex").toUpperCase()}`;
    case "float32":
    case "float64":
      return null;
    default:
      return formatValue(field.logical, field.scale, store, row);
  }
}
