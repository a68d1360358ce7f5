/**
 * The decoder as one function that is generated for the table: a straight block of code per column, no call and no
 * branch on types. It repeats what `values.ts` says in readable form; tests compare the two value by value.
 */
import { BATCH_BYTES_MAX } from "../../../../proto/columns.ts";
import { growValues } from "../../batches/batch-set.ts";
import { NBC_ROW, ROW, type RowDecoder } from "./decoder.ts";
import { GROWTH_MAX, readField } from "./interpreted.ts";
import {
  refuseLength,
  refuseRow,
  type DecodePlan,
  type FieldPlan,
} from "./plan.ts";
import { boundRowBytes, createScanner } from "./scan.ts";
import { encodeCodePage, encodeUtf16, readCodePage } from "./text.ts";
import {
  DATETIME_EPOCH_DAYS,
  EPOCH_DAYS,
  NS_DAY_HIGH,
  NS_DAY_LOW,
  NS_DAYS_MAX,
  NS_DAYS_MIN,
  timeBytes,
  timeFactor,
  US_DAY_HIGH,
  US_DAY_LOW,
  refuseText,
  writeNull,
  writeValue,
} from "./values.ts";

/** Above this the function would pass the size that V8 optimises. */
export const GENERATED_FIELDS_MAX = 64;
/** Rows that may be larger are looked through for their end before they are decoded. */
const UNSCANNED_BYTES_MAX = 16 * 1024;
/** Bytes up to which a value is copied in a loop: the runtime's call costs about 60 ns. */
const COPY_LOOP_BYTES_MAX = 48;
/** Longest value with a length of two bytes that is worth a loop of its own here. */
const TWO_32 = 4_294_967_296;

/** What the generated code calls. */
const helpers = {
  createScanner,
  encodeCodePage,
  encodeUtf16,
  growValues,
  readCodePage,
  readField,
  refuseLength,
  refuseRow,
  refuseText,
  writeNull,
  writeValue,
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

/** The function's text, for tests and for people. */
export function generateDecoder(fields: readonly FieldPlan[]): string {
  const bound = boundRowBytes(fields);
  const unscanned = bound <= UNSCANNED_BYTES_MAX;
  const bitmapBytes = Math.ceil(fields.length / 8);
  const locals = fields.map((field, i) => declareLocals(field, i)).join("\n");
  const blocks = fields.map((field, i) => generateField(field, i)).join("\n");
  const saves = fields
    .map((field, i) =>
      isInline(field) && isVariable(field) ? `s${i}.end = e${i};` : "",
    )
    .join(" ");
  const constants = fields.map((field, i) =>
    field.kind === "codePage"
      ? `f${i} = plan.fields[${i}], t${i} = readCodePage(${field.codePage})`
      : `f${i} = plan.fields[${i}]`,
  );
  return `"use strict";
const { ${Object.keys(helpers).join(", ")} } = helpers;
const scan = createScanner(plan);
${constants.length > 0 ? `const ${constants.join(", ")};` : ""}
return { rowBytesWanted: 1, decode(set, source, view, start, end, rowsMax) {
  const rowBytes = set.rowBytes, capacity = set.capacity;
  const rowsEnd = set.rowCount + rowsMax;
  let row = set.rowCount, bound = set.bytesBound, offset = start;
  this.rowBytesWanted = 1;
  ${locals}
  try { while (offset < end && row < rowsEnd) {
    const token = source[offset];
    if (token !== ${ROW} && token !== ${NBC_ROW}) break;
    let length = ${unscanned ? bound : 0}, rowEnd = -1;
    if (${unscanned ? `end - offset < ${bound} || (bound + rowBytes + ${GROWTH_MAX * bound} > ${BATCH_BYTES_MAX} && row > 0)` : "true"}) {
      const found = scan(source, view, offset, end);
      rowEnd = found.end;
      if (rowEnd < 0) { this.rowBytesWanted = found.wanted; break; }
      length = rowEnd - offset;
      if (bound + rowBytes + ${GROWTH_MAX} * length > ${BATCH_BYTES_MAX} && row > 0) {
        set.rowCount = row; ${saves}
        bound = set.measure();
        if (bound + rowBytes + ${GROWTH_MAX} * length > ${BATCH_BYTES_MAX}) { set.isFull = true; return offset; }
      }
    }
    let p = offset + 1, m = 0, z = 0;
    const nbc = token === ${NBC_ROW}; if (nbc) p += ${bitmapBytes};
    ${blocks}
    if (rowEnd >= 0 && p !== rowEnd) refuseRow(plan, "values that do not end where it does");
    bound += rowBytes + ${GROWTH_MAX} * (p - offset);
    offset = p;
    if (++row === capacity) { set.isFull = true; break; }
  } } catch (error) {
    if (error instanceof RangeError) refuseRow(plan, "values beyond its end");
    throw error;
  }
  set.rowCount = row; set.bytesBound = bound; ${saves}
  return offset;
} };`;
}

function isVariable({ kind }: FieldPlan): boolean {
  return kind === "utf16" || kind === "codePage" || kind === "bytes";
}

/** Whether the field has code of its own; all else is a call. */
function isInline({ framing, kind }: FieldPlan): boolean {
  return (
    framing === "none" ||
    framing === "byte" ||
    (framing === "short" && kind !== "variant")
  );
}

function declareLocals(field: FieldPlan, i: number): string {
  const store = `const s${i} = set.columns[${i}];`;
  if (!isInline(field)) return store;
  switch (field.kind) {
    case "bool":
      return `${store} const d${i} = s${i}.fixed;`;
    case "int8":
    case "int16":
      return `${store} const d${i} = s${i}.halves;`;
    case "utf16":
    case "codePage":
    case "bytes":
      return `${store} const o${i} = s${i}.offsets; let d${i} = s${i}.values, e${i} = s${i}.end;`;
    default:
      return `${store} const d${i} = s${i}.words;`;
  }
}

/** The code for one field: `p` is at its length before, behind its value after; `z` holds eight bits of the NULLs. */
function generateField(field: FieldPlan, i: number): string {
  const bits =
    i % 8 === 0 ? `z = nbc ? source[offset + ${1 + (i >> 3)}] : 0; ` : "";
  const asNull =
    isVariable(field) && isInline(field)
      ? `s${i}.end = e${i}; writeNull(plan, f${i}, s${i}, row);`
      : `writeNull(plan, f${i}, s${i}, row);`;
  return `${bits}if ((z & ${1 << (i & 7)}) !== 0) { ${asNull} }
    else { ${generateValue(field, i, asNull)} }`;
}

function generateValue(field: FieldPlan, i: number, asNull: string): string {
  if (!isInline(field)) {
    return `p = readField(plan, f${i}, s${i}, row, source, view, p);`;
  }
  if (isVariable(field)) return generateVariable(field, i, asNull);
  const { bytes } = field;
  const body = generateFixed(field, i);
  if (field.framing === "none") return `${body} p += ${bytes};`;
  if (field.kind === "decimal") {
    return `m = source[p++]; if (m === 0) { ${asNull} } else { ${body} p += m; }`;
  }
  return `m = source[p++]; if (m === ${bytes}) { ${body} p += ${bytes}; }
    else if (m === 0) { ${asNull} } else refuseLength(plan, f${i}, m);`;
}

function generateVariable(
  { kind, bytes }: FieldPlan,
  i: number,
  asNull: string,
): string {
  const grow = (room: string): string =>
    `if (e${i} + ${room} > d${i}.length) { s${i}.end = e${i}; d${i} = growValues(s${i}, ${room}); }`;
  const write = {
    utf16: `if ((m & 1) !== 0) refuseLength(plan, f${i}, m);
      ${grow("3 * (m >> 1)")}
      const x = encodeUtf16(source, p, p + m, d${i}, e${i});
      if (x >= 0) e${i} = x; else { s${i}.end = e${i}; refuseText(plan, f${i}, s${i}, row, source, p, m); }`,
    codePage: `${grow("3 * m")} e${i} = encodeCodePage(t${i}, source, p, p + m, d${i}, e${i});`,
    bytes: `${grow("m")}
      if (m > ${COPY_LOOP_BYTES_MAX}) d${i}.set(source.subarray(p, p + m), e${i});
      else for (let k = 0; k < m; k++) d${i}[e${i} + k] = source[p + k];
      e${i} += m;`,
  }[kind as "utf16" | "codePage" | "bytes"];
  return `m = view.getUint16(p, true); p += 2;
    if (m === 65535) { ${asNull} }
    else { if (m > ${bytes}) refuseLength(plan, f${i}, m);
      ${write}
      p += m; o${i}[row + 1] = e${i}; }`;
}

/** The value of `field.bytes` bytes at `p`. What is not usual is left to `writeValue`, which writes or refuses it. */
function generateFixed(field: FieldPlan, i: number): string {
  const d = `d${i}`;
  const slow = (length: string): string =>
    `writeValue(plan, f${i}, s${i}, row, source, view, p, ${length});`;
  switch (field.kind) {
    case "bool":
      return `if (source[p] !== 0) ${d}[row >> 3] |= 1 << (row & 7);`;
    case "int8":
      return `${d}[row] = source[p];`;
    case "int16":
      return `${d}[row] = view.getInt16(p, true);`;
    case "bits32":
      return `${d}[row] = view.getInt32(p, true);`;
    case "bits64":
      return `${d}[2 * row] = view.getInt32(p, true); ${d}[2 * row + 1] = view.getInt32(p + 4, true);`;
    case "money32":
      return `const v = view.getInt32(p, true); ${d}[2 * row] = v; ${d}[2 * row + 1] = v >> 31;`;
    case "money64":
      return `const h = view.getInt32(p, true); ${d}[4 * row] = view.getInt32(p + 4, true); ${d}[4 * row + 1] = h; ${d}[4 * row + 2] = h >> 31; ${d}[4 * row + 3] = h >> 31;`;
    case "decimal":
      return generateDecimal(field, i, slow("m"));
    case "guid":
      return `${d}[4 * row] = view.getInt32(p);
      ${d}[4 * row + 1] = source[p + 5] | (source[p + 4] << 8) | (source[p + 7] << 16) | (source[p + 6] << 24);
      ${d}[4 * row + 2] = view.getInt32(p + 8, true); ${d}[4 * row + 3] = view.getInt32(p + 12, true);`;
    case "date":
      return `const n = ${days("p")};
      if (n <= 2932896) ${d}[row] = n; else ${slow("3")}`;
    case "time":
      return `const u = ${timeUnits(field.scale)};
      if (u < ${86_400 * 10 ** field.scale}) { const t = u * ${timeFactor(field.scale)}, h = Math.floor(t / ${TWO_32});
        ${d}[2 * row] = (t - h * ${TWO_32}) | 0; ${d}[2 * row + 1] = h; } else ${slow(String(field.bytes))}`;
    case "datetime2":
      return generateDatetime2(field, i, slow(String(field.bytes)));
    case "datetime":
      return `const n = view.getInt32(p, true) + ${DATETIME_EPOCH_DAYS}, u = view.getUint32(p + 4, true);
      if (u < 25920000 && n >= ${-EPOCH_DAYS} && n <= 2932896) { const t = n * ${US_DAY_LOW} + Math.round(u * 10 / 3) * 1000; ${storeDays(d, US_DAY_HIGH)} } else ${slow("8")}`;
    case "smalldatetime":
      return `const n = view.getUint16(p, true) + ${DATETIME_EPOCH_DAYS}, u = view.getUint16(p + 2, true);
      if (u < 1440) { const t = n * ${US_DAY_LOW} + u * 60000000; ${storeDays(d, US_DAY_HIGH)} } else ${slow("4")}`;
    case "utf16":
    case "codePage":
    case "bytes":
    case "variant":
      return "";
  }
}

/** Three bytes of days at `at`, as days since 1970-01-01. */
function days(at: string): string {
  return `(source[${at}] | (source[${at} + 1] << 8) | (source[${at} + 2] << 16)) - ${EPOCH_DAYS}`;
}

function timeUnits(scale: number): string {
  switch (timeBytes(scale)) {
    case 3:
      return "source[p] | (source[p + 1] << 8) | (source[p + 2] << 16)";
    case 4:
      return "view.getUint32(p, true)";
    case 5:
      return `view.getUint32(p, true) + source[p + 4] * ${TWO_32}`;
  }
}

/** `t` is the low part of the product, `n` the days; together an int64. */
function storeDays(d: string, dayHigh: number): string {
  return `const c = Math.floor(t / ${TWO_32}); ${d}[2 * row] = (t - c * ${TWO_32}) | 0; ${d}[2 * row + 1] = n * ${dayHigh} + c;`;
}

function generateDatetime2(
  { scale }: FieldPlan,
  i: number,
  slow: string,
): string {
  const isNs = scale === 7;
  const low = isNs ? NS_DAYS_MIN : -EPOCH_DAYS;
  const high = isNs ? NS_DAYS_MAX : 2_932_896;
  return `const u = ${timeUnits(scale)}, n = ${days(`p + ${timeBytes(scale)}`)};
      if (u < ${86_400 * 10 ** scale} && n >= ${low} && n <= ${high}) { const t = n * ${isNs ? NS_DAY_LOW : US_DAY_LOW} + u * ${timeFactor(scale)}; ${storeDays(`d${i}`, isNs ? NS_DAY_HIGH : US_DAY_HIGH)} }
      else ${slow}`;
}

/** Magnitudes of 4 and 8 bytes in line, and of 16 where the type has so many; the rest by a call. */
function generateDecimal(field: FieldPlan, i: number, slow: string): string {
  const d = `d${i}`;
  const words = field.logical === "decimal64" ? 2 : 4;
  const w = `${words} * row`;
  const signWords =
    words === 4 ? ` ${d}[${w} + 2] = g; ${d}[${w} + 3] = g;` : "";
  return `if (m === 5) { const v = view.getUint32(p + 1, true);
      if (source[p] !== 0) { ${d}[${w}] = v; ${d}[${w} + 1] = 0;${words === 4 ? ` ${d}[${w} + 2] = 0; ${d}[${w} + 3] = 0;` : ""} }
      else { const g = v === 0 ? 0 : -1; ${d}[${w}] = -v; ${d}[${w} + 1] = g;${signWords} } }
    else if (m === 9 && ${words === 2 ? "source[p + 8] < 128" : "true"}) { const v = view.getInt32(p + 1, true), h = view.getInt32(p + 5, true);
      if (source[p] !== 0) { ${d}[${w}] = v; ${d}[${w} + 1] = h;${words === 4 ? ` ${d}[${w} + 2] = 0; ${d}[${w} + 3] = 0;` : ""} }
      else { const g = (v | h) === 0 ? 0 : -1; ${d}[${w}] = -v; ${d}[${w} + 1] = ~h + (v === 0 ? 1 : 0);${signWords} } }
    else ${slow}`;
}
