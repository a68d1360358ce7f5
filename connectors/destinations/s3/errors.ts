/**
 * What S3, the network and the search for credentials say, in our words; always with what was tried, and on what.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { ErrorCode } from "../../../proto/error.ts";

/** What is known of an error of the SDK. Nothing of it is trusted to be there. */
export interface S3Failure {
  /** The `Code` of S3's answer, else the error's name. */
  readonly name: string;
  /** Of the HTTP answer; null where none came. */
  readonly status: number | null;
  /** The operating system's or TLS's word. */
  readonly systemCode: string | null;
  readonly message: string;
  /** Where S3 says the bucket is. */
  readonly region: string | null;
}

const EXPIRED = new Set(["ExpiredToken", "ExpiredTokenException"]);
const REFUSED = new Set([
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "InvalidToken",
  "InvalidClientTokenId",
  "UnrecognizedClientException",
  "NotSignedUp",
  "RequestTimeTooSkewed",
]);
const ELSEWHERE = new Set([
  "PermanentRedirect",
  "TemporaryRedirect",
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
]);
const FORBIDDEN = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "AllAccessDisabled",
  "AccountProblem",
]);
const FULL = new Set([
  "QuotaExceeded",
  "InsufficientStorage",
  "InsufficientCapacity",
  "XMinioStorageFull",
]);
const SLOW = new Set([
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "TooManyRequestsException",
  "RequestLimitExceeded",
]);
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
/** Of OpenSSL and Node's TLS. */
const TLS_CODE =
  /^(EPROTO$|ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH)/;
/** A message of the world may be a whole page. Characters. */
const MESSAGE_CHARACTERS_MAX = 500;

/** @returns null for ExtractErrors and for faults of our own, which pass unchanged */
export function readFailure(error: unknown): S3Failure | null {
  if (!(error instanceof Error) || error instanceof ExtractError) return null;
  const { $metadata, Code, code, Region } = error as {
    $metadata?: { httpStatusCode?: unknown };
    Code?: unknown;
    code?: unknown;
    Region?: unknown;
  };
  const isOurs =
    $metadata === undefined &&
    code === undefined &&
    !/Credentials|Token|Timeout|Region/.test(`${error.name} ${error.message}`);
  if (isOurs || error.name === "AssertionError") return null;
  const status = $metadata?.httpStatusCode;
  return {
    name: typeof Code === "string" ? Code : error.name,
    status: typeof status === "number" ? status : null,
    systemCode: typeof code === "string" ? code : null,
    message: error.message.slice(0, MESSAGE_CHARACTERS_MAX),
    region: typeof Region === "string" ? Region : (readRegion(error) ?? null),
  };
}

/** A HEAD or a redirect names the region in a header only. */
function readRegion(error: Error): string | undefined {
  const { $response } = error as {
    $response?: { headers?: Record<string, string> };
  };
  return $response?.headers?.["x-amz-bucket-region"];
}

export function isExpiredToken(failure: S3Failure): boolean {
  return EXPIRED.has(failure.name);
}

/** The object or upload is not there. */
export function isMissing({ name, status }: S3Failure): boolean {
  if (name === "NoSuchBucket") return false;
  return name === "NoSuchKey" || name === "NotFound" || status === 404;
}

/** The name is taken, or the object is not the one that was read. */
export function isPreconditionFailed({ name, status }: S3Failure): boolean {
  return name === "PreconditionFailed" || status === 412;
}

/** Another request for the same name was under way (user guide, "Conditional writes"). */
export function isConflict({ name, status }: S3Failure): boolean {
  return name === "ConditionalRequestConflict" || status === 409;
}

export interface Tried {
  /** As in "could not <doing> <url>". */
  readonly doing: string;
  /** `s3://bucket/key`. */
  readonly url: string;
  readonly bucket: string;
  /** The endpoint, else the region, as the configuration has it. */
  readonly place: string;
}

/** @returns the error itself where it is none of the world's */
export function toS3Error(error: unknown, tried: Tried): unknown {
  const failure = readFailure(error);
  if (failure === null) return error;
  const [code, why] = explain(failure, tried);
  const { doing, url, bucket, place } = tried;
  const reason =
    failure.systemCode === null || failure.status !== null
      ? failure.name
      : failure.systemCode;
  return new ExtractError(
    code,
    `could not ${doing} ${url}: ${why}`,
    { url, bucket, place, reason, status: failure.status },
    { cause: error },
  );
}

function explain(failure: S3Failure, tried: Tried): [ErrorCode, string] {
  const { name, status, systemCode, message, region } = failure;
  const { bucket, place } = tried;
  const said = `${name}${message === "" ? "" : `, ${message}`}`;
  if (name === "NoSuchBucket") {
    return [
      "DESTINATION_UNWRITABLE",
      `there is no bucket ${bucket} at ${place}; make it, or mend its name`,
    ];
  }
  if (EXPIRED.has(name)) {
    return [
      "DESTINATION_UNWRITABLE",
      `the session token has expired, and its source gave none that is valid (${said}); log in again, then resume`,
    ];
  }
  if (/Credentials|TokenProvider/.test(name) && status === null) {
    return [
      "DESTINATION_UNWRITABLE",
      `no credentials were found (${message}): looked for in the environment, the profile, web identity, container and instance`,
    ];
  }
  if (/region is missing/i.test(message)) {
    return [
      "DESTINATION_UNWRITABLE",
      "no region is known: name it in the URL (?region=) or in AWS_REGION",
    ];
  }
  if (REFUSED.has(name)) {
    return [
      "DESTINATION_UNWRITABLE",
      `the credentials are refused by ${place} (${said})`,
    ];
  }
  if (ELSEWHERE.has(name) || status === 301) {
    const where = region === null ? "" : `; it expects ${region}`;
    return [
      "DESTINATION_UNWRITABLE",
      `${place} is the wrong region for bucket ${bucket}${where} (${said})`,
    ];
  }
  if (FORBIDDEN.has(name) || status === 403) {
    return [
      "DESTINATION_UNWRITABLE",
      `these credentials do not permit it (${said})`,
    ];
  }
  if (FULL.has(name) || status === 507) {
    return ["DESTINATION_FULL", `the storage is full (${said})`];
  }
  if (SLOW.has(name) || status === 429 || status === 503) {
    return [
      "DESTINATION_FAILED",
      `${place} asked for fewer requests until the last attempt (${said})`,
    ];
  }
  if (status === 501) {
    return ["DESTINATION_UNWRITABLE", `${place} does not offer that (${said})`];
  }
  if (systemCode !== null && TLS_CODE.test(systemCode)) {
    return [
      "DESTINATION_UNWRITABLE",
      `TLS with ${place} failed (${systemCode}, ${message.trim()}): is the endpoint https, and its certificate trusted here?`,
    ];
  }
  if (systemCode?.startsWith("HPE_")) {
    return [
      "DESTINATION_UNWRITABLE",
      `${place} does not speak HTTP (${systemCode}): is the endpoint https?`,
    ];
  }
  if (UNREACHABLE.has(systemCode ?? "") || name === "TimeoutError") {
    return [
      "DESTINATION_FAILED",
      `${place} cannot be reached (${systemCode ?? name}, ${message})`,
    ];
  }
  const isRefusal =
    status !== null && status >= 400 && status < 500 && status !== 404;
  const code =
    isRefusal && !isPreconditionFailed(failure) && !isConflict(failure)
      ? "DESTINATION_UNWRITABLE"
      : "DESTINATION_FAILED";
  return [code, `${place} answered ${said}`];
}
