/**
 * Values of the engine's frames as the JSON that its lines have: for what is kept of an event, and for values whose
 * conversion is that of JSON.
 */
import { RowCursor } from "./batch-rows.ts";
import { fieldType, type FieldType, type ShapeField } from "./batch-shapes.ts";
import { WireReader } from "./wire.ts";

/** Digits that give back every float. */
const FLOAT_DIGITS_MAX = 9;
/** Between these Java writes a number without an exponent. */
const PLAIN_MIN = 1e-3;
const PLAIN_MAX = 1e7;

/** The row at `[start, end)`, with all its fields. @throws WireFault */
export function formatRow(
  bytes: Uint8Array,
  start: number,
  end: number,
  fields: readonly ShapeField[],
): string {
  const cursor = new RowCursor().begin(bytes, start, end);
  const members = fields.map((field) => {
    const value = cursor.take(field)
      ? formatValue(field.type, bytes, cursor.start, cursor.end)
      : "null";
    return `${JSON.stringify(field.name)}:${value}`;
  });
  cursor.finish();
  return `{${members.join(",")}}`;
}

/** The value whose bytes are at `[start, end)`. @throws WireFault */
export function formatValue(
  type: FieldType,
  bytes: Uint8Array,
  start: number,
  end: number,
): string {
  const part = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  switch (type) {
    case fieldType.json:
    case fieldType.number:
      return part.toString("utf8");
    case fieldType.text:
      return JSON.stringify(part.toString("utf8"));
    case fieldType.bytes:
      return `"${part.toString("base64")}"`;
    case fieldType.boolean:
      return bytes[start] === 0 ? "false" : "true";
    case fieldType.int32:
      return String(readSigned(bytes, start, end));
    case fieldType.int64:
      return String(part.readBigInt64LE());
    case fieldType.float64:
      return formatNumber(part.readDoubleLE(), (value) => String(value));
    case fieldType.float32:
      return formatNumber(part.readFloatLE(), shortenFloat);
  }
}

/** A zigzag number of up to 32 bits. @throws WireFault */
function readSigned(bytes: Uint8Array, start: number, end: number): number {
  const value = new WireReader().read(bytes, start, end).readVarint();
  return ((value >>> 1) ^ -(value & 1)) | 0;
}

/** As Java writes it: with a point, or an exponent. */
function formatNumber(
  value: number,
  shorten: (value: number) => string,
): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  const shortest = Number(shorten(value));
  const isPlain = size === 0 || (size >= PLAIN_MIN && size < PLAIN_MAX);
  const [digits = "", exponent] = isPlain
    ? [String(shortest)]
    : shortest.toExponential().split("e");
  const pointed = digits.includes(".") ? digits : `${digits}.0`;
  return exponent === undefined
    ? pointed
    : `${pointed}E${exponent.replace("+", "")}`;
}

function shortenFloat(value: number): string {
  for (let digits = 1; digits < FLOAT_DIGITS_MAX; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return text;
  }
  return value.toPrecision(FLOAT_DIGITS_MAX);
}
