/** The table that a change log makes: every row of the files, in the log's order, on top of those before. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { strict as assert } from "node:assert";
import { readManifest } from "../../../connectors/destinations/file/manifest.ts";
import { queryDuckDb } from "../../connectors/formats/duckdb.ts";
import type { ComparedTable } from "./log-workload.ts";

type Values = readonly (string | null)[];

/** @returns all rows as one sorted text each, as `readSource` gives them */
export async function replayFiles(
  root: string,
  table: ComparedTable,
  {
    isOneSnapshot,
  }: {
    /** Else a later snapshot may lack a row that the log still changes and then deletes. */
    readonly isOneSnapshot: boolean;
  },
): Promise<string[]> {
  const { columns, key, namespace = "public" } = table;
  const folder = join(root, namespace, table.name);
  const manifest = readManifest(folder);
  assert(manifest, `${folder} shows no table`);
  const files = manifest.generations.flatMap((generation) =>
    generation.files.map(({ path }) => join(root, path)),
  );
  for (const file of files) assert(existsSync(file), file);
  // where the log is still followed, a table that was empty has no file before its first row
  if (files.length === 0) {
    assert.equal(manifest.rows, 0, folder);
    return [];
  }
  const list = columns.map((column) => column.duckdb).join(", ");
  const rows = await queryDuckDb(
    `SELECT "_op", "_position", "_unchanged", "_old_key", ${list}
     FROM read_parquet([${files.map((file) => `'${file}'`).join(", ")}], union_by_name = true) ORDER BY "_position", "_op" = 'c'`,
  );
  const names = columns.map(({ name }) => name);
  const keyOf = (values: Values): string =>
    JSON.stringify(key.map((name) => values[names.indexOf(name)]));
  const copy = new Map<string, Values>();
  /** Rows that were deleted just now: a row whose key has changed takes from them what was not sent. */
  let deleted = new Map<string, Values>();
  let transaction = "";
  const seen = new Set<string>();
  for (const [op, place, unchangedJson, oldKey, ...values] of rows as [
    string,
    string,
    string,
    string | null,
    ...Values,
  ][]) {
    const current = place.slice(0, -11);
    if (current !== transaction) deleted = new Map();
    transaction = current;
    if (op === "t") {
      copy.clear();
      continue;
    }
    const id = keyOf(values);
    if (op !== "r") {
      assert(!seen.has(place), `${place} is there twice`);
      seen.add(place);
    } else assert(!copy.has(id), `the snapshot has ${id} twice`);
    const before = copy.get(id);
    if (op === "d") {
      if (before) deleted.set(id, before);
      copy.delete(id);
      continue;
    }
    const unchanged = JSON.parse(unchangedJson) as string[];
    const from =
      oldKey === null
        ? before
        : (deleted.get(JSON.stringify(JSON.parse(oldKey))) ?? before);
    copy.set(
      id,
      values.map((value, i) => {
        if (!unchanged.includes(names[i] ?? "")) return value;
        assert(from || !isOneSnapshot, `${place}: no earlier row of ${id}`);
        return from?.[i] ?? null;
      }),
    );
  }
  return [...copy.values()].map((row) => JSON.stringify(row)).toSorted();
}
