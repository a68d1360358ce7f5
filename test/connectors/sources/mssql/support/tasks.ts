/** Connections, streams and read tasks for tables of a test's database, and sinks that keep what they are given. */
import type {
  KeyTuple,
  Position,
  Split,
} from "../../../../../proto/partition.ts";
import type {
  PartitionRead,
  PlanSettings,
  ReadResult,
  ReadSink,
} from "../../../../../connectors/sources/source.ts";
import { MssqlConnection } from "../../../../../connectors/sources/mssql/connection.ts";
import { discover } from "../../../../../connectors/sources/mssql/discover.ts";
import {
  startRead,
  type ReadOptions,
} from "../../../../../connectors/sources/mssql/reader.ts";
import type {
  MssqlReadTask,
  MssqlStream,
} from "../../../../../connectors/sources/mssql/stream.ts";
import { parseSourceUrl } from "../../../../../connectors/sources/mssql/url.ts";
import { readRows } from "../../postgres/support/wire-rows.ts";
import type { TestValue } from "./wire-rows.ts";

export async function withConnection<T>(
  url: string,
  work: (connection: MssqlConnection) => Promise<T>,
  options: { readonly hook?: boolean } = {},
): Promise<T> {
  const connection = await MssqlConnection.connect(
    parseSourceUrl(url),
    options,
  );
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

export async function discoverTable(
  connection: MssqlConnection,
  table: string,
  columns: readonly string[] | null = null,
  policy: "error" | "null" = "error",
): Promise<MssqlStream> {
  const found = await discover(
    connection,
    { include: [table], exclude: [], columns },
    policy,
  );
  const [stream] = found.streams;
  if (stream === undefined) throw new Error(JSON.stringify(found.problems));
  return stream;
}

export const planSettings: PlanSettings = {
  channels: 2,
  checkpointTargetSeconds: 300,
  partitionBy: "key",
  partitionBytesMin: 1,
};

export interface TaskOptions {
  readonly split?: Split;
  readonly resumeAfter?: Position | null;
  readonly policy?: "error" | "null";
  readonly filter?: MssqlReadTask["filter"];
  readonly rowBytesMax?: number;
  readonly estimatedRows?: number;
}

export function makeTask(
  stream: MssqlStream,
  options: TaskOptions = {},
): MssqlReadTask {
  const [leaf] = stream.leaves;
  if (leaf === undefined) throw new Error("a stream without a leaf");
  return {
    stream,
    partition: {
      stream: 1,
      ordinal: 0,
      relation: { schema: leaf.schema, name: leaf.name, oid: leaf.oid },
      only: false,
      split: options.split ?? { kind: "whole" },
      estimatedRows: options.estimatedRows ?? 100,
      estimatedBytes: 10_000,
    },
    resumeAfter: options.resumeAfter ?? null,
    filter: options.filter ?? { where: null, cursor: null },
    policy: options.policy ?? "error",
    rowBytesMax: options.rowBytesMax ?? 64 * 1024 * 1024,
  };
}

/** The whole key range of a stream, or the part between two keys. */
export function keySplit(
  stream: MssqlStream,
  start: KeyTuple | null = null,
  end: KeyTuple | null = null,
): Split {
  if (stream.rangeKey === null) throw new Error("no range key");
  return {
    kind: "key",
    columns: stream.rangeKey.columns.map(({ name }) => name),
    types: stream.rangeKey.columns.map(({ type }) => type),
    start,
    end,
  };
}

export interface Kept {
  readonly rows: TestValue[][];
  /** Behind how many rows each stands. */
  readonly checkpoints: {
    readonly position: Position | null;
    readonly last: boolean;
    readonly rows: number;
  }[];
  readonly batchRows: number[];
  readonly nulled: string[];
}

/** Keeps all that is given; `onBatch` may wait, or fail. */
export function keepAll(
  stream: MssqlStream,
  onBatch: (batches: number) => Promise<void> | void = () => {},
): { readonly kept: Kept; readonly sink: ReadSink } {
  const kept: Kept = { rows: [], checkpoints: [], batchRows: [], nulled: [] };
  const fields = stream.schema.columns.map(({ type }) => ({
    logical: type.kind,
  }));
  return {
    kept,
    sink: {
      async batch(batch) {
        kept.rows.push(...(readRows(fields, batch) as TestValue[][]));
        kept.batchRows.push(batch.rowCount);
        await onBatch(kept.batchRows.length);
      },
      async checkpoint(position, last) {
        kept.checkpoints.push({ position, last, rows: kept.rows.length });
      },
      valueNulled(column, reason) {
        kept.nulled.push(`${column}: ${reason}`);
      },
    },
  };
}

export interface Done extends Kept {
  readonly result: ReadResult;
}

/** Reads a task to its end. */
export async function readAll(
  connection: MssqlConnection,
  task: MssqlReadTask,
  options: ReadOptions & {
    readonly onStart?: (read: PartitionRead) => void;
    readonly onBatch?: (
      batches: number,
      read: PartitionRead,
    ) => Promise<void> | void;
  } = {},
): Promise<Done> {
  let read: PartitionRead | null = null;
  const { kept, sink } = keepAll(task.stream, (batches) =>
    read === null ? undefined : options.onBatch?.(batches, read),
  );
  read = startRead(connection, task, sink, options);
  options.onStart?.(read);
  const result = await read.done;
  return { ...kept, result };
}
