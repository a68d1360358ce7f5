/** Where the Kafka broker of the tests comes from: Maven, once, into the user's cache folder. */
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
import { join } from "node:path";
import { findCacheFolder } from "./postgres.ts";

export const KAFKA_VERSION = "4.1.1";
const copyGoal =
  "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
/** 43 MB in 46 jars; ten seconds on a good line. */
const INSTALL_MS_MAX = 300_000;
/** Of Maven, which is talkative. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId>
  <artifactId>test-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
`;

/** Small: a broker of a test has a few topics and a few thousand messages. */
const javaOptions = [
  ...["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx384m"],
  // the archive's warnings would go to stdout
  ...["-Xlog:disable", "-Xlog:all=off", "-Djava.awt.headless=true"],
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

export interface KafkaPrograms {
  /** Of this version: jars, class archive, and the data folder that each broker begins with. */
  readonly folder: string;
  readonly archive: string;
  /** Arguments of `java` in front of a main class. */
  readonly java: readonly string[];
}

/**
 * The broker's jars, fetched unless they are there.
 * @throws Error saying what is missing and how to get it
 */
export function installKafka(): KafkaPrograms {
  const folder = join(findCacheFolder(), `kafka-${KAFKA_VERSION}`);
  const jars = join(folder, "lib");
  const archive = join(folder, "classes.jsa");
  if (!existsSync(jars)) fetchJars(folder, jars);
  return {
    folder,
    archive,
    java: [...javaOptions, "-cp", `${jars}/*`],
  };
}

/** Beside its final place, then renamed: whoever comes second finds it whole. */
function fetchJars(folder: string, jars: string): void {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "millrace-kafka-jars-"));
  const unfinished = mkdtempSync(join(folder, "lib-"));
  try {
    writeFileSync(join(work, "pom.xml"), pom);
    execFileSync(
      "mvn",
      [
        ...["-B", "-ntp", "-q", "-f", join(work, "pom.xml"), copyGoal],
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
      `no Kafka: TEST_KAFKA_BROKERS is not set, and Maven could not fetch org.apache.kafka:kafka_2.13:${KAFKA_VERSION} (install Java 17 and Maven, or set TEST_KAFKA_BROKERS): ${said.slice(-2_000) || String(error)}`,
      { cause: error },
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(unfinished, { recursive: true, force: true });
  }
}
