/** Where the Kafka broker of the tests comes from: Maven, once, into the user's cache folder. */
import { join } from "node:path";
import { fetchJars } from "./maven.ts";
import { findCacheFolder } from "./postgres.ts";

export const KAFKA_VERSION = "4.1.1";
/** What each Java program of the tests says, and how little. */
export const logger = "org.slf4j:slf4j-simple:1.7.36";

/** Small: a server of a test has a few topics and a few thousand messages. */
export const javaOptions = [
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
 * The broker's jars, 43 MB in 46 files, fetched unless they are there.
 * @throws Error saying what is missing and how to get it
 */
export function installKafka(): KafkaPrograms {
  const folder = join(findCacheFolder(), `kafka-${KAFKA_VERSION}`);
  const jars = join(folder, "lib");
  const archive = join(folder, "classes.jsa");
  try {
    fetchJars(jars, [`org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`, logger]);
  } catch (error) {
    throw new Error(
      `no Kafka: TEST_KAFKA_BROKERS is not set, and ${String(error)}`,
      { cause: error },
    );
  }
  return {
    folder,
    archive,
    java: [...javaOptions, "-cp", `${jars}/*`],
  };
}
