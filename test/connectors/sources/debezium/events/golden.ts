/** Events as Debezium 3.5.0.Final wrote them for real tables, beside what the readers of a snapshot gave of the same rows. */
import { readFileSync } from "node:fs";
import type { EventParts } from "../../../../../connectors/sources/debezium/events/event.ts";
import type { StreamSchema } from "../../../../../proto/schema.ts";
import type { TestRow } from "../../../../fixtures/batches.ts";

interface Recorded {
  readonly topic: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: string | null;
}

export interface Golden {
  readonly tables: Readonly<
    Record<
      string,
      {
        readonly schema: StreamSchema;
        /** Types under domains, and of the elements of arrays. */
        readonly declared: Readonly<Record<string, string>>;
        /** By the reader of a snapshot. */
        readonly rows: readonly TestRow[];
      }
    >
  >;
  readonly events: readonly Recorded[];
}

/** What JSON has no form of: 64-bit integers, bytes, and floats that are no numbers. */
function revive(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$int" in value) return BigInt(String(value.$int));
  if ("$bytes" in value)
    return new Uint8Array(Buffer.from(String(value.$bytes), "base64"));
  return "$float" in value ? Number(value.$float) : value;
}

export function loadGolden(name: string): Golden {
  const path = new URL(`golden/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8"), revive) as Golden;
}

/** As the engine's lines have them; `order` is what the event says itself. */
export function toParts(event: Recorded, number: number): EventParts {
  const bytes = (text: string | null): Buffer | null =>
    text === null ? null : Buffer.from(text);
  return {
    number,
    order: null,
    topic: event.topic,
    key: bytes(event.key),
    value: bytes(event.value),
    headers: bytes(event.headers),
  };
}
