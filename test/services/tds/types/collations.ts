/**
 * Collations: the five bytes that travel, the code page of `varchar`, and keys to compare by.
 * @see [MS-TDS] 2.2.5.1.2 "Collation Rule Definition"; [MS-LCID]; SQL Server docs, "Windows collation name"
 */
export interface Collation {
  readonly name: string;
  readonly wire: Buffer;
  /** A label of the Encoding standard. */
  readonly codePage: string;
  readonly isBinary: boolean;
  readonly ignoresCase: boolean;
  readonly ignoresAccents: boolean;
}

export const DEFAULT_COLLATION = "SQL_Latin1_General_CP1_CI_AS";

/** Language id and code page by the beginning of the name. */
const families: readonly (readonly [string, number, string])[] = [
  ["SQL_Latin1_General", 0x0409, "windows-1252"],
  ["Latin1_General", 0x0409, "windows-1252"],
  ["Modern_Spanish", 0x0c0a, "windows-1252"],
  ["Finnish_Swedish", 0x040b, "windows-1252"],
  ["French", 0x040c, "windows-1252"],
  ["Arabic", 0x0401, "windows-1256"],
  ["Chinese_Taiwan_Stroke", 0x0404, "big5"],
  ["Chinese_PRC", 0x0804, "gbk"],
  ["Czech", 0x0405, "windows-1250"],
  ["Greek", 0x0408, "windows-1253"],
  ["Hebrew", 0x040d, "windows-1255"],
  ["Japanese", 0x0411, "shift_jis"],
  ["Korean_Wansung", 0x0412, "euc-kr"],
  ["Polish", 0x0415, "windows-1250"],
  ["Cyrillic_General", 0x0419, "windows-1251"],
  ["Thai", 0x041e, "windows-874"],
  ["Turkish", 0x041f, "windows-1254"],
  ["Vietnamese", 0x042a, "windows-1258"],
];

/** Bits of the 32-bit information word. */
const bits = {
  ignoreCase: 1 << 20,
  ignoreAccent: 1 << 21,
  ignoreKana: 1 << 22,
  ignoreWidth: 1 << 23,
  binary: 1 << 24,
  binary2: 1 << 25,
  utf8: 1 << 26,
};

const known = new Map<string, Collation>();

/** @throws Error for a name of no known family */
export function findCollation(name: string): Collation {
  const found = known.get(name.toLowerCase());
  if (found !== undefined) return found;
  const family = families.find(([start]) =>
    name.toLowerCase().startsWith(start.toLowerCase()),
  );
  if (family === undefined) throw new Error(`no collation ${name}`);
  const parts = name.toUpperCase().split("_");
  const has = (part: string) => parts.includes(part);
  const isBinary = has("BIN") || has("BIN2");
  const ignoresCase = has("CI");
  const ignoresAccents = has("AI");
  let word = family[1];
  if (isBinary) word |= has("BIN2") ? bits.binary2 : bits.binary;
  else {
    if (ignoresCase) word |= bits.ignoreCase;
    if (ignoresAccents) word |= bits.ignoreAccent;
    if (!has("KS")) word |= bits.ignoreKana;
    if (!has("WS")) word |= bits.ignoreWidth;
  }
  if (has("UTF8")) word |= bits.utf8;
  const version = has("140") ? 3 : has("100") ? 2 : has("90") ? 1 : 0;
  const wire = Buffer.alloc(5);
  wire.writeUInt32LE((word | (version << 28)) >>> 0);
  // the only sort order of the old kind that is offered: 52
  wire[4] = name.toLowerCase() === DEFAULT_COLLATION.toLowerCase() ? 52 : 0;
  const collation: Collation = {
    name,
    wire,
    codePage: has("UTF8") ? "utf-8" : family[2],
    isBinary,
    ignoresCase,
    ignoresAccents,
  };
  known.set(name.toLowerCase(), collation);
  return collation;
}

/** The collation that a client sent with a value; the default one when it is none of the known. */
export function readCollation(wire: Buffer): Collation {
  for (const collation of known.values())
    if (collation.wire.equals(wire)) return collation;
  return findCollation(DEFAULT_COLLATION);
}

const encoders = new Map<string, Map<string, number>>();

/** The inverse of a decoder that reads one or two bytes for a character. */
function invert(codePage: string): Map<string, number> {
  const decoder = new TextDecoder(codePage);
  const inverse = new Map<string, number>();
  const add = (bytes: number[], value: number) => {
    const text = decoder.decode(Uint8Array.from(bytes));
    if (
      Array.from(text).length === 1 &&
      text !== "\ufffd" &&
      !inverse.has(text)
    )
      inverse.set(text, value);
  };
  for (let byte = 0; byte < 256; byte += 1) add([byte], byte);
  if (!codePage.startsWith("windows"))
    for (let lead = 0x81; lead < 0xff; lead += 1)
      for (let trail = 0x40; trail < 0xff; trail += 1)
        add([lead, trail], (lead << 8) | trail);
  return inverse;
}

/** A character that the code page lacks becomes `?`, as with the server. */
export function encodeText(text: string, codePage: string): Buffer {
  if (codePage === "utf-8") return Buffer.from(text, "utf8");
  // oxlint-disable-next-line no-control-regex -- ASCII is what is asked for
  if (/^[\0-\x7f]*$/.test(text)) return Buffer.from(text, "latin1");
  let encoder = encoders.get(codePage);
  if (encoder === undefined) {
    encoder = invert(codePage);
    encoders.set(codePage, encoder);
  }
  const bytes: number[] = [];
  for (const character of text) {
    const value = encoder.get(character) ?? 0x3f;
    if (value > 0xff) bytes.push(value >> 8);
    bytes.push(value & 0xff);
  }
  return Buffer.from(bytes);
}

export function decodeText(bytes: Uint8Array, codePage: string): string {
  return new TextDecoder(codePage, { ignoreBOM: true }).decode(bytes);
}

/**
 * What strings of a collation are compared by, with SQLite's comparison of text (code points). Trailing blanks do not
 * count. Letters are ordered with their accents behind the plain letter and by case last, digits before letters;
 * punctuation stands by code point, where the server has an order of its own.
 */
export function sortKey(text: string, collation: Collation): string {
  const trimmed = text.replace(/ +$/, "");
  if (collation.isBinary) return trimmed;
  // oxlint-disable-next-line no-control-regex -- ASCII is what is asked for
  if (collation.ignoresCase && /^[\0-\x7f]*$/.test(trimmed))
    return trimmed.toLowerCase();
  const parts = trimmed.normalize("NFD");
  const base = parts.replace(/\p{M}/gu, "").toLowerCase();
  const accented = collation.ignoresAccents ? "" : parts.toLowerCase();
  const cased = collation.ignoresCase
    ? ""
    : // small letters before capitals
      parts.replace(/\p{L}/gu, (c) => (c === c.toLowerCase() ? "0" : "1"));
  // the rest of the key counts only where what stands before is the same
  const rest = accented === base ? "" : accented;
  return rest === "" && cased === "" ? base : `${base}\0${rest}\0${cased}`;
}
