/** Names as Avro allows them: `[A-Za-z_][A-Za-z0-9_]*` (Avro 1.11, "Names"). */

/** Words that are types, which a named type may not redefine; `record` and the like confuse readers. */
const typeWords: ReadonlySet<string> = new Set([
  "null",
  "boolean",
  "int",
  "long",
  "float",
  "double",
  "bytes",
  "string",
  "record",
  "enum",
  "array",
  "map",
  "union",
  "fixed",
  "error",
]);

/** No letter, digit or underscore, a digit in front, or an underscore that would begin what looks like an escape. */
const mustEscape = /[^A-Za-z0-9_]|^[0-9]|_(?=x[0-9a-f]*[^A-Za-z0-9])/gu;

/**
 * A valid name for any text, a different one for each: what Avro does not allow becomes `_x` and its code point in
 * hexadecimal digits and `_`, as SQL/XML does it (ISO/IEC 9075-14, "Mapping SQL identifiers to XML names"). It depends
 * on the text alone, so that a column keeps its name whatever columns come and go beside it.
 */
export function encodeName(text: string): string {
  return text === "" ? "_x_" : text.replace(mustEscape, escape);
}

/** The same for a record or fixed, which may not be called as a type is. */
export function encodeTypeName(text: string): string {
  const name = encodeName(text);
  return typeWords.has(name) ? `${escape(name)}${name.slice(1)}` : name;
}

function escape(character: string): string {
  return `_x${character.codePointAt(0)!.toString(16)}_`;
}
