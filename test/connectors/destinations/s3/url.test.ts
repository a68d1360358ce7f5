import { describe, expect, test } from "vitest";
import { z } from "zod";

import {
  parseS3Location,
  parseS3Url,
  s3Destination,
} from "../../../../connectors/destinations/s3/url.ts";

const ROLE = "arn:aws:iam::123456789012:role/teams/loader";
const plain = {
  kind: "s3",
  bucket: "lake",
  prefix: "",
  region: null,
  endpoint: null,
  pathStyle: false,
  credentials: { kind: "default" },
  sse: null,
  acl: null,
  storageClass: null,
};

describe("an S3 URL", () => {
  test.for([
    { url: "s3://lake", expected: plain },
    { url: "s3://lake/", expected: plain },
    { url: "S3://lake/raw/shop/", expected: { ...plain, prefix: "raw/shop" } },
    {
      url: "s3://my.data-lake/day=1?region=eu-west-1",
      expected: {
        ...plain,
        bucket: "my.data-lake",
        prefix: "day=1",
        region: "eu-west-1",
      },
    },
    {
      url: "s3://lake?endpoint=http://127.0.0.1:9000",
      expected: {
        ...plain,
        endpoint: "http://127.0.0.1:9000",
        pathStyle: true,
      },
    },
    {
      url: "s3://lake?endpoint=https%3A%2F%2Fs3.example.com&pathStyle=false",
      expected: { ...plain, endpoint: "https://s3.example.com" },
    },
    {
      url: "s3://lake?profile=prod",
      expected: { ...plain, credentials: { kind: "profile", profile: "prod" } },
    },
    {
      url: `s3://lake?roleArn=${ROLE}&externalId=x`,
      expected: {
        ...plain,
        credentials: {
          kind: "assumeRole",
          arn: ROLE,
          externalId: "x",
          sessionName: "millrace",
        },
      },
    },
    {
      url: "s3://lake?sse=aws:kms&kmsKeyId=alias/lake&acl=private&storageClass=STANDARD_IA",
      expected: {
        ...plain,
        sse: { kmsKeyId: "alias/lake" },
        acl: "private",
        storageClass: "STANDARD_IA",
      },
    },
    {
      url: "s3://lake?sse=aws:kms",
      expected: { ...plain, sse: { kmsKeyId: null } },
    },
  ])("$url", ({ url, expected }) => {
    expect(parseS3Url(url)).toEqual(expected);
  });

  test.for([
    { url: "https://lake/raw", says: "is no S3 URL" },
    { url: "s3:/lake", says: "is no S3 URL" },
    { url: "s3://", says: "bucket" },
    { url: "s3://x", says: "3 to 63" },
    { url: "s3://Lake", says: "lower-case" },
    { url: "s3://lake..b", says: "bucket" },
    { url: "s3://key:secret@lake/raw", says: "keys come from" },
    { url: "s3://lake:9000/raw", says: "endpoint" },
    { url: "s3://lake//raw", says: "single slashes" },
    { url: "s3://lake/a/../b", says: ".." },
    { url: "s3://lake/a b", says: "prefix" },
    { url: `s3://lake/${"a".repeat(401)}`, says: "prefix" },
    { url: "s3://lake?secret=1", says: "unknown" },
    { url: "s3://lake?region=a&region=b", says: "twice" },
    { url: "s3://lake?pathStyle=yes", says: "pathStyle" },
    { url: "s3://lake?endpoint=ftp://x", says: "endpoint" },
    { url: "s3://lake?endpoint=http://u:p@x", says: "endpoint" },
    { url: "s3://lake?acl=everybody", says: "acl" },
    { url: "s3://lake?storageClass=GLACIER", says: "storageClass" },
    { url: "s3://lake?roleArn=loader", says: "roleArn" },
    { url: `s3://lake?roleArn=${ROLE}&profile=x`, says: "both profile" },
    { url: "s3://lake?externalId=x", says: "without roleArn" },
    { url: "s3://lake?kmsKeyId=x", says: "without sse" },
  ])("$url is refused", ({ url, says }) => {
    let message = "";
    try {
      parseS3Url(url);
    } catch (error) {
      expect(error).toMatchObject({ name: "ExtractError", code: "USAGE" });
      message = (error as Error).message;
    }
    expect(message).toContain(says);
    expect(message).not.toContain("secret@");
  });
});

describe("an S3 destination of a YAML file", () => {
  test("has its options beside the URL, which they win over", () => {
    const {
      url,
      kind: _,
      ...more
    } = s3Destination.parse({
      kind: "s3",
      url: "s3://lake/raw?region=eu-west-1",
      region: "eu-west-3",
      pathStyle: true,
    });
    expect(parseS3Url(url, more)).toEqual({
      ...plain,
      prefix: "raw",
      region: "eu-west-3",
      pathStyle: true,
    });
  });

  test.for([
    { more: { url: "s3://Lake" }, says: "lower-case" },
    { more: { kmsKeyId: "x" }, says: "without sse" },
    { more: { acl: "everybody" }, says: "expected one of" },
    { more: { bucket: "lake" }, says: "bucket" },
  ])("$more is refused", ({ more, says }) => {
    const result = s3Destination.safeParse({
      kind: "s3",
      url: "s3://lake",
      ...more,
    });
    expect(result.error?.message).toContain(says);
  });

  test("has a JSON Schema with a description of each key", () => {
    const { properties = {} } = z.toJSONSchema(s3Destination, { io: "input" });
    expect(Object.keys(properties)).toContain("storageClass");
    for (const property of Object.values(properties))
      expect(property).toHaveProperty("description");
  });
});

describe("a place to read from", () => {
  test.for([
    { url: "s3://lake", path: "" },
    { url: "s3://lake/", path: "" },
    { url: "s3://lake/raw/my%20orders/", path: "raw/my%20orders" },
    {
      url: "s3://lake/g000001/country=a%2Fb é/p0.parquet",
      path: "g000001/country=a%2Fb é/p0.parquet",
    },
    { url: "s3://lake/a#b/c", path: "a#b/c" },
  ])("$url is the key as it stands", ({ url, path }) => {
    expect(parseS3Location(url)).toEqual({ target: plain, path });
  });

  test("has the options of a destination", () => {
    const { target, path } = parseS3Location(
      "s3://lake/raw?region=eu-west-1&endpoint=http://127.0.0.1:9000",
    );
    expect(path).toBe("raw");
    expect(target).toEqual({
      ...plain,
      region: "eu-west-1",
      endpoint: "http://127.0.0.1:9000",
      pathStyle: true,
    });
  });

  test.for([
    { url: "s3://La/raw", says: "is no bucket's name" },
    { url: "s3://lake/raw?regio=x", says: "unknown" },
    { url: `s3://lake/${"x".repeat(1_025)}`, says: "1024 bytes" },
  ])("$url is refused", ({ url, says }) => {
    expect(() => parseS3Location(url)).toThrow(says);
  });
});
