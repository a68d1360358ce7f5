/** Packages from PyPI in a virtual environment of the cache folder, one per list of versions. */
import { execFileSync, type ExecFileSyncOptions } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findCacheFolder, isContinuousIntegration } from "./postgres.ts";

/** How long pip may take. */
const INSTALL_MS_MAX = 300_000;

/**
 * Installs the packages, once.
 * @param owner the folder of the cache that the environment lies in
 * @returns the environment's folder of programs
 * @throws Error when one of them cannot be had
 */
export function installPython(
  owner: string,
  packages: readonly string[],
): string {
  const name = createHash("sha256").update(packages.join()).digest("hex");
  const folder = join(findCacheFolder(), owner, `python-${name.slice(0, 12)}`);
  const bin = join(folder, "bin");
  const complete = join(folder, "complete");
  if (existsSync(complete)) return bin;
  const options: ExecFileSyncOptions = {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: INSTALL_MS_MAX,
  };
  execFileSync("python3", ["-m", "venv", "--clear", folder], options);
  const pip = ["install", "--quiet", "--disable-pip-version-check"];
  execFileSync(join(bin, "pip"), [...pip, ...packages], options);
  writeFileSync(complete, "");
  return bin;
}

/**
 * For tests: outside CI a machine that cannot install them skips, and says why.
 * @throws Error in CI when one of them cannot be had
 */
export function ensurePython(
  owner: string,
  packages: readonly string[],
): { readonly bin: string } | { readonly reason: string } {
  try {
    return { bin: installPython(owner, packages) };
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    return {
      reason: `python3 -m venv and pip install ${packages.join(" ")} failed: ${String(error)}`,
    };
  }
}
