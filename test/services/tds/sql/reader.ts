/** Words one after the other, with what every part of the parser needs. */
import { SqlError } from "../types/storage.ts";
import { findCollation } from "../types/collations.ts";
import { declareType, type SqlType } from "../types/types.ts";
import type { Query } from "./ast.ts";
import { readWords, type Word } from "./lexer.ts";

/** Words that end an expression or begin a statement: no alias and no column unless in brackets. */
const reserved = new Set(
  `ADD ALL ALTER AND ANY AS ASC BEGIN BETWEEN BY CASE CAST CHECK CLUSTERED COLLATE COMMIT CONSTRAINT CONVERT CREATE CROSS
   CURRENT DECLARE DEFAULT DELETE DESC DISTINCT DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS FETCH FOR FOREIGN FROM
   FULL GROUP HAVING IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE NONCLUSTERED NOT NULL OF OFF OFFSET
   ON OPTION OR ORDER OUTER OVER PERCENT PRIMARY PRINT RAISERROR REFERENCES RETURN RIGHT ROLLBACK SAVE SELECT SET TABLE
   TABLESAMPLE THEN THROW TO TOP TRAN TRANSACTION TRUNCATE TRY_CONVERT UNION UNIQUE UPDATE USE VALUES VIEW WAITFOR WHEN
   WHERE WHILE WITH`.split(/\s+/),
);

export class WordReader {
  readonly sql: string;
  readonly words: readonly Word[];
  at = 0;
  readonly #parseQuery: ((words: WordReader) => Query) | null;

  /** @param parseQuery for queries inside of expressions; none are expected without */
  constructor(
    sql: string,
    parseQuery: ((words: WordReader) => Query) | null = null,
  ) {
    this.sql = sql;
    this.#parseQuery = parseQuery;
    this.words = readWords(sql);
  }

  get word(): Word {
    return this.words[this.at]!;
  }

  peek(ahead: number): Word {
    return this.words[Math.min(this.at + ahead, this.words.length - 1)]!;
  }

  fail(): never {
    const { text, line } = this.word;
    throw new SqlError(
      102,
      `Incorrect syntax near '${text === "" ? "end of text" : text}' (line ${line}).`,
      15,
    );
  }

  /** True at these words, one after the other; bare words and signs only. */
  is(...texts: readonly string[]): boolean {
    return texts.every((text, i) => {
      const word = this.peek(i);
      return (
        (word.kind === "name" || word.kind === "sign") && word.upper === text
      );
    });
  }

  skip(...texts: readonly string[]): boolean {
    if (!this.is(...texts)) return false;
    this.at += texts.length;
    return true;
  }

  expect(...texts: readonly string[]): void {
    if (!this.skip(...texts)) this.fail();
  }

  skipEither(...texts: readonly string[]): string | null {
    return texts.find((text) => this.skip(text)) ?? null;
  }

  isIdentifier(ahead = 0): boolean {
    const word = this.peek(ahead);
    return (
      word.kind === "quoted" ||
      (word.kind === "name" && !reserved.has(word.upper))
    );
  }

  identifier(): string {
    if (!this.isIdentifier()) this.fail();
    this.at += 1;
    return this.words[this.at - 1]!.text;
  }

  /** `a.b.c`, also `a..c`. */
  path(): string[] {
    const parts = [this.identifier()];
    while (this.is(".")) {
      this.at += 1;
      if (this.is(".")) parts.push("");
      else parts.push(this.nameAfterDot());
    }
    return parts;
  }

  /** Behind a dot any word is a name. */
  nameAfterDot(): string {
    const { kind, text } = this.word;
    if (kind !== "name" && kind !== "quoted") this.fail();
    this.at += 1;
    return text;
  }

  identifiers(): string[] {
    this.expect("(");
    const names = this.list(() => this.identifier());
    this.expect(")");
    return names;
  }

  list<T>(read: () => T): T[] {
    const items = [read()];
    while (this.skip(",")) items.push(read());
    return items;
  }

  integer(): number {
    const sign = this.skip("-") ? -1 : 1;
    if (this.word.kind !== "number") this.fail();
    this.at += 1;
    return sign * Number(this.words[this.at - 1]!.text);
  }

  query(): Query {
    return this.#parseQuery === null ? this.fail() : this.#parseQuery(this);
  }

  /** A type, with its collation. @param defaultLength 30 in CAST and CONVERT */
  type(defaultLength = 1): SqlType {
    let name = this.path().at(-1)!;
    if (this.skip("VARYING")) name += " varying";
    const args: number[] = [];
    if (this.skip("(")) {
      args.push(...this.list(() => (this.skip("MAX") ? -1 : this.integer())));
      this.expect(")");
    }
    const collation = this.skip("COLLATE")
      ? findCollation(this.identifier())
      : null;
    return declareType(name, args, collation, defaultLength);
  }
}
