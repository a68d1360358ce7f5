/** Read tasks for tables of a test's database, and sinks that keep what they are given. */
import type { ColumnBatch } from "../../../../../proto/columns.ts";
import type { Position, Split } from "../../../../../proto/partition.ts";
import type {
  PartitionRead,
  ReadResult,
  ReadSink,
} from "../../../../../connectors/sources/source.ts";
import type {
  PostgresReadTask,
  SourceColumn,
} from "../../../../../connectors/sources/postgres/stream.ts";
import type { PostgresConnection } from "../../../../../connectors/sources/postgres/connection.ts";
import {
  startRead,
  type ReadOptions,
} from "../../../../../connectors/sources/postgres/reader.ts";
import { columnSchema } from "../../../../../connectors/sources/postgres/types.ts";
import { readRows } from "./wire-rows.ts";

export interface TaskOptions {
  readonly split?: Split;
  readonly resumeAfter?: Position | null;
  readonly columns?: readonly string[];
  readonly policy?: "error" | "null";
  readonly filter?: PostgresReadTask["filter"];
  readonly rowBytesMax?: number;
  readonly only?: boolean;
}

/** A task that reads `table` (of the schema public), by default whole. */
export async function makeTask(
  connection: PostgresConnection,
  table: string,
  options: TaskOptions = {},
): Promise<PostgresReadTask> {
  const all = await connection.query<SourceColumn>(
    `SELECT a.attname AS name, a.atttypid AS "typeOid", b.oid AS "baseTypeOid",
            CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS "typeModifier",
            b.typtype AS "typeKind", b.typcategory AS "typeCategory",
            format_type(a.atttypid, a.atttypmod) AS "declaredType", a.attnotnull AS "notNull"
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
     WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [table],
  );
  const [relation] = await connection.query<{
    oid: number;
    pages: number;
    rows: number;
  }>(
    `SELECT oid, relpages AS pages, reltuples AS rows FROM pg_class WHERE oid = $1::regclass`,
    [table],
  );
  if (relation === undefined) throw new Error(`no table ${table}`);
  const columns = all.filter(
    (column) => options.columns?.includes(column.name) ?? true,
  );
  const policy = options.policy ?? "error";
  const split = options.split ?? { kind: "whole" };
  const only = options.only ?? true;
  return {
    stream: {
      schema: {
        number: 1,
        namespace: "public",
        name: table,
        columns: columns.map((column) => columnSchema(column, policy)),
        fingerprint: table,
      },
      columns,
      relationKind: "table",
      leaves: [
        {
          oid: relation.oid,
          schema: "public",
          name: table,
          only,
          heap: true,
          fileNode: 0,
          pages: relation.pages,
          rowEstimate: relation.rows,
        },
      ],
      key:
        split.kind === "key"
          ? {
              name: "key",
              primary: true,
              columns: split.columns.map((name, index) => ({
                name,
                type: split.types[index] ?? "",
                exact: true,
              })),
            }
          : null,
      allColumnNames: all.map((column) => column.name),
    },
    partition: {
      stream: 1,
      ordinal: 0,
      relation: { schema: "public", name: table, oid: relation.oid },
      only,
      split,
      estimatedRows: Math.max(0, relation.rows),
      estimatedBytes: 0,
    },
    resumeAfter: options.resumeAfter ?? null,
    filter: options.filter ?? { where: null, cursor: null },
    policy,
    rowBytesMax: options.rowBytesMax ?? 256 * 1024 * 1024,
  };
}

/** Keeps rows as values; positions with the number of rows before each. */
export class KeepingSink implements ReadSink {
  readonly rows: unknown[][] = [];
  readonly batchRows: number[] = [];
  readonly checkpoints: {
    position: Position | null;
    last: boolean;
    rows: number;
  }[] = [];
  readonly nulled: string[] = [];
  readonly #task: PostgresReadTask;
  /** Called with each batch, before its promise settles. */
  onBatch: (batch: ColumnBatch) => void | Promise<void> = () => {};

  constructor(task: PostgresReadTask) {
    this.#task = task;
  }

  async batch(batch: ColumnBatch): Promise<void> {
    const fields = this.#task.stream.schema.columns.map(({ type }) => ({
      logical: type.kind,
    }));
    this.batchRows.push(batch.rowCount);
    for (const row of readRows(fields, batch)) this.rows.push(row);
    await this.onBatch(batch);
  }

  async checkpoint(position: Position | null, last: boolean): Promise<void> {
    this.checkpoints.push({ position, last, rows: this.rows.length });
  }

  valueNulled(column: string, reason: string): void {
    this.nulled.push(`${column}: ${reason}`);
  }
}

export interface FinishedRead {
  readonly sink: KeepingSink;
  readonly result: ReadResult;
}

/** Reads a task to its end; `during` sees the read as it begins. */
export async function readTask(
  connection: PostgresConnection,
  task: PostgresReadTask,
  options: ReadOptions = {},
  during: (read: PartitionRead, sink: KeepingSink) => void = () => {},
): Promise<FinishedRead> {
  const sink = new KeepingSink(task);
  const read = startRead(connection, task, sink, options);
  during(read, sink);
  return { sink, result: await read.done };
}
