import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, expect, test } from "vitest";
import { measureFiles } from "../../../deploy/demo/verify.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-demo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.for([
  { type: "DECIMAL(15,2)", scale: 2, sum: 49_995_000n },
  { type: "DECIMAL(18,4)", scale: 4, sum: 4_999_500_000n },
  { type: "BIGINT", scale: 0, sum: 49_995_000n },
  { type: "INTEGER", scale: 0, sum: 49_995_000n },
])(
  "rows and sum of a $type column with NULLs, over two files",
  async ({ type, scale, sum }) => {
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    for (const half of [0, 1]) {
      await connection.run(
        `COPY (SELECT CASE WHEN i % 2 = ${half} THEN CAST(i / 100.0 * ${scale === 0 ? 100 : 1} AS ${type}) END AS v FROM range(10000) t(i))
       TO '${join(folder, `${half}.parquet`)}' (FORMAT parquet, COMPRESSION zstd)`,
      );
    }
    connection.closeSync();
    instance.closeSync();
    expect(await measureFiles(folder, { column: "v", scale })).toEqual({
      rows: 20_000n,
      sum,
    });
  },
);
