/** Members of objects on a tape, found by their names. */
import { token, TOKEN_WORDS, type TapeSource } from "./tape.ts";

/** An object on a tape: its bytes, its words, and the word where it begins. */
export interface Located extends TapeSource {
  readonly at: number;
}

/** No such part. */
export const NONE = -1;

/** The value token of an object's member; NONE where there is none, and where the token is NONE or of no object. */
export function findMember(
  bytes: Uint8Array,
  words: Int32Array,
  object: number,
  name: Uint8Array,
): number {
  if (object === NONE || words[object] !== token.object) return NONE;
  const behind = words[object + 3] ?? 0;
  for (let at = object + TOKEN_WORDS; at < behind;) {
    const start = words[at + 1] ?? 0;
    if (
      (words[at + 2] ?? 0) - start === name.length &&
      isAt(bytes, start, name)
    ) {
      return at + TOKEN_WORDS;
    }
    at = words[at + TOKEN_WORDS + 3] ?? behind;
  }
  return NONE;
}

/** Whether these bytes stand there. */
export function isAt(
  bytes: Uint8Array,
  start: number,
  text: Uint8Array,
): boolean {
  for (let i = 0; i < text.length; i++) {
    if (bytes[start + i] !== text[i]) return false;
  }
  return true;
}
