/**
 * SQL Server types: the logical type each becomes, and how its values are asked for.
 *
 * | SQL Server | logical |
 * |---|---|
 * | bit | boolean |
 * | tinyint (0 to 255), smallint | int16 |
 * | int, bigint | int32, int64 |
 * | real, float(≤ 24); float | float32; float64 |
 * | decimal(p, s), numeric(p, s) | decimal64 up to 18 digits, else decimal128 |
 * | smallmoney; money | decimal64(10, 4); decimal128(19, 4) |
 * | date | date |
 * | time(≤ 6); time(7) | time; timeNs |
 * | smalldatetime, datetime, datetime2(≤ 6) | timestamp; datetime in whole ms, as the server prints it |
 * | datetime2(7) | timestampNs: 1677 to 2262, else the policy for what cannot be represented |
 * | datetimeoffset(≤ 6); datetimeoffset(7) | timestamptz; timestampNs, both in UTC |
 * | uniqueidentifier | uuid |
 * | char, varchar, text, nchar, nvarchar, ntext, sysname, xml, sql_variant | text |
 * | json | json |
 * | binary, varbinary, image, rowversion, hierarchyid, geometry, geography, CLR types | binary, as stored |
 */
import type {
  ColumnSchema,
  LogicalType,
  UnrepresentablePolicy,
} from "../../../proto/schema.ts";
import type { SourceColumn } from "./stream.ts";

export interface ResolvedColumn {
  readonly type: LogicalType;
  /** What stands in the SELECT list, from a quoted name. */
  readonly selectExpression: (quotedName: string) => string;
  /** Bytes of `char` and `varchar` values: the code page they are in; 0 for all else, 65001 for UTF-8. */
  readonly codePage: number;
}

const DECIMAL64_DIGITS_MAX = 18;
/** Digits behind the second that µs hold. */
const MICROSECOND_SCALE = 6;
const UTF8_CODE_PAGE = 65_001;

/** Code pages whose bytes are turned into UTF-8 here; values in others are asked for as nvarchar. */
const localCodePages: ReadonlySet<number> = new Set([
  874,
  1250,
  1251,
  1252,
  1253,
  1254,
  1255,
  1256,
  1257,
  1258,
  UTF8_CODE_PAGE,
]);

const plainKinds: Readonly<Record<string, LogicalType["kind"]>> = {
  bit: "boolean",
  tinyint: "int16",
  smallint: "int16",
  int: "int32",
  bigint: "int64",
  real: "float32",
  float: "float64",
  date: "date",
  smalldatetime: "timestamp",
  datetime: "timestamp",
  uniqueidentifier: "uuid",
  nchar: "text",
  nvarchar: "text",
  ntext: "text",
  xml: "text",
  sql_variant: "text",
  binary: "binary",
  varbinary: "binary",
  image: "binary",
  timestamp: "binary",
  rowversion: "binary",
  hierarchyid: "binary",
  geometry: "binary",
  geography: "binary",
};

const asIs = (quotedName: string): string => quotedName;

/** How a column travels. `baseType` is the system type under an alias type, in lower case. */
export function resolveColumn(
  column: Pick<
    SourceColumn,
    "baseType" | "maxLength" | "precision" | "scale" | "codePage" | "isClr"
  >,
): ResolvedColumn {
  const { baseType, precision, scale } = column;
  const plain = (type: LogicalType): ResolvedColumn => ({
    type,
    selectExpression: asIs,
    codePage: 0,
  });
  if (column.isClr) return plain({ kind: "binary" });
  switch (baseType) {
    case "decimal":
    case "numeric":
      return plain({
        kind: precision > DECIMAL64_DIGITS_MAX ? "decimal128" : "decimal64",
        precision,
        scale,
      });
    case "smallmoney":
      return plain({ kind: "decimal64", precision: 10, scale: 4 });
    case "money":
      return plain({ kind: "decimal128", precision: 19, scale: 4 });
    case "time":
      return plain({ kind: scale > MICROSECOND_SCALE ? "timeNs" : "time" });
    case "datetime2":
      return plain({
        kind: scale > MICROSECOND_SCALE ? "timestampNs" : "timestamp",
      });
    case "datetimeoffset":
      return plain({
        kind: scale > MICROSECOND_SCALE ? "timestampNs" : "timestamptz",
      });
    case "char":
    case "varchar":
    case "text":
      return resolveBytesOfText(column);
    case "json":
      return {
        type: { kind: "json" },
        selectExpression: castTo("nvarchar(max)"),
        codePage: 0,
      };
    default: {
      const kind = plainKinds[baseType];
      if (kind !== undefined) return plain({ kind });
      // a type of a later version: its text is what every version can print
      return {
        type: { kind: "text" },
        selectExpression: castTo("nvarchar(max)"),
        codePage: 0,
      };
    }
  }
}

/** Bytes of a code page that is known here come as they are; of others the server makes UTF-16. */
function resolveBytesOfText({
  baseType,
  maxLength,
  codePage,
}: Pick<SourceColumn, "baseType" | "maxLength" | "codePage">): ResolvedColumn {
  const type: LogicalType = { kind: "text" };
  if (codePage !== null && localCodePages.has(codePage)) {
    return { type, selectExpression: asIs, codePage };
  }
  const isShort = baseType !== "text" && maxLength > 0 && maxLength <= 4_000;
  return {
    type,
    selectExpression: castTo(
      isShort ? `nvarchar(${maxLength})` : "nvarchar(max)",
    ),
    codePage: 0,
  };
}

function castTo(type: string): (quotedName: string) => string {
  return (quotedName) => `CAST(${quotedName} AS ${type})`;
}

/** The column as every other part of the system sees it. */
export function columnSchema(
  column: SourceColumn,
  policy: UnrepresentablePolicy = "error",
): ColumnSchema {
  const { type } = resolveColumn(column);
  const mayBeNulled = policy === "null" && hasUnrepresentableValues(type.kind);
  return {
    name: column.name,
    type,
    nullable: column.nullable || mayBeNulled,
    sourceType: column.declaredType,
  };
}

/** Years before 1678 and after 2261, and text that is not well-formed. */
function hasUnrepresentableValues(kind: LogicalType["kind"]): boolean {
  return kind === "timestampNs" || kind === "text" || kind === "json";
}

/** What a type is called in DDL, e.g. `nvarchar(20)`, `decimal(18,4)`, `datetime2(3)`. */
export function formatType(
  type: Pick<SourceColumn, "maxLength" | "precision" | "scale"> & {
    readonly typeName: string;
    readonly baseType: string;
  },
): string {
  const { typeName, baseType, maxLength, precision, scale } = type;
  switch (baseType) {
    case "char":
    case "varchar":
    case "binary":
    case "varbinary":
      return `${typeName}(${maxLength < 0 ? "max" : maxLength})`;
    case "nchar":
    case "nvarchar":
      return typeName === "sysname"
        ? typeName
        : `${typeName}(${maxLength < 0 ? "max" : maxLength / 2})`;
    case "decimal":
    case "numeric":
      return `${typeName}(${precision},${scale})`;
    case "time":
    case "datetime2":
    case "datetimeoffset":
      return `${typeName}(${scale})`;
    default:
      return typeName;
  }
}

/** Types whose values have a text that finds them again, and an order. Floats are compared, but their text is not exact. */
const exactKeyTypes: ReadonlySet<string> = new Set([
  "bit",
  "tinyint",
  "smallint",
  "int",
  "bigint",
  "decimal",
  "numeric",
  "smallmoney",
  "money",
  "date",
  "time",
  "smalldatetime",
  "datetime",
  "datetime2",
  "datetimeoffset",
  "uniqueidentifier",
  "char",
  "varchar",
  "nchar",
  "nvarchar",
  "binary",
  "varbinary",
  "timestamp",
  "rowversion",
]);

export type KeyTypeUse = "exact" | "inexact" | "unusable";

/** Whether ranges can be cut on a column, and positions inside of them be kept. */
export function classifyKeyType(
  column: Pick<SourceColumn, "baseType" | "maxLength" | "isClr">,
): KeyTypeUse {
  if (column.isClr || column.maxLength < 0) return "unusable";
  if (column.baseType === "float" || column.baseType === "real") {
    return "inexact";
  }
  return exactKeyTypes.has(column.baseType) ? "exact" : "unusable";
}

/**
 * A key column's type as SQL with which its text goes back: the declared system type, with its collation where it has
 * one, since text converted under another collation may lose characters or be ordered otherwise.
 */
export function keyType(
  column: Pick<
    SourceColumn,
    "baseType" | "maxLength" | "precision" | "scale" | "collation"
  >,
): string {
  const { baseType, collation } = column;
  if (baseType === "timestamp" || baseType === "rowversion") return "binary(8)";
  const type = formatType({ ...column, typeName: baseType });
  return collation === null ? type : `${type} COLLATE ${collation}`;
}

/** A key's value as the text that `textToKey` takes. `expression` is a column or a value of the type. */
export function keyToText(expression: string, type: string): string {
  const base = baseName(type);
  if (base === "binary" || base === "varbinary") {
    return `CONVERT(nvarchar(4000), CONVERT(varbinary(1700), ${expression}), 1)`;
  }
  if (isText(base)) return `CONVERT(nvarchar(4000), ${expression})`;
  const style = textStyle(base);
  return style === null
    ? `CONVERT(nvarchar(60), ${expression})`
    : `CONVERT(nvarchar(60), ${expression}, ${style})`;
}

/** SQL of the value that a key's text stands for; `parameter` is nvarchar. */
export function textToKey(parameter: string, type: string): string {
  const [declared = type, collation] = type.split(" COLLATE ");
  const base = baseName(type);
  if (base === "binary" || base === "varbinary") {
    return `CONVERT(${declared}, ${parameter}, 1)`;
  }
  if (collation !== undefined) {
    return `CONVERT(${declared}, ${parameter} COLLATE ${collation})`;
  }
  const style = textStyle(base);
  // styles of numbers are for the way to text
  return style === null ||
    base === "money" ||
    base === "smallmoney" ||
    isFloat(base)
    ? `CONVERT(${declared}, ${parameter})`
    : `CONVERT(${declared}, ${parameter}, ${style})`;
}

/**
 * The style in which a type's text is exact.
 * @see SQL Server documentation, "CAST and CONVERT (Transact-SQL)": date and time styles 23 and 121, money style 2,
 * float style 3, binary style 1
 */
function textStyle(base: string): number | null {
  switch (base) {
    case "date":
      return 23;
    case "time":
    case "smalldatetime":
    case "datetime":
    case "datetime2":
    case "datetimeoffset":
      return 121;
    case "money":
    case "smallmoney":
      return 2;
    case "float":
    case "real":
      return 3;
    default:
      return null;
  }
}

function baseName(type: string): string {
  return /^[a-z0-9_]+/i.exec(type)?.[0].toLowerCase() ?? type;
}

function isText(base: string): boolean {
  return ["char", "varchar", "nchar", "nvarchar"].includes(base);
}

function isFloat(base: string): boolean {
  return base === "float" || base === "real";
}
