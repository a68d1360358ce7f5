/** Folders by value on S3, asked for on the command line and in the YAML file, and read again by `millrace cat`. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";

import { test as base, type S3Fixture } from "../../fixtures/s3.ts";
import { runMillrace, type Outcome } from "./run-millrace.ts";

const SOURCE = "generator:?columns=id:int,flag:boolean&rows=5000&table=facts";

const test = base.extend<{
  folder: string;
  run: (...args: string[]) => Promise<Outcome>;
}>({
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-folders-"));
    await use(folder);
    await rm(folder, { recursive: true, force: true });
  },
  run: async ({ s3, folder }, use) => {
    await use((...args) =>
      runMillrace(args, {
        cwd: folder,
        env: {
          AWS_ACCESS_KEY_ID: s3.accessKeyId,
          AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
          AWS_CONFIG_FILE: "/nonexistent/config",
          AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/credentials",
          AWS_EC2_METADATA_DISABLED: "true",
          XDG_STATE_HOME: join(folder, "state"),
        },
      }),
    );
  },
});

function urlOf({ bucket, endpoint, region }: S3Fixture): string {
  return `s3://${bucket}/lake?endpoint=${endpoint}&region=${region}`;
}

async function expectFolders(
  s3: S3Fixture,
  run: (...args: string[]) => Promise<Outcome>,
): Promise<void> {
  const data = (await s3.listObjects())
    .map(({ key }) => key)
    .filter((key) => key.endsWith(".parquet"));
  const folders = data.map((key) => key.split("/").at(-2));
  expect(new Set(folders)).toEqual(new Set(["flag=true", "flag=false"]));
  const { stdout } = await run("cat", urlOf(s3), "-n", "10000", "--json");
  const ids = stdout
    .trim()
    .split("\n")
    .map((row) => (JSON.parse(row) as { id: number }).id);
  expect(ids.toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 5000 }, (_, i) => i + 1),
  );
}

test("--folders-by parts a table, and a second run replaces all of its folders", async ({
  s3,
  run,
}) => {
  for (let turn = 0; turn < 2; turn += 1) {
    const done = await run("sync", SOURCE, urlOf(s3), "--folders-by", "flag");
    expect(done, done.stderr).toMatchObject({ exitCode: 0 });
    await expectFolders(s3, run);
  }
});

test("foldersBy of the YAML file does the same", async ({
  s3,
  folder,
  run,
}) => {
  const file = join(folder, "millrace.yaml");
  await writeFile(
    file,
    JSON.stringify({
      syncs: {
        facts: {
          source: { kind: "generator", url: SOURCE },
          destination: { kind: "s3", url: urlOf(s3), foldersBy: ["flag"] },
        },
      },
    }),
  );
  const done = await run("sync", "-f", file);
  expect(done, done.stderr).toMatchObject({ exitCode: 0 });
  await expectFolders(s3, run);
});

test("a column that is not there is told, and nothing is written", async ({
  s3,
  run,
}) => {
  const done = await run("sync", SOURCE, urlOf(s3), "--folders-by", "flug");
  expect(done.exitCode).not.toBe(0);
  expect(done.stderr).toContain("there is no column flug; did you mean flag?");
  expect(await s3.listObjects()).toEqual([]);
});
