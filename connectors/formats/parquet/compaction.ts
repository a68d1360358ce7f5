/**
 * Drops the slots of nulls: Parquet pages hold present values only, a column vector has a slot for every row.
 * Every function takes words of 32 bits, because copying by `bigint` or `number` would cost or change values.
 */

/** Copies the present values of `words` 32-bit words each to the front of `out`; returns how many. */
export function compactWords(
  source: Int32Array,
  words: number,
  validity: Uint8Array,
  rowCount: number,
  out: Int32Array,
): number {
  if (words === 1) return compactSingles(source, validity, rowCount, out);
  if (words === 2) return compactPairs(source, validity, rowCount, out);
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    if ((validity[row >>> 3]! & (1 << (row & 7))) === 0) continue;
    const from = row * words;
    for (let word = 0; word < words; word++) out[at++] = source[from + word]!;
  }
  return at / words;
}

function compactSingles(
  source: Int32Array,
  validity: Uint8Array,
  rowCount: number,
  out: Int32Array,
): number {
  let at = 0;
  for (let base = 0; base < rowCount; base += 8) {
    let bits = validity[base >>> 3]!;
    const rows = rowCount - base;
    if (rows < 8) bits &= (1 << rows) - 1;
    for (let row = base; bits !== 0; bits >>>= 1, row++) {
      // written always, kept only when present: no branch that cannot be foreseen
      out[at] = source[row]!;
      at += bits & 1;
    }
  }
  return at;
}

function compactPairs(
  source: Int32Array,
  validity: Uint8Array,
  rowCount: number,
  out: Int32Array,
): number {
  let at = 0;
  for (let base = 0; base < rowCount; base += 8) {
    let bits = validity[base >>> 3]!;
    const rows = rowCount - base;
    if (rows < 8) bits &= (1 << rows) - 1;
    for (let row = base; bits !== 0; bits >>>= 1, row++) {
      out[at] = source[row * 2]!;
      out[at + 1] = source[row * 2 + 1]!;
      at += (bits & 1) << 1;
    }
  }
  return at >>> 1;
}

/** The same for a bitmap of values; returns how many bits. `out` is zeroed as far as it is used. */
export function compactBits(
  source: Uint8Array,
  validity: Uint8Array,
  rowCount: number,
  out: Uint8Array,
): number {
  out.fill(0, 0, (rowCount + 7) >>> 3);
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    if ((validity[row >>> 3]! & (1 << (row & 7))) === 0) continue;
    if ((source[row >>> 3]! & (1 << (row & 7))) !== 0)
      out[at >>> 3]! |= 1 << (at & 7);
    at++;
  }
  return at;
}
