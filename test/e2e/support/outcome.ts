/** What has to be true of a destination once its run is done. */
import { existsSync, readdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { expect } from "vitest";
import { readManifest } from "../../../connectors/destinations/file/manifest.ts";
import type { Destination } from "./command.ts";
import { digestFiles, type Digest, type TableSpec } from "./tables.ts";

/** Every row once, no file beside those of the manifest, no process and no socket folder left. */
export async function expectComplete(
  destination: Destination,
  wanted: ReadonlyMap<TableSpec, Digest>,
  hint: string,
): Promise<void> {
  for (const [table, digest] of wanted) {
    const found = await digestFiles(destination.root, table);
    expect(found, `${table.name}, ${hint}`).toEqual(digest);
    expectOnlyManifest(destination, table, hint);
  }
  expectNothingLeft(destination, hint);
}

export function expectOnlyManifest(
  { root }: Destination,
  { name }: { readonly name: string },
  hint: string,
): void {
  const folder = join(root, "public", name);
  const listed =
    readManifest(folder)?.generations.flatMap(({ files }) =>
      files.map(({ path }) => path),
    ) ?? [];
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "_manifest.json")
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  expect(found.toSorted(), `files of ${name}, ${hint}`).toEqual(
    listed.toSorted(),
  );
}

export function expectNothingLeft(
  destination: Destination,
  hint: string,
): void {
  const database = new DatabaseSync(destination.ledgerPath);
  const folders = database
    .prepare("SELECT DISTINCT run_dir FROM attempts")
    .all()
    .map((row) => String(row["run_dir"]));
  database.close();
  expect(
    folders.filter((folder) => existsSync(folder)),
    `socket folders, ${hint}`,
  ).toEqual([]);
}
