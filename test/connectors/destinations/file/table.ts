/** A small table of made-up rows, and DuckDB as the reader that knows nothing of us. */
import { DuckDBInstance } from "@duckdb/node-api";
import type { DuckDBConnection } from "@duckdb/node-api";

import type { FileDestinationConfig } from "../../../../connectors/destinations/file/config.ts";
import type { StreamName } from "../../../../connectors/destinations/layout/names.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import type { CheckpointStamp } from "../../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type { StreamSchema } from "../../../../proto/schema.ts";

export const schema: StreamSchema = {
  number: 1,
  namespace: "public",
  name: "orders",
  columns: [
    {
      name: "id",
      type: { kind: "int64" },
      nullable: false,
      sourceType: "bigint",
    },
    {
      name: "label",
      type: { kind: "text" },
      nullable: true,
      sourceType: "text",
    },
    {
      name: "amount",
      type: { kind: "float64" },
      nullable: false,
      sourceType: "double precision",
    },
  ],
  fingerprint: "f-orders-1",
};

export const stream: StreamName = {
  namespace: schema.namespace,
  name: schema.name,
};

export function makeConfig(
  root: string,
  format: FormatName = "parquet",
  fileBytesMax = 512 * 1024 * 1024,
): FileDestinationConfig {
  return {
    root,
    pathTemplate: "{namespace}/{stream}",
    fileBytesMax,
    format: { format, compression: null, plainEncodings: false },
  };
}

/** Rows with ids from `first` on: the label of every seventh is NULL, the amount is half the id. */
export function makeBatch(first: number, rowCount: number): ColumnBatch {
  const ids = new BigInt64Array(rowCount);
  const amounts = new Float64Array(rowCount);
  const offsets = new Int32Array(rowCount + 1);
  const validity = new Uint8Array(Math.ceil(rowCount / 8));
  const labels: Buffer[] = [];
  let nullCount = 0;
  for (let row = 0; row < rowCount; row += 1) {
    const id = first + row;
    ids[row] = BigInt(id);
    amounts[row] = id / 2;
    const isNull = id % 7 === 0;
    if (isNull) nullCount += 1;
    else validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7));
    const label = Buffer.from(isNull ? "" : `order ${id}, "größer"`);
    labels.push(label);
    offsets[row + 1] = (offsets[row] ?? 0) + label.byteLength;
  }
  const toBytes = (values: BigInt64Array | Float64Array): Uint8Array =>
    new Uint8Array(values.buffer);
  return {
    rowCount,
    columns: [
      { nullCount: 0, validity: null, offsets: null, data: toBytes(ids) },
      {
        nullCount,
        validity: nullCount > 0 ? validity : null,
        offsets,
        data: new Uint8Array(Buffer.concat(labels)),
      },
      { nullCount: 0, validity: null, offsets: null, data: toBytes(amounts) },
    ],
  };
}

export function makeStamp(
  index: number,
  rows: number,
  more: Partial<CheckpointStamp> = {},
): CheckpointStamp {
  return {
    stream: schema.number,
    partition: 0,
    attempt: 1,
    sequence: index * 10,
    index,
    position: { kind: "key", after: [String(rows)] },
    rows,
    bytes: rows * 20,
    last: false,
    ...more,
  };
}

export interface TableDigest {
  readonly rows: number;
  readonly ids: number;
  readonly idSum: number;
  readonly nulls: number;
}

/** What rows `first` to `last` must come to. */
export function digestOf(first: number, last: number): TableDigest {
  let idSum = 0;
  let nulls = 0;
  for (let id = first; id <= last; id += 1) {
    idSum += id;
    if (id % 7 === 0) nulls += 1;
  }
  const rows = Math.max(0, last - first + 1);
  return { rows, ids: rows, idSum, nulls };
}

/** Avro is read by an extension that DuckDB would have to fetch. */
const readers: Partial<Record<FormatName, (globs: string) => string>> = {
  parquet: (globs) => `read_parquet([${globs}])`,
  csv: (
    globs,
  ) => `read_csv([${globs}], header = true, nullstr = '', quote = '"', escape = '"',
    columns = {id: 'BIGINT', label: 'VARCHAR', amount: 'DOUBLE'})`,
  jsonl: (globs) => `read_json([${globs}], format = 'newline_delimited',
    columns = {id: 'BIGINT', label: 'VARCHAR', amount: 'DOUBLE'})`,
};

/** Reads patterns as anybody would, and checks each row against its id. */
export async function readTable(
  globs: string | readonly string[],
  format: FormatName = "parquet",
): Promise<TableDigest> {
  const list = [globs]
    .flat()
    .map((glob) => `'${glob}'`)
    .join(", ");
  const from = readers[format]?.(list);
  if (from === undefined) throw new Error(`nothing here reads ${format}`);
  reading ??= connect();
  const reader = await (
    await reading
  ).runAndReadAll(`
      SELECT count(*)::DOUBLE, count(DISTINCT id)::DOUBLE,
        coalesce(sum(id), 0)::DOUBLE, count(*) FILTER (label IS NULL)::DOUBLE,
        count(*) FILTER (amount <> id / 2
          OR (label IS NULL) <> (id % 7 = 0)
          OR label <> 'order ' || id || ', "größer"')::DOUBLE
      FROM ${from}`);
  const [rows, ids, idSum, nulls, wrong] = (reader.getRows()[0] ?? []).map(
    Number,
  );
  if (wrong !== 0) throw new Error(`${wrong} wrong rows in ${list}`);
  return {
    rows: rows ?? NaN,
    ids: ids ?? NaN,
    idSum: idSum ?? NaN,
    nulls: nulls ?? NaN,
  };
}

/** One for all reads of this test file: to start it takes longer than to read. */
let reading: Promise<DuckDBConnection> | null = null;

async function connect(): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  return instance.connect();
}
