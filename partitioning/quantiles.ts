import type { KeyTuple } from "../proto/partition.ts";

/** Whether two keys are the same text, column by column. */
export function equalKeys(a: KeyTuple, b: KeyTuple): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

/**
 * The bounds that cut a table into at most `splitCountMax` parts of about equal row counts.
 * Shape: `sampled` are keys of random rows, sorted by the server, one entry a row; the result is a subset of them in
 * the same order, without repeats, at most `splitCountMax - 1` long. The lowest key is never a bound: nothing sampled
 * lies below it.
 * @throws RangeError for a count below 1
 */
export function cutAtQuantiles(
  sampled: readonly KeyTuple[],
  splitCountMax: number,
): KeyTuple[] {
  if (splitCountMax < 1) throw new RangeError(`${splitCountMax} splits`);
  const bounds: KeyTuple[] = [];
  let last = sampled[0];
  for (let i = 1; i < splitCountMax && last !== undefined; i += 1) {
    const key = sampled[Math.floor((i * sampled.length) / splitCountMax)];
    if (key === undefined || equalKeys(key, last)) continue;
    bounds.push(key);
    last = key;
  }
  return bounds;
}
