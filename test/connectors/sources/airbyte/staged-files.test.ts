/** References to staged files: nothing is taken from, or brought to, a place that is not meant for it. */
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  findPathFault,
  readFileReference,
} from "../../../../connectors/airbyte/file-reference.ts";
import { StagedFiles } from "../../../../connectors/sources/airbyte/staged-files.ts";

function stage(): { readonly folder: string; readonly file: string } {
  const root = mkdtempSync(join(tmpdir(), "millrace-staged-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, "staging");
  mkdirSync(join(folder, "inner"), { recursive: true });
  const file = join(folder, "inner/one.part");
  writeFileSync(file, "twelve bytes");
  writeFileSync(join(root, "secret"), "twelve bytes");
  writeFileSync(join(root, "staging-of-others"), "twelve bytes");
  symlinkSync(join(root, "secret"), join(folder, "link"));
  return { folder, file };
}

const refer = (staged: string, bytes: unknown = 12, path = "a/b.txt"): string =>
  JSON.stringify({
    staging_file_url: staged,
    source_file_relative_path: path,
    file_size_bytes: bytes,
  });

test("a plain file below the staging folder, by its path or its URL", () => {
  const { folder, file } = stage();
  const staged = new StagedFiles(folder);
  for (const url of [
    file,
    `file://${file}`,
    `${folder}/inner/../inner/one.part`,
  ]) {
    const found = staged.find(refer(url), "docs");
    expect(found.bytes).toBe(12);
    expect(readFileReference(found.text, "docs")).toEqual({
      stagedPath: file,
      relativePath: "a/b.txt",
      bytes: 12,
    });
  }
  // a count may have a decimal point
  const text = refer(file).replace(":12}", ":12.0}");
  expect(staged.find(text, "docs").bytes).toBe(12);
});

test.for([
  { place: "../secret", words: "not below the staging folder" },
  { place: "../staging-of-others", words: "not below the staging folder" },
  { place: "link", words: "not below the staging folder" },
  { place: "", words: "not below the staging folder" },
  { place: "inner", words: "no plain file" },
  { place: "inner/none", words: "cannot be looked at" },
  {
    place: "inner/one.part",
    bytes: 13,
    words: "has 12 bytes, and 13 are said",
  },
  { place: "inner/one.part", bytes: -1, words: "no count" },
  { place: "inner/one.part", bytes: "12", words: "no count" },
])("$place of $bytes bytes is refused", ({ place, bytes = 12, words }) => {
  const { folder } = stage();
  const text = refer(`${folder}/${place}`, bytes);
  expect(() => new StagedFiles(folder).find(text, "docs")).toThrow(words);
});

test.for([
  "s3://bucket/file",
  "file://elsewhere/etc/passwd",
  "inner/one.part",
  "",
])("the place %s is refused", (url) => {
  expect(() => readFileReference(refer(url), "docs")).toThrow(
    "staging_file_url",
  );
});

test.for([
  "/etc/passwd",
  "../outside",
  "a/../../outside",
  "a/./b",
  "a//b",
  "a/",
  ".",
  "",
  "a\\..\\b",
  "a\0b",
  "a\nb",
  "a\ud800",
  "x".repeat(256),
  `${"x".repeat(200)}/`.repeat(4) + "x",
])("no file is brought to the path %j", (path) => {
  expect(findPathFault(path)).not.toBeNull();
  expect(() => readFileReference(refer("/s/f", 1, path), "docs")).toThrow(
    "source_file_relative_path",
  );
});

test.for(["a", "a b/…/é.txt", "..a/b..", ".hidden", "x".repeat(255)])(
  "a file is brought to the path %j",
  (path) => {
    expect(findPathFault(path)).toBeNull();
  },
);
