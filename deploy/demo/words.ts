/** English-like text, the same on every machine, from which the seeds cut their comments. */

// prettier-ignore
const words = [
  "account", "after", "again", "along", "amber", "arrive", "autumn", "barrel", "before", "beyond", "blue", "bold",
  "bridge", "bright", "broad", "busy", "calm", "careful", "carry", "cedar", "clear", "close", "cold", "common",
  "copper", "corner", "count", "daily", "deliver", "deep", "deposit", "even", "express", "fast", "final", "fine",
  "first", "flat", "fold", "foreign", "fresh", "furious", "garden", "gentle", "grain", "green", "harbour", "heavy",
  "hollow", "idle", "instruct", "iron", "kind", "large", "late", "ledger", "light", "linen", "long", "lower", "mill",
  "narrow", "near", "never", "north", "odd", "open", "order", "outer", "package", "paper", "patient", "pending",
  "plain", "platform", "pledge", "pound", "proud", "quick", "quiet", "race", "rapid", "ready", "regular", "request",
  "river", "round", "ruthless", "salt", "sand", "silent", "silver", "slow", "sly", "special", "steady", "stone",
  "sudden", "theory", "thin", "tidal", "timber", "unusual", "upper", "warm", "water", "west", "wheel", "wide", "winter",
] as const;

/** xorshift32: the choice only has to be the same everywhere and not obviously periodic. */
function* drawNumbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

/** ASCII, exactly `bytes` long, so that any cut of it is valid text. */
export function writeText(bytes: number): Buffer {
  const pieces: string[] = [];
  let length = 0;
  for (const number of drawNumbers(20_240_601)) {
    const word = words[number % words.length] ?? "";
    // a sentence ends about every ninth word
    const piece = (number >>> 16) % 9 === 0 ? `${word}. ` : `${word} `;
    pieces.push(piece);
    length += piece.length;
    if (length >= bytes) break;
  }
  return Buffer.from(pieces.join("").slice(0, bytes), "ascii");
}
