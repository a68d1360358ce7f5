/** The sync's own condition, as it was typed. */
import { ExtractError } from "../../../proto/error.ts";
import { quoteRelation, type Queryable } from "./sql.ts";
import type { MssqlStream } from "./stream.ts";

/**
 * Proves that a condition is one expression, and lets the server say what it thinks of it. Every later query puts it
 * between parentheses: one that closes them, as `a) OR (b` does, would undo the range beside it, and one that leaves a
 * quote or a comment open would swallow it. Between balanced parentheses no second statement can begin.
 * @throws ExtractError SOURCE_QUERY_FAILED, SOURCE_COLUMN_NOT_FOUND … in the server's words
 */
export async function checkCondition(
  connection: Queryable,
  stream: Pick<MssqlStream, "schema">,
  where: string,
): Promise<void> {
  const fault = findFault(where);
  if (fault !== null) {
    throw new ExtractError(
      "SOURCE_QUERY_FAILED",
      `the condition ${fault}: ${where}`,
      { where },
    );
  }
  const { namespace: schema, name } = stream.schema;
  await connection.query(
    `SELECT TOP (0) 1 AS checked FROM ${quoteRelation({ schema, name })} AS t WHERE (${where}\n)`,
  );
}

/** Texts, names in brackets or quotes, comments (which nest), and what stands alone. */
const tokens =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|\[(?:[^\]]|\]\])*\]|--[^\n]*|\/\*|[()'"[]|[^()'"[/-]+|[/-]/g;

/** @returns what is wrong with the condition, or null */
export function findFault(where: string): string | null {
  let depth = 0;
  tokens.lastIndex = 0;
  for (
    let match = tokens.exec(where);
    match !== null;
    match = tokens.exec(where)
  ) {
    const [token] = match;
    switch (token) {
      case "/*": {
        const end = findCommentEnd(where, match.index);
        if (end < 0) return "leaves a comment open";
        tokens.lastIndex = end;
        break;
      }
      case "(":
        depth += 1;
        break;
      case ")":
        depth -= 1;
        if (depth < 0) return "closes a parenthesis that it did not open";
        break;
      case "'":
      case '"':
      case "[":
        return `leaves ${token} open`;
      default:
        break;
    }
  }
  return depth > 0 ? "leaves a parenthesis open" : null;
}

/** Offset behind a comment that begins at `start`; -1 where it has no end. */
function findCommentEnd(text: string, start: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = start;
  let depth = 0;
  for (let match = marks.exec(text); match; match = marks.exec(text)) {
    depth += match[0] === "/*" ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return -1;
}
