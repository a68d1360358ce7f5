/** Finds the Java that runs the engine, and the tools that build it. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { ExtractError } from "../../../../proto/error.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Java {
  /** The program. */
  readonly path: string;
  /** `17.0.15`. */
  readonly version: string;
}

/** What the connectors are compiled for. */
const JAVA_MAJOR_MIN = 17;
/** A JVM that only says its version; a cold disk on a busy machine takes its time. */
const VERSION_MS_MAX = 30_000;
const OUTPUT_BYTES_MAX = 65_536;

/** How Java 17 and Maven are had, for whoever has none. */
export const javaRemedy =
  "Debian and Ubuntu: apt-get install openjdk-17-jdk-headless maven; Fedora: dnf install java-17-openjdk-devel maven; macOS: brew install openjdk@17 maven";

/** Of a program that is looked up: the folder that `JAVA_HOME` names, then those of `PATH`. */
export async function findProgram(
  name: string,
  environment: Environment,
  homes: readonly (string | undefined)[] = [],
): Promise<string | null> {
  const folders = [
    ...homes.flatMap((home) => (home ? [join(home, "bin")] : [])),
    ...(environment["PATH"] ?? "").split(delimiter).filter(Boolean),
  ];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // the next folder may have it
    }
  }
  return null;
}

/**
 * The Java that `JAVA_HOME` names, else the first of `PATH`.
 * @throws ExtractError ENGINE_UNAVAILABLE when there is none, or it is too old
 */
export async function findJava(
  environment: Environment = process.env,
): Promise<Java> {
  const path = await findProgram("java", environment, [
    environment["JAVA_HOME"],
  ]);
  if (path === null) {
    throw new ExtractError(
      "ENGINE_UNAVAILABLE",
      `change data capture needs Java ${JAVA_MAJOR_MIN} or later, and neither JAVA_HOME nor PATH has one`,
      { remedy: javaRemedy },
    );
  }
  const version = parseJavaVersion(await readVersion(path, environment));
  if (version === null || Number(version.split(".")[0]) < JAVA_MAJOR_MIN) {
    throw new ExtractError(
      "ENGINE_UNAVAILABLE",
      `change data capture needs Java ${JAVA_MAJOR_MIN} or later; ${path} is ${version ?? "of a version that it does not tell"}`,
      { path, remedy: javaRemedy },
    );
  }
  return { path, version };
}

/** `openjdk version "17.0.15" 2025-04-15` is 17.0.15, `java version "1.8.0_402"` is 1.8.0_402. */
export function parseJavaVersion(output: string): string | null {
  return /version "([\w.+-]+)"/.exec(output)?.[1] ?? null;
}

/** Without what would make each JVM print a line of its own, or give it other settings than ours. */
export function cleanEnvironment(environment: Environment): NodeJS.ProcessEnv {
  const clean = { ...environment };
  for (const name of ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"])
    delete clean[name];
  return clean;
}

function readVersion(path: string, environment: Environment): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      path,
      ["-version"],
      {
        env: cleanEnvironment(environment),
        timeout: VERSION_MS_MAX,
        maxBuffer: OUTPUT_BYTES_MAX,
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout + stderr);
        else
          reject(
            new ExtractError(
              "ENGINE_UNAVAILABLE",
              `${path} does not run: ${error.message}`,
              { path, remedy: javaRemedy },
              { cause: error },
            ),
          );
      },
    );
  });
}
