/** Key ranges from their bounds. */
import assert from "node:assert/strict";
import type { KeyTuple, Split } from "../proto/partition.ts";
import type { KeyInput } from "./plan-input.ts";

export type KeySplit = Extract<Split, { kind: "key" }>;

/** The ranges between `bounds`, which are strictly ascending as the server compares them; the outer two are open. */
export function splitKeys(
  key: KeyInput,
  bounds: readonly KeyTuple[],
): KeySplit[] {
  const columns = key.columns.map((column) => column.name);
  const types = key.columns.map((column) => column.type);
  for (const bound of bounds) assert.equal(bound.length, columns.length);
  return [null, ...bounds].map((start, i) => ({
    kind: "key",
    columns,
    types,
    start,
    end: bounds[i] ?? null,
  }));
}
