/**
 * Class data sharing: what the JVM has made of the engine's classes, kept beside its jars. Without it half of a start
 * is spent on loading and verifying some ten thousand classes.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { EngineFiles } from "./build.ts";
import { cleanEnvironment, type Java } from "./java.ts";

const ARCHIVE_MS_MAX = 120_000;

/** Of this very JVM: another refuses it in silence. Null where it cannot be made, which costs time and nothing else. */
export async function provideArchive(
  java: Java,
  files: EngineFiles,
): Promise<string | null> {
  const path = join(files.folder, `classes-${java.version}.jsa`);
  if (existsSync(path)) return path;
  const beside = `${path}.${process.pid}`;
  try {
    await new Promise<void>((resolve, reject) => {
      execFile(
        java.path,
        [
          ...["-XX:+UseSerialGC", "-Xlog:disable", "-Xlog:all=off"],
          `-XX:ArchiveClassesAtExit=${beside}`,
          ...["-cp", files.jar, "millrace.Warm"],
        ],
        { env: cleanEnvironment(process.env), timeout: ARCHIVE_MS_MAX },
        (error) => {
          if (error === null) resolve();
          else reject(new Error("no class archive", { cause: error }));
        },
      );
    });
    await rename(beside, path);
    return path;
  } catch {
    await rm(beside, { force: true }).catch(() => {});
    return null;
  }
}
