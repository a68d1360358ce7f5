/**
 * Stage benchmark: what a mapper costs for each value that it changes, or each row that it looks at, on rows like TPC-H
 * `lineitem` made in memory. Run `node test/bench/stages/mappers.ts [rows]`. `copy` is the yardstick of the same run: one
 * copy of all column buffers.
 */
import { generateKeyPairSync } from "node:crypto";
import type { MapperStep } from "../../../connectors/mappers/config.ts";
import { createMapper } from "../../../connectors/mappers/mapper.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import { buildLineitem, lineitemSchema } from "./encode.ts";

interface MapperResult {
  readonly stage: string;
  readonly rows: number;
  readonly cpuSeconds: number;
  readonly nsPerRow: number;
  readonly rowsOut: number;
}

/** Mapped before the clock starts. */
const WARM_UP_BATCHES = 8;
const salt = "0123456789abcdef0123456789abcdef";
const use = { mergeKey: null, cursor: null };

const { publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

const stages: Readonly<Record<string, MapperStep>> = {
  "select 4 of 16": {
    select: ["l_orderkey", "l_partkey", "l_quantity", "l_comment"],
  },
  "filter int, half": { filter: "l_partkey <= 50000" },
  "filter int, few": { filter: "l_partkey <= 1000" },
  "filter decimal and text": {
    filter: "l_quantity > 25.5 and l_shipmode in ('AIR', 'RAIL')",
  },
  "filter date, all": { filter: "l_shipdate > '1970-01-01'" },
  "hash text": { hash: { columns: ["l_comment"], salt } },
  "hash bigint": { hash: { columns: ["l_orderkey"], salt } },
  "hash bigint, binary": {
    hash: { columns: ["l_orderkey"], salt, output: "binary" },
  },
  "mask text": { mask: { columns: ["l_comment"], keepLast: 4 } },
  "encrypt text, AES": {
    encrypt: {
      columns: ["l_comment"],
      method: "aes-256-gcm",
      key: "00".repeat(32),
    },
  },
  "encrypt text, RSA": {
    encrypt: { columns: ["l_comment"], method: "rsa-oaep", key: publicKey },
  },
};

/** Maps `rows` lineitem-like rows by each step; encryption a tenth of them. */
export function run(rows = 300_000): MapperResult[] {
  const batches = buildLineitem(rows);
  const few = buildLineitem(Math.ceil(rows / 10));
  return [
    measure("copy", batches, (batch) => [copyBatch(batch)]),
    ...Object.entries(stages).map(([stage, step]) =>
      measure(
        stage,
        "encrypt" in step ? few : batches,
        createMapper(lineitemSchema, [step], use).apply,
      ),
    ),
  ];
}

function measure(
  stage: string,
  batches: readonly ColumnBatch[],
  apply: (batch: ColumnBatch) => readonly ColumnBatch[],
): MapperResult {
  for (const batch of batches.slice(0, WARM_UP_BATCHES)) apply(batch);
  let rows = 0;
  let rowsOut = 0;
  const before = process.cpuUsage();
  for (const batch of batches) {
    rows += batch.rowCount;
    for (const { rowCount } of apply(batch)) rowsOut += rowCount;
  }
  const { user, system } = process.cpuUsage(before);
  const cpuSeconds = (user + system) / 1e6;
  return {
    stage,
    rows,
    cpuSeconds,
    nsPerRow: (cpuSeconds * 1e9) / rows,
    rowsOut,
  };
}

function copyBatch({ rowCount, columns }: ColumnBatch): ColumnBatch {
  return {
    rowCount,
    columns: columns.map((column) => ({
      ...column,
      data: column.data.slice(),
      offsets: column.offsets?.slice() ?? null,
    })),
  };
}

if (import.meta.main) console.table(run(Number(process.argv[2] ?? 300_000)));
