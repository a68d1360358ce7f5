import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";

import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import { test, type S3Fixture } from "../../../fixtures/s3.ts";
import {
  startCredentialService,
  type CredentialService,
} from "../../../services/s3-credentials.ts";
import type { Fault, ProxiedRequest } from "../../../services/s3-proxy.ts";
import { makeBatch, makeStamp, schema } from "../file/table.ts";
import { makeConfig, makeContext, useEnvironment, useKeys } from "./config.ts";

const ROLE_ARN = "arn:aws:iam::123456789012:role/loader";
const stream = { schema, generation: 1, planVersion: 1 };

async function startService(s3: S3Fixture): Promise<CredentialService> {
  const service = await startCredentialService(s3);
  onTestFinished(() => service.stop());
  return service;
}

function writeFiles(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-s3-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(folder, name), text);
  return folder;
}

/** The keys that were found let us do all that a run does before its first row. */
async function prepare(config: S3DestinationConfig): Promise<void> {
  const storage = await s3Driver.openStorage(makeContext(config));
  try {
    await storage.prepare();
  } finally {
    await storage.close();
  }
}

test("keys come from the environment", async ({ s3 }) => {
  useKeys(s3);
  await prepare(makeConfig(s3));
});

test("keys come from a profile that is named", async ({ s3 }) => {
  const folder = writeFiles({
    credentials: `[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n
[lake]\naws_access_key_id = ${s3.accessKeyId}\naws_secret_access_key = ${s3.secretAccessKey}\n`,
  });
  useEnvironment({
    AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials"),
  });
  const credentials = { kind: "profile", profile: "lake" } as const;
  await prepare(makeConfig(s3, "parquet", { credentials }));
  await expect(prepare(makeConfig(s3))).rejects.toMatchObject({
    code: "DESTINATION_UNWRITABLE",
    message: expect.stringContaining("InvalidAccessKeyId"),
  });
});

test("keys come from a role that a profile takes on", async ({ s3 }) => {
  const service = await startService(s3);
  const folder = writeFiles({
    config: `[profile lake]\nrole_arn = ${ROLE_ARN}\nsource_profile = base\nregion = us-east-1\n`,
    credentials:
      "[base]\naws_access_key_id = base\naws_secret_access_key = base\n",
  });
  useEnvironment({
    AWS_CONFIG_FILE: join(folder, "config"),
    AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials"),
    AWS_ENDPOINT_URL_STS: service.endpoint,
    AWS_PROFILE: "lake",
  });
  await prepare(makeConfig(s3));
  expect(service.requests[0]).toContain(`AssumeRole RoleArn=${ROLE_ARN}`);
});

test("keys come from a web identity's token", async ({ s3 }) => {
  const service = await startService(s3);
  const folder = writeFiles({ token: "a-signed-token" });
  useEnvironment({
    AWS_WEB_IDENTITY_TOKEN_FILE: join(folder, "token"),
    AWS_ROLE_ARN: ROLE_ARN,
    AWS_ROLE_SESSION_NAME: "pod-7",
    AWS_ENDPOINT_URL_STS: service.endpoint,
  });
  await prepare(makeConfig(s3));
  expect(service.requests).toEqual([
    `AssumeRoleWithWebIdentity RoleArn=${ROLE_ARN} RoleSessionName=pod-7 WebIdentityToken=a-signed-token`,
  ]);
});

test("keys come from the container", async ({ s3 }) => {
  const service = await startService(s3);
  useEnvironment({ AWS_CONTAINER_CREDENTIALS_FULL_URI: service.containerUri });
  await prepare(makeConfig(s3));
  expect(service.requests).toEqual(["GET /container"]);
});

test("keys come from the instance", async ({ s3 }) => {
  const service = await startService(s3);
  useEnvironment({
    AWS_EC2_METADATA_DISABLED: "false",
    AWS_EC2_METADATA_SERVICE_ENDPOINT: service.endpoint,
  });
  await prepare(makeConfig(s3));
  expect(service.requests).toContain(
    "GET /latest/meta-data/iam/security-credentials/millrace-test-role",
  );
});

test("keys come from a role that the configuration names", async ({ s3 }) => {
  const service = await startService(s3);
  useEnvironment({
    AWS_ACCESS_KEY_ID: "base",
    AWS_SECRET_ACCESS_KEY: "base",
    AWS_ENDPOINT_URL_STS: service.endpoint,
  });
  await prepare(
    makeConfig(s3, "parquet", {
      credentials: {
        kind: "assumeRole",
        arn: ROLE_ARN,
        externalId: "agreed",
        sessionName: "millrace",
      },
    }),
  );
  expect(service.requests).toEqual([
    `AssumeRole RoleArn=${ROLE_ARN} RoleSessionName=millrace ExternalId=agreed`,
  ]);
});

test("none at all is one clear error", async ({ s3 }) => {
  useEnvironment({});
  await expect(prepare(makeConfig(s3))).rejects.toMatchObject({
    code: "DESTINATION_UNWRITABLE",
    message: expect.stringContaining("no credentials were found"),
  });
});

/** As a server does whose token has run out: it refuses all that is signed with these keys. */
function refuseKeys(accessKeyId: string) {
  return ({ headers }: ProxiedRequest): Fault | null =>
    headers.authorization?.includes(`Credential=${accessKeyId}/`)
      ? { kind: "answer", status: 400, code: "ExpiredToken" }
      : null;
}

test("an expired token is fetched again once, and the upload goes on", async ({
  s3,
  proxy,
}) => {
  const service = await startService(s3);
  service.keys = { accessKeyId: "expired", secretAccessKey: "whatever" };
  useEnvironment({ AWS_CONTAINER_CREDENTIALS_FULL_URI: service.containerUri });
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl");
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  proxy.findFault = (request) => {
    const fault = refuseKeys("expired")(request);
    // by now the source has others
    if (fault) service.keys = s3;
    return fault;
  };
  let rows = 0;
  while (rows < 300_000) {
    await writer.write(makeBatch(1 + rows, 15_000));
    rows += 15_000;
  }
  const files = await writer.seal(makeStamp(1, rows));
  expect(files.map((file) => file.rows)).toEqual([rows]);
  expect(service.requests).toEqual(["GET /container", "GET /container"]);
  expect(proxy.operations()).toContain("CompleteMultipartUpload");
});

test("a token that expires in the middle of an upload costs no part", async ({
  s3,
  proxy,
}) => {
  const service = await startService(s3);
  useEnvironment({ AWS_CONTAINER_CREDENTIALS_FULL_URI: service.containerUri });
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl");
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  let refused = 0;
  proxy.findFault = ({ operation, path }) => {
    if (operation !== "UploadPart" || !path.includes("partNumber=2"))
      return null;
    refused += 1;
    return refused === 1
      ? { kind: "answer", status: 400, code: "ExpiredToken" }
      : null;
  };
  let rows = 0;
  while (rows < 300_000) {
    await writer.write(makeBatch(1 + rows, 15_000));
    rows += 15_000;
  }
  const [file] = await writer.seal(makeStamp(1, rows));
  expect(refused).toBe(2);
  expect(service.requests).toHaveLength(2);
  const object = (await s3.listObjects()).find(({ key }) =>
    key.endsWith(file?.path ?? ""),
  );
  expect(object?.bytes).toBe(file?.bytes);
});

test("an expired token that cannot be replaced ends the run in words", async ({
  s3,
  proxy,
}) => {
  const service = await startService(s3);
  service.keys = { accessKeyId: "expired", secretAccessKey: "whatever" };
  useEnvironment({ AWS_CONTAINER_CREDENTIALS_FULL_URI: service.containerUri });
  proxy.findFault = refuseKeys("expired");
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
  await expect(prepare(config)).rejects.toMatchObject({
    code: "DESTINATION_UNWRITABLE",
    message: expect.stringContaining("the session token has expired"),
  });
  expect(service.requests).toHaveLength(2);
});
