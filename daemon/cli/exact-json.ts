/** JavaScript's own, in Node since 21 and not in the type library yet: a JSON text that goes out as it is written. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): object };

/** One line of JSON in which a bigint is a number with all its digits. */
export function toExactJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? rawJSON(item.toString()) : item,
  );
}
