/**
 * The rows of a stream that follows its table's log: the table's columns, and behind them what happened, where in the
 * log, and when. What destinations read of them.
 */
import {
  changeColumns,
  OPERATION_COLUMN,
  POSITION_COLUMN,
  TRANSACTION_COLUMN,
} from "../../proto/change-columns.ts";
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import { isLogPosition, SNAPSHOT_ENDING } from "../../proto/log-position.ts";
import type { StreamSchema } from "../../proto/schema.ts";

/** Columns that every such stream has, in this order, behind its table's. */
export const changeColumnNames: readonly string[] = changeColumns.map(
  ({ name }) => name,
);

const reserved: ReadonlySet<string> = new Set([
  ...changeColumnNames,
  TRANSACTION_COLUMN,
]);

/** The columns of the table itself, by their places in the stream. */
export function listTableColumns(schema: StreamSchema): number[] {
  return schema.columns.flatMap(({ name }, i) =>
    reserved.has(name) ? [] : [i],
  );
}

/** Whether the stream carries changes: the table's columns, then exactly ours. */
export function isChangeStream({ columns }: StreamSchema): boolean {
  const names = columns.map(({ name }) => name);
  if (names.at(-1) === TRANSACTION_COLUMN) names.pop();
  const ours = names.slice(-changeColumnNames.length);
  return (
    ours.join() === changeColumnNames.join() &&
    !names
      .slice(0, -changeColumnNames.length)
      .some((name) => reserved.has(name))
  );
}

/** @throws ExtractError USAGE for one that carries none */
export function checkChangeStream(schema: StreamSchema): void {
  if (isChangeStream(schema)) return;
  const stream = `${schema.namespace}.${schema.name}`;
  throw new ExtractError(
    "USAGE",
    `${stream} carries no changes: its columns do not end in ${changeColumnNames.join(", ")}`,
    { stream },
  );
}

/** @throws ExtractError USAGE for a text that no change row has */
export function checkPosition(position: string): string {
  if (isLogPosition(position)) return position;
  throw new ExtractError("USAGE", `${position} is no place in a log`, {
    position,
  });
}

export type ChangePart = "snapshot" | "log";

/**
 * Watches over one partition: its rows are all of the snapshot or all of the log, and those of the log are in its order.
 * It looks at the first and the last row of each batch.
 */
export class ChangeOrder {
  readonly #stream: string;
  readonly #operation: number;
  readonly #position: number;
  #part: ChangePart | null = null;
  #last = "";

  /** @throws ExtractError USAGE where the stream has no changes */
  constructor(schema: StreamSchema) {
    this.#stream = `${schema.namespace}.${schema.name}`;
    checkChangeStream(schema);
    const places = schema.columns.map(({ name }) => name);
    this.#operation = places.indexOf(OPERATION_COLUMN);
    this.#position = places.indexOf(POSITION_COLUMN);
  }

  /** Null before the first row. */
  get part(): ChangePart | null {
    return this.#part;
  }

  /** @throws ExtractError CHANNEL_CORRUPT */
  check(batch: ColumnBatch): void {
    if (batch.rowCount === 0) return;
    const first = this.#read(batch, 0);
    const last = this.#read(batch, batch.rowCount - 1);
    this.#part ??= first.part;
    if (first.part !== this.#part || last.part !== this.#part)
      throw this.#refuse(
        "has rows of a snapshot and of a log in one partition",
      );
    if (this.#part === "snapshot") return;
    if (first.position < this.#last || last.position < first.position)
      throw this.#refuse(
        `goes back from ${this.#last < first.position ? first.position : this.#last} to ${last.position < first.position ? last.position : first.position}`,
      );
    this.#last = last.position;
  }

  /** The partition is read again. */
  reset(): void {
    this.#last = "";
  }

  #read(
    { columns }: ColumnBatch,
    row: number,
  ): { readonly part: ChangePart; readonly position: string } {
    const operation = readText(columns[this.#operation], row);
    const position = readText(columns[this.#position], row);
    if (!isLogPosition(position))
      throw this.#refuse(
        `has a row at ${position}, which is no place in a log`,
      );
    const isSnapshot = operation === "r" && position.endsWith(SNAPSHOT_ENDING);
    return { part: isSnapshot ? "snapshot" : "log", position };
  }

  #refuse(why: string): ExtractError {
    return new ExtractError("CHANNEL_CORRUPT", `${this.#stream} ${why}`, {
      stream: this.#stream,
    });
  }
}

/** Bytes of a position or operation that are looked at: longer ones are none. */
const TEXT_BYTES_MAX = 64;

function readText(column: ColumnVector | undefined, row: number): string {
  const from = column?.offsets?.[row] ?? 0;
  const to = column?.offsets?.[row + 1] ?? 0;
  if (!column || to - from > TEXT_BYTES_MAX) return "";
  return Buffer.from(
    column.data.buffer,
    column.data.byteOffset + from,
    to - from,
  ).toString("latin1");
}
