/** All files of a thread share buffers, the compressor and what is known of the columns: they must not disturb each other. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import {
  reclaimSegments,
  SegmentList,
} from "../../../../connectors/formats/parquet/segments.ts";
import { createFileFormat } from "../../../../connectors/formats/index.ts";
import {
  buildBatches,
  buildSchema,
  type TestRow,
} from "../../../fixtures/batches.ts";
import { readByDuckDb } from "../duckdb.ts";
import { parquetOptions, test } from "../files.ts";

test("files written in turns, of one format and of others, have their own rows", async ({
  files,
}) => {
  const schema = buildSchema({ id: "int64", name: "text", note: "text" });
  const shared = createFileFormat(schema, parquetOptions);
  const writers = Array.from({ length: 5 }, (_, file) => {
    const format =
      file < 3
        ? shared
        : createFileFormat(schema, {
            ...parquetOptions,
            compression: file === 3 ? "snappy" : "gzip",
          });
    const rows = Array.from({ length: 900 }, (_, i): TestRow => [
      BigInt(file * 1e6 + i),
      // in some files few names, in others each its own: what one learns is wrong for the next
      file % 2 === 0 ? `name ${i % 7}` : `name ${file} ${i * 31}`,
      i % 3 === 0 ? null : randomBytes(120).toString("hex"),
    ]);
    return {
      encoder: format.createEncoder(),
      batches: buildBatches(schema, rows, 100),
      path: join(files.folder, `${file}.parquet`),
      pieces: [] as Buffer[],
      rows,
    };
  });
  for (let turn = 0; turn < 9; turn++)
    for (const { encoder, batches, pieces } of writers)
      for (const piece of encoder.encode(batches[turn]!))
        pieces.push(Buffer.from(piece));
  for (const { encoder, pieces } of writers)
    for (const piece of encoder.finish({})) pieces.push(Buffer.from(piece));
  for (const { path, pieces, rows } of writers) {
    writeFileSync(path, Buffer.concat(pieces));
    expect(await readByDuckDb(`'${path}'`)).toEqual(rows);
  }
});

test("segments hold what was appended, and are lent until they are reclaimed", () => {
  const list = new SegmentList();
  const parts = [1, 0, 32 * 1024 - 1, 32 * 1024, 100_000, 7].map((bytes) =>
    randomBytes(bytes),
  );
  for (const part of parts) list.append(part);
  expect(list.length).toBe(Buffer.concat(parts).length);
  const pieces = list.lend();
  expect(list.length).toBe(0);
  expect(list.lend()).toEqual([]);
  const other = new SegmentList();
  other.append(randomBytes(300_000));
  // not reclaimed: nobody else writes there
  expect(Buffer.compare(Buffer.concat(pieces), Buffer.concat(parts))).toBe(0);
  reclaimSegments();
  const third = new SegmentList();
  third.append(randomBytes(32 * 1024));
  const [reused] = third.lend();
  expect(pieces.map((piece) => piece.buffer)).toContain(reused!.buffer);
});
