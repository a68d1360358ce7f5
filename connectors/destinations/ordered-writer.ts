/** Sees to it that a partition of a change log is written in the log's order. */
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { ChangeOrder } from "./change-rows.ts";
import type { StreamWriter } from "./destination.ts";

export class OrderedWriter implements StreamWriter {
  readonly #writer: StreamWriter;
  readonly #order: ChangeOrder;

  constructor(schema: StreamSchema, writer: StreamWriter) {
    this.#writer = writer;
    this.#order = new ChangeOrder(schema);
  }

  write(batch: ColumnBatch): void | Promise<void> {
    this.#order.check(batch);
    return this.#writer.write(batch);
  }

  seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    return this.#writer.seal(stamp);
  }

  discard(): Promise<void> {
    this.#order.reset();
    return this.#writer.discard();
  }

  abandon(): void {
    this.#writer.abandon();
  }
}
