/**
 * What both output streams need: colours only where a person sees them, secrets nowhere, widths in columns of the
 * terminal, and control characters of foreign text made harmless.
 */
import { stripVTControlCharacters } from "node:util";

/** Columns assumed where the terminal gives none, and for output into a file. */
export const WIDTH_DEFAULT = 80;

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const satisfies Record<string, readonly [number, number]>;

export type Paint = Readonly<
  Record<keyof typeof codes, (text: string) => string>
>;

/** NO_COLOR counts when it is set and not empty (https://no-color.org). */
export function hasColours(
  output: Output,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return output.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

export function createPaint(colours: boolean): Paint {
  const entries = Object.entries(codes).map(([name, [open, close]]) => [
    name,
    (text: string) =>
      colours ? `\u001b[${open}m${text}\u001b[${close}m` : text,
  ]);
  return Object.fromEntries(entries) as Paint;
}

/** The text without what a database or a file could use to steer the terminal; tabs and line ends become spaces. */
export function sanitize(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\t\r\n]+/g, " ")
    .replace(
      /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
      "\ufffd",
    );
}

/** Like sanitize, for text of several lines. */
export function sanitizeLines(text: string): string {
  return text
    .split("\n")
    .map((line) => /^ */.exec(line)?.[0] + sanitize(line.trim()))
    .join("\n");
}

/**
 * The text with every password in it covered: in the user part of a URL (up to the last `@`, since a password may hold
 * unescaped signs) and in `password=` parameters.
 */
export function coverSecrets(text: string): string {
  return coverUrls(text).replace(
    /\b(password|passwd|pwd|sslpassword)(\s*=\s*)([^\s&"'`]+)/gi,
    "$1$2***",
  );
}

/** Longer than any scheme: a bound keeps the search linear, whatever the text. */
const beforePassword = /[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:@/?#]*:/i;

/** Word by word: one pattern for all would look ahead from each of many colons for an `@` that never comes. */
function coverUrls(text: string): string {
  if (!text.includes("://")) return text;
  return text.replace(/\S+/g, (word) => {
    const end = word.lastIndexOf("@");
    if (end < 0) return word;
    const head = beforePassword.exec(word.slice(0, end));
    if (head === null) return word;
    return `${word.slice(0, head.index)}${head[0]}***${word.slice(end)}`;
  });
}

/** For messages that repeat an argument as it was typed: what looks like a password may hold blanks, too. */
export function coverArguments(text: string): string {
  return coverSecrets(
    text.replace(
      /(:\/\/[^\s:@/?#]*):[^]*@/g,
      (_, head: string) => `${head}:***@`,
    ),
  );
}

/** Columns that a text takes: wide characters (CJK, emoji) count two, combining ones none. */
export function measureWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(character)) continue;
    width += isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  }
  return width;
}

/** East Asian Wide and Fullwidth blocks, coarsely (Unicode Standard Annex 11). */
function isWide(code: number): boolean {
  return (
    code >= 0x1100 &&
    (code <= 0x115f ||
      (code >= 0x2e80 && code <= 0xa4cf && code !== 0x303f) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0xffe0 && code <= 0xffe6) ||
      (code >= 0x1f300 && code <= 0x1faff) ||
      (code >= 0x20000 && code <= 0x3fffd))
  );
}

/** At most `widthMax` columns of a plain text; what is cut away shows as `…`. */
export function cutText(text: string, widthMax: number): string {
  if (text.length <= widthMax && /^[\x20-\x7e]*$/.test(text)) return text;
  if (measureWidth(text) <= widthMax) return text;
  let kept = "";
  let width = 0;
  for (const character of text) {
    const step = measureWidth(character);
    if (width + step > widthMax - 1) break;
    kept += character;
    width += step;
  }
  return `${kept}…`;
}

export function padText(
  text: string,
  width: number,
  align: "left" | "right" = "left",
): string {
  const gap = " ".repeat(Math.max(0, width - measureWidth(text)));
  return align === "left" ? text + gap : gap + text;
}
