/**
 * One JSON text as a list of tokens with their places in the bytes: what is decided later (which row counts, whether it
 * is a deletion) needs places, not objects, and numbers keep all their digits. The text comes from a stranger: it is
 * whole, nested no deeper and has no more values than is said here, and its UTF-8 and its escapes are well formed, or it
 * is refused.
 * @see RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format"
 */
import { isUtf8 } from "node:buffer";

export const token = {
  null: 0,
  true: 1,
  false: 2,
  /** Digits, perhaps behind a minus. */
  integer: 3,
  /** A number with a point or an exponent. */
  real: 4,
  /** Without escapes: its bytes are its value. */
  text: 5,
  escapedText: 6,
  array: 7,
  /** Its tokens are names and values in turn. */
  object: 8,
} as const;

/** Int32 words of a token: its kind, the places of its first byte and behind its last, and the token behind it. */
export const TOKEN_WORDS = 4;
const FIRST_TOKENS = 1_024;
/** Tokens of one text. A row of 1,600 columns has 6,400 with both images. */
const TOKENS_MAX = 1 << 22;
/** Objects and arrays inside of each other. Debezium's own envelopes with their schemas need eleven. */
const DEPTH_MAX = 64;
/** Bytes of one number: every number of a database that does not come as text is far shorter. */
const NUMBER_BYTES_MAX = 1_024;

/** A tape that was read, and the bytes that its places are in. */
export interface TapeSource {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** What is wrong with a text, and where: `offset` counts from the text's first byte. */
export class JsonFault extends Error {
  readonly reason: string;
  readonly offset: number;
  constructor(reason: string, offset: number) {
    super(`${reason} at byte ${offset}`);
    this.reason = reason;
    this.offset = offset;
  }
}

export class Tape {
  /** `TOKEN_WORDS` words for each token; strings are placed without their quotes. */
  words = new Int32Array(FIRST_TOKENS * TOKEN_WORDS);
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  readonly #open = new Int32Array(DEPTH_MAX);

  /** Reads the text at `bytes[start, end)`, whose first token is word 0. @throws JsonFault */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    if (this.#readTokens(bytes, start, end) > 127) {
      const isWhole = start === 0 && end === bytes.length;
      if (!isUtf8(isWhole ? bytes : bytes.subarray(start, end))) {
        this.#fail("text that is not UTF-8", start);
      }
    }
  }

  /**
   * All of the text in one loop: with a function for each kind of value it takes half as long again.
   * @returns the bits that bytes of strings have: above 127 where one is no ASCII
   */
  #readTokens(bytes: Uint8Array, start: number, end: number): number {
    const open = this.#open;
    let { words } = this;
    let count = 0;
    let depth = 0;
    let high = 0;
    let isName = false;
    let p = start;
    for (;;) {
      let byte = p < end ? (bytes[p] ?? 0) : 0;
      if (byte <= 32) {
        p = this.#skipSpace(p);
        if (p >= end) this.#fail("a text that ends too early", end);
        byte = bytes[p] ?? 0;
      }
      if (count + TOKEN_WORDS > words.length) words = this.#grow();
      if (byte === 34) {
        let kind: number = token.text;
        const first = ++p;
        for (; p < end; p++) {
          byte = bytes[p] ?? 0;
          if (byte > 34 && byte !== 92) {
            high |= byte;
          } else if (byte === 34) {
            break;
          } else if (byte === 92) {
            kind = token.escapedText;
            p = this.#checkEscape(p);
          } else if (byte < 32) {
            this.#fail("a control character in a string", p);
          }
        }
        if (p >= end) this.#fail("a text that ends too early", end);
        words[count] = kind;
        words[count + 1] = first;
        words[count + 2] = p++;
        words[count + 3] = count + TOKEN_WORDS;
        count += TOKEN_WORDS;
        if (isName) {
          if (p >= end || bytes[p] !== 58) p = this.#findColon(p);
          p++;
          isName = false;
          continue;
        }
      } else if (isName) {
        this.#fail("a member without a name", p);
      } else if (byte === 123 || byte === 91) {
        if (depth === DEPTH_MAX) {
          this.#fail(`values nested deeper than ${DEPTH_MAX}`, p);
        }
        words[count] = byte === 123 ? token.object : token.array;
        words[count + 1] = p;
        open[depth++] = count;
        count += TOKEN_WORDS;
        p = this.#skipSpace(p + 1);
        if (p >= end || bytes[p] !== byte + 2) {
          isName = byte === 123;
          continue;
        }
        // it is empty: the loop below closes it
      } else {
        let kind: number;
        let behind: number;
        if (byte === 45 || (byte >= 48 && byte <= 57)) {
          // plain digits behind one that is not zero; all else takes longer
          behind = p + 1;
          const isPlain = byte > 48;
          if (isPlain) {
            while (behind < end) {
              byte = bytes[behind] ?? 0;
              if (byte < 48 || byte > 57) break;
              behind++;
            }
          }
          kind = token.integer;
          if (
            byte === 46 ||
            (byte | 32) === 101 ||
            byte < 49 ||
            behind - p > NUMBER_BYTES_MAX
          ) {
            behind = this.#checkNumber(p);
            kind = this.#isReal ? token.real : token.integer;
          }
        } else {
          const word = byte === 110 ? "null" : byte === 116 ? "true" : "false";
          kind =
            byte === 110 ? token.null : byte === 116 ? token.true : token.false;
          behind = p + word.length;
          this.#checkWord(p, word);
        }
        words[count] = kind;
        words[count + 1] = p;
        words[count + 2] = behind;
        words[count + 3] = count + TOKEN_WORDS;
        count += TOKEN_WORDS;
        p = behind;
      }
      // behind a value: what it is part of goes on or ends
      for (;;) {
        if (depth === 0) {
          if (p < end && this.#skipSpace(p) !== end)
            this.#fail("more than one value", p);
          return high;
        }
        byte = p < end ? (bytes[p] ?? 0) : 0;
        if (byte <= 32) {
          p = this.#skipSpace(p);
          if (p >= end) this.#fail("a text that ends too early", end);
          byte = bytes[p] ?? 0;
        }
        const parent = open[depth - 1] ?? 0;
        const isObject = words[parent] === token.object;
        if (byte === 44 && count > parent + TOKEN_WORDS) {
          p++;
          isName = isObject;
          break;
        }
        if (byte !== (isObject ? 125 : 93)) {
          this.#fail("no comma where one belongs", p);
        }
        depth--;
        words[parent + 2] = ++p;
        words[parent + 3] = count;
      }
    }
  }

  #skipSpace(from: number): number {
    const bytes = this.#bytes;
    let p = from;
    for (; p < this.#end; p++) {
      const byte = bytes[p] ?? 0;
      if (
        byte > 32 ||
        (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9)
      )
        break;
    }
    return p;
  }

  #grow(): Int32Array<ArrayBuffer> {
    const length = this.words.length * 2;
    if (length > TOKENS_MAX * TOKEN_WORDS) {
      this.#fail(`more than ${TOKENS_MAX} values`, this.#end);
    }
    const words = new Int32Array(length);
    words.set(this.words);
    this.words = words;
    return words;
  }

  #findColon(from: number): number {
    const p = this.#skipSpace(from);
    if (p >= this.#end) this.#fail("a text that ends too early", p);
    if (this.#bytes[p] !== 58) this.#fail("a name without a value", p);
    return p;
  }

  /** The place of an escape's last byte; of both, where two of them make a character. */
  #checkEscape(backslash: number): number {
    const letter = backslash + 1 < this.#end ? this.#bytes[backslash + 1] : 0;
    switch (letter) {
      case 34: // "
      case 47: // /
      case 92: // \
      case 98: // b
      case 102: // f
      case 110: // n
      case 114: // r
      case 116: // t
        return backslash + 1;
      case 117: {
        const unit = readHex(this.#bytes, backslash + 2, this.#end);
        if (unit < 0) this.#fail("an escape that is none", backslash);
        if (unit < 0xd800 || unit > 0xdfff) return backslash + 5;
        const low =
          this.#bytes[backslash + 6] === 92 &&
          this.#bytes[backslash + 7] === 117
            ? readHex(this.#bytes, backslash + 8, this.#end)
            : -1;
        if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
          this.#fail("half of a surrogate pair", backslash);
        }
        return backslash + 11;
      }
      default:
        return this.#fail("an escape that is none", backslash);
    }
  }

  /** Of the number that was checked last. */
  #isReal = false;

  /** The place behind a number. */
  #checkNumber(start: number): number {
    const bytes = this.#bytes;
    const end = this.#end;
    this.#isReal = false;
    let p = start;
    if (bytes[p] === 45) p++;
    if (p < end && bytes[p] === 48) p++;
    else p = this.#skipDigits(p);
    if (p < end && bytes[p] === 46) {
      this.#isReal = true;
      p = this.#skipDigits(p + 1);
    }
    if (p < end && ((bytes[p] ?? 0) | 32) === 101) {
      this.#isReal = true;
      p++;
      if (p < end && (bytes[p] === 43 || bytes[p] === 45)) p++;
      p = this.#skipDigits(p);
    }
    if (p - start > NUMBER_BYTES_MAX) {
      this.#fail(`a number of more than ${NUMBER_BYTES_MAX} bytes`, start);
    }
    return p;
  }

  /** One digit or more. */
  #skipDigits(from: number): number {
    const bytes = this.#bytes;
    let p = from;
    for (; p < this.#end; p++) {
      const byte = bytes[p] ?? 0;
      if (byte < 48 || byte > 57) break;
    }
    if (p === from) this.#fail("a number without digits", p);
    return p;
  }

  #checkWord(p: number, word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (p + i >= this.#end || this.#bytes[p + i] !== word.charCodeAt(i)) {
        this.#fail("a value that is none", p);
      }
    }
  }

  #fail(reason: string, at: number): never {
    throw new JsonFault(reason, at - this.#start);
  }
}

/** Four hexadecimal digits; -1 where there are none. */
export function readHex(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1;
  let unit = 0;
  for (let p = at; p < at + 4; p++) {
    const byte = bytes[p] ?? 0;
    const letter = byte | 32;
    const digit =
      byte >= 48 && byte <= 57
        ? byte - 48
        : letter >= 97 && letter <= 102
          ? letter - 87
          : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}
