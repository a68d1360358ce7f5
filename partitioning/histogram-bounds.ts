import type { KeyTuple } from "../proto/partition.ts";

/** A step of a server's histogram, ascending: the rows above the step before and up to `key`, with it. */
export interface HistogramStep {
  readonly key: KeyTuple;
  readonly rows: number;
}

/**
 * The histogram as a sample of keys, which is what plans are made from: each step's key as often as its share of
 * `keysMax` rows, so that quantiles of the result are quantiles of the table, as fine as the steps are.
 * Shape: the keys of `steps` in their order, at most `keysMax` in all.
 */
export function expandHistogram(
  steps: readonly HistogramStep[],
  keysMax: number,
): KeyTuple[] {
  const total = steps.reduce((sum, step) => sum + countRows(step), 0);
  if (total === 0) return [];
  const keys: KeyTuple[] = [];
  let rows = 0;
  for (const step of steps) {
    rows += countRows(step);
    const wanted = Math.floor((rows / total) * keysMax);
    while (keys.length < wanted) keys.push(step.key);
  }
  return keys;
}

/** Answers come from a server: what is no finite number above zero counts as none. */
function countRows({ rows }: HistogramStep): number {
  return Number.isFinite(rows) && rows > 0 ? Math.min(rows, 2 ** 62) : 0;
}
