/**
 * The files that a foreign source stages for its records. A reference is believed only for a plain file below the
 * staging folder, whatever links lead there, and of the size that it says.
 */
import { lstatSync, realpathSync } from "node:fs";
import { sep } from "node:path";
import {
  formatFileReference,
  readFileReference,
} from "../../airbyte/file-reference.ts";
import { ExtractError } from "../../../proto/error.ts";

/** As Airbyte's platform has it. */
export const STAGING_FOLDER = "/staging/files";

export interface StagedFile {
  /** As its row's column holds it. */
  readonly text: string;
  readonly bytes: number;
}

export class StagedFiles {
  readonly #folder: string;
  #real: string | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws ExtractError CONNECTOR_MESSAGE_INVALID for a reference that cannot be followed */
  find(text: string, stream: string): StagedFile {
    const reference = readFileReference(text, stream);
    const { stagedPath, bytes } = reference;
    const refuse = (reason: string, cause?: unknown): ExtractError =>
      new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a record of ${stream} has a file_reference to ${stagedPath}, ${reason}`,
        { stream, path: stagedPath },
        { cause },
      );
    let real: string;
    let size: number | null;
    try {
      this.#real ??= realpathSync(this.#folder);
      real = realpathSync(stagedPath);
      const stats = lstatSync(real);
      size = stats.isFile() ? stats.size : null;
    } catch (cause) {
      throw refuse("which cannot be looked at", cause);
    }
    if (!real.startsWith(`${this.#real}${sep}`))
      throw refuse(`which is not below the staging folder ${this.#folder}`);
    if (size === null) throw refuse("which is no plain file");
    if (size !== bytes)
      throw refuse(`which has ${size} bytes, and ${bytes} are said`);
    return {
      text: formatFileReference({ ...reference, stagedPath: real }),
      bytes,
    };
  }
}
