/**
 * The data types, with what the catalogue says of each.
 * @see SQL Server docs, "Data types (Transact-SQL)", "Data type precedence", "sys.types", "sys.columns"
 */
import {
  DEFAULT_COLLATION,
  findCollation,
  type Collation,
} from "./collations.ts";
import { SqlError } from "./storage.ts";

/** Numbers of `sys.types`, from the highest precedence to the lowest. */
const systemTypeIds = {
  udt: 240,
  sql_variant: 98,
  xml: 241,
  datetimeoffset: 43,
  datetime2: 42,
  datetime: 61,
  smalldatetime: 58,
  date: 40,
  time: 41,
  float: 62,
  real: 59,
  decimal: 106,
  numeric: 108,
  money: 60,
  smallmoney: 122,
  bigint: 127,
  int: 56,
  smallint: 52,
  tinyint: 48,
  bit: 104,
  ntext: 99,
  text: 35,
  image: 34,
  rowversion: 189,
  uniqueidentifier: 36,
  nvarchar: 231,
  nchar: 239,
  varchar: 167,
  char: 175,
  varbinary: 165,
  binary: 173,
} as const;

export type Kind = keyof typeof systemTypeIds;

const kinds = Object.keys(systemTypeIds) as Kind[];
const precedence = new Map(kinds.map((kind, i) => [kind, i]));

/** Types of the common language runtime: numbers of their own in `sys.types`. */
const udtIds: Record<string, number> = {
  hierarchyid: 128,
  geometry: 129,
  geography: 130,
};

export interface SqlType {
  readonly kind: Kind;
  /** Characters or bytes, as declared; -1 for max. 0 where it has no meaning. */
  readonly length: number;
  readonly precision: number;
  readonly scale: number;
  /** Of the types of characters. */
  readonly collation: Collation | null;
  /** The name of a type of the common language runtime, or `sysname`. */
  readonly alias: string | null;
}

const wide = new Set<Kind>(["nchar", "nvarchar", "ntext"]);
const characters = new Set<Kind>([
  ...["char", "varchar", "text", "nchar", "nvarchar", "ntext"],
] as Kind[]);
const binaries = new Set<Kind>([
  ...["binary", "varbinary", "image", "rowversion"],
] as Kind[]);
const integers = new Set<Kind>([
  ...["bigint", "int", "smallint", "tinyint", "bit"],
] as Kind[]);
const temporals = new Set<Kind>([
  ...["datetimeoffset", "datetime2", "datetime", "smalldatetime", "date"],
  "time",
] as Kind[]);

export const isWide = (type: SqlType) => wide.has(type.kind);
export const isCharacter = (type: SqlType) => characters.has(type.kind);
export const isBinary = (type: SqlType) => binaries.has(type.kind);
export const isInteger = (type: SqlType) => integers.has(type.kind);
export const isTemporal = (type: SqlType) => temporals.has(type.kind);
export const isDecimal = (type: SqlType) =>
  type.kind === "decimal" || type.kind === "numeric";
export const isMoney = (type: SqlType) =>
  type.kind === "money" || type.kind === "smallmoney";
export const isFloat = (type: SqlType) =>
  type.kind === "float" || type.kind === "real";

const known = new Map<string, SqlType>();

/** The same object for the same type, so that types can be compared by identity. */
function intern(type: SqlType): SqlType {
  const key = `${type.kind} ${type.length} ${type.precision} ${type.scale} ${type.collation?.name} ${type.alias}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  known.set(key, type);
  return type;
}

export function makeType(
  kind: Kind,
  given: Partial<Omit<SqlType, "kind">> = {},
): SqlType {
  return intern({
    kind,
    length: given.length ?? 0,
    precision: given.precision ?? 0,
    scale: given.scale ?? 0,
    collation:
      given.collation ??
      (characters.has(kind) ? findCollation(DEFAULT_COLLATION) : null),
    alias: given.alias ?? null,
  });
}

/** Names that mean another. */
const synonyms: Record<string, Kind> = {
  integer: "int",
  dec: "decimal",
  timestamp: "rowversion",
  character: "char",
  "char varying": "varchar",
  "national char": "nchar",
  "binary varying": "varbinary",
};

/**
 * A type by its name and what stands in brackets (`max` is -1).
 * @param defaultLength 1 in a declaration, 30 in CAST and CONVERT
 * @throws SqlError 2715 for an unknown name
 */
export function declareType(
  name: string,
  args: readonly number[],
  collation: Collation | null = null,
  defaultLength = 1,
): SqlType {
  const lower = name.toLowerCase();
  const [first, second] = args;
  if (lower === "sysname")
    return makeType("nvarchar", { length: 128, alias: "sysname", collation });
  if (lower in udtIds) return makeType("udt", { length: -1, alias: lower });
  const kind = synonyms[lower] ?? (lower as Kind);
  if (!precedence.has(kind))
    throw new SqlError(2715, `Cannot find data type ${name}.`, 16, 6);
  if (isDecimal(makeType(kind)))
    return makeType(kind, { precision: first ?? 18, scale: second ?? 0 });
  if (kind === "float") return makeType((first ?? 53) <= 24 ? "real" : "float");
  if (kind === "time" || kind === "datetime2" || kind === "datetimeoffset")
    return makeType(kind, { scale: first ?? 7 });
  if (kind === "rowversion") return makeType(kind, { length: 8 });
  if (
    ["char", "varchar", "nchar", "nvarchar", "binary", "varbinary"].includes(
      kind,
    )
  )
    return makeType(kind, { length: first ?? defaultLength, collation });
  if (characters.has(kind)) return makeType(kind, { collation });
  return makeType(kind);
}

/** `nvarchar(40)`, as one declares it. */
export function formatType(type: SqlType): string {
  if (type.alias !== null) return type.alias;
  if (isDecimal(type)) return `${type.kind}(${type.precision},${type.scale})`;
  if (["time", "datetime2", "datetimeoffset"].includes(type.kind))
    return `${type.kind}(${type.scale})`;
  if (type.kind === "rowversion") return "timestamp";
  if (type.length !== 0)
    return `${type.kind}(${type.length === -1 ? "max" : type.length})`;
  return type.kind;
}

/** `nvarchar`, as `sys.types` has it. */
export function formatTypeName(type: SqlType): string {
  return type.alias ?? (type.kind === "rowversion" ? "timestamp" : type.kind);
}

const numbersOfKinds: Partial<
  Record<Kind, readonly [bytes: number, precision: number, scale: number]>
> = {
  bigint: [8, 19, 0],
  int: [4, 10, 0],
  smallint: [2, 5, 0],
  tinyint: [1, 3, 0],
  bit: [1, 1, 0],
  money: [8, 19, 4],
  smallmoney: [4, 10, 4],
  float: [8, 53, 0],
  real: [4, 24, 0],
  date: [3, 10, 0],
  datetime: [8, 23, 3],
  smalldatetime: [4, 16, 0],
  text: [16, 0, 0],
  ntext: [16, 0, 0],
  image: [16, 0, 0],
  uniqueidentifier: [16, 0, 0],
  xml: [-1, 0, 0],
  rowversion: [8, 0, 0],
  sql_variant: [8016, 0, 0],
  udt: [-1, 0, 0],
};

/** Bytes of a decimal's magnitude. */
export function countDecimalBytes(precision: number): 4 | 8 | 12 | 16 {
  return precision <= 9 ? 4 : precision <= 19 ? 8 : precision <= 28 ? 12 : 16;
}

/** Bytes of a time of day. */
export function countTimeBytes(scale: number): 3 | 4 | 5 {
  return scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
}

/** What `sys.columns` and `sys.types` say. */
export function describeType(type: SqlType): {
  systemTypeId: number;
  userTypeId: number;
  maxLength: number;
  precision: number;
  scale: number;
} {
  const systemTypeId = systemTypeIds[type.kind];
  const userTypeId =
    type.alias === "sysname" ? 256 : (udtIds[type.alias ?? ""] ?? systemTypeId);
  const [bytes, precision, scale] = measure(type);
  return { systemTypeId, userTypeId, maxLength: bytes, precision, scale };
}

function measure(type: SqlType): readonly [number, number, number] {
  const fixed = numbersOfKinds[type.kind];
  if (fixed !== undefined) return fixed;
  const fraction = type.scale === 0 ? 0 : type.scale + 1;
  switch (type.kind) {
    case "decimal":
    case "numeric":
      return [
        countDecimalBytes(type.precision) + 1,
        type.precision,
        type.scale,
      ];
    case "time":
      return [countTimeBytes(type.scale), 8 + fraction, type.scale];
    case "datetime2":
      return [countTimeBytes(type.scale) + 3, 19 + fraction, type.scale];
    case "datetimeoffset":
      return [countTimeBytes(type.scale) + 5, 26 + fraction, type.scale];
    default: {
      const bytes = isWide(type) ? type.length * 2 : type.length;
      return [type.length === -1 ? -1 : bytes, 0, 0];
    }
  }
}

/** Every type that `sys.types` lists, once. */
export function listTypes(): SqlType[] {
  const longest: Partial<Record<Kind, number>> = {
    ...{ char: 8000, varchar: 8000, nchar: 4000, nvarchar: 4000 },
    ...{ binary: 8000, varbinary: 8000, rowversion: 8 },
  };
  return [
    ...kinds
      .filter((kind) => kind !== "udt")
      .map((kind) =>
        makeType(kind, {
          length: longest[kind] ?? 0,
          precision: kind === "decimal" || kind === "numeric" ? 38 : 0,
          scale: ["time", "datetime2", "datetimeoffset"].includes(kind)
            ? 7
            : kind === "decimal" || kind === "numeric"
              ? 38
              : 0,
        }),
      ),
    ...Object.keys(udtIds).map((alias) => declareType(alias, [])),
    declareType("sysname", []),
  ];
}

/** The type in which two are compared or united: the one of higher precedence, wide enough. */
export function unifyTypes(a: SqlType, b: SqlType): SqlType {
  if (a === b) return a;
  const [high, low] =
    precedence.get(a.kind)! <= precedence.get(b.kind)! ? [a, b] : [b, a];
  if (isDecimal(high)) {
    const other = describeType(low);
    const lowScale =
      isDecimal(low) || isMoney(low) || isInteger(low) ? other.scale : 0;
    const lowWhole = isFloat(low) ? 38 : other.precision - lowScale;
    const scale = Math.max(high.scale, lowScale);
    const whole = Math.max(high.precision - high.scale, lowWhole);
    return makeType("decimal", {
      precision: Math.min(38, whole + scale),
      scale,
    });
  }
  if (["time", "datetime2", "datetimeoffset"].includes(high.kind)) {
    const scale = low.kind === "datetime" ? 7 : low.scale;
    return makeType(high.kind, { scale: Math.max(high.scale, scale) });
  }
  if (isCharacter(high) && isCharacter(low) && high.length !== 0) {
    const longest =
      high.length === -1 || low.length === -1 || low.length === 0
        ? -1
        : Math.max(high.length, low.length);
    return makeType(high.kind, {
      length: longest,
      collation: high.collation,
    });
  }
  return high;
}
