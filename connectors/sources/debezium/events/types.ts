/**
 * How a column's values stand in Debezium's JSON under the settings that the engine is given, and how they become values
 * of the column buffers. The same value gives the same bytes here and in the readers of a snapshot; a type for which that
 * cannot be had is refused by name before anything is read.
 *
 * | type | in the event | |
 * |---|---|---|
 * | numbers, booleans, uuid, text, json | themselves | integers keep all their digits |
 * | numeric, decimal | text with all digits | `decimal.handling.mode=string` |
 * | date | days | |
 * | timestamp, datetime, datetime2 | µs from 1970, or ms, µs or ns by the digits of their seconds | `time.precision.mode=microseconds`, or `adaptive` |
 * | timestamptz, MySQL's timestamp, datetimeoffset | ISO 8601 with a zone | |
 * | time | Postgres: the server's text; SQL Server: ms, µs or ns; MySQL: µs, which become its text | |
 * | bytea, binary, blob | base64 | `binary.handling.mode=bytes`, the one mode that tells an unchanged value from NULL |
 * | bit(n) of MySQL | base64, the lowest byte first | |
 * | bigint unsigned | a number, or its two's complement | |
 * | interval | ISO 8601 with all its parts | `interval.handling.mode=string` |
 * | geometry of MySQL | an object with WKB in base64 | |
 * | year of MySQL | a number | 1900, which is none of its years, stands for the year 0 |
 * | json of MySQL | text without blanks | written as the server prints it, but for its numbers beyond 64 bits and values that JSON has no form of |
 * | arrays, bit strings, ranges, geometric and all other types of Postgres | the server's text | by the engine's converter: Debezium's own forms lose dimensions, NaN and lengths |
 */
import type { ColumnSchema, LogicalKind } from "../../../../proto/schema.ts";
import { geometryTypes } from "../../batches/geometry-types.ts";

/** `connect`: columns are those of a schema that came with the events, and `sourceType` is its type and name. */
export type ChangeConnector =
  | "postgresql"
  | "mysql"
  | "mariadb"
  | "sqlserver"
  | "connect";

/** How one value is read. */
export type ValueKind =
  | "boolean"
  | "int16"
  | "int32"
  | "int64"
  | "uint64"
  | "bits" // base64, the lowest byte first, or a boolean, into a uint64
  | "float32"
  | "float64"
  | "decimal64"
  | "decimal128"
  | "decimalText"
  | "decimalBytes" // base64 of two's complement, the highest byte first
  | "date"
  | "time" // text of a time of day, or a number
  | "timestamp" // a number, or ISO 8601
  | "timestamptz" // ISO 8601
  | "uuid"
  | "text"
  | "interval"
  | "geometric" // text with numbers as Java prints them
  | "duration" // µs into the text of MySQL's time
  | "mysqlYear" // a number, in which 1900 stands for the year 0
  | "mysqlJson"
  | "array" // text of a Postgres array into JSON
  | "vector" // oidvector, int2vector
  | "binary" // base64
  | "geometry"; // an object with WKB

export interface ValueType {
  readonly kind: ValueKind;
  /** Digits of a number that are a second: 0 where it counts none. */
  readonly unitsPerSecond: number;
  /** Of `duration`: digits behind the second. */
  readonly scale: number;
  /** Of `array` and `vector`: how elements are printed. */
  readonly element: ElementKind;
}

/** How Postgres's `to_json` prints an element. */
export type ElementKind =
  | "number"
  | "boolean"
  | "timestamp"
  | "timestamptz"
  | "json"
  | "text";

const MS = 1_000;
const US = 1_000_000;
const NS = 1_000_000_000;

/** Types whose values are numbers to `to_json`: it quotes those that are none in JSON. */
const numberElements: ReadonlySet<string> = new Set([
  "smallint",
  "integer",
  "bigint",
  "real",
  "double precision",
  "numeric",
]);

const geometricTypes: ReadonlySet<string> = new Set([
  "point",
  "line",
  "lseg",
  "box",
  "path",
  "polygon",
  "circle",
]);

/**
 * How the column's values come.
 * @param declared its type under its domains; `record` for a composite one, and `[]` behind it for an array; `cast[]` for
 *   an array of a type that the server casts to JSON (hstore)
 * @returns the reason, where the log cannot give what the table holds
 */
export function resolveValue(
  {
    connector,
    timePrecision,
  }: {
    readonly connector: ChangeConnector;
    readonly timePrecision: "microseconds" | "adaptive";
  },
  column: ColumnSchema,
  declared: string,
): ValueType | string {
  const type = declared.toLowerCase();
  switch (connector) {
    case "postgresql":
      return resolvePostgres(column.type.kind, type);
    case "mysql":
    case "mariadb":
      return resolveMysql(
        connector,
        column.type.kind,
        type,
        timePrecision === "adaptive",
      );
    case "sqlserver":
      return resolveMssql(column.type.kind, type, timePrecision === "adaptive");
    case "connect":
      return resolveConnect(column.type.kind, declared);
  }
}

/** By the type that a schema of Kafka Connect has, and by its name. */
function resolveConnect(
  logical: LogicalKind,
  declared: string,
): ValueType | string {
  const [type = "", name = ""] = declared.split(" ");
  if (type === "struct" || type === "array" || type === "map") {
    return name === "" ||
      !/[.]geometry[.](Point|Geometry|Geography)$/.test(name)
      ? `values of the type ${declared} are no single ones`
      : plain("geometry");
  }
  if (name === "org.apache.kafka.connect.data.Decimal")
    return plain("decimalBytes");
  const units = /[.]Nano[A-Z]/.test(name)
    ? NS
    : /[.]Micro[A-Z]/.test(name)
      ? US
      : MS;
  return resolveLogical(logical, units);
}

function resolvePostgres(
  logical: LogicalKind,
  type: string,
): ValueType | string {
  if (type === "record" || type === "record[]") {
    return "the log has composite values as text without the names of their parts";
  }
  if (/^time(\(\d\))? with time zone(\[\])?$/.test(type)) {
    return "Debezium moves a time with time zone to UTC and drops its zone";
  }
  if (type === "cast[]") {
    return "the server makes JSON of this array's elements by a cast of their type, and the log has their text";
  }
  if (/^money(\[\])?$/.test(type)) {
    return "the log has money without the server's currency format";
  }
  if (logical === "json") {
    if (type === "json" || type === "jsonb") return plain("text");
    if (type === "oidvector") return { ...plain("vector"), element: "text" };
    if (type === "int2vector") return { ...plain("vector"), element: "number" };
    if (!type.endsWith("[]")) return resolvePostgres("json", "record");
    const element = elementKind(type.slice(0, -2));
    return element === null
      ? "the log has the intervals of an array in another style than the table"
      : { ...plain("array"), element };
  }
  if (logical === "text") {
    if (/^interval\b/.test(type)) return plain("interval");
    return plain(geometricTypes.has(type) ? "geometric" : "text");
  }
  return resolveLogical(logical, US);
}

function elementKind(type: string): ElementKind | null {
  const base = type.replace(/\(.*?\)/, "");
  if (numberElements.has(base)) return "number";
  if (base === "boolean") return "boolean";
  if (base === "json" || base === "jsonb") return "json";
  if (base.startsWith("interval")) return null;
  if (base === "timestamp without time zone") return "timestamp";
  return base === "timestamp with time zone" ? "timestamptz" : "text";
}

function resolveMysql(
  connector: "mysql" | "mariadb",
  logical: LogicalKind,
  type: string,
  isAdaptive: boolean,
): ValueType | string {
  const name = /^[a-z]+/.exec(type)?.[0] ?? "";
  const scale = fractionDigits(type);
  if (name === "bit") return plain(logical === "boolean" ? "boolean" : "bits");
  if (name === "time") return { ...plain("duration"), scale };
  if (name === "year") return plain("mysqlYear");
  if (connector === "mariadb" && /^(uuid|inet[46])$/.test(type)) {
    return "Debezium 3.5 takes the bytes of this type of MariaDB for others";
  }
  if (name === "vector") return "Debezium gives vectors as lists of numbers";
  if (logical === "binary" && geometryTypes.has(name)) return plain("geometry");
  if (logical === "json" && connector === "mysql") return plain("mysqlJson");
  return resolveLogical(logical, isAdaptive && scale <= 3 ? MS : US);
}

function resolveMssql(
  logical: LogicalKind,
  type: string,
  isAdaptive: boolean,
): ValueType | string {
  if (/^(sql_variant|hierarchyid|geometry|geography)\b/.test(type)) {
    return "Debezium does not give values of this type as the server holds them";
  }
  if (type.startsWith("datetimeoffset")) return plain("timestamptz");
  const isWhole = type === "smalldatetime" || type === "datetime";
  const scale = isWhole ? 3 : type.includes("(") ? fractionDigits(type) : 7;
  if (!isAdaptive) {
    return scale > 6 && (logical === "timestampNs" || logical === "timeNs")
      ? "times in µs lose the seventh digit of a second"
      : resolveLogical(logical, US);
  }
  return resolveLogical(logical, scale <= 3 ? MS : scale <= 6 ? US : NS);
}

function resolveLogical(
  logical: LogicalKind,
  unitsPerSecond: number,
): ValueType {
  switch (logical) {
    case "time":
    case "timeNs":
      return { ...plain("time"), unitsPerSecond };
    case "timestamp":
    case "timestampNs":
      return { ...plain("timestamp"), unitsPerSecond };
    case "json":
      return plain("text");
    default:
      return plain(logical);
  }
}

/** The digits in the parentheses of a type, e.g. `datetime(6)`; 0 without them. */
function fractionDigits(type: string): number {
  return Number(/\((\d+)\)/.exec(type)?.[1] ?? 0);
}

function plain(kind: ValueKind): ValueType {
  return { kind, unitsPerSecond: 0, scale: 0, element: "text" };
}
