/** Uploads that a killed run has begun and nobody will complete are aborted, by the intents of its ledger. */
import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { listChildren, signal, waitFor } from "../../e2e/support/command.ts";
import { startCommand } from "../../fixtures/run-sync.ts";
import { test as base, type S3Fixture } from "../../fixtures/s3.ts";

const test = base.extend<{ folder: string }>({
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "sweep-s3-"));
    try {
      await use(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

/** Eight commands, one after the other. */
const TEST_MS_MAX = 120_000;

/** More than an upload's parts hold, and far more than is read before the kill. */
const source =
  "generator:?columns=id:int,a:string,b:string,c:string&rows=200000000";

function environmentOf({ accessKeyId, secretAccessKey }: S3Fixture) {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_CONFIG_FILE: "/nonexistent/config",
    AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/credentials",
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

interface Swept {
  readonly syncs: readonly {
    readonly outcome: string;
    readonly removed: number;
  }[];
}

test(
  "a killed run's uploads go once it is abandoned; those that are somebody else's stay",
  async ({ s3, folder }) => {
    const env = environmentOf(s3);
    const ledgerPath = join(folder, "ledger.sqlite");
    const target = `s3://${s3.bucket}/lake?endpoint=${s3.endpoint}&region=${s3.region}`;
    const start = (...args: readonly string[]) =>
      startCommand([...args, "--ledger", ledgerPath], env);
    const sweep = async (): Promise<Swept> => {
      const { exitCode, stdout, stderr } = await start("sweep", "--json").ended;
      expect(exitCode, stderr).toBe(0);
      return JSON.parse(stdout) as Swept;
    };
    const cut = async (): Promise<void> => {
      const before = new Set(await s3.listUploads());
      const options = ["--compression", "none", "--channels", "1"];
      const { child, ended } = start("sync", source, target, ...options);
      const pid = child.pid ?? 0;
      await waitFor("an upload", async () =>
        (await s3.listUploads()).some((key) => !before.has(key)),
      );
      const workers = listChildren(pid);
      signal(pid, "SIGKILL");
      for (const worker of workers) signal(worker, "SIGKILL");
      await ended;
    };
    await cut();
    const [own = ""] = await s3.listUploads();
    // in the very folder of the dead run, under a name that is none of ours, and elsewhere
    const theirs = [
      join(own, "..", "theirs.parquet"),
      "lake/elsewhere/_by_them.bin",
    ];
    for (const key of theirs) await s3.beginUpload(key);
    expect(await sweep()).toMatchObject({ syncs: [] });
    expect(await s3.listUploads()).toContain(own);
    const refused = await start(
      "sync",
      source,
      target,
      ...["--restart", "--table", "nowhere"],
    ).ended;
    expect(refused.exitCode, refused.stderr).toBe(2);
    const swept = await sweep();
    expect(swept.syncs).toMatchObject([{ outcome: "swept" }]);
    expect(swept.syncs[0]?.removed).toBeGreaterThan(0);
    expect((await s3.listUploads()).toSorted()).toEqual(theirs.toSorted());
    // what is gone is not looked for again
    expect(await sweep()).toMatchObject({ syncs: [] });
    // the one that comes next can be resumed: what it has left stays
    await cut();
    const left = await s3.listUploads();
    expect(left.length).toBeGreaterThan(theirs.length);
    expect(await sweep()).toMatchObject({ syncs: [] });
    expect(await s3.listUploads()).toEqual(left);
    const ledger = Ledger.open(ledgerPath, { create: false });
    const [newest] = ledger.listRuns({ limit: 1 });
    ledger.close();
    expect(newest?.state).toBe("running");
  },
  TEST_MS_MAX,
);
