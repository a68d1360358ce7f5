/** Random numbers that a seed repeats. */
import { createHash } from "node:crypto";

/** A function that gives the next number in [0, 1): the seed's and its turn's hash. */
export function createRandom(seed: number): () => number {
  let turn = 0;
  return () => {
    turn += 1;
    const hash = createHash("sha256").update(`${seed}/${turn}`).digest();
    return hash.readUInt32BE() / 2 ** 32;
  };
}

export function pick<T>(random: () => number, of: readonly T[]): T {
  const one = of[Math.floor(random() * of.length)];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
}
