/** What COLMETADATA says of a column, as the decoder takes it, checked against what discovery found. */
import { ExtractError } from "../../../../proto/error.ts";
import type { LogicalKind } from "../../../../proto/schema.ts";
import type { FieldPlan, WireColumn } from "./plan.ts";
import { timeBytes } from "./values.ts";

/** A column of COLMETADATA; `typeId` is the byte of MS-TDS 2.2.5.4. */
export interface DescribedColumn {
  readonly typeId: number;
  readonly dataLength: number | undefined;
  readonly precision: number | undefined;
  readonly scale: number | undefined;
}

/** What the SELECT asked for. */
export interface WantedField {
  readonly name: string;
  readonly logical: LogicalKind;
  readonly nullable: boolean;
  readonly precision: number;
  readonly scale: number;
  /** Of `char` and `varchar` bytes that are not UTF-8; 65001 for UTF-8; else 0. */
  readonly codePage: number;
}

const UTF8_CODE_PAGE = 65_001;
/** The length of a type that may be larger than a page. */
const MAX_LENGTH = 0xffff;

/**
 * The fields as they come.
 * @throws ExtractError SOURCE_SCHEMA_CHANGED where a column is of another type than discovered
 */
export function matchColumns(
  table: string,
  wanted: readonly WantedField[],
  described: readonly DescribedColumn[],
): FieldPlan[] {
  return wanted.map((field, i) => {
    const column = described[i];
    const wire =
      column === undefined || described.length !== wanted.length
        ? null
        : describeWire(column, field);
    if (wire !== null && fits(field, column, wire))
      return { ...field, ...wire };
    const found =
      column === undefined
        ? "none"
        : `0x${column.typeId.toString(16).padStart(2, "0")}`;
    throw new ExtractError(
      "SOURCE_SCHEMA_CHANGED",
      `${table}.${field.name} came as type ${found} (precision ${column?.precision ?? 0}, scale ${column?.scale ?? 0}), not ${field.logical} as discovered`,
      { table, column: field.name },
    );
  });
}

/** Null for a type that rows cannot have here. @see MS-TDS 2.2.5.4 */
function describeWire(
  { typeId, dataLength = 0, scale = 0 }: DescribedColumn,
  field: WantedField,
): WireColumn | null {
  const wire = (
    framing: WireColumn["framing"],
    kind: WireColumn["kind"],
    bytes: number,
  ): WireColumn => ({ framing, kind, bytes, scale });
  const text = field.codePage === UTF8_CODE_PAGE ? "bytes" : "codePage";
  const variable = (kind: WireColumn["kind"]): WireColumn =>
    dataLength === MAX_LENGTH
      ? wire("plp", kind, 0)
      : wire("short", kind, dataLength);
  switch (typeId) {
    case 0x30:
      return wire("none", "int8", 1);
    case 0x32:
      return wire("none", "bool", 1);
    case 0x34:
      return wire("none", "int16", 2);
    case 0x38:
    case 0x3b:
      return wire("none", "bits32", 4);
    case 0x3a:
      return wire("none", "smalldatetime", 4);
    case 0x3c:
      return wire("none", "money64", 8);
    case 0x3d:
      return wire("none", "datetime", 8);
    case 0x3e:
    case 0x7f:
      return wire("none", "bits64", 8);
    case 0x7a:
      return wire("none", "money32", 4);
    case 0x24:
      return wire("byte", "guid", 16);
    case 0x26: {
      const kind = integerKinds[dataLength];
      return kind === undefined ? null : wire("byte", kind, dataLength);
    }
    case 0x68:
      return wire("byte", "bool", 1);
    case 0x6a:
    case 0x6c:
      return wire("byte", "decimal", dataLength);
    case 0x6d:
      return wire("byte", dataLength === 4 ? "bits32" : "bits64", dataLength);
    case 0x6e:
      return wire("byte", dataLength === 4 ? "money32" : "money64", dataLength);
    case 0x6f:
      return wire(
        "byte",
        dataLength === 4 ? "smalldatetime" : "datetime",
        dataLength,
      );
    case 0x28:
      return wire("byte", "date", 3);
    case 0x29:
      return wire("byte", "time", timeBytes(scale));
    case 0x2a:
      return wire("byte", "datetime2", timeBytes(scale) + 3);
    case 0x2b:
      return wire("byte", "datetime2", timeBytes(scale) + 5);
    case 0xa5:
    case 0xad:
      return variable("bytes");
    case 0xa7:
    case 0xaf:
      return variable(text);
    case 0xe7:
    case 0xef:
      return variable("utf16");
    case 0xf1:
      return wire("plp", "utf16", 0);
    case 0xf0:
      return wire("plp", "bytes", 0);
    case 0x22:
      return wire("pointer", "bytes", 0);
    case 0x23:
      return wire("pointer", text, 0);
    case 0x63:
      return wire("pointer", "utf16", 0);
    case 0x62:
      return wire("long", "variant", 0);
    default:
      return null;
  }
}

const integerKinds: Readonly<Record<number, WireColumn["kind"]>> = {
  1: "int8",
  2: "int16",
  4: "bits32",
  8: "bits64",
};

const floatTypes: ReadonlySet<number> = new Set([0x3b, 0x3e, 0x6d]);
const textTypes: ReadonlySet<number> = new Set([
  0xa7, 0xaf, 0xe7, 0xef, 0xf1, 0x23, 0x63, 0x62,
]);

/** Whether a column of this kind becomes the logical type that was told at discovery. */
function fits(
  field: WantedField,
  column: DescribedColumn | undefined,
  { kind, scale, bytes }: WireColumn,
): boolean {
  const typeId = column?.typeId ?? 0;
  const isFloat = floatTypes.has(typeId);
  switch (field.logical) {
    case "boolean":
      return kind === "bool";
    case "int16":
      return kind === "int8" || kind === "int16";
    case "int32":
      return kind === "bits32" && !isFloat;
    case "int64":
      return kind === "bits64" && !isFloat;
    case "float32":
      return kind === "bits32" && isFloat;
    case "float64":
      return kind === "bits64" && isFloat;
    case "decimal64":
      return (
        (kind === "money32" && field.precision === 10) ||
        (kind === "decimal" && isSameDecimal(field, column))
      );
    case "decimal128":
      return (
        (kind === "money64" && field.precision === 19) ||
        (kind === "decimal" && isSameDecimal(field, column))
      );
    case "date":
      return kind === "date";
    case "time":
      return kind === "time" && scale <= 6;
    case "timeNs":
      return kind === "time" && scale === 7;
    case "timestamp":
      return (
        kind === "datetime" ||
        kind === "smalldatetime" ||
        (kind === "datetime2" && typeId === 0x2a && scale <= 6)
      );
    case "timestamptz":
      return typeId === 0x2b && scale <= 6;
    case "timestampNs":
      return kind === "datetime2" && scale === 7;
    case "uuid":
      return kind === "guid";
    case "text":
    case "json":
      // a code page is of single bytes: of columns of text it was told, of others there is none
      return (
        textTypes.has(typeId) && (kind !== "codePage" || field.codePage > 0)
      );
    case "binary":
      return kind === "bytes" && !textTypes.has(typeId) && bytes >= 0;
    case "uint64":
    case "decimalText":
      return false;
  }
}

function isSameDecimal(
  field: WantedField,
  column: DescribedColumn | undefined,
): boolean {
  return (
    column?.precision === field.precision && (column.scale ?? 0) === field.scale
  );
}
