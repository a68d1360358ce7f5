/**
 * SQL Server rows of a table like TPC-H's lineitem, from the tests' own TDS server on a thread of its own: read by the
 * source into column buffers that are dropped, and by tedious into its row objects. Prints CPU ns per field of the
 * reading thread, the median of the rounds; network, packets and the driver's streams are in it. Then decoding alone.
 * The ratios hold on any machine, the figures do not.
 *
 *     node test/bench/stages/mssql-decode.ts [--rows 200000] [--rounds 3]
 */
import { parseArgs } from "node:util";
import {
  isMainThread,
  parentPort,
  Worker,
  workerData,
} from "node:worker_threads";
import { Request } from "tedious";
import {
  batchCapacity,
  BatchSet,
} from "../../../connectors/sources/batches/batch-set.ts";
import { MssqlConnection } from "../../../connectors/sources/mssql/connection.ts";
import { createDecoder } from "../../../connectors/sources/mssql/decode/choose.ts";
import {
  matchColumns,
  type DescribedColumn,
} from "../../../connectors/sources/mssql/decode/wire-columns.ts";
import { startRead } from "../../../connectors/sources/mssql/reader.ts";
import { selectFields } from "../../../connectors/sources/mssql/read-query.ts";
import type {
  MssqlReadTask,
  SourceColumn,
} from "../../../connectors/sources/mssql/stream.ts";
import {
  columnSchema,
  formatType,
} from "../../../connectors/sources/mssql/types.ts";
import { parseSourceUrl } from "../../../connectors/sources/mssql/url.ts";
import { closeTedious, connectTedious } from "../../services/sqlserver.ts";
import {
  encodeRows,
  startTdsServer,
  type Given,
} from "../../services/tds/server.ts";

/** Rows that are made; they are sent as often as it takes. */
const ROWS_MADE = 10_000;

const words =
  "the quick slow packages furiously even deposits about carefully final ideas sleep";
const instructions = [
  "DELIVER IN PERSON",
  "NONE",
  "TAKE BACK RETURN",
  "COLLECT COD",
];
const modes = ["AIR", "MAIL", "SHIP", "RAIL", "TRUCK", "FOB", "REG AIR"];

/** A column: its name, its type as DDL and in the catalogue, and its value in row `i`. */
const columns: readonly (readonly [
  name: string,
  type: string,
  catalogue: Partial<SourceColumn> & { readonly baseType: string },
  value: (i: number) => Given,
])[] = [
  ["orderkey", "bigint", { baseType: "bigint" }, (i) => Math.floor(i / 4) * 3],
  ["partkey", "int", { baseType: "int" }, (i) => (i * 7_919) % 200_000],
  ["suppkey", "int", { baseType: "int" }, (i) => (i * 31) % 10_000],
  ["linenumber", "int", { baseType: "int" }, (i) => (i % 7) + 1],
  ...(["quantity", "extendedprice", "discount", "tax"] as const).map(
    (name, n) =>
      [
        name,
        "decimal(12,2)",
        { baseType: "decimal", precision: 12, scale: 2 },
        (i: number) => ((i * 104_729 * (n + 1)) % 10_000_000) / 100,
      ] as const,
  ),
  [
    "returnflag",
    "nchar(1)",
    { baseType: "nchar", maxLength: 2 },
    (i) => "ANR".charAt(i % 3),
  ],
  [
    "linestatus",
    "nchar(1)",
    { baseType: "nchar", maxLength: 2 },
    (i) => "OF".charAt(i % 2),
  ],
  ...(["shipdate", "commitdate", "receiptdate"] as const).map(
    (name, n) =>
      [
        name,
        "date",
        { baseType: "date" },
        (i: number) =>
          new Date(694_224_000_000 + ((i * (17 + n)) % 2_500) * 86_400_000)
            .toISOString()
            .slice(0, 10),
      ] as const,
  ),
  [
    "shipinstruct",
    "nvarchar(25)",
    { baseType: "nvarchar", maxLength: 50 },
    (i) => instructions[i % 4] ?? "",
  ],
  [
    "shipmode",
    "nvarchar(10)",
    { baseType: "nvarchar", maxLength: 20 },
    (i) => modes[i % 7] ?? "",
  ],
  [
    "comment",
    "nvarchar(44)",
    { baseType: "nvarchar", maxLength: 88 },
    (i) => words.slice(i % 30, (i % 30) + 10 + ((i * 7) % 34)),
  ],
];

const givenColumns = columns.map(([name, type]) => ({
  name,
  type,
  nullable: true,
}));

function makeRows(): Given[][] {
  return Array.from({ length: ROWS_MADE }, (_, i) =>
    columns.map(([, , , value]) => value(i)),
  );
}

/** The server's thread: says its URL, and serves until it is told to stop. */
async function serve(rows: number): Promise<void> {
  const server = await startTdsServer();
  const ready = encodeRows(givenColumns, makeRows());
  const pieces = Array.from(
    { length: Math.ceil(rows / ROWS_MADE) },
    () => ready,
  );
  server.serveRows(/FROM \[dbo\]\.\[lineitem\]/, givenColumns, pieces);
  parentPort?.once("message", () => void server.stop());
  parentPort?.postMessage(server.url);
}

function makeTask(): MssqlReadTask {
  const sourceColumns = columns.map(([name, , catalogue]): SourceColumn => {
    const column = {
      name,
      declaredType: catalogue.baseType,
      maxLength: 8,
      precision: 0,
      scale: 0,
      nullable: true,
      collation: null,
      codePage: null,
      isClr: false,
      ...catalogue,
    };
    return {
      ...column,
      declaredType: formatType({ ...column, typeName: column.baseType }),
    };
  });
  return {
    stream: {
      schema: {
        number: 1,
        namespace: "dbo",
        name: "lineitem",
        columns: sourceColumns.map((column) => columnSchema(column)),
        fingerprint: "bench",
      },
      columns: sourceColumns,
      relationKind: "table",
      leaves: [],
      key: null,
      rangeKey: null,
      allColumnNames: columns.map(([name]) => name),
    },
    partition: {
      stream: 1,
      ordinal: 0,
      relation: { schema: "dbo", name: "lineitem", oid: 1 },
      only: false,
      split: { kind: "whole" },
      estimatedRows: 1_000_000,
      estimatedBytes: 100_000_000,
    },
    resumeAfter: null,
    filter: { where: null, cursor: null },
    policy: "error",
    rowBytesMax: 64 * 1024 * 1024,
  };
}

/** CPU ns per field of this thread while `work` runs. */
async function measure(work: () => Promise<number>): Promise<number> {
  const before = process.threadCpuUsage();
  const rows = await work();
  const { user, system } = process.threadCpuUsage(before);
  return ((user + system) * 1_000) / (rows * columns.length);
}

async function readBySource(url: string): Promise<number> {
  const connection = await MssqlConnection.connect(parseSourceUrl(url));
  try {
    const read = startRead(connection, makeTask(), {
      batch: async () => {},
      checkpoint: async () => {},
      valueNulled: () => {},
    });
    return (await read.done).rows;
  } finally {
    await connection.close();
  }
}

async function readByTedious(url: string): Promise<number> {
  const connection = await connectTedious(url, { packetSize: 32_767 });
  let rows = 0;
  await new Promise<void>((resolve, reject) => {
    const request = new Request("SELECT * FROM [dbo].[lineitem]", (error) =>
      error ? reject(error) : resolve(),
    );
    request.on("row", () => rows++);
    connection.execSql(request);
  });
  await closeTedious(connection);
  return rows;
}

/** Rows in memory through a decoder alone. */
function decodeOnly(
  choice: "generated" | "interpreted",
): () => Promise<number> {
  const task = makeTask();
  const fields = matchColumns(
    "dbo.lineitem",
    selectFields(task),
    columns.map(([, , catalogue]) => describe(catalogue)),
  );
  const { bytes } = encodeRows(givenColumns, makeRows());
  const wire = Buffer.from(new ArrayBuffer(bytes.length));
  wire.set(bytes);
  const view = new DataView(wire.buffer);
  const set = new BatchSet(fields, batchCapacity(fields, 16_384));
  const decoder = createDecoder(
    {
      fields,
      table: "dbo.lineitem",
      policy: "error",
      rowBytesMax: 1_000_000,
      valueNulled: () => {},
    },
    choice,
  );
  return async () => {
    const passes = 20;
    for (let pass = 0; pass < passes; pass++) {
      let start = 0;
      while (start < wire.length) {
        start = decoder.decode(set, wire, view, start, wire.length, Infinity);
        if (set.isFull || start === wire.length) set.reset();
        else throw new Error("the wire ends inside of a row");
      }
    }
    return passes * ROWS_MADE;
  };
}

/** As COLMETADATA would describe the column. */
function describe({
  baseType,
  maxLength,
  precision,
  scale,
}: Partial<SourceColumn> & { baseType: string }): DescribedColumn {
  const ids: Readonly<
    Record<string, readonly [typeId: number, dataLength: number]>
  > = {
    bigint: [0x26, 8],
    int: [0x26, 4],
    decimal: [0x6a, 9],
    date: [0x28, 3],
    nchar: [0xef, maxLength ?? 0],
    nvarchar: [0xe7, maxLength ?? 0],
  };
  const [typeId, dataLength] = ids[baseType] ?? [0, 0];
  return { typeId, dataLength, precision, scale };
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      rows: { type: "string", default: "200000" },
      rounds: { type: "string", default: "3" },
    },
  });
  const rows = Number(options.rows);
  const worker = new Worker(new URL(import.meta.url), { workerData: { rows } });
  const url = await new Promise<string>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const stages = new Map<string, () => Promise<number>>([
    ["source", () => readBySource(url)],
    ["tedious row objects", () => readByTedious(url)],
    ["generated alone", decodeOnly("generated")],
    ["interpreted alone", decodeOnly("interpreted")],
  ]);
  const figures = new Map<string, number[]>();
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [name, stage] of stages) {
      figures.set(name, [...(figures.get(name) ?? []), await measure(stage)]);
    }
  }
  worker.postMessage("stop");
  await worker.terminate();
  let base = 0;
  for (const [name, rounds] of figures) {
    const median = rounds.toSorted((a, b) => a - b)[rounds.length >> 1] ?? 0;
    if (base === 0) base = median;
    console.log(
      `${name.padEnd(20)} ${median.toFixed(1).padStart(7)} ns/field  ${(median / base).toFixed(1).padStart(5)} x`,
    );
  }
}

if (isMainThread) await main();
else await serve((workerData as { readonly rows: number }).rows);
