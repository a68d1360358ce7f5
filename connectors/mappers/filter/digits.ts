/** Decimals of any length, compared as the text that they are. */
const ZERO = 48;
const NINE = 57;
const POINT = 46;
const MINUS = 45;

/** Where the digits of a number are, without zeros at either end. */
export interface Digits {
  bytes: Uint8Array;
  isNegative: boolean;
  /** Digits before the point. */
  wholeStart: number;
  wholeEnd: number;
  /** Digits behind it. */
  fractionStart: number;
  fractionEnd: number;
}

const scratch: Digits = {
  bytes: new Uint8Array(0),
  isNegative: false,
  wholeStart: 0,
  wholeEnd: 0,
  fractionStart: 0,
  fractionEnd: 0,
};

/** Null for what is no number, such as NaN. The result is the same object at every call. */
export function readDigits(
  bytes: Uint8Array,
  start: number,
  end: number,
): Readonly<Digits> | null {
  let at = start;
  const isNegative = bytes[at] === MINUS;
  if (isNegative) at++;
  const from = at;
  let point = end;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === POINT && point === end) point = at;
    else if (byte < ZERO || byte > NINE) return null;
  }
  if (from === end) return null;
  let wholeStart = from;
  while (wholeStart < point && bytes[wholeStart] === ZERO) wholeStart++;
  const fractionStart = Math.min(point + 1, end);
  let fractionEnd = end;
  while (fractionEnd > fractionStart && bytes[fractionEnd - 1] === ZERO)
    fractionEnd--;
  scratch.bytes = bytes;
  scratch.wholeStart = wholeStart;
  scratch.wholeEnd = point;
  scratch.fractionStart = fractionStart;
  scratch.fractionEnd = fractionEnd;
  const isZero = wholeStart === point && fractionStart === fractionEnd;
  scratch.isNegative = isNegative && !isZero;
  return scratch;
}

/** 0 where `a` is below `b`, 1 where they are equal, 2 where it is above. */
export function compareDigits(
  a: Readonly<Digits>,
  b: Readonly<Digits>,
): number {
  if (a.isNegative !== b.isNegative) return a.isNegative ? 0 : 2;
  const order = compareSizes(a, b);
  return a.isNegative ? 1 - order : 1 + order;
}

function compareSizes(a: Readonly<Digits>, b: Readonly<Digits>): number {
  const whole = a.wholeEnd - a.wholeStart;
  const longer = whole - (b.wholeEnd - b.wholeStart);
  if (longer !== 0) return Math.sign(longer);
  for (let i = 0; i < whole; i++) {
    const by = a.bytes[a.wholeStart + i]! - b.bytes[b.wholeStart + i]!;
    if (by !== 0) return Math.sign(by);
  }
  const fraction = a.fractionEnd - a.fractionStart;
  const other = b.fractionEnd - b.fractionStart;
  for (let i = 0; i < Math.min(fraction, other); i++) {
    const by = a.bytes[a.fractionStart + i]! - b.bytes[b.fractionStart + i]!;
    if (by !== 0) return Math.sign(by);
  }
  return Math.sign(fraction - other);
}
