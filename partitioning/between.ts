/**
 * Values about half way between two others: where an index dive looks for a key. Whatever comes out, the server
 * answers with a key that it has, so a bad guess costs a dive and never a row.
 */

/** Characters of a text that are looked at behind the first difference: 6 of them tell a billion apart. */
const TEXT_DIGITS = 6;

/** The integer half way, rounded up, so that it lies above `low` where there is one between; `high` where there is none. */
export function betweenIntegers(low: bigint, high: bigint): bigint {
  return low + (high - low + 1n) / 2n;
}

/**
 * The decimal half way, with one digit more than the longer of both where they are neighbours.
 * Shape: plain digits, as servers print decimals: `-12.50`.
 * @returns null for texts that are no such numbers
 */
export function betweenDecimals(low: string, high: string): string | null {
  const pattern = /^-?\d+(?:\.(\d*))?$/;
  const parts = [pattern.exec(low), pattern.exec(high)];
  if (parts.includes(null)) return null;
  const scale = Math.max(...parts.map((part) => part?.[1]?.length ?? 0)) + 1;
  const [a = 0n, b = 0n] = [low, high].map((text) => unscale(text, scale));
  return rescale(a + (b - a) / 2n, scale);
}

function unscale(text: string, scale: number): bigint {
  const [whole = "", fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(scale, "0"));
}

function rescale(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value)
    .toString()
    .padStart(scale + 1, "0");
  const sign = value < 0n ? "-" : "";
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/**
 * The text half way in the order of `alphabet`: what both have in common, and behind it the digits of the middle. A
 * character that the alphabet does not have stands with the nearest by its code point.
 * @param alphabet characters in the server's order, those that it holds for equal together; at least one
 */
export function betweenTexts(
  low: string,
  high: string,
  alphabet: readonly (readonly string[])[],
): string {
  const rank = createRank(alphabet);
  const [a, b] = [Array.from(low), Array.from(high)];
  const ranks = [a.map(rank), b.map(rank)] as const;
  const [lowRanks, highRanks] = ranks;
  let common = 0;
  while (common < a.length && lowRanks[common] === highRanks[common])
    common += 1;
  // 0 is the end of a text, below every character
  const base = BigInt(alphabet.length + 1);
  const [from = 0n, to = 0n] = ranks.map((digits) => {
    let sum = 0n;
    for (let i = common; i < common + TEXT_DIGITS; i += 1)
      sum = sum * base + BigInt((digits[i] ?? -1) + 1);
    return sum;
  });
  let middle = (from + to) / 2n;
  let characters: string[] = [];
  for (let i = 0; i < TEXT_DIGITS; i += 1) {
    const digit = Number(middle % base);
    middle /= base;
    // a text that has ended does not go on
    if (digit === 0) characters = [];
    else characters.unshift(alphabet[digit - 1]?.[0] ?? "");
  }
  return a.slice(0, common).join("") + characters.join("");
}

function createRank(
  alphabet: readonly (readonly string[])[],
): (character: string) => number {
  const known = new Map(
    alphabet.flatMap((equals, rank) => equals.map((one) => [one, rank])),
  );
  return (character) => {
    const rank = known.get(character);
    if (rank !== undefined) return rank;
    const code = character.codePointAt(0) ?? 0;
    let [best, distance] = [0, Infinity];
    for (const [other, at] of known) {
      const far = Math.abs((other.codePointAt(0) ?? 0) - code);
      if (far < distance) [best, distance] = [at, far];
    }
    return best;
  };
}

/** The hexadecimal digits half way between two byte strings, compared as if the shorter were filled up with zeros. */
export function betweenBytes(low: string, high: string): string {
  // one byte more, for neighbours
  const digits = Math.max(low.length, high.length) + 2;
  const [a = 0n, b = 0n] = [low, high].map((hex) =>
    BigInt(`0x0${hex.padEnd(digits, "0")}`),
  );
  return (a + (b - a) / 2n).toString(16).padStart(digits, "0");
}
