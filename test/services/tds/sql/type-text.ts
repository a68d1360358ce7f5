/** A type as one declares it: `decimal(38, 10)`, `varchar(20) COLLATE Cyrillic_General_CI_AS`. */
import { findCollation } from "../types/collations.ts";
import { declareType, type SqlType } from "../types/types.ts";

const pattern =
  /^\s*([a-z_][a-z0-9_ ]*?)\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(?:COLLATE\s+(\w+))?\s*$/i;

/** @throws Error when the text is no type */
export function parseTypeText(text: string): SqlType {
  const m = pattern.exec(text);
  if (m === null) throw new Error(`no type: ${text}`);
  const args = [m[2], m[3]]
    .filter((arg) => arg !== undefined)
    .map((arg) => (arg.toLowerCase() === "max" ? -1 : Number(arg)));
  return declareType(
    m[1]!,
    args,
    m[4] === undefined ? null : findCollation(m[4]),
  );
}
