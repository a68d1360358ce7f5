/**
 * A filter's text as a tree. The grammar, in which names and signs are SQL's and words may have any case:
 *
 *     or       = and { OR and }
 *     and      = not { AND not }
 *     not      = NOT not | "(" or ")" | test
 *     test     = column ( = | <> | != | < | <= | > | >= ) literal
 *              | column [ NOT ] IN "(" literal { "," literal } ")"
 *              | column IS [ NOT ] NULL
 *     literal  = number | 'text' | TRUE | FALSE
 */
import { FilterFault, readTokens, type Token } from "./tokens.ts";

const DEPTH_MAX = 64;
const LITERALS_MAX = 1000;

export type Operator = "=" | "<>" | "<" | "<=" | ">" | ">=";

export interface Literal {
  readonly kind: "number" | "text" | "boolean";
  /** A text without its quotes; `true` or `false`. */
  readonly text: string;
}

export type FilterNode =
  | { readonly kind: "and" | "or"; readonly parts: readonly FilterNode[] }
  | { readonly kind: "not"; readonly part: FilterNode }
  | { readonly kind: "isNull"; readonly column: string }
  | {
      readonly kind: "compare";
      readonly column: string;
      readonly operator: Operator;
      readonly literal: Literal;
    }
  | {
      readonly kind: "in";
      readonly column: string;
      readonly literals: readonly Literal[];
    };

/** @throws FilterFault saying where and why */
export function parseFilter(source: string): FilterNode {
  const parser = new Parser(readTokens(source));
  const node = parser.parseOr(0);
  parser.expectEnd();
  return node;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #literals = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parseOr(depth: number): FilterNode {
    return this.#parseChain("or", () => this.#parseAnd(depth));
  }

  expectEnd(): void {
    if (this.#token.kind !== "end") throw this.#refuse("AND, OR or the end");
  }

  #parseAnd(depth: number): FilterNode {
    return this.#parseChain("and", () => this.#parseNot(depth));
  }

  #parseChain(word: "and" | "or", parsePart: () => FilterNode): FilterNode {
    const parts = [parsePart()];
    while (this.#accept("word", word)) parts.push(parsePart());
    return parts.length === 1 ? parts[0]! : { kind: word, parts };
  }

  #parseNot(depth: number): FilterNode {
    if (depth > DEPTH_MAX)
      throw new FilterFault(`is nested more than ${DEPTH_MAX} deep`);
    if (this.#accept("word", "not"))
      return { kind: "not", part: this.#parseNot(depth + 1) };
    if (this.#accept("sign", "(")) {
      const inner = this.parseOr(depth + 1);
      this.#expect("sign", ")");
      return inner;
    }
    return this.#parseTest();
  }

  #parseTest(): FilterNode {
    const name = this.#token;
    if (name.kind !== "name") throw this.#refuse("a column");
    this.#next++;
    const column = name.text;
    if (this.#accept("word", "is")) {
      const isNegated = this.#accept("word", "not");
      this.#expect("word", "null");
      return negate({ kind: "isNull", column }, isNegated);
    }
    const isNegated = this.#accept("word", "not");
    if (isNegated || this.#isAt("word", "in")) {
      this.#expect("word", "in");
      return negate(
        { kind: "in", column, literals: this.#parseList() },
        isNegated,
      );
    }
    const sign = this.#token;
    const operator = sign.text === "!=" ? "<>" : sign.text;
    if (sign.kind !== "sign" || !isOperator(operator))
      throw this.#refuse("a comparison, IN or IS NULL");
    this.#next++;
    return { kind: "compare", column, operator, literal: this.#parseLiteral() };
  }

  #parseList(): Literal[] {
    this.#expect("sign", "(");
    const literals = [this.#parseLiteral()];
    while (this.#accept("sign", ",")) literals.push(this.#parseLiteral());
    this.#expect("sign", ")");
    return literals;
  }

  #parseLiteral(): Literal {
    if (++this.#literals > LITERALS_MAX)
      throw new FilterFault(`has more than ${LITERALS_MAX} values`);
    const { kind, text } = this.#token;
    if (kind === "word" && text === "null")
      throw new FilterFault(
        "nothing is equal to NULL: ask with IS NULL or IS NOT NULL",
      );
    if (kind === "word" && (text === "true" || text === "false")) {
      this.#next++;
      return { kind: "boolean", text };
    }
    if (kind !== "number" && kind !== "text")
      throw this.#refuse("a number, a 'text', TRUE or FALSE");
    this.#next++;
    return { kind, text };
  }

  get #token(): Token {
    return this.#tokens[this.#next]!;
  }

  #isAt(kind: Token["kind"], text: string): boolean {
    return this.#token.kind === kind && this.#token.text === text;
  }

  #accept(kind: Token["kind"], text: string): boolean {
    if (!this.#isAt(kind, text)) return false;
    this.#next++;
    return true;
  }

  #expect(kind: Token["kind"], text: string): void {
    if (!this.#accept(kind, text)) throw this.#refuse(text.toUpperCase());
  }

  #refuse(wanted: string): FilterFault {
    const { kind, text, at } = this.#token;
    const found = kind === "end" ? "the end" : JSON.stringify(text);
    return new FilterFault(
      `${wanted} is expected at character ${at + 1}, where ${found} stands`,
    );
  }
}

function negate(node: FilterNode, isNegated: boolean): FilterNode {
  return isNegated ? { kind: "not", part: node } : node;
}

function isOperator(text: string): text is Operator {
  return ["=", "<>", "<", "<=", ">", ">="].includes(text);
}
