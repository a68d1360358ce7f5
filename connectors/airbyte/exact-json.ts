/**
 * JSON that goes out as it came: states and configurations belong to the connector that wrote them, and a number that a
 * double rounds (`9007199254740993`, `51234.0`) would come back to it as another text.
 */

/** What `JSON.stringify` writes as it is. */
export interface RawJson {
  readonly rawJSON: string;
}

/** Of ES2026, in Node since 21, and not in the type library of our target yet. */
const json = JSON as unknown as {
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
  parse(
    text: string,
    revive: (
      key: string,
      value: unknown,
      place: { readonly source?: string },
    ) => unknown,
  ): unknown;
};

/** A count as the protocol's schema has it: a number with a decimal point, `51234.0`. */
export function toCount(count: number): RawJson {
  return json.rawJSON(`${count}.0`);
}

/** A value in which each number that JavaScript would write otherwise keeps its text. @throws SyntaxError */
export function parseExact(text: string): unknown {
  return json.parse(text, (_, value, { source }) =>
    typeof value === "number" &&
    source !== undefined &&
    String(value) !== source
      ? json.rawJSON(source)
      : value,
  );
}

/** The number that a value is, whatever its text; else the value. */
export function unwrapNumber(value: unknown): unknown {
  return json.isRawJSON(value) ? Number(value.rawJSON) : value;
}
