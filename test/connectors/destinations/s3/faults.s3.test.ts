import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished } from "vitest";

import type { S3DestinationConfig } from "../../../../connectors/destinations/s3/config.ts";
import { s3Driver } from "../../../../connectors/destinations/s3/driver.ts";
import { test } from "../../../fixtures/s3.ts";
import { addStranger } from "../../../services/s3.ts";
import type { Fault } from "../../../services/s3-proxy.ts";
import {
  digestOf,
  makeBatch,
  makeStamp,
  readTable,
  schema,
} from "../file/table.ts";
import { download, makeConfig, makeContext, useKeys } from "./config.ts";

const stream = { schema, generation: 1, planVersion: 1 };
const ROWS = 165_000;

async function prepare(config: S3DestinationConfig): Promise<void> {
  const storage = await s3Driver.openStorage(makeContext(config));
  try {
    await storage.prepare();
  } finally {
    await storage.close();
  }
}

/** Writes a file of several parts. */
async function writeTable(config: S3DestinationConfig): Promise<void> {
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  for (let rows = 0; rows < ROWS; rows += 15_000)
    await writer.write(makeBatch(1 + rows, 15_000));
  await writer.seal(makeStamp(1, ROWS));
}

const passing: readonly { name: string; fault: Fault }[] = [
  {
    name: "500 InternalError",
    fault: { kind: "answer", status: 500, code: "InternalError" },
  },
  {
    name: "503 SlowDown",
    fault: { kind: "answer", status: 503, code: "SlowDown" },
  },
  {
    name: "a reset in the middle",
    fault: { kind: "reset", afterBytes: 3_000_000 },
  },
  { name: "a lost answer", fault: { kind: "loseAnswer" } },
];
const operations = [
  "CreateMultipartUpload",
  "UploadPart",
  "CompleteMultipartUpload",
] as const;

describe.for(passing)("$name that passes", ({ fault }) => {
  test.for(operations)(
    "is tried again: %s",
    async (operation, { s3, proxy }) => {
      useKeys(s3, { AWS_MAX_ATTEMPTS: "4" });
      let met = 0;
      proxy.findFault = (request) => {
        if (request.operation !== operation || met > 0) return null;
        met += 1;
        return fault.kind === "reset" && operation !== "UploadPart"
          ? { ...fault, afterBytes: 0 }
          : fault;
      };
      await writeTable(
        makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl"),
      );
      expect(met).toBe(1);
      const root = await download(s3);
      expect(await readTable(`${root}/**/*.jsonl`, "jsonl")).toEqual(
        digestOf(1, ROWS),
      );
    },
  );
});

test("an answer that was lost does not make a small object another's", async ({
  s3,
  proxy,
}) => {
  useKeys(s3, { AWS_MAX_ATTEMPTS: "3" });
  let lost = 0;
  proxy.findFault = ({ operation }) =>
    operation === "PutObject" && lost++ === 0 ? { kind: "loseAnswer" } : null;
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  await writer.write(makeBatch(1, 10));
  expect(await writer.seal(makeStamp(1, 10))).toHaveLength(1);
  expect(proxy.operations()).toEqual(["PutObject", "PutObject", "HeadObject"]);
});

test("a conflict with an earlier attempt that still works is waited out", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  let met = 0;
  proxy.findFault = ({ operation }) =>
    operation === "PutObject" && met++ < 2
      ? { kind: "answer", status: 409, code: "ConditionalRequestConflict" }
      : null;
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  await writer.write(makeBatch(1, 10));
  expect(await writer.seal(makeStamp(1, 10))).toHaveLength(1);
  expect(met).toBe(3);
});

test.for([
  { name: "SlowDown", status: 503, says: "asked for fewer requests" },
  { name: "InternalError", status: 500, says: "InternalError" },
])(
  "$name that does not end is told, and nothing half done is left",
  async ({ name, status, says }, { s3, proxy }) => {
    useKeys(s3);
    proxy.findFault = ({ operation, path }) =>
      operation === "UploadPart" && path.includes("partNumber=2")
        ? { kind: "answer", status, code: name }
        : null;
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl");
    await expect(writeTable(config)).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      message: expect.stringContaining(says),
      details: { reason: name, status },
    });
    expect(await s3.listObjects()).toEqual([]);
    const tries = proxy.requests.filter(({ path }) =>
      path.includes("partNumber=2"),
    );
    expect(tries).toHaveLength(2);
  },
);

describe("what is wrong is said before any row is read", () => {
  test("a bucket that is not there", async ({ s3 }) => {
    useKeys(s3);
    const config = makeConfig({ ...s3, bucket: "there-is-none" });
    await expect(prepare(config)).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringContaining("there is no bucket there-is-none"),
    });
  });

  test("no permission", async ({ s3, skip }) => {
    const { folder } = s3;
    if (folder === null) return skip("the server is not ours");
    const stranger = {
      accessKeyId: `s${s3.bucket}`,
      secretAccessKey: "a-secret",
    };
    addStranger(
      { ...s3, stop: async () => {} },
      stranger.accessKeyId,
      stranger.secretAccessKey,
    );
    useKeys(stranger);
    await expect(prepare(makeConfig(s3))).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/do not permit it.*AccessDenied/),
    });
  });

  test.for(["PutObject", "DeleteObjects", "ListMultipartUploads"])(
    "no permission for %s alone",
    async (operation, { s3, proxy }) => {
      useKeys(s3);
      proxy.findFault = (request) =>
        request.operation === operation
          ? { kind: "answer", status: 403, code: "AccessDenied" }
          : null;
      const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
      await expect(prepare(config)).rejects.toMatchObject({
        code: "DESTINATION_UNWRITABLE",
        message: expect.stringContaining("do not permit it"),
      });
    },
  );

  test.for([
    { name: "key", keys: { accessKeyId: "nobody", secretAccessKey: "none" } },
    { name: "secret", keys: { secretAccessKey: "wrong" } },
  ])("a wrong $name", async ({ keys }, { s3 }) => {
    const used = { ...s3, ...keys };
    useKeys(used);
    await expect(prepare(makeConfig(s3))).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringContaining("the credentials are refused"),
    });
    const error: unknown = await prepare(makeConfig(s3)).catch(
      (thrown: unknown) => thrown,
    );
    const { message, details } = error as { message: string; details: object };
    for (const text of [message, JSON.stringify(details)])
      expect(text).not.toContain(used.secretAccessKey);
  });

  test("another region", async ({ s3 }) => {
    useKeys(s3);
    const config = makeConfig(s3, "parquet", { region: "eu-central-1" });
    await expect(prepare(config)).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/wrong region.*us-east-1/),
    });
  });

  test("a bucket of another region, as AWS says it", async ({ s3, proxy }) => {
    useKeys(s3);
    proxy.findFault = () => ({
      kind: "answer",
      status: 301,
      code: "PermanentRedirect",
      headers: { "x-amz-bucket-region": "eu-west-3" },
    });
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
    await expect(prepare(config)).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringMatching(/wrong region.*it expects eu-west-3/),
    });
  });

  test("TLS to a port without it", async ({ s3 }) => {
    useKeys(s3);
    const endpoint = s3.endpoint.replace("http:", "https:");
    await expect(
      prepare(makeConfig({ ...s3, endpoint })),
    ).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringContaining("TLS with https://"),
    });
  });

  test("no TLS to a port with it", async ({ s3 }) => {
    useKeys(s3);
    // a TLS server answers what is no TLS record with an alert (RFC 8446, section 6)
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    await expect(
      prepare(makeConfig({ ...s3, endpoint })),
    ).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringContaining("does not speak HTTP"),
    });
  });

  test.for([
    { name: "a port that nobody listens on", endpoint: "http://127.0.0.1:1" },
    { name: "a host that has no address", endpoint: "http://s3.invalid" },
  ])("$name", async ({ endpoint }, { s3 }) => {
    useKeys(s3);
    await expect(
      prepare(makeConfig({ ...s3, endpoint })),
    ).rejects.toMatchObject({
      code: "DESTINATION_FAILED",
      message: expect.stringContaining("cannot be reached"),
    });
  });

  test("a server that replaces what it was asked to keep", async ({
    s3,
    proxy,
  }) => {
    useKeys(s3);
    let puts = 0;
    proxy.findFault = ({ operation }) =>
      operation === "PutObject" && puts++ === 1
        ? { kind: "answer", status: 200, code: "" }
        : null;
    const config = makeConfig({ ...s3, endpoint: proxy.endpoint });
    await expect(prepare(config)).rejects.toMatchObject({
      code: "DESTINATION_UNWRITABLE",
      message: expect.stringContaining("in spite of If-None-Match"),
    });
  });

  test("and a bucket that will do is left as it was", async ({ s3 }) => {
    useKeys(s3);
    await s3.write("lake/raw/other.txt", "another's");
    await prepare(makeConfig(s3));
    expect((await s3.listObjects()).map(({ key }) => key)).toEqual([
      "lake/raw/other.txt",
    ]);
  });
});

test("encryption, access and storage class go with each new object", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  const config = makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl", {
    sse: { kmsKeyId: "arn:aws:kms:us-east-1:123456789012:key/lake" },
    acl: "bucket-owner-full-control",
    storageClass: "STANDARD_IA",
    fileBytesMax: 1,
  });
  // the test's server keeps no keys: what is proven is what it was asked for
  const factory = await s3Driver.openWriters(makeContext(config), 1);
  onTestFinished(() => factory.close());
  const writer = factory.createWriter({ stream, partition: 0 });
  await writer.write(makeBatch(1, 10));
  await writer.write(makeBatch(11, 10));
  await writer.seal(makeStamp(1, 20)).catch(() => []);
  const created = proxy.requests.filter(({ operation }) =>
    ["CreateMultipartUpload", "PutObject"].includes(operation),
  );
  expect(new Set(created.map(({ operation }) => operation)).size).toBe(2);
  for (const { headers } of created)
    expect(headers).toMatchObject({
      "x-amz-server-side-encryption": "aws:kms",
      "x-amz-server-side-encryption-aws-kms-key-id":
        "arn:aws:kms:us-east-1:123456789012:key/lake",
      "x-amz-acl": "bucket-owner-full-control",
      "x-amz-storage-class": "STANDARD_IA",
    });
});

test("every body carries its CRC-32, which the server compares", async ({
  s3,
  proxy,
}) => {
  useKeys(s3);
  await writeTable(makeConfig({ ...s3, endpoint: proxy.endpoint }, "jsonl"));
  const bodies = proxy.requests.filter(({ operation }) =>
    ["UploadPart", "PutObject"].includes(operation),
  );
  expect(bodies.length).toBeGreaterThan(2);
  for (const { headers } of bodies)
    expect(headers["x-amz-checksum-crc32"]).toMatch(/^[A-Za-z0-9+/]{6}==$/);
});

test.for([
  { name: "on this machine", host: "127.0.0.1", signed: false },
  // the same place under an address that the client does not know to be here
  { name: "over a network", host: "0.0.0.0", signed: true },
])(
  "without TLS a body $name is signed: $signed",
  async ({ host, signed }, { s3, proxy }) => {
    useKeys(s3);
    const endpoint = proxy.endpoint.replace("127.0.0.1", host);
    await prepare(makeConfig({ ...s3, endpoint }));
    const [put] = proxy.requests.filter(
      ({ operation }) => operation === "PutObject",
    );
    const hash = put?.headers["x-amz-content-sha256"];
    if (signed) expect(hash).toMatch(/^[0-9a-f]{64}$/);
    else expect(hash).toBe("UNSIGNED-PAYLOAD");
  },
);
