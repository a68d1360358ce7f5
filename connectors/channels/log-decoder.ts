/**
 * The changes of one table as rows of its stream, whatever the table looked like when they were made: the stream has
 * the columns that the table has now, and the log tells of older shapes as well.
 */
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import {
  isVariableWidth,
  fixedWidthBytes,
  type LogicalKind,
  type StreamSchema,
} from "../../proto/schema.ts";
import type { BatchSet } from "../sources/batches/batch-set.ts";
import { BatchSupply } from "../sources/batches/supply.ts";
import type { ChangeSettings } from "../sources/debezium/events/columns.ts";
import {
  openChangeDecoder,
  type ChangeDecoder,
  type RowEvent,
} from "../sources/debezium/events/decoder.ts";
import type { SchemaChange } from "../sources/debezium/events/images.ts";
import type { Place } from "../sources/debezium/events/positions.ts";

/** How often one event may change what the table is thought to look like. */
const SHAPES_MAX = 2_000;

export interface LogBatch {
  readonly batch: ColumnBatch;
  /** Its buffers are free. */
  giveBack(): void;
}

/**
 * - `appended`
 * - `full`: hand on what `take` gives, and try again
 * - `busy`: all batches are on their way; try again once one of them is given back
 * - `newShape`: the table has got a column since the stream was discovered, and nothing was appended
 */
export type LogAppend = "appended" | "full" | "busy" | "newShape";

export class LogDecoder {
  readonly #table: StreamSchema;
  readonly #settings: ChangeSettings;
  /** Columns of the stream that the table did not have when the changes that are read now were made. */
  readonly #missing = new Set<string>();
  /** Columns that the table has had and has no more. */
  readonly #gone = new Set<string>();
  #decoder: ChangeDecoder;
  #supply: BatchSupply;

  /** @throws ExtractError SOURCE_TYPE_NOT_IN_LOG, SOURCE_LOG_UNUSABLE */
  constructor(table: StreamSchema, settings: ChangeSettings) {
    this.#table = table;
    this.#settings = settings;
    this.#decoder = openChangeDecoder(table, settings);
    this.#supply = new BatchSupply(this.#decoder.fields, 0);
  }

  /**
   * @param isOlder the change was made before the stream was discovered
   * @throws ExtractError SOURCE_SCHEMA_CHANGED, and what the decoder throws
   */
  append(event: RowEvent, place: Place, isOlder: boolean): LogAppend {
    for (let shapes = 0; shapes < SHAPES_MAX; shapes++) {
      const set = this.#supply.open();
      if (set === null) return "busy";
      if (set.isFull) return "full";
      const result = this.#decoder.append(event, place, set);
      if (typeof result === "string") return result;
      if (!this.#understand(result, isOlder)) return "newShape";
      // rows of the shape before leave first
      if (this.#supply.filled) {
        this.#isShapeOld = true;
        return "full";
      }
      this.#reopen();
    }
    throw this.#refuse("its changes have columns of no known shape");
  }

  #isShapeOld = false;

  /** Null: there are no rows. */
  take(): LogBatch | null {
    const supply = this.#supply;
    const set = supply.take();
    if (set === null) return null;
    const batch = this.#widen(set);
    if (this.#isShapeOld) this.#reopen();
    return { batch, giveBack: () => supply.giveBack(set) };
  }

  /** @returns whether the change can be read by another shape */
  #understand(change: SchemaChange, isOlder: boolean): boolean {
    const { column } = change;
    if (change.change === "missing") {
      if (this.#gone.size > 0)
        // it may be the same column under its earlier name, whose values would be lost
        throw this.#refuse(
          `${[...this.#gone].join(", ")} is gone from it and ${column} is new: which one became which the log does not tell`,
        );
      this.#missing.add(column);
      return true;
    }
    if (change.change === "added" && this.#missing.delete(column)) return true;
    if (!isOlder) return false;
    if (change.change === "added") {
      if (this.#missing.size > 0)
        throw this.#refuse(
          `${column} is gone from it and ${[...this.#missing].join(", ")} is new: which one became which the log does not tell`,
        );
      this.#gone.add(column);
      return true;
    }
    throw this.#refuse(change.detail);
  }

  #reopen(): void {
    this.#isShapeOld = false;
    const { leftOut = new Set() } = this.#settings;
    this.#decoder = openChangeDecoder(
      {
        ...this.#table,
        columns: this.#table.columns.filter(
          ({ name }) => !this.#missing.has(name),
        ),
      },
      {
        ...this.#settings,
        leftOut: new Set([...leftOut, ...this.#gone]),
      },
    );
    this.#supply = new BatchSupply(this.#decoder.fields, 0);
  }

  /** With the columns that the table did not have yet. */
  #widen(set: BatchSet): ColumnBatch {
    const narrow = set.toBatch(this.#decoder.fields.length);
    if (this.#decoder.fields.length === this.#width()) return narrow;
    const missing = new Set(this.#missingOf(this.#decoder));
    let next = 0;
    const columns = this.#table.columns.map(({ name, type }) =>
      missing.has(name)
        ? nullColumn(type.kind, narrow.rowCount)
        : narrow.columns[next++],
    );
    columns.push(...narrow.columns.slice(next));
    return {
      rowCount: narrow.rowCount,
      columns: columns.filter((column) => column !== undefined),
    };
  }

  #missingOf({ schema }: ChangeDecoder): string[] {
    const has = new Set(schema.columns.map(({ name }) => name));
    return this.#table.columns
      .map(({ name }) => name)
      .filter((name) => !has.has(name));
  }

  #width(): number {
    const own = this.#decoder.schema.columns.length;
    return own + this.#missingOf(this.#decoder).length;
  }

  #refuse(reason: string): ExtractError {
    const table = `${this.#table.namespace}.${this.#table.name}`;
    return new ExtractError(
      "SOURCE_SCHEMA_CHANGED",
      `${table} has changed in a way that its log cannot be followed over: ${reason}`,
      { table },
    );
  }
}

function nullColumn(kind: LogicalKind, rowCount: number): ColumnVector {
  const isVariable = isVariableWidth(kind);
  const bytes =
    kind === "boolean"
      ? Math.ceil(rowCount / 8)
      : rowCount * fixedWidthBytes[kind];
  return {
    nullCount: rowCount,
    validity: new Uint8Array(Math.ceil(rowCount / 8)),
    offsets: isVariable ? new Int32Array(rowCount + 1) : null,
    data: new Uint8Array(isVariable ? 0 : bytes),
  };
}
