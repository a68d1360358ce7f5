/**
 * The decoder as code that is generated for the table: a straight block of code per column, no branch on types, in
 * functions of some columns each. It repeats what `column-loops.ts` says in readable form; tests compare the two value by value.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { growValues } from "../../batches/batch-set.ts";
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from "../wire/packets.ts";
import { BEYOND_TABLE, months } from "./calendar.ts";
import {
  decodeDecimalSlowly,
  DOUBLE_DIGITS_MAX,
  INT_DIGITS_MAX,
} from "./decimal.ts";
import { nullBytes, type RowDecoder } from "./decoder.ts";
import { surplusBytes } from "./interpreted.ts";
import {
  refuseLength,
  refuseRow,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";
import {
  copyValue,
  readLongLength,
  SRID_BYTES,
  writeBits,
  writeBool,
  writeBool8,
  writeDate,
  writeDatetime,
  writeNull,
  writeTime,
  writeUuid,
} from "./values.ts";

/** Fields that one function decodes: V8 needs 0.07 s to optimise so many, 0.2 s for 32, and 2 s for 64. */
const GROUP_FIELDS_MAX = 16;
/** Rows that go through one group after the other: their bytes stay in the processor's second cache meanwhile. */
const BLOCK_ROWS = 256;

/** What the generated code calls: for an ordinary number, date or text only `copyValue`. */
const helpers = {
  copyValue,
  decodeDecimalSlowly,
  growValues,
  months,
  readLongLength,
  refuseLength,
  refuseRow,
  writeBits,
  writeBool,
  writeBool8,
  writeDate,
  writeDatetime,
  writeNull,
  writeTime,
  writeUuid,
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
  const bitmapBytes = nullBytes(fields.length);
  const surplus = surplusBytes(fields);
  return `"use strict";
const { ${Object.keys(helpers).join(", ")} } = helpers;
const { rowBytesMax } = plan;
${fieldConstants.length > 0 ? `const ${fieldConstants.join(", ")};` : ""}
const starts = new Int32Array(${BLOCK_ROWS}), places = new Int32Array(${BLOCK_ROWS}), ends = new Int32Array(${BLOCK_ROWS});
${groups.map((group, g) => generateGroup(group, g, g === groups.length - 1)).join("\n")}
return { decode(set, source, view, start, end, largeBytes) {
  const rowBytes = set.rowBytes + ${surplus}, capacity = set.capacity;
  let offset = start;
  try { for (;;) {
    const first = set.rowCount, rowsMax = Math.min(${BLOCK_ROWS}, capacity - first);
    let rows = 0, bound = set.bytesBound;
    while (rows < rowsMax && end - offset > ${HEADER_BYTES} && source[offset + ${HEADER_BYTES}] === 0) {
      const length = largeBytes > 0 ? largeBytes : view.getInt32(offset, true) & ${PAYLOAD_BYTES_MAX};
      const rowEnd = offset + ${HEADER_BYTES} + length;
      if (rowEnd > end || length > rowBytesMax || (length === ${PAYLOAD_BYTES_MAX} && largeBytes === 0)) break;
      if (length < ${1 + bitmapBytes}) refuseRow(plan, "a length of " + length + " bytes");
      if (bound + rowBytes + length > ${BATCH_BYTES_MAX} && first + rows > 0) {
        if (rows > 0) break;
        bound = set.measure();
        if (bound + rowBytes + length > ${BATCH_BYTES_MAX}) { set.isFull = true; break; }
      }
      bound += rowBytes + length;
      starts[rows] = offset; places[rows] = offset + ${HEADER_BYTES + 1 + bitmapBytes}; ends[rows] = rowEnd;
      rows++; offset = rowEnd;
      if (largeBytes > 0) break;
    }
    set.bytesBound = bound;
    if (rows === 0) return offset;
    ${groups.map((_, g) => `group${g}(set, source, view, first, rows);`).join(" ")}
    set.rowCount = first + rows;
    if (set.rowCount === capacity) { set.isFull = true; return offset; }
    if (largeBytes > 0) return offset;
  } } catch (error) {
    // lengths that lead out of the buffer, where no row can follow
    if (error instanceof RangeError) refuseRow(plan, "values beyond its end");
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

/** Decodes the group's columns of `rows` rows: `places` are at its first value before, behind its last one after. */
function generateGroup(
  group: readonly NumberedField[],
  number: number,
  isLast: boolean,
): string {
  const locals = group.map(([field, i]) => declareLocals(field, i)).join("\n");
  const blocks = group.map(([field, i]) => generateField(field, i)).join("\n");
  const saves = group
    .map(([field, i]) => (isCopied(field) ? `s${i}.end = e${i};` : ""))
    .join(" ");
  const bitmap = [...new Set(group.map(([, i]) => nullByte(i)))]
    .map((k) => `const n${k} = source[starts[r] + ${HEADER_BYTES + 1 + k}];`)
    .join(" ");
  return `function group${number}(set, source, view, first, rows) {
  ${locals}
  for (let r = 0, row = first; r < rows; r++, row++) {
    const rowEnd = ends[r];
    ${bitmap}
    let p = places[r], m = 0;
    ${blocks}
    ${isLast ? `if (p !== rowEnd) refuseRow(plan, "values that do not end where it does");` : "places[r] = p;"}
  }
  ${saves}
}`;
}

/** The bits of a binary row's first two columns are unused. */
const NULL_BITS_OFFSET = 2;

function nullByte(column: number): number {
  return (column + NULL_BITS_OFFSET) >> 3;
}

function isCopied(field: FieldPlan): boolean {
  return field.kind === "bytes" || field.kind === "geometry";
}

function declareLocals(field: FieldPlan, i: number): string {
  const store = `const s${i} = set.columns[${i}];`;
  switch (field.kind) {
    case "int8":
    case "uint8":
    case "int16":
      return `${store} const d${i} = s${i}.halves;`;
    case "bytes":
    case "geometry":
      return `${store} const o${i} = s${i}.offsets; let d${i} = s${i}.values, w${i} = s${i}.valuesView, e${i} = s${i}.end;`;
    case "time":
      return `${store} const o${i} = s${i}.offsets;`;
    default:
      return `${store} const d${i} = s${i}.words;`;
  }
}

/** The code for one column: `p` is at its value before, behind it after. */
function generateField(field: FieldPlan, i: number): string {
  const mask = 1 << ((i + NULL_BITS_OFFSET) & 7);
  const isNull = `(n${nullByte(i)} & ${mask}) !== 0`;
  return `if (${isNull}) { writeNull(plan, f${i}, s${i}, row); ${generateZero(field, i)} }
    else { ${generateValue(field, i)} }${isCopied(field) ? ` o${i}[row + 1] = e${i};` : ""}`;
}

/** What stands in the place of NULL. */
function generateZero(field: FieldPlan, i: number): string {
  switch (field.kind) {
    case "bool8":
    case "bool":
    case "bytes":
    case "geometry":
      return "";
    case "int8":
    case "uint8":
    case "int16":
    case "uint16":
    case "bits32":
    case "date":
      return `d${i}[row] = 0;`;
    case "uint32":
    case "bits64":
    case "bits":
    case "decimal64":
    case "datetime":
      return zeroWords(i, 2);
    case "decimal128":
    case "uuid":
      return zeroWords(i, 4);
    case "time":
      return `o${i}[row + 1] = s${i}.end;`;
  }
}

function generateValue(field: FieldPlan, i: number): string {
  const d = `d${i}`;
  const call = (name: string, rest: string): string =>
    `p = ${name}(plan, f${i}, s${i}, row, source, ${rest});`;
  switch (field.kind) {
    case "int8":
      return `${d}[row] = view.getInt8(p); p += 1;`;
    case "uint8":
      return `${d}[row] = source[p++];`;
    case "int16":
      return `${d}[row] = view.getInt16(p, true); p += 2;`;
    case "uint16":
      return `${d}[row] = view.getUint16(p, true); p += 2;`;
    case "bits32":
      return `${d}[row] = view.getInt32(p, true); p += 4;`;
    case "uint32":
      return `${d}[2 * row] = view.getInt32(p, true); ${d}[2 * row + 1] = 0; p += 4;`;
    case "bits64":
      return `${d}[2 * row] = view.getInt32(p, true); ${d}[2 * row + 1] = view.getInt32(p + 4, true); p += 8;`;
    case "decimal64":
    case "decimal128":
      return generateDecimal(field, i);
    case "date":
      // the zero date has no bytes, and may be the last of the buffer
      return `const t = source[p] === 4 ? view.getInt32(p + 1, true) : 0, c = (t & ${BEYOND_TABLE}) === 0 ? months[(t & 65535) << 4 | (t >> 16 & 15)] : 0;
      if ((t >>> 24) - 1 >>> 0 < (c & 31)) { ${d}[row] = (c >> 5) + (t >>> 24); p += 5; }
      else { ${call("writeDate", "view, p")} }`;
    case "bool8":
      return call("writeBool8", "p");
    case "bool":
      return call("writeBool", "p");
    case "bits":
      return call("writeBits", "p");
    case "uuid":
      return call("writeUuid", "p");
    case "datetime":
      return call("writeDatetime", "view, p");
    case "time":
      return call("writeTime", "view, p");
    case "bytes":
    case "geometry":
      return generateBytes(field, i);
  }
}

/** Offsets and bytes; of a geometry, those behind its SRID. */
function generateBytes(field: FieldPlan, i: number): string {
  const skip =
    field.kind === "geometry"
      ? `if (m < ${SRID_BYTES}) refuseLength(plan, f${i}, m); p += ${SRID_BYTES}; m -= ${SRID_BYTES};`
      : "";
  return `m = source[p];
      if (m < 251) p++; else { const k = m; m = readLongLength(plan, source, view, p); p += k === 252 ? 3 : k === 253 ? 4 : 9; }
      ${skip} if (m > rowEnd - p) refuseRow(plan, "values beyond its end");
      if (e${i} + m > d${i}.length) { s${i}.end = e${i}; d${i} = growValues(s${i}, m); w${i} = s${i}.valuesView; }
      copyValue(source, view, p, m, d${i}, w${i}, e${i}); p += m; e${i} += m;`;
}

/** Up to 9 digits in an int32, up to 15 in a double, the rest by a call. The scale's digits are unrolled. */
function generateDecimal(field: FieldPlan, i: number): string {
  const { scale } = field;
  const wordCount = field.kind === "decimal64" ? 2 : 4;
  const d = `d${i}`;
  const point = scale === 0 ? "q" : `q - ${scale + 1}`;
  const isSimple =
    scale === 0 ? "a < q" : `source[${point}] === 46 && a < ${point}`;
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
  const pointChars = scale === 0 ? 0 : 1;
  return `m = source[p++]; if (m < 1 || m > 250) refuseLength(plan, f${i}, m);
      if (m > rowEnd - p) refuseRow(plan, "values beyond its end");
      const q = p + m; let a = p; const n = source[a] === 45; if (n) a++;
      if (q - a <= ${INT_DIGITS_MAX + pointChars} && ${isSimple}) { let t = 0; for (; a < ${point}; a++) ${asInt("source[a] - 48")}
        ${tail(asInt)} if (n) t = -t | 0; ${d}[${w}] = t; t = t >> 31; ${d}[${w} + 1] = t;${signWords("t")} }
      else if (q - a <= ${DOUBLE_DIGITS_MAX + pointChars} && ${isSimple}) { let t = 0; for (; a < ${point}; a++) ${asDouble("source[a] - 48")}
        ${tail(asDouble)} if (n) t = -t; const h = Math.floor(t / 4294967296); ${d}[${w}] = (t - h * 4294967296) | 0; ${d}[${w} + 1] = h;${signWords("h")} }
      else if (!decodeDecimalSlowly(plan, f${i}, s${i}, row, source, p, m)) { writeNull(plan, f${i}, s${i}, row); ${zeroWords(i, wordCount)} }
      p = q;`;
}

function zeroWords(i: number, count: number): string {
  return Array.from(
    { length: count },
    (_, k) => `d${i}[${count} * row + ${k}] = 0;`,
  ).join(" ");
}
