/** Pages compressed by another thread are the pages that this one would have made, in their order, and none is waited for in vain. */
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { useCompressor } from "../../../../connectors/formats/compression.ts";
import { createFileFormat } from "../../../../connectors/formats/index.ts";
import {
  allowPageThread,
  SharedCompressor,
} from "../../../../connectors/formats/parquet/page-compressor.ts";
import { SLOT_BYTES } from "../../../../connectors/formats/parquet/page-slots.ts";
import { buildBatches, buildSchema } from "../../../fixtures/batches.ts";
import { parquetOptions } from "../files.ts";

const thread = new URL(
  "../../../../connectors/formats/parquet/page-thread.ts",
  import.meta.url,
);
const idleThread = new URL("./idle-page-thread.ts", import.meta.url);
const stuckThread = new URL("./stuck-page-thread.ts", import.meta.url);

/** Half of it repeats. */
function makePage(bytes: number): Uint8Array {
  const page = new Uint8Array(bytes);
  page.set(randomBytes(bytes >> 1));
  return page;
}

/** Sizes of pages: more than a thread is started for, and one that has no room in a slot. */
const sizes = Array.from({ length: 120 }, (_, i) =>
  i === 70 ? SLOT_BYTES + 1 : 1 + ((i * 7919) % 400_000),
);

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A page every so many ms: the thread is there before the slots are filled. */
const SLOW_MS = 10;

for (const [name, script, everyMs] of [
  ["at work", thread, 0],
  ["that never takes one", idleThread, 0],
  ["that takes one and never gives it back", stuckThread, 0],
  ["that takes the first one and never gives it back", stuckThread, SLOW_MS],
] as const)
  test(`with a thread ${name}, each page comes once, whole and in order`, () => {
    const compress = useCompressor("zstd");
    const compressor = new SharedCompressor(compress, script, 100);
    const expected: { bytes: Buffer; crc: number }[] = [];
    const taken: { bytes: Buffer; crc: number }[] = [];
    for (const size of sizes) {
      const page = makePage(size);
      const alone = Buffer.from(compress(page));
      expected.push({ bytes: alone, crc: crc32(alone) | 0 });
      compressor.compress(page, (bytes, crc) =>
        taken.push({ bytes: Buffer.from(bytes), crc }),
      );
      // it was borrowed
      page.fill(0);
      if (everyMs > 0) sleep(everyMs);
    }
    compressor.settle();
    expect(taken.length).toBe(sizes.length);
    expect(taken).toEqual(expected);
  });

test("files are the same, byte for byte, whoever compresses their pages", () => {
  const schema = buildSchema({ id: "int64", note: "text", maybe: "text" });
  const rows = Array.from(
    { length: 60_000 },
    (_, i) =>
      [
        BigInt(i),
        `${i * 7919} ${"ab".repeat(i % 300)}`,
        i % 3 === 0 ? null : `n${i % 11}`,
      ] as const,
  );
  const batches = buildBatches(
    schema,
    rows.map((row) => [...row]),
    5_000,
  );
  const write = (): Buffer => {
    const encoders = Array.from({ length: 2 }, () =>
      createFileFormat(schema, parquetOptions).createEncoder(),
    );
    const files = encoders.map(() => [] as Buffer[]);
    for (const batch of batches)
      encoders.forEach((encoder, file) =>
        files[file]!.push(...encoder.encode(batch).map((p) => Buffer.from(p))),
      );
    encoders.forEach((encoder, file) =>
      files[file]!.push(...encoder.finish({}).map((p) => Buffer.from(p))),
    );
    return Buffer.concat(files.flat());
  };
  const alone = write();
  allowPageThread(thread);
  // the first of them are compressed here until a thread is worth it
  for (let time = 0; time < 3; time++) expect(write().equals(alone)).toBe(true);
});
