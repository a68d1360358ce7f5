/** A half-open range of integers: start is in it, end is not, null is open. */
export interface IntegerSplit {
  readonly start: bigint | null;
  readonly end: bigint | null;
}

/**
 * Cuts the integers into at most `splitCountMax` ranges that are even between `keyMin` and `keyMax`. The first and the
 * last are open, for keys that lie outside of what was seen.
 * @throws RangeError for an empty space or a count below 1
 */
export function splitIntegerKeys(
  keyMin: bigint,
  keyMax: bigint,
  splitCountMax: number,
): IntegerSplit[] {
  if (keyMin > keyMax || splitCountMax < 1) {
    throw new RangeError(`${keyMin}..${keyMax} into ${splitCountMax}`);
  }
  const keyCount = keyMax - keyMin + 1n;
  const splitCount =
    keyCount < BigInt(splitCountMax) ? Number(keyCount) : splitCountMax;
  const bounds = Array.from(
    { length: splitCount - 1 },
    (_, i) => keyMin + (keyCount * BigInt(i + 1)) / BigInt(splitCount),
  );
  return [null, ...bounds].map((start, i) => ({
    start,
    end: bounds[i] ?? null,
  }));
}
