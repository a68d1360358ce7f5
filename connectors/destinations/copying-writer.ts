/**
 * Copies the files that go with rows, in front of them: once a batch is written its files are durable, and so they are
 * before any checkpoint counts that covers them. After a kill they come again, to the same names.
 */
import { rm } from "node:fs/promises";
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import {
  listFileReferences,
  type FileReference,
} from "../airbyte/file-reference.ts";
import type { StreamWriter } from "./destination.ts";

/** Where files are copied to. */
export interface FileStore {
  /** Resolves when all are durable under their names, in the place of what had them. Each path is there once. */
  copy(files: readonly FileReference[]): Promise<void>;
}

export class CopyingWriter implements StreamWriter {
  readonly #writer: StreamWriter;
  readonly #store: FileStore;
  readonly #column: number;
  readonly #stream: string;

  /** @param column of the references */
  constructor(
    schema: StreamSchema,
    column: number,
    writer: StreamWriter,
    store: FileStore,
  ) {
    this.#writer = writer;
    this.#store = store;
    this.#column = column;
    this.#stream = schema.name;
  }

  async write(batch: ColumnBatch): Promise<void> {
    const files = listFileReferences(batch, this.#column, this.#stream);
    // of a file that comes twice the later one stays
    const byPath = new Map(files.map((file) => [file.relativePath, file]));
    await this.#store.copy([...byPath.values()]);
    // whoever has staged them has no other sign that they are taken over
    for (const { stagedPath } of files)
      await rm(stagedPath, { force: true }).catch(() => {
        // it may lie in a folder that is not ours to change
      });
    await this.#writer.write(batch);
  }

  seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    return this.#writer.seal(stamp);
  }

  discard(): Promise<void> {
    return this.#writer.discard();
  }

  abandon(): void {
    this.#writer.abandon();
  }
}
