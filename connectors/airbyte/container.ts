/** How docker or podman runs a connector: what it may see, who it is, and what its arguments must not say. */
import { randomBytes } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { basename, delimiter, join, resolve } from "node:path";
import { ExtractError } from "../../proto/error.ts";
import type { GuardedContainer } from "./connector-guard.ts";

/** Where a container finds its files. */
export const FILES_FOLDER = "/millrace";
/** Of `docker run`: the runtime itself has failed, the command cannot be invoked, is not there. */
export const RUNTIME_FAILURES: ReadonlySet<number> = new Set([125, 126, 127]);

interface ToContain {
  readonly program: {
    readonly image?: string | undefined;
    readonly runtimeArguments?: readonly string[] | undefined;
    readonly env?: Readonly<Record<string, string>> | undefined;
  };
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: readonly string[];
}

interface Container extends GuardedContainer {
  readonly command: readonly string[];
}

export function describeContainer(
  { program, mounts = [], env = {} }: ToContain,
  runtime: string,
  folder: string,
): Container {
  const name = `millrace-${randomBytes(8).toString("hex")}`;
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const isRootlessPodman = uid !== 0 && basename(runtime) === "podman";
  const command = [
    runtime,
    "run",
    "--rm",
    "--interactive",
    // forwards signals and leaves no dead children
    "--init",
    "--name",
    name,
    // what it prints is read here, and would be kept a second time
    "--log-driver=none",
    // as this user: its files are nobody else's
    `--user=${uid}:${gid}`,
    ...(isRootlessPodman ? ["--userns=keep-id"] : []),
    `--volume=${folder}:${FILES_FOLDER}:ro`,
    ...mounts.map((mount) => `--volume=${resolve(mount)}:${resolve(mount)}`),
    // by name: the values are in the environment of the runtime, and not in its arguments
    ...Object.keys({ ...program.env, ...env }).map((key) => `--env=${key}`),
    ...(program.runtimeArguments ?? []),
    program.image ?? "",
  ];
  return { runtime, name, command };
}

/** Docker before podman. @throws ExtractError CONNECTOR_NOT_STARTED where there is neither */
export function findRuntime(): string {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  for (const name of ["docker", "podman"])
    for (const folder of folders) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not there
      }
    }
  throw new ExtractError(
    "CONNECTOR_NOT_STARTED",
    "an image needs docker or podman, and neither is in the PATH; `runtime` names one that is elsewhere",
  );
}
