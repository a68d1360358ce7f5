/** Parquet in a bucket, read from the server's own folder, or by the SDK where the server is not ours. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inject } from "vitest";
import { withBucket, type S3Fixture } from "../../fixtures/s3.ts";
import { hold, Unavailable, type DestinationDriver } from "../drivers.ts";
import { readFiles } from "../read-files.ts";
import { fileWaivers } from "./files.ts";

const PREFIX = "lake";

export const s3: DestinationDriver = {
  name: "S3",
  waivers: fileWaivers,
  isEngine: true,
  open: async () => {
    const { service, reason } = inject("s3");
    if (service === null) throw new Unavailable(reason);
    const { value: bucket, close } = await hold<S3Fixture>((use) =>
      withBucket(service, use),
    );
    const scratch = mkdtempSync(join(tmpdir(), "millrace-conformance-"));
    const query = new URLSearchParams({
      endpoint: bucket.endpoint,
      region: bucket.region,
      pathStyle: "true",
    });
    return {
      target: `s3://${bucket.bucket}/${PREFIX}?${query.toString()}`,
      options: ["--format", "parquet"],
      env: {
        AWS_ACCESS_KEY_ID: bucket.accessKeyId,
        AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
        XDG_STATE_HOME: join(scratch, "state"),
      },
      version: bucket.origin,
      read: async ({ folder }, columns, take) => {
        const key = folder.replace(`s3://${bucket.bucket}/`, "");
        const files =
          bucket.folder === null
            ? await download(bucket, key, join(scratch, "objects"))
            : join(bucket.folder, bucket.bucket, key);
        return readFiles("parquet", files, columns, take);
      },
      close: async () => {
        rmSync(scratch, { recursive: true, force: true });
        await close();
      },
    };
  },
};

/** @returns the folder that then holds what is below the key */
async function download(
  bucket: S3Fixture,
  below: string,
  into: string,
): Promise<string> {
  rmSync(into, { recursive: true, force: true });
  for (const { key } of await bucket.listObjects()) {
    if (!key.startsWith(`${below}/`)) continue;
    const path = join(into, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await bucket.read(key));
  }
  return join(into, below);
}
