/** How the rows of a shape become columns: chosen once for a shape and a table, followed for every row. */
import type { ChangeColumn } from "./columns.ts";
import { fieldType, type Shape, type ShapeField } from "./batch-shapes.ts";
import { lacksKey, ShapeChange } from "./images.ts";

/**
 * What is done with a field's value. Where its bytes are the column's, or are known to be within its bounds, they are
 * copied; all else is converted by the rules of JSON's values.
 */
export const step = {
  /** It is of no column that is wanted. */
  skip: 0,
  convert: 1,
  /** `convert`, of a text. */
  convertText: 2,
  copyText: 3,
  copyBytes: 4,
  int32: 5,
  int16: 6,
  /** 32 bits into 64. */
  widen: 7,
  int64: 8,
  timestamp: 9,
  date: 10,
  boolean: 11,
  /** 0 and 1 into a boolean. */
  bit: 12,
  float32: 13,
  float64: 14,
} as const;

type Step = (typeof step)[keyof typeof step];

export interface FieldPlan {
  readonly field: ShapeField;
  readonly firstByte: number;
  readonly secondByte: number;
  readonly step: Step;
  /** Null: it is skipped. */
  readonly column: ChangeColumn | null;
  /** Of what is copied: what stands for a value that the log does not hold; null: it holds every value. */
  readonly placeholder: Uint8Array | null;
}

/** Rows of one message, for all of the table's columns or for those of its key. */
export interface RowPlan {
  readonly fields: readonly FieldPlan[];
  /** Columns that are NULL in each of these rows. */
  readonly nulls: readonly ChangeColumn[];
  /** Why no such row can be written; null: it can. */
  readonly makeFault: (() => Error) | null;
}

export interface ShapePlan {
  readonly row: RowPlan;
  /** The key's columns of a whole row, and of a row of the shape's key. */
  readonly keyOfRow: RowPlan;
  readonly keyOfKey: RowPlan;
  /** Indexes of the key's columns among the fields, in key order; -1 of one that is not there. */
  readonly keyInRow: readonly number[];
  readonly keyInKey: readonly number[];
}

export interface PlannedTable {
  readonly columns: readonly ChangeColumn[];
  readonly key: readonly ChangeColumn[];
  readonly leftOut: ReadonlySet<string>;
  /** Of MySQL and MariaDB, whose booleans are numbers. */
  readonly isBinlog: boolean;
}

export function planShape(shape: Shape, table: PlannedTable): ShapePlan {
  const indexesIn = (fields: readonly ShapeField[]): number[] =>
    table.key.map(({ name }) =>
      fields.findIndex((field) => field.name === name),
    );
  return {
    row: planRow(shape.row, table),
    keyOfRow: planKey(shape.row, table),
    keyOfKey: planKey(shape.key, table),
    keyInRow: indexesIn(shape.row),
    keyInKey: indexesIn(shape.key),
  };
}

function planRow(fields: readonly ShapeField[], table: PlannedTable): RowPlan {
  const { columns, leftOut } = table;
  const added = fields.find(
    ({ name }) => !hasName(columns, name) && !leftOut.has(name),
  );
  const missing = columns.find(({ name }) => !hasName(fields, name));
  return {
    fields: planFields(fields, columns, table),
    nulls: [],
    makeFault:
      added !== undefined
        ? () => new ShapeChange(added.name, "added")
        : missing !== undefined
          ? () => new ShapeChange(missing.name, "missing")
          : null,
  };
}

function planKey(fields: readonly ShapeField[], table: PlannedTable): RowPlan {
  const { columns, key } = table;
  const missing = key.find(({ name }) => !hasName(fields, name));
  return {
    fields: planFields(fields, key, table),
    nulls: columns.filter(({ isKey }) => !isKey),
    makeFault: missing === undefined ? null : () => lacksKey(missing.name),
  };
}

function hasName(
  named: readonly { readonly name: string }[],
  name: string,
): boolean {
  return named.some((one) => one.name === name);
}

function planFields(
  fields: readonly ShapeField[],
  columns: readonly ChangeColumn[],
  { isBinlog }: PlannedTable,
): FieldPlan[] {
  return fields.map((field) => {
    const column = columns.find(({ name }) => name === field.name) ?? null;
    const { firstByte, secondByte } = field;
    return {
      ...{ field, firstByte, secondByte, column },
      step: column === null ? step.skip : chooseStep(field, column, isBinlog),
      placeholder: placeholderIn(field, column),
    };
  });
}

function chooseStep(
  { type }: ShapeField,
  column: ChangeColumn,
  isBinlog: boolean,
): Step {
  const { kind, logical, unitsPerSecond } = column;
  switch (type) {
    case fieldType.text:
      return kind === "text" ? step.copyText : step.convertText;
    case fieldType.bytes:
      return kind === "binary" ? step.copyBytes : step.convert;
    case fieldType.int32:
      if (kind === "int32") return step.int32;
      if (kind === "int16") return step.int16;
      if (kind === "int64") return step.widen;
      if (kind === "date") return step.date;
      return kind === "boolean" && isBinlog ? step.bit : step.convert;
    case fieldType.int64:
      if (kind === "int64") return step.int64;
      return kind === "timestamp" &&
        logical === "timestamp" &&
        unitsPerSecond === 1_000_000
        ? step.timestamp
        : step.convert;
    case fieldType.boolean:
      return kind === "boolean" ? step.boolean : step.convert;
    case fieldType.float32:
      return kind === "float32" ? step.float32 : step.convert;
    case fieldType.float64:
      return kind === "float64" ? step.float64 : step.convert;
    default:
      return step.convert;
  }
}

function placeholderIn(
  { type }: ShapeField,
  column: ChangeColumn | null,
): Uint8Array | null {
  const placeholder = column?.placeholder ?? null;
  return placeholder === null || type !== fieldType.bytes
    ? placeholder
    : Buffer.from(Buffer.from(placeholder).toString("latin1"), "base64");
}
