/** Encodes rows into a file of the test's own folder. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base } from "vitest";
import { createFileFormat } from "../../../connectors/formats/index.ts";
import type { FormatOptions } from "../../../connectors/formats/format.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { StreamSchema } from "../../../proto/schema.ts";

export const parquetOptions: FormatOptions = {
  format: "parquet",
  compression: null,
  plainEncodings: false,
};

/** The whole file; the pieces are copied as they come, as a writer would. */
export function encodeFile(
  schema: StreamSchema,
  options: FormatOptions,
  batches: Iterable<ColumnBatch>,
  metadata: Readonly<Record<string, string>> = {},
): Buffer {
  const encoder = createFileFormat(schema, options).createEncoder();
  const pieces: Uint8Array[] = [];
  for (const batch of batches)
    for (const piece of encoder.encode(batch)) pieces.push(piece.slice());
  for (const piece of encoder.finish(metadata)) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

export interface FilesFixture {
  /** Writes the file and gives its path. */
  readonly writeRows: (
    schema: StreamSchema,
    batches: Iterable<ColumnBatch>,
    options?: Partial<FormatOptions>,
    metadata?: Readonly<Record<string, string>>,
  ) => string;
  readonly folder: string;
}

export const test = base.extend<{ files: FilesFixture }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the names of the fixtures from here
  files: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-formats-"));
    let count = 0;
    const writeRows: FilesFixture["writeRows"] = (
      schema,
      batches,
      changes = {},
      metadata = {},
    ) => {
      const options = { ...parquetOptions, ...changes };
      const { extension } = createFileFormat(schema, options);
      const path = join(folder, `${++count}${extension}`);
      writeFileSync(path, encodeFile(schema, options, batches, metadata));
      return path;
    };
    await use({ writeRows, folder });
    rmSync(folder, { recursive: true });
  },
});

/** All rows of a reader. */
export async function collect<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const collected: Row[] = [];
  for await (const row of rows) collected.push(row);
  return collected;
}
