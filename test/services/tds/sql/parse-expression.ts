/** Expressions and conditions. @see SQL Server docs, "Operator precedence (Transact-SQL)" */
import type { Expr, OrderItem, Window } from "./ast.ts";
import type { WordReader } from "./reader.ts";

export function parseExpression(words: WordReader): Expr {
  let left = parseAnd(words);
  while (words.skip("OR"))
    left = { is: "infix", sign: "OR", left, right: parseAnd(words) };
  return left;
}

function parseAnd(words: WordReader): Expr {
  let left = parseNot(words);
  while (words.skip("AND"))
    left = { is: "infix", sign: "AND", left, right: parseNot(words) };
  return left;
}

function parseNot(words: WordReader): Expr {
  if (words.skip("NOT"))
    return { is: "unary", sign: "NOT", of: parseNot(words) };
  return parseComparison(words);
}

const comparisons = ["=", "<>", "!=", "<=", ">=", "!<", "!>", "<", ">"];
const sameComparison: Record<string, string> = {
  "!=": "<>",
  "!<": ">=",
  "!>": "<=",
};

function parseComparison(words: WordReader): Expr {
  let left = parseSum(words);
  for (;;) {
    const sign = words.skipEither(...comparisons);
    if (sign !== null) {
      left = {
        is: "infix",
        sign: sameComparison[sign] ?? sign,
        left,
        right: parseSum(words),
      };
      continue;
    }
    if (words.skip("IS")) {
      const not = words.skip("NOT");
      words.expect("NULL");
      left = { is: "isNull", of: left, not };
      continue;
    }
    const not =
      words.is("NOT") &&
      ["IN", "BETWEEN", "LIKE"].includes(words.peek(1).upper);
    if (not) words.at += 1;
    if (words.skip("IN")) {
      words.expect("(");
      const list = words.is("SELECT")
        ? words.query()
        : words.list(() => parseExpression(words));
      words.expect(")");
      left = { is: "in", of: left, list, not };
    } else if (words.skip("BETWEEN")) {
      const low = parseSum(words);
      words.expect("AND");
      left = { is: "between", of: left, low, high: parseSum(words), not };
    } else if (words.skip("LIKE")) {
      const pattern = parseSum(words);
      const escape = words.skip("ESCAPE") ? parseSum(words) : null;
      left = { is: "like", of: left, pattern, escape, not };
    } else return left;
  }
}

function parseSum(words: WordReader): Expr {
  let left = parseProduct(words);
  for (;;) {
    const sign = words.skipEither("+", "-", "&", "|", "^");
    if (sign === null) return left;
    left = { is: "infix", sign, left, right: parseProduct(words) };
  }
}

function parseProduct(words: WordReader): Expr {
  let left = parseUnary(words);
  for (;;) {
    const sign = words.skipEither("*", "/", "%");
    if (sign === null) return left;
    left = { is: "infix", sign, left, right: parseUnary(words) };
  }
}

function parseUnary(words: WordReader): Expr {
  const sign = words.skipEither("-", "+", "~");
  if (sign !== null) {
    const of = parseUnary(words);
    if (sign === "-" && of.is === "number" && !of.text.startsWith("-"))
      return { is: "number", text: `-${of.text}` };
    return sign === "+" ? of : { is: "unary", sign, of };
  }
  let of = parsePrimary(words);
  while (words.skip("COLLATE"))
    of = { is: "collate", of, name: words.identifier() };
  return of;
}

function parsePrimary(words: WordReader): Expr {
  const { kind, text, upper } = words.word;
  const take = <T>(value: T): T => {
    words.at += 1;
    return value;
  };
  switch (kind) {
    case "number":
      return take({ is: "number", text });
    case "string":
      return take({ is: "string", text, wide: false });
    case "wideString":
      return take({ is: "string", text, wide: true });
    case "binary":
      return take({ is: "binary", text });
    case "variable":
      return take({ is: "variable", name: text });
    case "end":
      return words.fail();
    case "sign":
      if (text === "*") return take({ is: "star", parts: [] });
      if (text !== "(") return words.fail();
      return parseBrackets(words);
    case "name":
      break;
    case "quoted":
      return parsePath(words);
  }
  switch (upper) {
    case "NULL":
      return take({ is: "null" });
    case "CASE":
      return parseCase(take(words));
    case "EXISTS": {
      words.at += 1;
      words.expect("(");
      const query = words.query();
      words.expect(")");
      return { is: "exists", query };
    }
    case "CAST":
    case "TRY_CAST": {
      words.at += 1;
      words.expect("(");
      const of = parseExpression(words);
      words.expect("AS");
      const type = words.type(30);
      words.expect(")");
      return { is: "cast", of, type, style: null, tries: upper !== "CAST" };
    }
    case "CONVERT":
    case "TRY_CONVERT": {
      words.at += 1;
      words.expect("(");
      const type = words.type(30);
      words.expect(",");
      const of = parseExpression(words);
      const style = words.skip(",") ? parseExpression(words) : null;
      words.expect(")");
      return { is: "cast", of, type, style, tries: upper !== "CONVERT" };
    }
    // functions whose names are reserved
    case "LEFT":
    case "RIGHT":
    case "IF":
      if (words.peek(1).text === "(") return parseCall(take(words), upper);
      return words.fail();
    default:
      return parsePath(words);
  }
}

function parseBrackets(words: WordReader): Expr {
  words.expect("(");
  if (words.is("SELECT") || words.is("WITH")) {
    const query = words.query();
    words.expect(")");
    return { is: "query", query };
  }
  const inner = parseExpression(words);
  words.expect(")");
  return inner;
}

function parsePath(words: WordReader): Expr {
  const parts = [words.identifier()];
  while (words.skip(".")) {
    if (words.skip("*")) return { is: "star", parts };
    parts.push(words.is(".") ? "" : words.nameAfterDot());
  }
  if (words.is("(")) return parseCall(words, parts.at(-1)!.toUpperCase());
  return { is: "column", parts };
}

function parseCall(words: WordReader, name: string): Expr {
  words.expect("(");
  const distinct = words.skip("DISTINCT");
  const args = words.is(")") ? [] : words.list(() => parseExpression(words));
  words.expect(")");
  // the order of STRING_AGG
  if (words.skip("WITHIN", "GROUP")) {
    words.expect("(", "ORDER", "BY");
    parseOrder(words);
    words.expect(")");
  }
  const over = words.skip("OVER") ? parseWindow(words) : null;
  return { is: "call", name, args, distinct, over };
}

function parseWindow(words: WordReader): Window {
  words.expect("(");
  const partitionBy = words.skip("PARTITION", "BY")
    ? words.list(() => parseExpression(words))
    : [];
  const orderBy = words.skip("ORDER", "BY") ? parseOrder(words) : [];
  words.expect(")");
  return { partitionBy, orderBy };
}

export function parseOrder(words: WordReader): OrderItem[] {
  return words.list(() => {
    const by = parseExpression(words);
    const descending = words.skip("DESC");
    if (!descending) words.skip("ASC");
    return { by, descending };
  });
}

function parseCase(words: WordReader): Expr {
  const of = words.is("WHEN") ? null : parseExpression(words);
  const whens: [Expr, Expr][] = [];
  while (words.skip("WHEN")) {
    const when = parseExpression(words);
    words.expect("THEN");
    whens.push([when, parseExpression(words)]);
  }
  const otherwise = words.skip("ELSE") ? parseExpression(words) : null;
  words.expect("END");
  return { is: "case", of, whens, otherwise };
}
