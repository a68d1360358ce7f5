/** `millrace cat` of objects: what a run has written, read through a proxy that shows by which requests. */
import { describe, expect } from "vitest";

import { createFileFormat } from "../../../connectors/formats/index.ts";
import type { FormatName } from "../../../connectors/formats/format.ts";
import type { StreamSchema } from "../../../proto/schema.ts";
import { buildBatch } from "../../fixtures/batches.ts";
import { test as base, type S3Fixture } from "../../fixtures/s3.ts";
import { runMillrace } from "./run-millrace.ts";

const columns: StreamSchema["columns"] = [
  { name: "id", type: { kind: "int64" }, nullable: false, sourceType: "int8" },
  { name: "note", type: { kind: "text" }, nullable: true, sourceType: "text" },
];
const schema: StreamSchema = {
  number: 1,
  namespace: "public",
  name: "orders",
  columns,
  key: ["id"],
  fingerprint: "0".repeat(16),
};
const BATCH_ROWS = 16_384;

const test = base.extend<{
  cat: (path: string, ...args: string[]) => ReturnType<typeof runMillrace>;
}>({
  /** The URL's options name the proxy; the keys come from the environment, as a destination's do. */
  cat: async ({ s3, proxy }, use) => {
    await use((path, ...args) =>
      runMillrace(
        [
          "cat",
          `s3://${s3.bucket}/${path}?endpoint=${proxy.endpoint}&region=${s3.region}`,
          ...args,
        ],
        {
          env: {
            AWS_ACCESS_KEY_ID: s3.accessKeyId,
            AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
            AWS_CONFIG_FILE: "/nonexistent/config",
            AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/credentials",
            AWS_EC2_METADATA_DISABLED: "true",
            AWS_MAX_ATTEMPTS: "2",
          },
        },
      ),
    );
  },
});

/** A file of `batches` full batches; its notes do not compress below `noteBytes` a row. */
function encode(
  format: FormatName,
  batches: number,
  rowsOfBatch: number,
  noteBytes = 0,
): Buffer {
  const encoder = createFileFormat(schema, {
    format,
    compression: "none",
    plainEncodings: true,
  }).createEncoder();
  const pieces: Buffer[] = [];
  for (let batch = 0; batch < batches; batch += 1) {
    const rows = Array.from({ length: rowsOfBatch }, (_, i) => {
      const id = batch * rowsOfBatch + i;
      return [
        BigInt(id),
        id % 3 === 0 ? null : `n${id}`.padEnd(noteBytes, "."),
      ];
    });
    for (const piece of encoder.encode(buildBatch(schema, rows)))
      pieces.push(Buffer.from(piece));
  }
  for (const piece of encoder.finish({})) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function name(number: number, extension: string): string {
  return `p00000-e001-w0000000${number}-00.${extension}`;
}

async function writeTable(s3: S3Fixture, paths: readonly string[]) {
  for (const path of paths) await s3.write(path, '{"id":1}\n');
}

describe.for(["parquet", "avro", "csv", "jsonl"] as const)("%s", (format) => {
  test("a small object is read whole, in one request", async ({
    s3,
    proxy,
    cat,
  }) => {
    const key = `lake/small.${format}`;
    await s3.writeBytes(key, encode(format, 1, 5));
    const { exitCode, stdout } = await cat(key, "--json");
    expect(exitCode).toBe(0);
    const rows = stdout.trim().split("\n");
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual(
      [0, 1, 2, 3, 4].map((id) => ({
        id: format === "csv" ? String(id) : id,
        note: id % 3 === 0 ? null : `n${id}`,
      })),
    );
    expect(
      proxy.operations().filter((operation) => operation === "GetObject"),
    ).toHaveLength(1);
  });

  test("of a large object only the ranges that the rows need are read", async ({
    s3,
    proxy,
    cat,
  }) => {
    const bytes = encode(format, 8, BATCH_ROWS, 150);
    expect(bytes.byteLength).toBeGreaterThan(12 * 1024 * 1024);
    await s3.writeBytes(`lake/large.${format}`, bytes);
    const { stdout } = await cat(`lake/large.${format}`, "-n", "3");
    expect(stdout.trim().split("\n")).toHaveLength(4);
    const ranges = proxy.requests
      .filter(({ operation }) => operation === "GetObject")
      .map(({ headers }) => /^bytes=(\d+)-(\d+)$/.exec(headers["range"] ?? ""));
    expect(ranges.length).toBeGreaterThan(0);
    const read = ranges.reduce(
      (sum, range) => sum + Number(range![2]) - Number(range![1]) + 1,
      0,
    );
    expect(read).toBeLessThan(6 * 1024 * 1024);
  });
});

test("a large object is read to its end, whatever the ranges cut", async ({
  s3,
  cat,
}) => {
  await s3.writeBytes("lake/large.jsonl", encode("jsonl", 8, BATCH_ROWS, 150));
  const { stdout } = await cat("lake/large.jsonl", "-n", "1000000", "--json");
  const ids = stdout
    .trim()
    .split("\n")
    .map((row) => (JSON.parse(row) as { id: number }).id);
  expect(ids).toEqual(Array.from({ length: 8 * BATCH_ROWS }, (_, i) => i));
});

test("below a prefix each table is what its manifest lists, folders by value included", async ({
  s3,
  cat,
}) => {
  const orders = "lake/public/my%20orders";
  const counted = `${orders}/g000002/country=de/${name(1, "jsonl")}`;
  await writeTable(s3, [
    counted,
    `${orders}/g000002/${name(2, "jsonl")}`,
    `${orders}/g000001/${name(3, "jsonl")}`,
    `${orders}/.hidden/${name(3, "jsonl")}`,
    `${orders}/notes.txt`,
    `lake/public/users/g000001/${name(1, "jsonl")}`,
  ]);
  await s3.write(
    `${orders}/_manifest.json`,
    JSON.stringify({
      generations: [{ files: [{ path: counted.slice("lake/".length) }] }],
    }),
  );
  const { stdout, stderr } = await cat("lake");
  expect(stdout.split("\n")).toEqual([
    `s3://${s3.bucket}/${orders}`,
    "id",
    " 1",
    "",
    `s3://${s3.bucket}/lake/public/users`,
    "id",
    " 1",
    "",
  ]);
  expect(stderr).toContain("2 files of an unfinished run left out");
  expect(stderr).toContain("no manifest here");
  const below = await cat(orders, "--json");
  expect(below.stdout).toBe('{"id":1}\n');
  const one = await cat(`${orders}/g000001/${name(3, "jsonl")}`, "--json");
  expect(one.stdout).toBe('{"id":1}\n');
});

test("what is not there, and a bucket that is not, are told", async ({
  s3,
  cat,
}) => {
  const nothing = await cat("lake");
  expect(nothing.exitCode).toBe(2);
  expect(nothing.stderr).toContain(
    `there are no data files at s3://${s3.bucket}/lake`,
  );
  const wrong = await runMillrace(["cat", "s3://B/lake"], {});
  expect(wrong.exitCode).toBe(2);
  expect(wrong.stderr).toContain("is no bucket's name");
});
