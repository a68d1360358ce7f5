/**
 * The encoder as one function that is generated for the table: a straight block of code per column, no call and no
 * branch on types. It repeats what `copy-interpreted.ts` says in readable form; tests compare the two byte by byte.
 */
import {
  DATE_MAX,
  DATE_MIN,
  EPOCH_DAYS,
  EPOCH_US_HIGH,
  EPOCH_US_LOW,
  fixedRowBytes,
  isVariable,
  refuseTime,
  TIMESTAMP_HIGH_MIN,
  wordsOf,
  writeBytes,
  writeCut,
  writeTimestampText,
  writeTimeText,
  type CopyEncoder,
  type CopyPlan,
} from "./copy-plan.ts";
import {
  refuseNumeric,
  writeNumeric128,
  writeNumeric64,
  writeNumericText,
} from "./numeric.ts";
import type { TargetColumn } from "./types.ts";

/** Above this the function would pass the size that V8 optimises. */
export const GENERATED_COLUMNS_MAX = 64;

const helpers = {
  refuseNumeric,
  refuseTime,
  wordsOf,
  writeBytes,
  writeCut,
  writeNumeric128,
  writeNumeric64,
  writeNumericText,
  writeTimestampText,
  writeTimeText,
};

/**
 * Only numbers of the plan enter the text, never a name or a value.
 * @throws EvalError where the runtime allows no code generation
 */
export function compileEncoder(plan: CopyPlan): CopyEncoder {
  // oxlint-disable-next-line no-implied-eval -- the text is made from numbers and fixed words alone
  const create = new Function("plan", "helpers", generateEncoder(plan)) as (
    plan: CopyPlan,
    calls: typeof helpers,
  ) => CopyEncoder;
  return create(plan, helpers);
}

function generateEncoder(plan: CopyPlan): string {
  const { columns, withOrder } = plan;
  const all = [...columns.entries()];
  const rowBytes = fixedRowBytes(plan);
  const variable = all
    .filter(([, { copyKind }]) => isVariable(copyKind))
    .map(([i]) => ` + o${i}[row + 1] - o${i}[row]`)
    .join("");
  const order = `view.setInt32(at, 8); view.setInt32(at + 4, Math.floor(sequence / 4294967296)); view.setInt32(at + 8, sequence | 0); at += 12; sequence++;`;
  return `"use strict";
const { ${Object.keys(helpers).join(", ")} } = helpers;
return { encode(buffer, batch, from, rowsMax, bytesMax) {
  const columns = batch.columns, end = Math.min(batch.rowCount, from + rowsMax - buffer.rows);
  ${all.map(([i, column]) => declareLocals(column, i)).join("\n  ")}
  let row = from, sequence = buffer.sequence, rows = buffer.rows;
  for (; row < end; row++) {
    const bytes = ${rowBytes}${variable};
    if (buffer.at + bytes > bytesMax && rows > 0) break;
    buffer.openRow(bytes);
    const out = buffer.out, view = buffer.view;
    let at = buffer.at;
    view.setInt16(at, ${columns.length + (withOrder ? 1 : 0)}); at += 2;
    ${all.map(([i, column]) => generateColumn(column, i)).join("\n    ")}
    ${withOrder ? order : ""}
    buffer.at = at; buffer.rows = ++rows;
  }
  buffer.sequence = sequence;
  return row;
} };`;
}

function declareLocals({ copyKind }: TargetColumn, i: number): string {
  const column = `const c${i} = columns[${i}], v${i} = c${i}.nullCount > 0 ? c${i}.validity : null;`;
  switch (copyKind) {
    case "bool":
      return `${column} const d${i} = c${i}.data;`;
    case "int16":
      return `${column} const d${i} = new Int16Array(c${i}.data.buffer, c${i}.data.byteOffset, c${i}.data.byteLength >> 1);`;
    case "bytes":
    case "jsonb":
    case "decimalText":
      return `${column} const d${i} = c${i}.data, o${i} = c${i}.offsets;`;
    default:
      return `${column} const d${i} = wordsOf(c${i});`;
  }
}

function generateColumn(column: TargetColumn, i: number): string {
  return `if (v${i} !== null && (v${i}[row >> 3] & (1 << (row & 7))) === 0) { view.setInt32(at, -1); at += 4; } else { ${generateValue(column, i)} }`;
}

/** `at` is at the length word before, behind the value after. */
function generateValue({ copyKind, scale }: TargetColumn, i: number): string {
  const d = `d${i}`;
  const halves = `${d}[2 * row], ${d}[2 * row + 1]`;
  const range = `o${i}[row], o${i}[row + 1]`;
  switch (copyKind) {
    case "bool":
      return `view.setInt32(at, 1); out[at + 4] = (${d}[row >> 3] >> (row & 7)) & 1; at += 5;`;
    case "int16":
      return `view.setInt32(at, 2); view.setInt16(at + 4, ${d}[row]); at += 6;`;
    case "bits32":
      return `view.setInt32(at, 4); view.setInt32(at + 4, ${d}[row]); at += 8;`;
    case "bits64":
      return `view.setInt32(at, 8); view.setInt32(at + 4, ${d}[2 * row + 1]); view.setInt32(at + 8, ${d}[2 * row]); at += 12;`;
    case "bits128":
      return `view.setInt32(at, 16); ${[0, 1, 2, 3].map((k) => `view.setInt32(at + ${4 + 4 * k}, ${d}[4 * row + ${k}], true);`).join(" ")} at += 20;`;
    case "date":
      return `const t = ${d}[row] - ${EPOCH_DAYS}; if (t < ${DATE_MIN} || t > ${DATE_MAX}) refuseTime(plan, ${i});
      view.setInt32(at, 4); view.setInt32(at + 4, t); at += 8;`;
    case "timestamp":
      return `const l = ${d}[2 * row], h = ${d}[2 * row + 1]; if (h < ${TIMESTAMP_HIGH_MIN}) refuseTime(plan, ${i});
      view.setInt32(at, 8); view.setInt32(at + 4, h - ${EPOCH_US_HIGH} - ((l >>> 0) < ${EPOCH_US_LOW >>> 0} ? 1 : 0)); view.setInt32(at + 8, l - ${EPOCH_US_LOW}); at += 12;`;
    case "uint64":
      return `at = writeNumeric64(view, at, ${d}[2 * row], ${d}[2 * row + 1] >>> 0, 0, true);`;
    case "decimal64":
      return `at = writeNumeric64(view, at, ${halves}, ${scale}, false);`;
    case "decimal128":
      return `at = writeNumeric128(view, at, ${d}, 4 * row, ${scale});`;
    case "decimalText":
      return `const p = writeNumericText(view, at, ${d}, ${range}); if (p < 0) refuseNumeric(plan.table, plan.columns[${i}].name, ${d}, ${range}); at = p;`;
    case "bytes":
      return `at = writeBytes(out, view, at, ${d}, ${range});`;
    case "jsonb":
      return `const p = writeBytes(out, view, at + 1, ${d}, ${range}); view.setInt32(at, p - at - 4); out[at + 4] = 1; at = p;`;
    case "timeText":
      return `at = writeTimeText(out, view, at, ${halves});`;
    case "timestampText":
      return `at = writeTimestampText(out, view, at, ${halves});`;
    case "timeCut":
      return `at = writeCut(view, at, ${halves}, 0, 0);`;
    case "timestampCut":
      return `at = writeCut(view, at, ${halves}, ${EPOCH_US_HIGH}, ${EPOCH_US_LOW});`;
  }
}
