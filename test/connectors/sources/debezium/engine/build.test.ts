import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  findEngine,
  nameFolder,
  provideEngine,
} from "../../../../../connectors/sources/debezium/engine/build.ts";
import {
  findJava,
  parseJavaVersion,
} from "../../../../../connectors/sources/debezium/engine/java.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-build-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Programs that a machine could have, in a PATH of their own. */
function makeProgram(name: string, script: string): void {
  mkdirSync(join(folder, "bin"), { recursive: true });
  const path = join(folder, "bin", name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

function makeSources(content: string): string {
  const sources = join(folder, "sources");
  mkdirSync(join(sources, "src"), { recursive: true });
  writeFileSync(join(sources, "pom.xml"), content);
  return sources;
}

const environment = () => ({
  PATH: `${join(folder, "bin")}:/usr/bin:/bin`,
  XDG_CACHE_HOME: join(folder, "cache"),
});

test.for([
  ['openjdk version "17.0.15" 2025-04-15', "17.0.15"],
  ['java version "1.8.0_402"', "1.8.0_402"],
  ["no version", null],
] as const)("%s", ([output, version]) =>
  expect(parseJavaVersion(output)).toBe(version),
);

test("no Java, and one that is too old, are told with what to do", async () => {
  await expect(findJava({ PATH: folder })).rejects.toMatchObject({
    code: "ENGINE_UNAVAILABLE",
    details: { remedy: expect.stringContaining("apt-get install") },
  });
  makeProgram("java", `echo 'openjdk version "11.0.2"' >&2`);
  await expect(findJava(environment())).rejects.toThrow(
    /needs Java 17 or later; .*java is 11\.0\.2/,
  );
});

test("without Maven nothing is built, and the message names what is missing", async () => {
  const sources = makeSources("1");
  const error = await provideEngine(
    { PATH: folder, XDG_CACHE_HOME: folder },
    sources,
  ).catch((one: unknown) => one);
  expect(error).toMatchObject({
    code: "ENGINE_UNAVAILABLE",
    details: { missing: expect.stringMatching(/mvn.*javac/) },
  });
});

test("of two that ask at once one builds; other sources make another folder; a build that failed leaves nothing", async () => {
  makeProgram("javac", "");
  // what Maven would make of the sources
  makeProgram(
    "mvn",
    `echo built >> ${join(folder, "count")}; mkdir -p target/lib; cp pom.xml target/millrace-engine.jar; sleep 0.2; grep -q broken pom.xml && { echo 'Could not transfer artifact'; exit 1; }; exit 0`,
  );
  const sources = makeSources("1");
  const built = await Promise.all([
    provideEngine(environment(), sources),
    provideEngine(environment(), sources),
  ]);
  expect(built[0]).toEqual(built[1]);
  const count = () =>
    readFileSync(join(folder, "count"), "utf8").trim().split("\n").length;
  expect(count()).toBe(1);
  expect(readFileSync(built[0].jar, "utf8")).toBe("1");
  const other = await provideEngine(environment(), makeSources("2"));
  expect(other.folder).not.toBe(built[0].folder);
  const broken = makeSources("broken");
  await expect(provideEngine(environment(), broken)).rejects.toThrow(
    /Could not transfer artifact/,
  );
  expect(existsSync(await nameFolder(broken, environment()))).toBe(false);
  expect(await findEngine(environment(), broken)).toBeNull();
});

test("a lock of a process that has died is no obstacle", async () => {
  makeProgram("javac", "");
  makeProgram(
    "mvn",
    "mkdir -p target/lib; cp pom.xml target/millrace-engine.jar",
  );
  const sources = makeSources("1");
  const target = await nameFolder(sources, environment());
  mkdirSync(join(target, ".."), { recursive: true });
  const dead = execFileSync(process.execPath, ["-p", "process.pid"]);
  writeFileSync(`${target}.lock`, dead.toString().trim());
  expect((await provideEngine(environment(), sources)).folder).toBe(target);
});

test("ready jars are taken as they are, and a folder without them is refused", async () => {
  const given = { ...environment(), MILLRACE_DEBEZIUM_JARS: folder };
  const sources = makeSources("1");
  await expect(findEngine(given, sources)).rejects.toThrow(
    /MILLRACE_DEBEZIUM_JARS names/,
  );
  writeFileSync(join(folder, "millrace-engine.jar"), "");
  mkdirSync(join(folder, "lib"));
  expect(await provideEngine(given, sources)).toEqual({
    folder,
    jar: join(folder, "millrace-engine.jar"),
  });
});
