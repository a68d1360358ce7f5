/** Reads files with DuckDB: a reader that shares no code with what wrote them. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBTimeNSValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  type DuckDBConnection,
  type DuckDBValue,
} from "@duckdb/node-api";
import { formatDecimal } from "../../../connectors/formats/text/digits.ts";
import type { TestRow, TestValue } from "../../fixtures/batches.ts";

let connection: Promise<DuckDBConnection> | undefined;

/** Rows as arrays of DuckDB's values. */
export async function queryDuckDb(sql: string): Promise<DuckDBValue[][]> {
  connection ??= DuckDBInstance.create().then((instance) => instance.connect());
  const reader = await (await connection).runAndReadAll(sql);
  return reader.getRows();
}

/** One value of a query that gives one. */
export async function queryOne(sql: string): Promise<unknown> {
  const [row] = await queryDuckDb(sql);
  return toTestValue(row![0]!);
}

/** All rows of a file, or of another table function, in the notation of `fixtures/batches.ts`. */
export async function readByDuckDb(from: string): Promise<TestRow[]> {
  const rows = await queryDuckDb(`FROM ${from}`);
  return rows.map((row) => row.map(toTestValue));
}

function toTestValue(value: DuckDBValue): TestValue {
  if (value instanceof DuckDBDecimalValue)
    return formatDecimal(value.value, value.scale);
  if (value instanceof DuckDBDateValue) return value.days;
  if (value instanceof DuckDBTimeValue) return value.micros;
  if (
    value instanceof DuckDBTimestampValue ||
    value instanceof DuckDBTimestampTZValue
  )
    return value.micros;
  if (
    value instanceof DuckDBTimestampNanosecondsValue ||
    value instanceof DuckDBTimeNSValue
  )
    return value.nanos;
  if (value instanceof DuckDBUUIDValue) return value.toString();
  if (value instanceof DuckDBBlobValue) return new Uint8Array(value.bytes);
  return value as TestValue;
}
