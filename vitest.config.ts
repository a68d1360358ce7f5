import { configDefaults, defineConfig } from "vitest/config";
import { LongestFirst } from "./test/fixtures/longest-first.ts";
import { useTempFolderInMemory } from "./test/services/temp-folder.ts";

useTempFolderInMemory();

/** What a test needs is in its suffix, and each suffix is a project. */
const pgSuffix = "test/**/*.pg.test.ts";
const mysqlSuffix = "test/**/*.mysql.test.ts";
const s3Suffix = "test/**/*.s3.test.ts";
const kafkaSuffix = "test/**/*.kafka.test.ts";
const debeziumSuffix = "test/**/*.debezium.test.ts";
const browserSuffix = "test/**/*.browser.test.ts";
const withServer = [
  pgSuffix,
  mysqlSuffix,
  s3Suffix,
  kafkaSuffix,
  debeziumSuffix,
  browserSuffix,
];
const conformanceSuffix = "test/conformance/*.conformance.test.ts";
const build = "test/services/build.setup.ts";
const postgres = "test/services/postgres.setup.ts";
const mysql = "test/services/mysql.setup.ts";
const s3 = "test/services/s3.setup.ts";
const debezium = "test/services/debezium.setup.ts";
/** Most tests wait for servers, processes or disks about as long as they compute. */
const waitingWorkers = 3;
const suiteTimes = "./test/fixtures/suite-times.ts";
const e2eFolder = "test/e2e/**/*.test.ts";

export default defineConfig({
  test: {
    reporters: process.env["VITEST_RESULTS"]
      ? ["default", suiteTimes, "json"]
      : ["default", suiteTimes],
    ...(process.env["VITEST_RESULTS"]
      ? { outputFile: { json: process.env["VITEST_RESULTS"] } }
      : {}),
    // a test that starts a process from the repository starts the source, whether or not somebody has built it
    // and the engines of the change data tests live for seconds: what their JVMs compile well has no time to pay
    env: {
      MILLRACE_SOURCES: "1",
      MILLRACE_JAVA_OPTIONS: "-XX:TieredStopAtLevel=1",
    },
    // on a loaded machine one more try tells an accident of timing from a fault; at home every failure is looked at
    retry: process.env["CI"] ? 1 : 0,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [
            ...configDefaults.exclude,
            ...withServer,
            e2eFolder,
            conformanceSuffix,
          ],
          globalSetup: build,
          // what a file leaves behind in its process, the next one has to bear; a process each costs a third more CPU
          isolate: false,
          maxWorkers: waitingWorkers,
          // those that start a process of ours have to wait for it on a busy machine
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "pg",
          include: [pgSuffix],
          exclude: [...configDefaults.exclude, e2eFolder],
          globalSetup: postgres,
          testTimeout: 30_000,
          hookTimeout: 60_000,
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "mysql",
          include: [mysqlSuffix],
          exclude: [...configDefaults.exclude, e2eFolder],
          globalSetup: [build, mysql],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          // these wait for servers of their own more than they work: together they are done sooner
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "s3",
          include: [s3Suffix],
          exclude: [...configDefaults.exclude, e2eFolder],
          globalSetup: [build, s3],
          testTimeout: 30_000,
          hookTimeout: 300_000,
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "kafka",
          include: [kafkaSuffix],
          exclude: [...configDefaults.exclude, e2eFolder],
          globalSetup: [build, "test/services/kafka.setup.ts"],
          testTimeout: 60_000,
          hookTimeout: 300_000,
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "browser",
          include: [browserSuffix],
          testTimeout: 30_000,
          hookTimeout: 180_000,
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "debezium",
          include: [debeziumSuffix],
          // what the engine does with a binlog by itself is a minute that the whole run has not
          exclude: [
            ...configDefaults.exclude,
            ...(process.env["MILLRACE_TEST_FULL"]
              ? []
              : ["test/**/binlog.debezium.test.ts"]),
          ],
          globalSetup: [build, postgres, mysql, debezium],
          maxWorkers: waitingWorkers,
          testTimeout: 180_000,
          hookTimeout: 900_000,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: [e2eFolder],
          exclude: [...configDefaults.exclude, debeziumSuffix],
          // a file that needs another server starts it by itself
          globalSetup: [build, postgres],
          // beside those that wait for Java and for logs
          maxWorkers: waitingWorkers,
          testTimeout: 180_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: "conformance",
          include: [conformanceSuffix],
          globalSetup: [build, postgres, mysql, s3],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          maxWorkers: waitingWorkers,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
