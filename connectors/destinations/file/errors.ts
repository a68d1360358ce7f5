/**
 * The operating system's errors in our words, always with the path.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { ErrorCode } from "../../../proto/error.ts";

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const UNWRITABLE = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR"]);
/** What an unusable root says, beside the above: links that do not work, names that cannot be made. */
const UNUSABLE_ROOT = new Set([
  "EEXIST",
  "ELOOP",
  "EMLINK",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "EINVAL",
]);

/**
 * Wraps an error of a system call; ExtractErrors and our own faults pass unchanged.
 * @param doing what was tried, as in "could not <doing> <path>"
 */
export function toDestinationError(
  error: unknown,
  doing: string,
  path: string,
): unknown {
  const reason = systemErrorCode(error);
  if (reason === null) return error;
  return describe(codeOf(reason), error, reason, doing, path);
}

/** The same while the root is prepared, where more of them mean that the folder will not do. */
export function toRootError(
  error: unknown,
  doing: string,
  path: string,
): unknown {
  const reason = systemErrorCode(error);
  if (reason === null) return error;
  const code = UNUSABLE_ROOT.has(reason)
    ? "DESTINATION_UNWRITABLE"
    : codeOf(reason);
  return describe(code, error, reason, doing, path);
}

/** `ENOENT` and its like; null for what no system call threw. */
export function systemErrorCode(error: unknown): string | null {
  if (!(error instanceof Error) || error instanceof ExtractError) return null;
  if (!("code" in error) || typeof error.code !== "string") return null;
  return "syscall" in error ? error.code : null;
}

function codeOf(reason: string): ErrorCode {
  if (FULL.has(reason)) return "DESTINATION_FULL";
  if (UNWRITABLE.has(reason)) return "DESTINATION_UNWRITABLE";
  return "DESTINATION_FAILED";
}

function describe(
  code: ErrorCode,
  cause: unknown,
  reason: string,
  doing: string,
  path: string,
): ExtractError {
  return new ExtractError(
    code,
    `could not ${doing} ${path}: ${reason}`,
    { path, reason },
    { cause },
  );
}
