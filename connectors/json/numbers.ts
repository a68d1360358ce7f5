/** Numbers from the bytes of a JSON text, with every digit: what 64 bits hold never passes through a double. */
/** Digits that a double always holds; of 16, those below 9 × 10^15. */
const DOUBLE_DIGITS_MAX = 15;
/** Digits of 2^64. */
const INTEGER_DIGITS_MAX = 20;
const TWO_32 = 4_294_967_296;

/** An integer of 64 bits in two halves. The decoder has one, and each reading overwrites it. */
export class Integer64 {
  /** Signed as 32 bits. */
  low = 0;
  high = 0;

  /**
   * Reads a minus and digits at `bytes[start, end)`.
   * @returns whether it fits: into a signed integer, or an unsigned one
   */
  read(
    bytes: Uint8Array,
    start: number,
    end: number,
    unsigned: boolean,
  ): boolean {
    const isNegative = bytes[start] === 45;
    const first = isNegative ? start + 1 : start;
    const digits = end - first;
    if (
      digits <= DOUBLE_DIGITS_MAX ||
      (digits === 16 && (bytes[first] ?? 57) < 57)
    ) {
      let value = 0;
      for (let p = first; p < end; p++)
        value = value * 10 + (bytes[p] ?? 0) - 48;
      this.set(isNegative ? -value : value);
      return !(unsigned && isNegative && value > 0);
    }
    if (digits > INTEGER_DIGITS_MAX) return false;
    // the digits before the last nine, and those nine: products of 16 bits and 30 bits stay exact
    const middle = end - 9;
    let front = 0;
    for (let p = first; p < middle; p++)
      front = front * 10 + (bytes[p] ?? 0) - 48;
    let back = 0;
    for (let p = middle; p < end; p++) back = back * 10 + (bytes[p] ?? 0) - 48;
    const upper = Math.floor(front / TWO_32);
    const lower = front - upper * TWO_32;
    const second = Math.floor(lower / 65_536);
    const first16 = lower - second * 65_536;
    const sum0 = first16 * 1e9 + back;
    const carry0 = Math.floor(sum0 / 65_536);
    const sum1 = second * 1e9 + carry0;
    const carry1 = Math.floor(sum1 / 65_536);
    const high = upper * 1e9 + carry1;
    const low = (sum1 - carry1 * 65_536) * 65_536 + (sum0 - carry0 * 65_536);
    if (unsigned) {
      this.low = low | 0;
      this.high = high | 0;
      return high < TWO_32 && !isNegative;
    }
    if (isNegative) {
      // two's complement; the least integer is its own
      this.low = -low | 0;
      this.high = (~high + (low === 0 ? 1 : 0)) | 0;
      return high < 0x8000_0000 || (high === 0x8000_0000 && low === 0);
    }
    this.low = low | 0;
    this.high = high | 0;
    return high < 0x8000_0000;
  }

  /** An integer that a double holds. */
  set(value: number): void {
    const high = Math.floor(value / TWO_32);
    this.high = high | 0;
    this.low = (value - high * TWO_32) | 0;
  }

  /** `value × factor + rest`, where the product has up to 63 bits and both factors are exact, `factor` below 2^30. */
  setProduct(value: number, factor: number, rest: number): void {
    // the low half by integer arithmetic, the high half from a double whose error is far below its unit
    const low = (Math.imul(value | 0, factor) + rest) | 0;
    this.low = low;
    this.high = Math.round((value * factor + rest - (low >>> 0)) / TWO_32) | 0;
  }

  toBigInt(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low >>> 0);
  }
}

/** A whole number of up to 15 digits; NaN for a longer one. */
export function readSmallInteger(
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const isNegative = bytes[start] === 45;
  const first = isNegative ? start + 1 : start;
  if (end - first > DOUBLE_DIGITS_MAX || end === first) return NaN;
  let value = 0;
  for (let p = first; p < end; p++) {
    const digit = (bytes[p] ?? 0) - 48;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}

/** Powers of ten that a double holds exactly: dividing digits by one rounds once, as reading the text would. */
const powersOfTen = Float64Array.from({ length: 23 }, (_, i) =>
  Number(`1e${i}`),
);

/** The double nearest to a JSON number. */
export function readDouble(
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const isNegative = bytes[start] === 45;
  let digits = 0;
  let fraction = -1;
  let value = 0;
  for (let p = isNegative ? start + 1 : start; p < end; p++) {
    const byte = bytes[p] ?? 0;
    if (byte === 46) {
      fraction = 0;
      continue;
    }
    if (byte > 57 || ++digits > DOUBLE_DIGITS_MAX) {
      return Number(
        Buffer.from(
          bytes.buffer,
          bytes.byteOffset + start,
          end - start,
        ).toString("latin1"),
      );
    }
    value = value * 10 + byte - 48;
    if (fraction >= 0) fraction++;
  }
  if (fraction > 0) value /= powersOfTen[fraction] ?? 1;
  return isNegative ? -value : value;
}

/** What became of a decimal. */
export type DecimalResult = "written" | "tooLong" | "notANumber";

/** Bytes of a decimal that are looked at: 38 digits, and zeros around them. */
const DECIMAL_BYTES_MAX = 1_024;

/**
 * Writes a decimal with a sign, a point and perhaps an exponent as the unscaled integer of `wordCount` words. Digits
 * behind the scale have to be zeros.
 */
export function writeDecimal(
  { words }: { readonly words: Int32Array },
  row: number,
  wordCount: 2 | 4,
  { precision, scale }: { readonly precision: number; readonly scale: number },
  bytes: Uint8Array,
  start: number,
  end: number,
): DecimalResult {
  const at = row * wordCount;
  const isNegative = bytes[start] === 45;
  const first = isNegative ? start + 1 : start;
  const point = scale === 0 ? end : end - scale - 1;
  const digits = end - first - (scale === 0 ? 0 : 1);
  if (
    digits <= DOUBLE_DIGITS_MAX &&
    digits <= precision &&
    point > first &&
    (scale === 0 || bytes[point] === 46)
  ) {
    let value = 0;
    let wrong = 0;
    for (let p = first; p < end; p++) {
      if (p === point) continue;
      const digit = (bytes[p] ?? 0) - 48;
      wrong |= digit | (9 - digit);
      value = value * 10 + digit;
    }
    if (wrong >= 0) {
      if (isNegative) value = -value;
      const high = Math.floor(value / TWO_32);
      words[at] = (value - high * TWO_32) | 0;
      words[at + 1] = high;
      if (wordCount === 4) {
        words[at + 2] = high >> 31;
        words[at + 3] = high >> 31;
      }
      return "written";
    }
  }
  if (end - start > DECIMAL_BYTES_MAX) return "tooLong";
  const text = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + start,
    end - start,
  ).toString("latin1");
  const match = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text);
  if (match === null) return "notANumber";
  const [, whole = "", fraction = "", exponent = "0"] = match;
  // zeros to append, or digits to take away, until the last digit is the scale's last
  const shift = scale - fraction.length + Number(exponent);
  let unscaled = whole + fraction;
  if (shift > 0) unscaled += "0".repeat(shift);
  else if (shift < 0) {
    if (/[1-9]/.test(unscaled.slice(shift))) return "tooLong";
    unscaled = unscaled.slice(0, shift);
  }
  unscaled = unscaled.replace(/^0+/, "");
  if (unscaled.length > precision) return "tooLong";
  let rest = BigInt(unscaled === "" ? "0" : unscaled);
  if (isNegative) rest = -rest;
  for (let i = 0; i < wordCount; i++) {
    words[at + i] = Number(BigInt.asIntN(32, rest));
    rest >>= 32n;
  }
  return "written";
}

/**
 * A double as Postgres prints it: the fewest digits that give it back.
 * @see Postgres source, double_to_shortest_decimal_buf in src/common/d2s.c
 */
export function formatDouble(value: number): string {
  if (Object.is(value, -0)) return "-0";
  if (!Number.isFinite(value)) return String(value);
  const [mantissa = "", power = "0"] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 15) {
    const digits = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${digits}`;
  }
  // JavaScript writes whole digits from 1e-6 on and below 1e21
  return String(value);
}
