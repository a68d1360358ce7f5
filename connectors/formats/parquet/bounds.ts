/**
 * The smallest and the largest value of a page or column chunk, as PLAIN bytes without a length.
 * @see parquet.thrift, Statistics, ColumnOrder and TypeDefinedOrder
 */

/** How two values in PLAIN bytes compare. */
export type SortOrder =
  | "int32"
  | "int64"
  | "uint64"
  | "float32"
  | "float64"
  /** Big-endian two's complement of equal lengths. */
  | "signedBytes"
  /** Byte by byte, unsigned; booleans, text and UUIDs. */
  | "bytes";

export interface Bounds {
  readonly min: Uint8Array;
  readonly max: Uint8Array;
  /** False: `min` is a prefix, and not larger than any value. */
  readonly minExact: boolean;
  /** False: `max` is cut and raised, and not smaller than any value. */
  readonly maxExact: boolean;
}

/** Text bounds are cut here: they are for skipping, and a page index must stay small. */
export const BOUND_BYTES_MAX = 64;

export function compareValues(
  order: SortOrder,
  a: Uint8Array,
  b: Uint8Array,
): number {
  if (order === "bytes") return Buffer.compare(a, b);
  if (order === "signedBytes") {
    const sign = (a[0]! >>> 7) - (b[0]! >>> 7);
    return sign === 0 ? Buffer.compare(a, b) : -sign;
  }
  const left = readNumber(order, a);
  const right = readNumber(order, b);
  return left < right ? -1 : left > right ? 1 : 0;
}

function readNumber(
  order: Exclude<SortOrder, "bytes" | "signedBytes">,
  bytes: Uint8Array,
): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (order) {
    case "int32":
      return view.getInt32(0, true);
    case "int64":
      return view.getBigInt64(0, true);
    case "uint64":
      return view.getBigUint64(0, true);
    case "float32":
      return view.getFloat32(0, true);
    case "float64":
      return view.getFloat64(0, true);
  }
}

/** The bounds of both together. */
export function mergeBounds(order: SortOrder, a: Bounds, b: Bounds): Bounds {
  const byMin = compareValues(order, a.min, b.min);
  const byMax = compareValues(order, a.max, b.max);
  return {
    min: byMin <= 0 ? a.min : b.min,
    // of equals, one exact bound makes the other's cut harmless
    minExact:
      byMin === 0
        ? a.minExact || b.minExact
        : byMin < 0
          ? a.minExact
          : b.minExact,
    max: byMax >= 0 ? a.max : b.max,
    maxExact:
      byMax === 0
        ? a.maxExact || b.maxExact
        : byMax > 0
          ? a.maxExact
          : b.maxExact,
  };
}

/**
 * Copies the bounds of a byte string column, cut to BOUND_BYTES_MAX.
 * @param isText UTF-8: cut between characters, and raised by a character, so that readers who check still take it
 * @returns null when no larger value can be named, e.g. for a long run of 0xff
 */
export function makeByteBounds(
  min: Uint8Array,
  max: Uint8Array,
  isText: boolean,
): Bounds | null {
  const minExact = min.length <= BOUND_BYTES_MAX;
  const maxExact = max.length <= BOUND_BYTES_MAX;
  const raised = maxExact
    ? max.slice()
    : raise(max.slice(0, cutLength(max, isText)), isText);
  if (raised === null) return null;
  return {
    min: min.slice(0, minExact ? min.length : cutLength(min, isText)),
    max: raised,
    minExact,
    maxExact,
  };
}

function cutLength(value: Uint8Array, isText: boolean): number {
  let length = BOUND_BYTES_MAX;
  // step back over continuation bytes; at most three in UTF-8
  if (isText)
    while (length > BOUND_BYTES_MAX - 4 && (value[length]! & 0xc0) === 0x80)
      length--;
  return length;
}

/** The smallest short value above everything that begins with `prefix`; null when there is none. */
function raise(prefix: Uint8Array, isText: boolean): Uint8Array | null {
  return isText ? raiseText(prefix) : raiseBytes(prefix);
}

function raiseBytes(prefix: Uint8Array): Uint8Array | null {
  for (let last = prefix.length - 1; last >= 0; last--) {
    if (prefix[last] === 0xff) continue;
    prefix[last]! += 1;
    return prefix.subarray(0, last + 1);
  }
  return null;
}

function raiseText(prefix: Uint8Array): Uint8Array | null {
  const text = Buffer.from(prefix).toString("utf8");
  // not UTF-8 after all: compare and raise by bytes
  if (!Buffer.from(text, "utf8").equals(prefix)) return raiseBytes(prefix);
  const characters = Array.from(text);
  while (characters.length > 0) {
    const code = characters.pop()!.codePointAt(0)!;
    if (code === 0x10ffff) continue;
    // surrogates are no characters: step over them
    const next = code === 0xd7ff ? 0xe000 : code + 1;
    return new TextEncoder().encode(
      characters.join("") + String.fromCodePoint(next),
    );
  }
  return null;
}
