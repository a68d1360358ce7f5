/** Names that a mistyped one may have meant. */

/** Names longer than this are cut before they are compared: Postgres has 63 bytes a part. */
const NAME_LENGTH_MAX = 160;
const SUGGESTIONS_MAX = 3;

/** Edits (insert, delete, replace, swap of neighbours) from `a` to `b`. */
function countEdits(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/**
 * At most three of `candidates` that look like `name`, the likeliest first: equal but for case, then by the number of
 * edits (at most a third of the name, at least one), then names that contain it. Those
 * more than twice as far as the nearest are left out. Empty when nothing is near.
 */
export function nearestNames(
  name: string,
  candidates: readonly string[],
): string[] {
  const wanted = name.slice(0, NAME_LENGTH_MAX).toLowerCase();
  const editsMax = Math.max(1, Math.floor(wanted.length / 3));
  const ranked: { candidate: string; rank: number }[] = [];
  for (const candidate of new Set(candidates)) {
    const text = candidate.slice(0, NAME_LENGTH_MAX).toLowerCase();
    if (text === wanted) {
      ranked.push({ candidate, rank: 0 });
      continue;
    }
    const isLengthNear = Math.abs(text.length - wanted.length) <= editsMax;
    const edits = isLengthNear ? countEdits(wanted, text) : Infinity;
    if (edits <= editsMax) ranked.push({ candidate, rank: edits });
    else if (wanted.length > 2 && text.includes(wanted))
      ranked.push({ candidate, rank: editsMax + 1 });
  }
  // beside a near name, one that is twice as far is noise
  const rankMax = 2 * Math.min(...ranked.map((entry) => entry.rank));
  return ranked
    .filter((entry) => entry.rank <= rankMax)
    .sort((a, b) => a.rank - b.rank || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, SUGGESTIONS_MAX)
    .map((entry) => entry.candidate);
}
