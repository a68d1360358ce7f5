/** Words of T-SQL. @see SQL Server docs, "Constants", "Database identifiers", "Comments" */
import { SqlError } from "../types/storage.ts";

export interface Word {
  readonly kind:
    | "name"
    | "quoted"
    | "variable"
    | "number"
    | "string"
    | "wideString"
    | "binary"
    | "sign"
    | "end";
  /** Without quotes; as written. */
  readonly text: string;
  /** In capitals, of a bare name; else the text. */
  readonly upper: string;
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

const pattern =
  /(\s+|--[^\n]*|\/\*[\s\S]*?\*\/)|([Nn]?'(?:[^']|'')*')|(\[(?:[^\]]|\]\])*\])|("(?:[^"]|"")*")|(0[xX][0-9a-fA-F]*)|(\$?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(@{1,2}[\p{L}_@#$][\p{L}\p{N}_@#$]*)|([\p{L}_#][\p{L}\p{N}_@#$]*)|(<>|<=|>=|!=|!<|!>|\+=|-=|::|[-+*/%=<>(),.;~&|^:])/uy;

/** @throws SqlError 102 at a character that begins no word */
export function readWords(sql: string): Word[] {
  const words: Word[] = [];
  pattern.lastIndex = 0;
  let line = 1;
  for (let at = 0; at < sql.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const m = pattern.exec(sql);
    if (m === null)
      throw new SqlError(
        102,
        `Incorrect syntax near '${sql.slice(at, at + 20)}'.`,
        15,
      );
    const [
      whole,
      blank,
      string,
      bracketed,
      quoted,
      binary,
      number,
      variable,
      name,
    ] = m;
    const end = pattern.lastIndex;
    const add = (kind: Word["kind"], text: string, upper = text) =>
      words.push({ kind, text, upper, start: at, end, line });
    if (string !== undefined)
      add(
        string.startsWith("'") ? "string" : "wideString",
        string.slice(string.indexOf("'") + 1, -1).replaceAll("''", "'"),
      );
    else if (bracketed !== undefined)
      add("quoted", bracketed.slice(1, -1).replaceAll("]]", "]"));
    else if (quoted !== undefined)
      add("quoted", quoted.slice(1, -1).replaceAll('""', '"'));
    else if (binary !== undefined) add("binary", binary);
    else if (number !== undefined) add("number", number);
    else if (variable !== undefined) add("variable", variable);
    else if (name !== undefined) add("name", name, name.toUpperCase());
    else if (blank === undefined) add("sign", whole);
    if (whole.includes("\n")) line += whole.split("\n").length - 1;
  }
  words.push({
    kind: "end",
    text: "",
    upper: "",
    start: sql.length,
    end: sql.length,
    line,
  });
  return words;
}
