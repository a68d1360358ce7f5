/**
 * The engine's jars: those of a folder that MILLRACE_DEBEZIUM_JARS names, else built once by Maven into the user's
 * cache folder, under a name that says of what: other sources make another folder, and nothing in one ever changes.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
} from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ExtractError } from "../../../../proto/error.ts";
import {
  cleanEnvironment,
  findProgram,
  javaRemedy,
  type Environment,
} from "./java.ts";

export interface EngineFiles {
  readonly folder: string;
  /** Names the others, in `lib/` beside it, in its manifest. */
  readonly jar: string;
}

/** Names a folder with `millrace-engine.jar` and `lib/`: for images, and for machines without Maven. */
export const JARS_VARIABLE = "MILLRACE_DEBEZIUM_JARS";
const JAR_NAME = "millrace-engine.jar";
/** 48 MB in 83 jars; half a minute on a good line. */
const BUILD_MS_MAX = 900_000;
const LOCK_POLL_MS = 250;
/** Of Maven, which is talkative. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
const SHOWN_CHARS_MAX = 2_000;

const goals = [
  "org.apache.maven.plugins:maven-compiler-plugin:3.13.0:compile",
  "org.apache.maven.plugins:maven-jar-plugin:3.4.1:jar",
  "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
];

/** `deploy/debezium` of this package, seen from the sources as from `dist/`. */
function findSources(from: string = import.meta.url): string {
  for (let folder = dirname(fileURLToPath(from)); ; folder = dirname(folder)) {
    const sources = join(folder, "deploy", "debezium");
    if (existsSync(join(sources, "pom.xml"))) return sources;
    if (dirname(folder) === folder) {
      throw new ExtractError(
        "ENGINE_UNAVAILABLE",
        `this installation has no deploy/debezium; ${JARS_VARIABLE} can name a folder of ready jars`,
      );
    }
  }
}

/** `$XDG_CACHE_HOME/millrace/debezium-<hash>`. */
export async function nameFolder(
  sources: string,
  environment: Environment,
): Promise<string> {
  const hash = createHash("sha256");
  const files = (await readdir(sources, { recursive: true }))
    .filter((name) => name === "pom.xml" || name.endsWith(".java"))
    .sort();
  for (const name of files) {
    const content = await readFile(join(sources, name));
    hash.update(`${name.replaceAll("\\", "/")} ${content.length}\n`);
    hash.update(content);
  }
  const cache = environment["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(cache, "millrace", `debezium-${hash.digest("hex").slice(0, 16)}`);
}

/**
 * What is there without building anything; null: nothing.
 * @throws ExtractError ENGINE_UNAVAILABLE when MILLRACE_DEBEZIUM_JARS names a folder without the engine
 */
export async function findEngine(
  environment: Environment = process.env,
  sources: string = findSources(),
): Promise<EngineFiles | null> {
  const given = environment[JARS_VARIABLE];
  const folder = given || (await nameFolder(sources, environment));
  const jar = join(folder, JAR_NAME);
  if (existsSync(jar) && existsSync(join(folder, "lib")))
    return { folder, jar };
  if (!given) return null;
  throw new ExtractError(
    "ENGINE_UNAVAILABLE",
    `${JARS_VARIABLE} names ${given}, which has no ${JAR_NAME} with lib/ beside it`,
    { folder: given },
  );
}

/**
 * The engine's jars, built unless they are there. Of several processes that ask at once, one builds.
 * @throws ExtractError ENGINE_UNAVAILABLE saying what is missing and how it is had
 */
export async function provideEngine(
  environment: Environment = process.env,
  sources: string = findSources(),
): Promise<EngineFiles> {
  const found = await findEngine(environment, sources);
  if (found !== null) return found;
  const folder = await nameFolder(sources, environment);
  await mkdir(dirname(folder), { recursive: true });
  return withLock(`${folder}.lock`, async () => {
    const built = await findEngine(environment, sources);
    if (built !== null) return built;
    await build(sources, folder, environment);
    return { folder, jar: join(folder, JAR_NAME) };
  });
}

/** Beside its final place, then renamed: a build that was interrupted is never taken for a whole one. */
async function build(
  sources: string,
  folder: string,
  environment: Environment,
): Promise<void> {
  const maven = await findProgram("mvn", environment, [
    environment["M2_HOME"],
    environment["MAVEN_HOME"],
  ]);
  const javac = await findProgram("javac", environment, [
    environment["JAVA_HOME"],
  ]);
  const missing = [
    ...(maven === null ? ["Maven (mvn)"] : []),
    ...(javac === null ? ["the Java compiler (javac, of a JDK)"] : []),
  ];
  if (maven === null || javac === null) {
    throw new ExtractError(
      "ENGINE_UNAVAILABLE",
      `to build the change data engine, ${missing.join(" and ")} is missing; ${JARS_VARIABLE} can name a folder of ready jars`,
      { missing: missing.join(", "), remedy: javaRemedy },
    );
  }
  const work = await mkdtemp(`${folder}.`);
  try {
    await copyFile(join(sources, "pom.xml"), join(work, "pom.xml"));
    await cp(join(sources, "src"), join(work, "src"), { recursive: true });
    const target = join(work, "target");
    await runMaven(maven, work, join(target, "lib"), environment);
    const whole = join(work, "whole");
    await mkdir(whole);
    await rename(join(target, JAR_NAME), join(whole, JAR_NAME));
    await rename(join(target, "lib"), join(whole, "lib"));
    await rename(whole, folder);
  } catch (error) {
    if (!existsSync(join(folder, JAR_NAME))) throw error; // else another process was faster
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function runMaven(
  maven: string,
  work: string,
  lib: string,
  environment: Environment,
): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(
      maven,
      [
        ...["-B", "-ntp", "-q", "-f", join(work, "pom.xml"), ...goals],
        ...["-DincludeScope=runtime", `-DoutputDirectory=${lib}`],
      ],
      {
        cwd: work,
        env: cleanEnvironment(environment),
        timeout: BUILD_MS_MAX,
        maxBuffer: OUTPUT_BYTES_MAX,
      },
      (error, stdout, stderr) => {
        if (error === null) {
          resolve();
          return;
        }
        const said = `${stdout}${stderr}`.trim().slice(-SHOWN_CHARS_MAX);
        reject(
          new ExtractError(
            "ENGINE_UNAVAILABLE",
            `Maven could not build the change data engine: ${said || error.message}`,
            {
              remedy: `Maven has to reach its repository (https://repo.maven.apache.org, or the mirror of ~/.m2/settings.xml); ${JARS_VARIABLE} can name a folder of ready jars`,
            },
            { cause: error },
          ),
        );
      },
    );
  });
}

/** Of a process that has died, a lock file is no obstacle. */
async function withLock<Result>(
  path: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const deadline = performance.now() + BUILD_MS_MAX;
  while (!(await tryLock(path))) {
    if (performance.now() > deadline) {
      throw new ExtractError(
        "ENGINE_UNAVAILABLE",
        `another process has been building the change data engine for ${BUILD_MS_MAX / 60_000} minutes; remove ${path} if there is none`,
        { path },
      );
    }
    await sleep(LOCK_POLL_MS);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const holder = Number(await readFile(path, "utf8").catch(() => ""));
  if (holder > 0 && !isAlive(holder)) await rm(path, { force: true });
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
