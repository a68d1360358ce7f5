/** The small source of test/fixtures under our bookkeeper, by a file of one sync. */
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pythonSource } from "./airbyte.ts";
import type { Destination, Running } from "./command.ts";

/** Of each stream. */
export const ROWS = 240;
/** Their keys. */
export const all = Array.from({ length: ROWS }, (_, i) => i + 1);

/** A sync of two streams of the Python source into files; what is said of `sync` goes before. */
export function writeSync(
  { root }: Destination,
  config: object,
  more: { readonly source?: object; readonly sync?: object } = {},
): string {
  const file = join(root, "..", `${root.split("/").at(-1)}.yaml`);
  const sync = {
    source: {
      command: ["python3", "-S", "-E", pythonSource],
      config: {
        streams: ["users", "orders"],
        rows: ROWS,
        state_every: 10,
        ...config,
      },
      ...more.source,
    },
    destination: { kind: "file", path: root },
    format: "jsonl",
    mode: "incremental",
    attempts: 1,
    checkpointEvery: "100ms",
    ...more.sync,
  };
  writeFileSync(file, JSON.stringify({ syncs: { things: sync } }));
  return file;
}

export function readRows(
  root: string,
  stream: string,
): Record<string, unknown>[] {
  return globSync(join(root, `**/${stream}/g*/p*.jsonl`)).flatMap((path) =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  );
}

export function readIds(root: string, stream: string): number[] {
  return readRows(root, stream)
    .map(({ id }) => Number(id))
    .toSorted((a, b) => a - b);
}

/** Of all streams, as far as it was told. */
export function countDurable({ events }: Running): number {
  const rows = new Map<string, number>();
  for (const event of events)
    if (event.type === "stream.progress")
      rows.set(event.stream.name, event.rowsDurable);
  return [...rows.values()].reduce((sum, one) => sum + one, 0);
}
