import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, vi } from "vitest";
import { test, withBucket } from "../fixtures/s3.ts";

const lone = fileURLToPath(new URL("s3-lone-server.ts", import.meta.url));

describe("the S3 of the tests", () => {
  test("gives each test an empty bucket of its own, and removes it with all that is in it", async ({
    s3,
  }) => {
    await s3.write("kept", "seven");
    let other = "";
    await withBucket(s3, async (second) => {
      expect(await second.listObjects()).toEqual([]);
      await second.write("a/b", "x");
      await second.beginUpload("a/c");
      other = second.bucket;
    });
    expect(other).not.toBe(s3.bucket);
    expect((await s3.read("kept")).toString()).toBe("seven");
    if (s3.folder !== null)
      expect(existsSync(`${s3.folder}/${other}`)).toBe(false);
  });
});

test.skipIf(process.platform !== "linux")(
  "a server ends with the process that started it, even by SIGKILL",
  { timeout: 60_000 },
  async ({ s3, skip }) => {
    if (s3.folder === null) return skip("the server is not ours");
    const starter = spawn(process.execPath, [lone], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(starter.stdout, "data")) as [Buffer];
    const [pid = "", folder = "/"] = line.toString().trim().split(" ");
    expect(() => process.kill(Number(pid), 0)).not.toThrow();
    starter.kill("SIGKILL");
    await vi.waitFor(
      () => {
        expect(() => process.kill(Number(pid), 0)).toThrow();
        expect(existsSync(folder)).toBe(false);
      },
      { timeout: 30_000 },
    );
  },
);

describe("the proxy", () => {
  test("passes on what it is given, and tells what it saw", async ({
    s3,
    proxy,
  }) => {
    await withBucket({ ...s3, endpoint: proxy.endpoint }, async (through) => {
      await through.write("a/b c", "x".repeat(100_000));
      expect(await through.read("a/b c")).toHaveLength(100_000);
    });
    expect(proxy.operations()).toEqual([
      "CreateBucket",
      "PutObject",
      "GetObject",
      "ListMultipartUploads",
      "ListObjectsV2",
      "DeleteObject",
      "DeleteBucket",
    ]);
  });

  test.for([
    { kind: "answer", status: 403, code: "AccessDenied" },
    { kind: "reset", afterBytes: 10 },
    { kind: "loseAnswer" },
  ] as const)("spoils a request by $kind", async (fault, { s3, proxy }) => {
    const through = { ...s3, endpoint: proxy.endpoint };
    let stored = false;
    await withBucket(through, async (bucket) => {
      proxy.findFault = ({ operation }) =>
        operation === "PutObject" ? fault : null;
      await expect(bucket.write("a", "x".repeat(1_000))).rejects.toThrow();
      proxy.findFault = () => null;
      stored = (await bucket.listObjects()).length === 1;
    });
    expect(stored).toBe(fault.kind === "loseAnswer");
  });
});
