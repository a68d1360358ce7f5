/**
 * Vitest's global set-up of the projects that start `millrace`: one build for all of them, made anew in each run. It is
 * what users run, and its processes start in less time than those of the sources.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { repositoryRoot, toolEnv, toolFolder } from "../arrows.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A folder with `bin/` and `dist/`, and without the sources. */
    builtFolder: string;
  }
}

interface Shared {
  folder: Promise<string>;
  users: number;
}

/** Each project loads this file anew, so what they share is kept on the process. */
const holder = globalThis as { millraceTestBuild?: Shared };

async function build(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-build-"));
  await promisify(execFile)(
    join(toolFolder, "rolldown"),
    ["-c", "-d", join(folder, "dist")],
    { cwd: repositoryRoot, env: toolEnv },
  );
  const copy = (name: string) =>
    cp(join(repositoryRoot, name), join(folder, name), { recursive: true });
  await copy("bin");
  await copy("package.json");
  await copy("deploy/debezium");
  await symlink(
    join(repositoryRoot, "node_modules"),
    join(folder, "node_modules"),
  );
  return folder;
}

export default async function setup(
  project: TestProject,
): Promise<() => Promise<void>> {
  holder.millraceTestBuild ??= { folder: build(), users: 0 };
  const shared = holder.millraceTestBuild;
  shared.users += 1;
  const folder = await shared.folder;
  project.provide("builtFolder", folder);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    delete holder.millraceTestBuild;
    await rm(folder, { recursive: true });
  };
}
