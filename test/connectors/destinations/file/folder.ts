/** A folder of its own for each test, and what lies in it. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { test as base } from "vitest";

export const test = base.extend<{ root: string }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the fixture's needs from the pattern
  root: async ({}, use) => {
    const root = fs.mkdtempSync(join(tmpdir(), "millrace-file-"));
    await use(root);
    fs.rmSync(root, { recursive: true, force: true });
  },
});

/** Paths of all files below the root, sorted. */
export function listFiles(root: string): string[] {
  return fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}
