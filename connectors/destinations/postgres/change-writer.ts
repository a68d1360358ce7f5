/** Writes one partition of a stream that follows its table's log: its first row says where its rows are staged. */
import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { ChangeOrder, type ChangePart } from "../change-rows.ts";
import type { StreamWriter } from "../destination.ts";
import type { ChangeTables } from "./change-tables.ts";

export class ChangeWriter implements StreamWriter {
  readonly #tables: ChangeTables;
  readonly #open: (part: ChangePart) => StreamWriter;
  readonly #order: ChangeOrder;
  #writer: StreamWriter | null = null;

  /** @param open makes the writer of a staging table */
  constructor(tables: ChangeTables, open: (part: ChangePart) => StreamWriter) {
    this.#tables = tables;
    this.#open = open;
    this.#order = new ChangeOrder(tables.log.schema);
  }

  write(batch: ColumnBatch): void | Promise<void> {
    if (batch.rowCount === 0) return;
    this.#order.check(batch);
    const { part } = this.#order;
    const writer = (this.#writer ??= this.#open(part ?? "log"));
    if (part !== "snapshot") return writer.write(batch);
    const columns = this.#tables.copied.flatMap((i) => batch.columns[i] ?? []);
    return writer.write({ rowCount: batch.rowCount, columns });
  }

  async seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    // without a row nothing is written, wherever it would be
    this.#writer ??= this.#open("log");
    const writer = this.#writer;
    if (this.#order.part === null) this.#writer = null;
    return writer.seal(stamp);
  }

  async discard(): Promise<void> {
    this.#order.reset();
    await this.#writer?.discard();
  }

  abandon(): void {
    this.#writer?.abandon();
  }
}
