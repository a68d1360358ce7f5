/** The words of a filter. */

export type Token =
  | { readonly kind: "name"; readonly text: string; readonly at: number }
  | { readonly kind: "word"; readonly text: string; readonly at: number }
  | { readonly kind: "number"; readonly text: string; readonly at: number }
  | { readonly kind: "text"; readonly text: string; readonly at: number }
  | { readonly kind: "sign"; readonly text: string; readonly at: number }
  | { readonly kind: "end"; readonly text: ""; readonly at: number };

/** What is wrong with a filter's text. */
export class FilterFault extends Error {}

/** Words that are no names of columns, unless in double quotes. */
const words: ReadonlySet<string> = new Set(
  "and or not is null in true false".split(" "),
);

const patterns = [
  ["space", /\s+/y],
  ["number", /[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?(?![\p{L}\p{N}_])/uy],
  ["text", /'((?:[^']|'')*)'/y],
  ["quoted", /"((?:[^"]|"")+)"/y],
  ["name", /[\p{L}_][\p{L}\p{N}_$]*/uy],
  ["sign", /<>|!=|<=|>=|[=<>(),]/y],
] as const;

/** @throws FilterFault at a character that begins nothing */
export function readTokens(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < source.length) {
    const [kind, text, length] = readToken(source, at);
    if (kind !== "space") tokens.push({ kind, text, at });
    at += length;
  }
  tokens.push({ kind: "end", text: "", at });
  return tokens;
}

function readToken(
  source: string,
  at: number,
): [Exclude<Token["kind"], "end"> | "space", string, number] {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (!match) continue;
    const [whole, inner = ""] = match;
    switch (kind) {
      case "text":
        return ["text", inner.replaceAll("''", "'"), whole.length];
      case "quoted":
        return ["name", inner.replaceAll('""', '"'), whole.length];
      case "name": {
        const word = whole.toLowerCase();
        return words.has(word)
          ? ["word", word, whole.length]
          : ["name", whole, whole.length];
      }
      default:
        return [kind, whole, whole.length];
    }
  }
  const rest = source.slice(at, at + 10);
  throw new FilterFault(
    rest.startsWith("'") || rest.startsWith('"')
      ? `the quote at character ${at + 1} is not closed`
      : `cannot be read at character ${at + 1}, ${JSON.stringify(rest)}`,
  );
}
