/** Jars that a test's server is made of, fetched by Maven once. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const copyGoal =
  "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const INSTALL_MS_MAX = 300_000;
/** Of Maven, which is talkative. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Fetches what `dependencies` (`group:artifact:version`) need at run time into `jars`, unless that is there. It is made
 * beside its final place, then renamed: whoever comes second finds it whole.
 * @throws Error with the last that Maven said
 */
export function fetchJars(jars: string, dependencies: readonly string[]): void {
  if (existsSync(jars)) return;
  mkdirSync(dirname(jars), { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "millrace-jars-"));
  const unfinished = mkdtempSync(`${jars}-`);
  try {
    const pom = join(work, "pom.xml");
    writeFileSync(pom, describeProject(dependencies));
    execFileSync(
      "mvn",
      [
        ...["-B", "-ntp", "-q", "-f", pom, copyGoal],
        ...["-DincludeScope=runtime", `-DoutputDirectory=${unfinished}`],
      ],
      {
        cwd: work,
        stdio: ["ignore", "pipe", "pipe"],
        maxBuffer: OUTPUT_BYTES_MAX,
        timeout: INSTALL_MS_MAX,
      },
    );
    renameSync(unfinished, jars);
  } catch (error) {
    if (existsSync(jars)) return; // another process was faster
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    const said = [stdout, stderr].map((one) => one?.toString() ?? "").join("");
    throw new Error(
      `Maven could not fetch ${dependencies.join(", ")} (install Java 17 and Maven): ${said.slice(-2_000) || String(error)}`,
      { cause: error },
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
}

function describeProject(dependencies: readonly string[]): string {
  const described = dependencies.map((dependency) => {
    const [group, artifact, version] = dependency.split(":");
    return `    <dependency>
      <groupId>${group}</groupId>
      <artifactId>${artifact}</artifactId>
      <version>${version}</version>
    </dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>test-server</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
${described.join("\n")}
  </dependencies>
</project>
`;
}
