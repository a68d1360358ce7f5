/** Read tasks for tables of a test's database, and sinks that keep what they are given. */
import type { ColumnBatch } from "../../../../../proto/columns.ts";
import type { Position, Split } from "../../../../../proto/partition.ts";
import type {
  PartitionRead,
  ReadResult,
  ReadSink,
} from "../../../../../connectors/sources/source.ts";
import type { MysqlConnection } from "../../../../../connectors/sources/mysql/connection.ts";
import {
  startRead,
  type ReadOptions,
} from "../../../../../connectors/sources/mysql/reader.ts";
import { quoteRelation } from "../../../../../connectors/sources/mysql/sql.ts";
import type {
  MysqlColumn,
  MysqlReadTask,
} from "../../../../../connectors/sources/mysql/stream.ts";
import {
  columnSchema,
  keyType,
  rangeUse,
} from "../../../../../connectors/sources/mysql/types.ts";
import { readRows } from "../../postgres/support/wire-rows.ts";

export interface TaskOptions {
  /** Of the index `keyName`, by default the primary key; bounds null. */
  readonly key?: readonly string[];
  readonly keyName?: string;
  readonly start?: readonly string[] | null;
  readonly end?: readonly string[] | null;
  readonly resumeAfter?: Position | null;
  readonly columns?: readonly string[];
  readonly policy?: "error" | "null";
  readonly filter?: MysqlReadTask["filter"];
  readonly rowBytesMax?: number;
}

interface ColumnRow {
  readonly name: string;
  readonly dataType: string;
  readonly columnType: string;
  readonly charset: string | null;
  readonly collation: string | null;
  readonly precision: number | string | null;
  readonly scale: number | string | null;
  readonly datetimePrecision: number | string | null;
  readonly isNullable: string;
  readonly extra: string;
}

/** The columns of a table of the connection's database, as discovery describes them. */
async function readColumns(
  connection: MysqlConnection,
  table: string,
): Promise<MysqlColumn[]> {
  const rows = await connection.query<ColumnRow>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS dataType, COLUMN_TYPE AS columnType,
      CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation, NUMERIC_PRECISION AS \`precision\`,
      NUMERIC_SCALE AS scale, DATETIME_PRECISION AS datetimePrecision, IS_NULLABLE AS isNullable, EXTRA AS extra
    FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = database() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
    [table],
  );
  const number = (value: number | string | null): number | null =>
    value === null ? null : Number(value);
  return rows.map((row) => ({
    name: row.name,
    dataType: row.dataType.toLowerCase(),
    columnType: String(row.columnType),
    charset: row.charset,
    collation: row.collation,
    unsigned: /\bunsigned\b/i.test(String(row.columnType)),
    precision: number(row.precision),
    scale: number(row.scale),
    datetimePrecision: number(row.datetimePrecision),
    nullable: row.isNullable === "YES",
    generated: /generated/i.test(row.extra),
    invisible: /invisible/i.test(row.extra),
    jsonChecked: false,
  }));
}

/** A task that reads a table of the connection's database, by default whole. */
export async function makeTask(
  connection: MysqlConnection,
  table: string,
  options: TaskOptions = {},
): Promise<MysqlReadTask> {
  const all = await readColumns(connection, table);
  const { database } = connection.config;
  const columns = all.filter(
    ({ name }) => options.columns?.includes(name) ?? true,
  );
  const policy = options.policy ?? "error";
  const [count] = await connection.query<{ n: number }>(
    `SELECT count(*) AS n FROM ${quoteRelation({ schema: database, name: table })}`,
  );
  const keyColumns = (options.key ?? []).map((name) => {
    const column = all.find((candidate) => candidate.name === name);
    if (column === undefined) throw new Error(`no column ${name}`);
    return {
      name,
      type: keyType(column),
      exact: rangeUse(column) === "exact",
    };
  });
  const split: Split =
    options.key === undefined
      ? { kind: "whole" }
      : {
          kind: "key",
          columns: options.key,
          types: keyColumns.map(({ type }) => type),
          start: options.start ?? null,
          end: options.end ?? null,
        };
  const rows = count?.n ?? 0;
  return {
    stream: {
      schema: {
        number: 1,
        namespace: database,
        name: table,
        columns: columns.map((column) => columnSchema(column, policy)),
        fingerprint: table,
      },
      columns,
      relationKind: "table",
      leaves: [
        {
          oid: 1,
          schema: database,
          name: table,
          only: false,
          heap: false,
          fileNode: 0,
          pages: 0,
          rowEstimate: rows,
        },
      ],
      key:
        options.key === undefined
          ? null
          : {
              name: options.keyName ?? "PRIMARY",
              primary: options.keyName === undefined,
              columns: keyColumns,
            },
      allColumnNames: all.map(({ name }) => name),
    },
    partition: {
      stream: 1,
      ordinal: 0,
      relation: { schema: database, name: table, oid: 1 },
      only: false,
      split,
      estimatedRows: rows,
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
  readonly #task: MysqlReadTask;
  /** Called with each batch, before its promise settles. */
  onBatch: (batch: ColumnBatch) => void | Promise<void> = () => {};

  constructor(task: MysqlReadTask) {
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
  connection: MysqlConnection,
  task: MysqlReadTask,
  options: ReadOptions = {},
  during: (read: PartitionRead, sink: KeepingSink) => void = () => {},
): Promise<FinishedRead> {
  const sink = new KeepingSink(task);
  const read = startRead(connection, task, sink, options);
  during(read, sink);
  return { sink, result: await read.done };
}
