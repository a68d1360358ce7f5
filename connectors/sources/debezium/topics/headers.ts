/** The headers of a record as the object that the engine's lines have. */
import type { TopicMessage } from "./client.ts";

const OLD_KEY = "__debezium.oldkey";

/**
 * The key that a row had before, where the connector's `header.converter` has written it as JSON; null: there is none. As
 * text of another form it stays a text, which is refused where it is needed.
 */
export function readHeaders({ headers }: TopicMessage): Buffer | null {
  const value = headers[OLD_KEY];
  if (value === undefined || value === null) return null;
  const text = value.toString();
  return Buffer.from(
    `{${JSON.stringify(OLD_KEY)}:${isJsonObject(text) ? text : JSON.stringify(text)}}`,
  );
}

function isJsonObject(text: string): boolean {
  if (!text.startsWith("{")) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
