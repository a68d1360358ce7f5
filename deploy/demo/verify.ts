/**
 * Compares what arrived with the source, by another Parquet reader than our own: the rows by the files' footers, one
 * column of each table by its sum.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetRead,
} from "hyparquet";
import pg from "pg";
import type { DemoTable } from "./seed.ts";

export interface Totals {
  readonly rows: bigint;
  /** In units of the column's last digit. */
  readonly sum: bigint;
}

const compressors = { ZSTD: (input: Uint8Array) => zstdDecompressSync(input) };

export async function measureFiles(
  folder: string,
  { column, scale }: DemoTable["sum"],
): Promise<Totals> {
  let rows = 0n;
  let sum = 0n;
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  for (const name of names.filter((n) => n.endsWith(".parquet"))) {
    const file = await asyncBufferFromFile(join(folder, name));
    const metadata = await parquetMetadataAsync(file);
    rows += metadata.num_rows;
    await parquetRead({
      ...{ file, metadata, compressors, columns: [column] },
      onChunk: ({ columnData }) => {
        const values = columnData as Iterable<number | bigint | null>;
        for (const value of values) {
          if (typeof value === "bigint") sum += value;
          // decimals come as doubles; the nearest unit is exact far beyond what the demo holds
          else if (value !== null)
            sum += BigInt(Math.round(value * 10 ** scale));
        }
      },
    });
  }
  return { rows, sum };
}

export async function measureTable(
  client: pg.Client,
  { name, sum: { column, scale } }: DemoTable,
): Promise<Totals> {
  const { rows } = await client.query<{ rows: string; sum: string }>(
    `SELECT count(*) AS rows, trunc(coalesce(sum(${column}), 0) * ${10 ** scale})::text AS sum FROM ${name}`,
  );
  return { rows: BigInt(rows[0]?.rows ?? 0), sum: BigInt(rows[0]?.sum ?? 0) };
}
