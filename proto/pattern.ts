/** Patterns of tables, as people write them: `table`, `schema.table`, `*` for any characters. Pure. */

/** Whether `text` matches a pattern in which `*` stands for any characters, none included. Linear but for the stars. */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p;
      starText = t;
      p += 1;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      starText += 1;
      t = starText;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p += 1;
  return p === pattern.length;
}

/** A pattern is held against `table` and against `schema.table`, so that names with dots in them need no quoting. */
export function meansRelation(
  pattern: string,
  relation: { readonly schema: string; readonly name: string },
): boolean {
  return (
    matchesPattern(pattern, relation.name) ||
    matchesPattern(pattern, `${relation.schema}.${relation.name}`)
  );
}
