/** The destination's configuration for a test's bucket, and its objects as files for readers that know nothing of us. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import type { DestinationContext } from "../../../../connectors/destinations/destination.ts";
import type { FormatName } from "../../../../connectors/formats/format.ts";
import type { S3Fixture } from "../../../fixtures/s3.ts";

export const PREFIX = "lake/raw";

/** Credentials come from the environment: `useKeys`. */
export function makeConfig(
  s3: Pick<S3Fixture, "bucket" | "endpoint" | "region">,
  format: FormatName = "parquet",
  more: Partial<S3DestinationConfig> = {},
): S3DestinationConfig {
  return {
    kind: "s3",
    bucket: s3.bucket,
    prefix: PREFIX,
    region: s3.region,
    endpoint: s3.endpoint,
    pathStyle: true,
    credentials: { kind: "default" },
    sse: null,
    acl: null,
    storageClass: null,
    pathTemplate: "{namespace}/{stream}",
    fileBytesMax: 512 * 1024 * 1024,
    format: { format, compression: null, plainEncodings: false },
    ...more,
  };
}

export function makeContext(
  config: S3DestinationConfig,
  epoch = 1,
  runId = "run-1",
): DestinationContext {
  return { config, syncId: "sync-1", attempt: { runId, epoch } };
}

/**
 * Sets the variables and no other AWS_ ones, so that neither this machine's files nor its instance has a say; all is
 * put back when the test has ended.
 */
export function useEnvironment(
  variables: Readonly<Record<string, string>>,
): void {
  const before = { ...process.env };
  for (const name of Object.keys(process.env))
    if (name.startsWith("AWS_")) delete process.env[name];
  Object.assign(process.env, {
    AWS_CONFIG_FILE: "/nonexistent/config",
    AWS_SHARED_CREDENTIALS_FILE: "/nonexistent/credentials",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_MAX_ATTEMPTS: "2",
    ...variables,
  });
  onTestFinished(() => {
    for (const name of Object.keys(process.env))
      if (name.startsWith("AWS_")) delete process.env[name];
    Object.assign(process.env, before);
  });
}

/** The test server's own keys, from the environment. */
export function useKeys(
  s3: Pick<S3Fixture, "accessKeyId" | "secretAccessKey">,
  more: Readonly<Record<string, string>> = {},
): void {
  useEnvironment({
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    ...more,
  });
}

/** All objects below the prefix as files of a folder, which goes with the test. */
export async function download(s3: S3Fixture): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), "millrace-s3-read-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const { key } of await s3.listObjects()) {
    const path = join(root, key.slice(PREFIX.length + 1));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await s3.read(key));
  }
  return root;
}

/** Keys below the prefix. */
export async function listPaths(s3: S3Fixture): Promise<string[]> {
  const objects = await s3.listObjects();
  return objects.map(({ key }) => key.slice(PREFIX.length + 1)).toSorted();
}
