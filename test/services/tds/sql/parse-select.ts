/** Queries. @see SQL Server docs, "SELECT (Transact-SQL)", "FROM clause", "Table hints" */
import type {
  Alias,
  CommonTable,
  Expr,
  FromItem,
  Query,
  Sample,
  Select,
  SelectItem,
} from "./ast.ts";
import { parseExpression, parseOrder } from "./parse-expression.ts";
import type { WordReader } from "./reader.ts";

export function parseQuery(words: WordReader): Query {
  const common: CommonTable[] = [];
  if (words.skip("WITH"))
    do {
      const name = words.identifier();
      const columns = words.is("(") ? words.identifiers() : [];
      words.expect("AS", "(");
      common.push({ name, columns, query: parseQuery(words) });
      words.expect(")");
    } while (words.skip(","));
  const selects = [parseSelect(words)];
  const unions: string[] = [];
  for (;;) {
    const how = words.skipEither("UNION", "EXCEPT", "INTERSECT");
    if (how === null) break;
    unions.push(words.skip("ALL") ? `${how} ALL` : how);
    selects.push(parseSelect(words));
  }
  const orderBy = words.skip("ORDER", "BY") ? parseOrder(words) : [];
  let offset: Expr | null = null;
  let fetch: Expr | null = null;
  if (words.skip("OFFSET")) {
    offset = parseExpression(words);
    words.skipEither("ROWS", "ROW");
    if (words.skip("FETCH")) {
      words.skipEither("NEXT", "FIRST");
      fetch = parseExpression(words);
      words.skipEither("ROWS", "ROW");
      words.expect("ONLY");
    }
  }
  if (words.skip("OPTION")) skipBrackets(words);
  return { with: common, selects, unions, orderBy, offset, fetch };
}

/** Skips what stands in brackets, whatever it is. */
export function skipBrackets(words: WordReader): void {
  words.expect("(");
  for (let depth = 1; depth > 0; words.at += 1) {
    if (words.is("(")) depth += 1;
    else if (words.is(")")) depth -= 1;
    else if (words.word.kind === "end") words.fail();
  }
}

function parseSelect(words: WordReader): Select {
  if (words.skip("(")) {
    const inner = parseSelect(words);
    words.expect(")");
    return inner;
  }
  words.expect("SELECT");
  const distinct = words.skip("DISTINCT");
  if (!distinct) words.skip("ALL");
  let top: Select["top"] = null;
  if (words.skip("TOP")) {
    const isBracketed = words.skip("(");
    const count = isBracketed
      ? parseExpression(words)
      : ({ is: "number", text: String(words.integer()) } as const);
    if (isBracketed) words.expect(")");
    const percent = words.skip("PERCENT");
    words.skip("WITH", "TIES");
    top = { count, percent };
  }
  const items = words.list(() => parseItem(words));
  const into = words.skip("INTO") ? words.path() : null;
  const from = words.skip("FROM") ? words.list(() => parseFrom(words)) : [];
  const where = words.skip("WHERE") ? parseExpression(words) : null;
  const groupBy = words.skip("GROUP", "BY")
    ? words.list(() => parseExpression(words))
    : [];
  const having = words.skip("HAVING") ? parseExpression(words) : null;
  return { distinct, top, items, into, from, where, groupBy, having };
}

function parseItem(words: WordReader): SelectItem {
  // name = expression
  if (
    words.isIdentifier() &&
    words.peek(1).text === "=" &&
    words.peek(1).kind === "sign"
  ) {
    const name = words.identifier();
    words.at += 1;
    return { name, of: parseExpression(words) };
  }
  const of = parseExpression(words);
  if (words.skip("AS")) {
    const { kind, text } = words.word;
    if (kind === "string" || kind === "wideString") {
      words.at += 1;
      return { of, name: text };
    }
    return { of, name: words.nameAfterDot() };
  }
  return { of, name: words.isIdentifier() ? words.identifier() : null };
}

function parseFrom(words: WordReader): FromItem {
  let left = parseSource(words);
  for (;;) {
    const how = readJoin(words);
    if (how === null) return left;
    const right = parseSource(words);
    const wantsOn = !how.startsWith("CROSS") && !how.endsWith("APPLY");
    if (wantsOn) words.expect("ON");
    const on = wantsOn ? parseExpression(words) : null;
    left = { is: "join", how, left, right, on };
  }
}

function readJoin(words: WordReader): string | null {
  if (words.skip("CROSS", "APPLY")) return "CROSS APPLY";
  if (words.skip("OUTER", "APPLY")) return "OUTER APPLY";
  if (words.skip("CROSS", "JOIN")) return "CROSS";
  if (words.skip("JOIN")) return "INNER";
  for (const how of ["INNER", "LEFT", "RIGHT", "FULL"]) {
    if (!words.is(how)) continue;
    words.at += 1;
    words.skip("OUTER");
    words.skipEither("LOOP", "HASH", "MERGE");
    words.expect("JOIN");
    return how;
  }
  return null;
}

function parseAlias(words: WordReader): Alias {
  if (!words.skip("AS") && !words.isIdentifier())
    return { alias: null, columns: [] };
  const alias = words.identifier();
  return { alias, columns: words.is("(") ? words.identifiers() : [] };
}

function parseSource(words: WordReader): FromItem {
  if (words.is("(")) {
    const next = words.peek(1).upper;
    if (next === "SELECT" || next === "WITH") {
      words.at += 1;
      const query = parseQuery(words);
      words.expect(")");
      return { is: "derived", query, ...parseAlias(words) };
    }
    if (next === "VALUES") {
      words.at += 2;
      const rows = words.list(() => {
        words.expect("(");
        const row = words.list(() => parseExpression(words));
        words.expect(")");
        return row;
      });
      words.expect(")");
      return { is: "values", rows, ...parseAlias(words) };
    }
    words.at += 1;
    const inner = parseFrom(words);
    words.expect(")");
    return inner;
  }
  const parts = words.path();
  if (words.is("(") && words.peek(1).upper !== "NOLOCK") {
    words.at += 1;
    const args = words.is(")") ? [] : words.list(() => parseExpression(words));
    words.expect(")");
    return { is: "function", parts, args, ...parseAlias(words) };
  }
  let sample = parseSample(words);
  const alias = parseAlias(words);
  sample ??= parseSample(words);
  return { is: "table", parts, hints: parseHints(words), sample, ...alias };
}

function parseSample(words: WordReader): Sample | null {
  if (!words.skip("TABLESAMPLE")) return null;
  words.skip("SYSTEM");
  words.expect("(");
  const amount = parseExpression(words);
  const unit = words.skip("ROWS") ? "ROWS" : "PERCENT";
  words.skip("PERCENT");
  words.expect(")");
  let seed: Expr | null = null;
  if (words.skip("REPEATABLE")) {
    words.expect("(");
    seed = parseExpression(words);
    words.expect(")");
  }
  return { amount, unit, seed };
}

function parseHints(words: WordReader): string[] {
  const isOld = words.is("(") && words.peek(1).upper === "NOLOCK";
  if (!isOld && !words.is("WITH", "(")) return [];
  words.skip("WITH");
  const start = words.at + 1;
  skipBrackets(words);
  return words.words
    .slice(start, words.at - 1)
    .filter(({ kind }) => kind === "name")
    .map(({ upper }) => upper);
}
