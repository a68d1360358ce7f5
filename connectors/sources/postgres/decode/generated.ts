/**
 * The decoder as code that is generated for the table: a straight block of code per column, no call and no branch on
 * types, in functions of some columns each. It repeats what `column-loops.ts` says in readable form; tests compare the two value by value.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { growValues } from "../../batches/batch-set.ts";
import { copyValue, writeNull } from "./column-loops.ts";
import { DATA_ROW, type RowDecoder } from "./decoder.ts";
import { refuseRow, type DecodePlan, type FieldPlan } from "./plan.ts";
import {
  DATE_MAX,
  DATE_MIN,
  decodeDecimalSlowly,
  decodeTimestampSlowly,
  EPOCH_DAYS,
  EPOCH_US_HIGH,
  EPOCH_US_LOW,
  refuseDate,
  TIMESTAMP_HIGH_MAX,
  TIMESTAMP_HIGH_MIN,
} from "./slow.ts";

/**
 * Fields that one function decodes. V8 takes 2 ms to optimise each where they are so few, and more and more of them in a
 * larger function: 200,000 rows of 64 columns take 0.34 s of CPU with it, 0.59 s in one function (of 100 columns: 0.42
 * and 1.17 s), 0.20 s interpreted; what follows takes 7, 10 and 12 ns a field.
 */
const GROUP_FIELDS_MAX = 16;
/** Rows that go through one group after the other: their bytes stay in the processor's second cache meanwhile. */
const BLOCK_ROWS = 256;

/** What the generated code calls: none of it for an ordinary value. */
const helpers = {
  copyValue,
  decodeDecimalSlowly,
  decodeTimestampSlowly,
  growValues,
  refuseDate,
  refuseRow,
  writeNull,
};

/** Makes a decoder for a plan whose fields gave the text; decoders of one factory share their optimised code. */
export type DecoderFactory = (plan: DecodePlan) => RowDecoder;

/**
 * Only numbers of the plan enter the text, never a name or a value of the database.
 * @throws EvalError where the runtime allows no code generation
 */
export function compileDecoder(text: string): DecoderFactory {
  // oxlint-disable-next-line no-implied-eval -- the text is made from numbers and fixed words alone
  const create = new Function("plan", "helpers", text) as (
    plan: DecodePlan,
    calls: typeof helpers,
  ) => RowDecoder;
  return (plan) => create(plan, helpers);
}

/** The text, for tests and for people. */
export function generateDecoder(fields: readonly FieldPlan[]): string {
  const groups = groupFields(fields);
  const fieldConstants = fields.map((_, i) => `f${i} = plan.fields[${i}]`);
  return `"use strict";
const { copyValue, decodeDecimalSlowly, decodeTimestampSlowly, growValues, refuseDate, refuseRow, writeNull } = helpers;
${fieldConstants.length > 0 ? `const ${fieldConstants.join(", ")};` : ""}
const places = new Int32Array(${BLOCK_ROWS}), ends = new Int32Array(${BLOCK_ROWS});
${groups.map((group, g) => generateGroup(group, g, g === groups.length - 1)).join("\n")}
return { decode(set, source, view, start, end) {
  const rowBytes = set.rowBytes, capacity = set.capacity;
  let offset = start;
  try { for (;;) {
    const first = set.rowCount, rowsMax = Math.min(${BLOCK_ROWS}, capacity - first);
    let rows = 0, bound = set.bytesBound;
    while (rows < rowsMax && end - offset >= 7 && source[offset] === ${DATA_ROW}) {
      const length = view.getInt32(offset + 1), rowEnd = offset + 1 + length;
      if (length < ${6 + 4 * fields.length}) refuseRow(plan, "a length of " + length + " bytes");
      if (rowEnd > end) break;
      if (view.getInt16(offset + 5) !== ${fields.length}) refuseRow(plan, view.getInt16(offset + 5) + " fields, not ${fields.length}");
      if (bound + rowBytes + length > ${BATCH_BYTES_MAX} && first + rows > 0) {
        if (rows > 0) break;
        bound = set.measure();
        if (bound + rowBytes + length > ${BATCH_BYTES_MAX}) { set.isFull = true; break; }
      }
      bound += rowBytes + length;
      places[rows] = offset + 7; ends[rows] = rowEnd;
      rows++; offset = rowEnd;
    }
    set.bytesBound = bound;
    if (rows === 0) return offset;
    ${groups.map((_, g) => `group${g}(set, source, view, first, rows);`).join(" ")}
    set.rowCount = first + rows;
    if (set.rowCount === capacity) { set.isFull = true; return offset; }
  } } catch (error) {
    // lengths that lead out of the buffer, where no row can follow
    if (error instanceof RangeError) refuseRow(plan, "fields beyond its end");
    throw error;
  }
} };`;
}

type NumberedField = readonly [field: FieldPlan, number: number];

/** Equal parts; a table without columns has one part without fields. */
function groupFields(fields: readonly FieldPlan[]): NumberedField[][] {
  const count = Math.max(1, Math.ceil(fields.length / GROUP_FIELDS_MAX));
  const size = Math.ceil(fields.length / count);
  const numbered = fields.map((field, i): NumberedField => [field, i]);
  return Array.from({ length: count }, (_, g) =>
    numbered.slice(g * size, (g + 1) * size),
  );
}

/** Decodes the group's fields of `rows` rows: `places` are at its first field before, behind its last one after. */
function generateGroup(
  group: readonly NumberedField[],
  number: number,
  isLast: boolean,
): string {
  const locals = group.map(([field, i]) => declareLocals(field, i)).join("\n");
  const blocks = group.map(([field, i]) => generateField(field, i)).join("\n");
  const saves = group
    .map(([field, i]) => (field.kind === "bytes" ? `s${i}.end = e${i};` : ""))
    .join(" ");
  return `function group${number}(set, source, view, first, rows) {
  ${locals}
  for (let r = 0, row = first; r < rows; r++, row++) {
    const rowEnd = ends[r];
    let p = places[r], m = 0;
    ${blocks}
    ${isLast ? `if (p !== rowEnd) refuseRow(plan, "fields that do not end where it does");` : "places[r] = p;"}
  }
  ${saves}
}`;
}

function declareLocals(field: FieldPlan, i: number): string {
  const store = `const s${i} = set.columns[${i}];`;
  switch (field.kind) {
    case "bool":
      return `${store} const d${i} = s${i}.fixed;`;
    case "int16":
      return `${store} const d${i} = s${i}.halves;`;
    case "bytes":
      return `${store} const o${i} = s${i}.offsets; let d${i} = s${i}.values, w${i} = s${i}.valuesView, e${i} = s${i}.end;`;
    default:
      return `${store} const d${i} = s${i}.words;`;
  }
}

/** The code for one field: `p` is at its length word before, behind its value after. */
function generateField(field: FieldPlan, i: number): string {
  const asNull = (length: string): string =>
    `writeNull(plan, f${i}, s${i}, row, ${length});`;
  const d = `d${i}`;
  switch (field.kind) {
    case "bool":
      return `m = view.getInt32(p); p += 4;
    if (m === 1) { if (source[p++] !== 0) ${d}[row >> 3] |= 1 << (row & 7); } else { ${asNull("m")} }`;
    case "int16":
      return `m = view.getInt32(p);
    if (m === 2) { ${d}[row] = view.getInt16(p + 4); p += 6; } else { ${asNull("m")} ${d}[row] = 0; p += 4; }`;
    case "bits32":
      return `m = view.getInt32(p);
    if (m === 4) { ${d}[row] = view.getInt32(p + 4); p += 8; } else { ${asNull("m")} ${d}[row] = 0; p += 4; }`;
    case "bits64":
      return `m = view.getInt32(p);
    if (m === 8) { const h = view.getInt32(p + 4); ${d}[2 * row] = view.getInt32(p + 8); ${d}[2 * row + 1] = h; p += 12; }
    else { ${asNull("m")} ${zeroWords(i, 2)} p += 4; }`;
    case "uint32":
      return `m = view.getInt32(p); ${d}[2 * row + 1] = 0;
    if (m === 4) { ${d}[2 * row] = view.getInt32(p + 4); p += 8; } else { ${asNull("m")} ${d}[2 * row] = 0; p += 4; }`;
    case "date":
      return `m = view.getInt32(p);
    if (m === 4) { const t = view.getInt32(p + 4); p += 8;
      if (t >= ${DATE_MIN} && t <= ${DATE_MAX}) ${d}[row] = t + ${EPOCH_DAYS};
      else { refuseDate(plan, f${i}, t); ${asNull("-1")} ${d}[row] = 0; } }
    else { ${asNull("m")} ${d}[row] = 0; p += 4; }`;
    case "timestamp":
      return `m = view.getInt32(p);
    if (m === 8) { const h = view.getInt32(p + 4), l = view.getInt32(p + 8); p += 12;
      if (h > ${TIMESTAMP_HIGH_MIN} && h < ${TIMESTAMP_HIGH_MAX}) { const t = (l + ${EPOCH_US_LOW}) | 0; ${d}[2 * row] = t;
        ${d}[2 * row + 1] = h + ${EPOCH_US_HIGH} + ((t >>> 0) < ${EPOCH_US_LOW >>> 0} ? 1 : 0); }
      else if (!decodeTimestampSlowly(plan, f${i}, s${i}, row, h, l)) { ${asNull("-1")} ${zeroWords(i, 2)} } }
    else { ${asNull("m")} ${zeroWords(i, 2)} p += 4; }`;
    case "bits128":
      return `m = view.getInt32(p);
    if (m === 16) { ${[0, 1, 2, 3].map((k) => `${d}[4 * row + ${k}] = view.getInt32(p + ${4 + 4 * k}, true);`).join(" ")} p += 20; }
    else { ${asNull("m")} ${zeroWords(i, 4)} p += 4; }`;
    case "decimal64":
    case "decimal128":
      return generateDecimal(field, i);
    case "bytes":
      return `m = view.getInt32(p); p += 4;
    if (m > 0) { if (m > rowEnd - p) refuseRow(plan, "a field beyond its end");
      if (e${i} + m > ${d}.length) { s${i}.end = e${i}; ${d} = growValues(s${i}, m); w${i} = s${i}.valuesView; }
      copyValue(source, view, p, m, ${d}, w${i}, e${i}); p += m; e${i} += m; }
    else if (m < 0) { ${asNull("m")} }
    o${i}[row + 1] = e${i};`;
  }
}

/** Up to 9 digits in an int32, up to 15 in a double, the rest by a call. The scale's digits are unrolled. */
function generateDecimal(field: FieldPlan, i: number): string {
  const { scale } = field;
  const wordCount = field.kind === "decimal64" ? 2 : 4;
  const d = `d${i}`;
  const point = scale === 0 ? "q" : `q - ${scale + 1}`;
  const isSimple =
    scale === 0 ? "source[a] < 58" : `source[${point}] === 46 && a < ${point}`;
  const tail = (assign: (digit: string) => string): string =>
    Array.from({ length: scale }, (_, k) =>
      assign(`source[q - ${scale - k}] - 48`),
    ).join(" ");
  const asInt = (digit: string): string => `t = (t * 10 + ${digit}) | 0;`;
  const asDouble = (digit: string): string => `t = t * 10 + ${digit};`;
  const signWords = (high: string): string =>
    wordCount === 4
      ? ` ${d}[4 * row + 2] = ${high} >> 31; ${d}[4 * row + 3] = ${high} >> 31;`
      : "";
  const w = `${wordCount} * row`;
  return `m = view.getInt32(p); p += 4;
    if (m > 0) { if (m > rowEnd - p) refuseRow(plan, "a field beyond its end");
      const q = p + m; let a = p; const n = source[a] === 45; if (n) a++;
      if (q - a < ${scale === 0 ? 10 : 11} && ${isSimple}) { let t = 0; for (; a < ${point}; a++) ${asInt("source[a] - 48")}
        ${tail(asInt)} if (n) t = -t | 0; ${d}[${w}] = t; t = t >> 31; ${d}[${w} + 1] = t;${signWords("t")} }
      else if (q - a < ${scale === 0 ? 16 : 17} && ${isSimple}) { let t = 0; for (; a < ${point}; a++) ${asDouble("source[a] - 48")}
        ${tail(asDouble)} if (n) t = -t; const h = Math.floor(t / 4294967296); ${d}[${w}] = (t - h * 4294967296) | 0; ${d}[${w} + 1] = h;${signWords("h")} }
      else if (!decodeDecimalSlowly(plan, f${i}, s${i}, row, source, p, m)) { writeNull(plan, f${i}, s${i}, row, -1); ${zeroWords(i, wordCount)} }
      p = q; }
    else { writeNull(plan, f${i}, s${i}, row, m === 0 ? -2 : m); ${zeroWords(i, wordCount)} }`;
}

function zeroWords(i: number, count: number): string {
  return Array.from(
    { length: count },
    (_, k) => `d${i}[${count} * row + ${k}] = 0;`,
  ).join(" ");
}
