/**
 * How an S3 destination is written, as a URL and in the YAML file. Not loaded where rows are written.
 *
 * `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&pathStyle=true`
 */
import { z } from "zod";

import { ExtractError } from "../../../proto/error.ts";
import { KEY_BYTES_MAX, S3_ACLS, S3_STORAGE_CLASSES } from "./config.ts";
import type { S3DestinationConfig } from "./config.ts";
import type { S3Files } from "./files.ts";
import type { KeptObject } from "./kept-object.ts";

const TEXT_LENGTH_MAX = 2_048;
/** What is left of a key's 1,024 bytes is for folders and names. Characters, all of them ASCII. */
const PREFIX_LENGTH_MAX = 400;
const SESSION_NAME_DEFAULT = "millrace";

/** Where the objects go, and what is said of them; how files are made is told elsewhere. */
export type S3Target = Omit<
  S3DestinationConfig,
  "pathTemplate" | "fileBytesMax" | "format" | "partitionBy"
>;

const text = z.string().min(1).max(TEXT_LENGTH_MAX);

/** Amazon S3 user guide, "General purpose bucket naming rules". */
const bucketName = z
  .string()
  .regex(
    /^(?=.{3,63}$)[a-z0-9][a-z0-9-]*[a-z0-9](\.[a-z0-9][a-z0-9-]*[a-z0-9])*$/,
    "is no bucket's name: 3 to 63 lower-case letters, digits, hyphens and dots",
  );

/** Characters that need no escaping in keys (user guide, "Naming Amazon S3 objects"), but for brackets and quotes. */
const prefixPath = z
  .string()
  .max(PREFIX_LENGTH_MAX)
  .regex(
    /^([A-Za-z0-9_.=!+-]+(\/[A-Za-z0-9_.=!+-]+)*)?$/,
    "is no prefix: letters, digits and _ . = ! + - between single slashes",
  )
  .refine(
    (prefix) => prefix.split("/").every((part) => !/^\.{1,2}$/.test(part)),
    "must not have . or .. as a folder",
  );

const endpointUrl = text.refine((url) => {
  if (!URL.canParse(url)) return false;
  const { protocol, username, password, search, hash } = new URL(url);
  const isHttp = protocol === "http:" || protocol === "https:";
  return isHttp && username + password + search + hash === "";
}, "is no http:// or https:// address without user and query");

/** AWS IAM user guide, "IAM identifiers". */
const roleArn = text.regex(
  /^arn:[a-z0-9-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/,
  "is no role's ARN; write it like arn:aws:iam::123456789012:role/loader",
);

const sseSchema = z.enum(["none", "aws:kms"]);

/** What may stand behind the question mark, and in the YAML file beside `url`. */
const optionShape = {
  endpoint: endpointUrl
    .optional()
    .describe("Address of a server other than AWS."),
  region: text.optional().describe("Default: AWS_REGION, else the profile's."),
  pathStyle: z
    .boolean()
    .optional()
    .describe(
      "The bucket in the path instead of the host name. Default: true with an endpoint, else false.",
    ),
  profile: text
    .optional()
    .describe("Profile whose credentials are used. Default: AWS_PROFILE."),
  roleArn: roleArn.optional().describe("Role to take on before writing."),
  externalId: text.optional().describe("What the role's owner asks for."),
  sessionName: text
    .optional()
    .describe(`Name of the session. Default: ${SESSION_NAME_DEFAULT}.`),
  sse: sseSchema
    .optional()
    .describe(
      "aws:kms encrypts with a key of KMS. Default: as the bucket does.",
    ),
  kmsKeyId: text
    .optional()
    .describe("The key for aws:kms. Default: the account's own for S3."),
  acl: z.enum(S3_ACLS).optional().describe("Canned ACL of each object."),
  storageClass: z
    .enum(S3_STORAGE_CLASSES)
    .optional()
    .describe("Default: the bucket's."),
};

const options = z.strictObject(optionShape);
type Options = z.output<typeof options>;

/** An S3 destination of a YAML file; help text and JSON Schema derive from it. */
export const s3Destination = z
  .strictObject({
    kind: z.literal("s3").describe("What the destination is."),
    url: text
      .superRefine((url, context) => {
        try {
          parseS3Url(url);
        } catch (error) {
          if (!(error instanceof ExtractError)) throw error;
          context.addIssue({ code: "custom", message: error.message });
        }
      })
      .describe(
        "s3://bucket/prefix; what stands behind its question mark may stand here instead.",
      ),
    ...optionShape,
  })
  .superRefine(({ kind: _, url: __, ...given }, context) => {
    const fault = findContradiction(given);
    if (fault !== null) context.addIssue({ code: "custom", message: fault });
  });

/**
 * Reads a URL; `more` wins over what stands in it.
 * @throws ExtractError USAGE naming the part that is wrong; a secret is never part of either
 */
export function parseS3Url(url: string, more: Options = {}): S3Target {
  const match = /^s3:\/\/([^/?#]*)\/?([^?#]*)(?:\?([^#]*))?$/i.exec(url);
  if (!match || url.length > TEXT_LENGTH_MAX)
    throw refuse("is no S3 URL; write it like s3://bucket/prefix");
  const [, name = "", path = "", query = ""] = match;
  if (/[@:]/.test(name))
    throw refuse(
      "names a user or a port: keys come from the environment or a profile, another server from ?endpoint=",
    );
  const given = { ...parseQuery(query), ...withoutUndefined(more) };
  const fault = findContradiction(given);
  if (fault !== null) throw refuse(fault);
  const bucket = check(bucketName, name, `the bucket "${name}"`);
  const trimmed = path.replace(/\/+$/, "");
  const prefix = check(prefixPath, trimmed, `the prefix "${trimmed}"`);
  const { endpoint, region, pathStyle, acl, storageClass } = given;
  return {
    kind: "s3",
    bucket,
    prefix,
    region: region ?? null,
    endpoint: endpoint ?? null,
    pathStyle: pathStyle ?? endpoint !== undefined,
    credentials: chooseCredentials(given),
    sse: given.sse === "aws:kms" ? { kmsKeyId: given.kmsKeyId ?? null } : null,
    acl: acl ?? null,
    storageClass: storageClass ?? null,
  };
}

/**
 * Reads the URL of an object or a folder that is there: what stands behind the bucket is a key as it is, whatever its
 * characters.
 * @throws ExtractError USAGE as `parseS3Url`
 */
export function parseS3Location(url: string): {
  readonly target: S3Target;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly path: string;
} {
  const [place = "", ...query] = url.split("?");
  const [, bucket = "", path = ""] =
    /^s3:\/\/([^/]*)\/*(.*?)\/*$/is.exec(place) ?? [];
  if (Buffer.byteLength(path) > KEY_BYTES_MAX)
    throw refuse(`has no keys of more than ${KEY_BYTES_MAX} bytes`);
  const target = parseS3Url([`s3://${bucket}`, ...query].join("?"));
  return { target, path };
}

/** The objects at a URL as `parseS3Location` reads it. The client and its packages are loaded here, and not before. */
export async function openS3Files(url: string): Promise<S3Files> {
  const { target, path } = parseS3Location(url);
  const { S3Files } = await import("./files.ts");
  return S3Files.open(target, path);
}

/** A small file beside the destination's objects. The client and its packages are loaded here, and not before. */
export async function openS3Kept(
  url: string,
  given: Options,
  path: string,
): Promise<KeptObject> {
  const config = parseS3Url(url, given);
  const { KeptObject } = await import("./kept-object.ts");
  return KeptObject.open(config, path);
}

function parseQuery(query: string): Options {
  const values: Record<string, unknown> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (!Object.hasOwn(optionShape, name))
      throw refuse(
        `has the option ${name}, which is unknown; there are ${Object.keys(optionShape).join(", ")}`,
      );
    if (Object.hasOwn(values, name)) throw refuse(`has ${name} twice`);
    values[name] = name === "pathStyle" ? readBoolean(value) : value;
  }
  return check(options, values, "it");
}

function readBoolean(value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw refuse("has pathStyle that is neither true nor false");
}

function findContradiction(given: Options): string | null {
  if (given.profile !== undefined && given.roleArn !== undefined)
    return "has both profile and roleArn: a profile may name its role itself";
  if (given.externalId !== undefined && given.roleArn === undefined)
    return "has externalId without roleArn";
  if (given.sessionName !== undefined && given.roleArn === undefined)
    return "has sessionName without roleArn";
  if (given.kmsKeyId !== undefined && given.sse !== "aws:kms")
    return "has kmsKeyId without sse=aws:kms";
  return null;
}

function chooseCredentials(given: Options): S3Target["credentials"] {
  const { profile, roleArn: arn, externalId, sessionName } = given;
  if (profile !== undefined) return { kind: "profile", profile };
  if (arn === undefined) return { kind: "default" };
  return {
    kind: "assumeRole",
    arn,
    externalId: externalId ?? null,
    sessionName: sessionName ?? SESSION_NAME_DEFAULT,
  };
}

function withoutUndefined(given: Options): Options {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
}

function check<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  what: string,
): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue && issue.path.length > 0 ? issue.path.join(".") : what;
  throw refuse(`is wrong: ${where} ${issue?.message ?? "cannot be used"}`);
}

function refuse(why: string): ExtractError {
  return new ExtractError("USAGE", `the S3 destination ${why}`, {});
}
