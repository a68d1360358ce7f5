/** Batches. @see SQL Server docs, "Transact-SQL statements" */
import type { Expr, Statement } from "./ast.ts";
import { parseAlter, parseCreate, parseDrop } from "./parse-definition.ts";
import { parseExpression } from "./parse-expression.ts";
import { parseQuery, skipBrackets } from "./parse-select.ts";
import { WordReader } from "./reader.ts";

/** Words that begin a statement; a SET without value ends before one of them. */
const beginnings = new Set(
  `ALTER BEGIN COMMIT CREATE DECLARE DELETE DROP END EXEC EXECUTE GO IF INSERT PRINT RAISERROR ROLLBACK SAVE SELECT SET
   THROW TRUNCATE UPDATE USE WAITFOR WITH`.split(/\s+/),
);

/** @throws SqlError 102 */
export function parseBatch(sql: string): Statement[] {
  const words = new WordReader(sql, parseQuery);
  const statements: Statement[] = [];
  while (skipSemicolons(words)) statements.push(...parseStatement(words));
  return statements;
}

function skipSemicolons(words: WordReader): boolean {
  while (words.skip(";") || words.skip("GO"));
  return words.word.kind !== "end";
}

/** One statement, or those of a block. */
function parseStatement(words: WordReader): Statement[] {
  const { upper } = words.word;
  if (upper === "SELECT" || upper === "WITH" || words.is("("))
    return [{ is: "select", query: parseQuery(words) }];
  words.at += 1;
  switch (upper) {
    case "SET":
      return [parseSet(words)];
    case "CREATE":
      return [parseCreate(words)];
    case "ALTER":
      return [parseAlter(words)];
    case "DROP":
      return [parseDrop(words)];
    case "INSERT":
      return [parseInsert(words)];
    case "UPDATE":
      return [parseUpdate(words)];
    case "DELETE": {
      words.skip("FROM");
      const table = words.path();
      const where = words.skip("WHERE") ? parseExpression(words) : null;
      return [{ is: "delete", table, where }];
    }
    case "TRUNCATE":
      words.expect("TABLE");
      return [{ is: "truncate", table: words.path() }];
    case "USE":
      return [{ is: "use", database: words.identifier() }];
    case "BEGIN":
      return parseBegin(words);
    case "COMMIT":
    case "ROLLBACK":
    case "SAVE": {
      words.skipEither("TRANSACTION", "TRAN", "WORK");
      if (words.isIdentifier()) words.identifier();
      const is = upper === "COMMIT" ? "commit" : "rollback";
      return [{ is: upper === "SAVE" ? "nothing" : is }];
    }
    case "DECLARE":
      return words.list(() => {
        const name = parseVariable(words);
        words.skip("AS");
        const type = words.type();
        const value = words.skip("=") ? parseExpression(words) : null;
        return { is: "declare", name, type, value };
      });
    case "IF": {
      const test = parseExpression(words);
      const body = parseStatement(words);
      words.skip(";");
      const otherwise = words.skip("ELSE") ? parseStatement(words) : [];
      return [{ is: "if", test, body, otherwise }];
    }
    case "PRINT":
      return [{ is: "print", value: parseExpression(words) }];
    case "THROW":
    case "RAISERROR":
      return [parseRaise(words)];
    case "WAITFOR":
      words.expect("DELAY");
      return [{ is: "wait", ms: parseExpression(words) }];
    case "EXEC":
    case "EXECUTE":
      return [parseExecute(words)];
    default:
      words.at -= 1;
      return words.fail();
  }
}

function parseVariable(words: WordReader): string {
  const { kind, text } = words.word;
  if (kind !== "variable") words.fail();
  words.at += 1;
  return text;
}

function parseSet(words: WordReader): Statement {
  if (words.word.kind === "variable") {
    const name = parseVariable(words);
    words.expect("=");
    return { is: "assign", name, value: parseExpression(words) };
  }
  const start = words.at;
  while (
    words.word.kind !== "end" &&
    !words.is(";") &&
    !(words.word.kind === "name" && beginnings.has(words.word.upper))
  )
    words.at += 1;
  const texts = words.words.slice(start, words.at).map(({ text }) => text);
  const option = texts.join(" ");
  const level = /^TRANSACTION ISOLATION LEVEL (.+)$/i.exec(option)?.[1];
  if (level !== undefined)
    return { is: "isolation", level: level.toUpperCase() };
  return {
    is: "set",
    option: (texts[0] ?? "").toUpperCase(),
    value: texts.slice(1).join(" "),
  };
}

function parseBegin(words: WordReader): Statement[] {
  if (words.skipEither("TRANSACTION", "TRAN") !== null) {
    if (words.isIdentifier()) words.identifier();
    return [{ is: "begin" }];
  }
  const statements: Statement[] = [];
  while (skipSemicolons(words) && !words.is("END"))
    statements.push(...parseStatement(words));
  words.expect("END");
  return statements;
}

function parseInsert(words: WordReader): Statement {
  words.skip("INTO");
  const table = words.path();
  if (words.is("WITH", "(")) {
    words.at += 1;
    skipBrackets(words);
  }
  const columns =
    words.is("(") && words.peek(1).upper !== "SELECT"
      ? words.identifiers()
      : [];
  if (words.skip("DEFAULT", "VALUES"))
    return { is: "insert", table, columns, source: [[]] };
  if (!words.skip("VALUES"))
    return { is: "insert", table, columns, source: parseQuery(words) };
  const source = words.list((): (Expr | null)[] => {
    words.expect("(");
    const row = words.list(() =>
      words.skip("DEFAULT") ? null : parseExpression(words),
    );
    words.expect(")");
    return row;
  });
  return { is: "insert", table, columns, source };
}

function parseUpdate(words: WordReader): Statement {
  const table = words.path();
  words.expect("SET");
  const sets = words.list((): [string, Expr] => {
    const name = words.path().at(-1)!;
    words.expect("=");
    return [name, parseExpression(words)];
  });
  const where = words.skip("WHERE") ? parseExpression(words) : null;
  return { is: "update", table, sets, where };
}

function parseRaise(words: WordReader): Statement {
  if (words.is(";") || words.word.kind === "end")
    return { is: "raise", args: [] };
  const isBracketed = words.skip("(");
  const args = words.list(() => parseExpression(words));
  if (isBracketed) words.expect(")");
  return { is: "raise", args };
}

/** `EXEC sp_executesql N'…'` and `EXEC (N'…')` run SQL; other procedures only as a test lays them down. */
function parseExecute(words: WordReader): Statement {
  if (words.skip("(")) {
    const sql = parseExpression(words);
    words.expect(")");
    return { is: "execute", sql };
  }
  const path = words.path();
  if (path.at(-1)!.toLowerCase() !== "sp_executesql") {
    words.at -= 1;
    words.fail();
  }
  return { is: "execute", sql: parseExpression(words) };
}
