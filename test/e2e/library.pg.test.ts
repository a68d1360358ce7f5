/** The examples of the README, as its readers would run them: with the package that is built, in a folder of their own. */
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, inject, onTestFinished } from "vitest";
import { repositoryRoot, toolEnv } from "../arrows.ts";
import { test } from "../fixtures/postgres.ts";

interface Example {
  readonly extension: string;
  readonly code: string;
  /** What stands behind `console.log` as a comment. */
  readonly says: readonly string[];
}

function readExamples(): Example[] {
  const readme = readFileSync(join(repositoryRoot, "README.md"), "utf8");
  const [, part = ""] =
    /<!-- library -->([^]*)<!-- \/library -->/.exec(readme) ?? [];
  return [...part.matchAll(/```(js|ts)\n([^]*?)```/g)].map(
    ([, extension = "", code = ""]) => ({
      ...{ extension, code },
      says: [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(
        ([, said = ""]) => said,
      ),
    }),
  );
}

test("each example says what stands beside it", async ({ pg }) => {
  await pg.query(
    `CREATE TABLE orders AS SELECT g AS id, (g + 0.5)::numeric(10, 2) AS amount FROM generate_series(1, 1000) AS g;
     ALTER TABLE orders ADD PRIMARY KEY (id);
     CREATE TABLE customers AS SELECT g AS id FROM generate_series(1, 10) AS g`,
  );
  const folder = mkdtempSync(join(tmpdir(), "millrace-examples-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(inject("builtFolder"), join(folder, "node_modules/millrace"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  const examples = readExamples();
  expect(examples.map(({ extension }) => extension)).toEqual([
    ...["js", "ts", "js"],
  ]);
  for (const [number, { extension, code, says }] of examples.entries()) {
    const file = join(folder, `example-${number}.${extension}`);
    writeFileSync(file, code);
    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      cwd: folder,
      env: { PATH: toolEnv["PATH"], SOURCE_URL: pg.url },
      timeout: 60_000,
    });
    expect(says.length).toBeGreaterThan(0);
    expect(stdout.trimEnd().split("\n")).toEqual(says);
  }
});
