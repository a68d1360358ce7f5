/** Folders of the ledger, made one by one: Node's recursive mkdir never returns below /proc/self. */
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { ExtractError } from "../proto/error.ts";

/** @throws ExtractError DESTINATION_UNWRITABLE naming the folder */
export function makeFolder(path: string): void {
  const missing: string[] = [];
  for (let one = path; !existsSync(one); one = dirname(one)) missing.push(one);
  for (const one of missing.toReversed()) {
    try {
      mkdirSync(one);
    } catch (cause) {
      if (existsSync(one)) continue;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ExtractError(
        "DESTINATION_UNWRITABLE",
        `cannot make ${one}: ${why}`,
        { path: one },
        { cause },
      );
    }
  }
}
