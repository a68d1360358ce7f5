/**
 * Rows that pass: a filter's tree becomes loops down columns, each giving what is known of every row. As in SQL, a
 * comparison with NULL is neither true nor false, and only what is true passes.
 */
import type { ColumnBatch } from "../../../proto/columns.ts";
import { gatherRows } from "../../formats/gather-rows.ts";
import {
  describeMissing,
  type PlannedStep,
  type StepContext,
  type TrackedColumn,
} from "../step.ts";
import {
  ABOVE,
  BELOW,
  createOrder,
  EQUAL,
  NEITHER,
  type FillOrder,
} from "./order.ts";
import { parseFilter, type FilterNode, type Operator } from "./parse.ts";
import { FilterFault } from "./tokens.ts";

const FALSE = 0;
const UNKNOWN = 1;
const TRUE = 2;

/** Fills `out`, by row, with FALSE, UNKNOWN or TRUE: in this order AND is the least, OR the greatest. */
type Predicate = (batch: ColumnBatch, out: Uint8Array) => void;

/** What a comparison makes of BELOW, EQUAL, ABOVE and NEITHER. */
const truths: Readonly<Record<Operator, Uint8Array>> = {
  "=": tabulate([EQUAL]),
  "<>": tabulate([BELOW, ABOVE, NEITHER]),
  "<": tabulate([BELOW]),
  "<=": tabulate([BELOW, EQUAL]),
  ">": tabulate([ABOVE]),
  ">=": tabulate([ABOVE, EQUAL]),
};

function tabulate(orders: readonly number[]): Uint8Array {
  const table = new Uint8Array(4);
  for (const order of orders) table[order] = TRUE;
  return table;
}

export function planFilter(source: string, context: StepContext): PlannedStep {
  const { columns } = context;
  const fail = (reason: string): void => context.fail(["filter"], reason);
  let predicate: Predicate = () => {
    throw new Error("a plan with faults is not applied");
  };
  try {
    predicate = createPredicate(parseFilter(source), columns, fail);
  } catch (error) {
    if (!(error instanceof FilterFault)) throw error;
    fail(error.message);
  }
  const kinds = columns.map(({ column }) => column.type.kind);
  return {
    columns,
    apply: (batch) => {
      const { rowCount } = batch;
      const known = new Uint8Array(rowCount);
      predicate(batch, known);
      const rows = new Int32Array(rowCount);
      let count = 0;
      for (let row = 0; row < rowCount; row++) {
        rows[count] = row;
        // TRUE is 2, the others are less
        count += known[row]! >>> 1;
      }
      if (count === rowCount) return batch;
      if (count === 0) return null;
      return gatherRows(batch, kinds, rows.subarray(0, count));
    },
  };
}

/** Goes on behind a fault, so that all are told. */
function createPredicate(
  node: FilterNode,
  columns: readonly TrackedColumn[],
  fail: (reason: string) => void,
): Predicate {
  switch (node.kind) {
    case "and":
    case "or": {
      const parts = node.parts.map((part) =>
        createPredicate(part, columns, fail),
      );
      return combine(parts, node.kind === "and");
    }
    case "not": {
      const part = createPredicate(node.part, columns, fail);
      return (batch, out) => {
        part(batch, out);
        for (let row = 0; row < batch.rowCount; row++)
          out[row] = TRUE - out[row]!;
      };
    }
    default:
      return createTest(node, columns, fail);
  }
}

function combine(parts: readonly Predicate[], isAnd: boolean): Predicate {
  return (batch, out) => {
    const { rowCount } = batch;
    const [first, ...others] = parts;
    first!(batch, out);
    const other = new Uint8Array(rowCount);
    for (const part of others) {
      part(batch, other);
      for (let row = 0; row < rowCount; row++)
        if (other[row]! < out[row]! === isAnd) out[row] = other[row]!;
    }
  };
}

function createTest(
  node: Exclude<FilterNode, { kind: "and" | "or" | "not" }>,
  columns: readonly TrackedColumn[],
  fail: (reason: string) => void,
): Predicate {
  const index = columns.findIndex(({ column }) => column.name === node.column);
  if (index === -1) {
    fail(describeMissing(node.column, columns));
    return () => undefined;
  }
  if (node.kind === "isNull")
    return (batch, out) => fillNulls(batch, index, out);
  const { type } = columns[index]!.column;
  const literals = node.kind === "in" ? node.literals : [node.literal];
  const orders: FillOrder[] = [];
  for (const literal of literals) {
    try {
      orders.push(createOrder(type, literal));
    } catch (error) {
      if (!(error instanceof FilterFault)) throw error;
      fail(`${node.column} ${error.message}`);
    }
  }
  const truth = truths[node.kind === "in" ? "=" : node.operator];
  return (batch, out) => {
    const { rowCount } = batch;
    const vector = batch.columns[index]!;
    const order = new Uint8Array(rowCount);
    out.fill(FALSE, 0, rowCount);
    for (const fillOrder of orders) {
      fillOrder(vector, rowCount, order);
      for (let row = 0; row < rowCount; row++) out[row]! |= truth[order[row]!]!;
    }
    if (vector.nullCount === 0) return;
    const validity = vector.validity!;
    for (let row = 0; row < rowCount; row++)
      if ((validity[row >>> 3]! & (1 << (row & 7))) === 0) out[row] = UNKNOWN;
  };
}

function fillNulls(
  { rowCount, columns }: ColumnBatch,
  index: number,
  out: Uint8Array,
): void {
  const { nullCount, validity } = columns[index]!;
  if (nullCount === 0) {
    out.fill(FALSE, 0, rowCount);
    return;
  }
  for (let row = 0; row < rowCount; row++) {
    const isPresent = (validity![row >>> 3]! >>> (row & 7)) & 1;
    out[row] = isPresent === 1 ? FALSE : TRUE;
  }
}
