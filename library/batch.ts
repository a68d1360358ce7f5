/** A batch as the library gives it: columns, and rows for whoever wants them. */
import { strict as assert } from "node:assert";
import type { ColumnBatch, ColumnVector } from "../proto/columns.ts";
import { ExtractError } from "../proto/error.ts";
import type { Table, TableBatch, Value } from "./types.ts";
import { readColumn, type ReadValue } from "./values.ts";

export class RowBatch<Row> implements TableBatch<Row> {
  readonly table: Table;
  readonly rowCount: number;
  readonly #vectors: readonly ColumnVector[];
  readonly #json: "text" | "parse";
  #readers: readonly ReadValue[] | null = null;
  #isFree = false;

  constructor(table: Table, batch: ColumnBatch, json: "text" | "parse") {
    this.table = table;
    this.rowCount = batch.rowCount;
    this.#vectors = batch.columns;
    this.#json = json;
    assert.equal(batch.columns.length, table.columns.length);
  }

  get columns(): readonly ColumnVector[] {
    this.#assertHeld();
    return this.#vectors;
  }

  value(row: number, column: string): Value {
    const index = this.table.columns.findIndex(({ name }) => name === column);
    const read = this.#read()[index];
    if (read === undefined)
      throw new ExtractError(
        "USAGE",
        `${this.table.name} has no column ${column}`,
        { column },
      );
    if (!Number.isInteger(row) || row < 0 || row >= this.rowCount)
      throw new ExtractError(
        "USAGE",
        `the batch has rows 0 to ${this.rowCount - 1}`,
        { row },
      );
    return read(row);
  }

  *rows(): IterableIterator<Row> {
    const names = this.table.columns.map(({ name }) => name);
    for (let row = 0; row < this.rowCount; row += 1) {
      const readers = this.#read();
      const made: Record<string, Value> = {};
      for (const [at, name] of names.entries()) {
        const value = readers[at]?.(row) ?? null;
        if (name === "__proto__") setOwn(made, name, value);
        else made[name] = value;
      }
      yield made as Row;
    }
  }

  copy(): TableBatch<Row> {
    this.#assertHeld();
    const columns = this.#vectors.map(
      ({ nullCount, validity, offsets, data }): ColumnVector => ({
        nullCount,
        validity: validity?.slice() ?? null,
        offsets: offsets?.slice() ?? null,
        data: data.slice(),
      }),
    );
    return new RowBatch<Row>(
      this.table,
      { rowCount: this.rowCount, columns },
      this.#json,
    );
  }

  /** Its buffers are the reader's again. */
  free(): void {
    this.#isFree = true;
    this.#readers = null;
  }

  #read(): readonly ReadValue[] {
    this.#assertHeld();
    this.#readers ??= this.#vectors.map((vector, at) => {
      const { kind, precision, scale } = this.table.columns[at]!;
      const type = {
        kind,
        ...(precision === null ? {} : { precision }),
        ...(scale === null ? {} : { scale }),
      };
      return readColumn(type, vector, this.#json);
    });
    return this.#readers;
  }

  #assertHeld(): void {
    if (!this.#isFree) return;
    throw new ExtractError(
      "USAGE",
      "a batch lives until the next one is asked for: keep a copy() of it",
    );
  }
}

/** The prototype is not meant. */
function setOwn(row: object, name: string, value: Value): void {
  Object.defineProperty(row, name, {
    ...{ value, enumerable: true, writable: true, configurable: true },
  });
}
