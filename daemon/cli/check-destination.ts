import { accessSync, constants, statSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { ExtractError } from "../../proto/error.ts";

export interface DestinationFacts {
  readonly root: string;
  /** False: the first sync makes it. */
  readonly exists: boolean;
  readonly freeBytes: number;
}

/**
 * Whether a sync could write below this folder; nothing is made or changed.
 * @throws ExtractError DESTINATION_UNWRITABLE
 */
export function checkDestination(root: string): DestinationFacts {
  const existing = findExisting(root);
  if (!statSync(existing).isDirectory()) {
    throw unwritable(root, `${existing} is no folder`);
  }
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw unwritable(
      root,
      `this user may not write in ${existing} (${code ?? "?"})`,
      cause,
    );
  }
  const { bavail, bsize } = statfsSync(existing);
  return { root, exists: existing === root, freeBytes: bavail * bsize };
}

/** The folder itself or the nearest one above it that there is. */
function findExisting(root: string): string {
  for (let path = root; ; path = dirname(path)) {
    try {
      if (statSync(path, { throwIfNoEntry: false }) !== undefined) return path;
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      // a file stands where a folder is needed; it is found one step further up
      if (code !== "ENOTDIR") {
        throw unwritable(
          root,
          `${path} cannot be reached (${code ?? "?"})`,
          cause,
        );
      }
    }
    if (path === dirname(path)) {
      throw unwritable(root, `nothing of ${root} exists`);
    }
  }
}

function unwritable(
  path: string,
  message: string,
  cause?: unknown,
): ExtractError {
  return new ExtractError(
    "DESTINATION_UNWRITABLE",
    message,
    { path },
    { cause },
  );
}
