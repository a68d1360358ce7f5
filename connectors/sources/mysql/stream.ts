/** A stream as this source discovers and reads it. */
import type { DiscoveredStream, Discovery, ReadTask } from "../source.ts";

/** A column as `information_schema.COLUMNS` describes it; names of its columns in capitals. */
export interface MysqlColumn {
  readonly name: string;
  /** DATA_TYPE in lower case, e.g. `int`, `varchar`. */
  readonly dataType: string;
  /** COLUMN_TYPE, e.g. `int(10) unsigned`, `enum('a','b')`. */
  readonly columnType: string;
  /** CHARACTER_SET_NAME and COLLATION_NAME; null for what has none. */
  readonly charset: string | null;
  readonly collation: string | null;
  readonly unsigned: boolean;
  /** NUMERIC_PRECISION and NUMERIC_SCALE: digits of a decimal, bits of a bit; null elsewhere. */
  readonly precision: number | null;
  readonly scale: number | null;
  /** DATETIME_PRECISION: digits of a second, 0 to 6, of datetime, timestamp and time; null elsewhere. */
  readonly datetimePrecision: number | null;
  readonly nullable: boolean;
  readonly generated: boolean;
  readonly invisible: boolean;
  /** MariaDB: JSON is a longtext whose CHECK is json_valid() of the column alone. */
  readonly jsonChecked: boolean;
}

export interface MysqlStream extends DiscoveredStream {
  readonly columns: readonly MysqlColumn[];
}

export interface MysqlDiscovery extends Discovery {
  readonly streams: readonly MysqlStream[];
}

export type MysqlReadTask = ReadTask<MysqlStream>;
