/**
 * A real Kafka broker for the tests: those that TEST_KAFKA_BROKERS names, else one of our own for the time of the run,
 * broker and controller in one JVM. It listens on loopback only and cannot outlive the process that started it. Our
 * own has a second listener with TLS and SASL.
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import {
  installKafka,
  KAFKA_VERSION,
  type KafkaPrograms,
} from "./kafka-programs.ts";
import { keep, letReturn, type Kept } from "./keeper.ts";
import {
  findPorts,
  user,
  writeSettings,
  type Ports,
} from "./kafka-settings.ts";

/** Another process may take a port between the probe and the bind. */
const PORT_ATTEMPTS_MAX = 5;
/** A broker that writes its class archive leaves slowly. */
const ARCHIVE_MS_MAX = 60_000;
const FORMAT_MS_MAX = 60_000;

const CLUSTER_ID = "bWlsbHJhY2UtdGVzdC0wMQ";
export interface SecureListener {
  readonly brokers: readonly string[];
  /** The authority that vouches for the broker. */
  readonly caPem: string;
  readonly username: string;
  readonly password: string;
}

export interface KafkaService {
  /** `127.0.0.1:9092`, without TLS and SASL. */
  readonly brokers: readonly string[];
  /** Null where the broker is not ours. */
  readonly secure: SecureListener | null;
  /** Where it comes from, for the report. */
  readonly origin: string;
  /** Of the broker; null where it is not ours. */
  readonly pid: number | null;
  /** Its data and settings; null where it is not ours. */
  readonly folder: string | null;
  /** Ends the broker if it is ours. */
  stop(): Promise<void>;
}

/** A broker of a test's own, which can go and come back with its data. */
export interface KafkaBroker extends KafkaService {
  /** By SIGKILL. */
  kill(): Promise<void>;
  /** On the same ports. */
  revive(): Promise<void>;
}

/** What a broker begins with: formatted storage that knows the user. It is made once and copied. */
function makeDataFolder(programs: KafkaPrograms, folder: string): void {
  const template = join(programs.folder, "data");
  const data = join(folder, "data");
  if (!existsSync(template)) {
    mkdirSync(data);
    const users = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
      "--add-scram",
      `${mechanism}=[name=${user.username},password=${user.password}]`,
    ]);
    execFileSync(
      "java",
      [
        ...[...programs.java, "kafka.tools.StorageTool", "format"],
        ...["-t", CLUSTER_ID, "-c", join(folder, "server.properties")],
        ...users,
      ],
      { cwd: folder, stdio: ["ignore", "ignore", "pipe"], timeout: FORMAT_MS_MAX }, // prettier-ignore
    );
    const beside = `${template}.${process.pid}`;
    try {
      cpSync(data, beside, { recursive: true });
      renameSync(beside, template);
    } catch (error) {
      if (!existsSync(template)) throw error; // else another process was faster
    } finally {
      rmSync(beside, { recursive: true, force: true });
    }
    return;
  }
  cpSync(template, data, { recursive: true });
}

/** Halves the time to start. A JVM writes it at an orderly end, so one broker is started and ended for it, once. */
async function makeClassArchive(programs: KafkaPrograms): Promise<void> {
  if (existsSync(programs.archive)) return;
  const beside = `${programs.archive}.${process.pid}`;
  const folder = mkdtempSync(join(tmpdir(), "millrace-kafka-"));
  try {
    const ports = await findPorts();
    writeSettings(folder, ports);
    makeDataFolder(programs, folder);
    const first = await launch(programs, folder, ports, [
      `-XX:ArchiveClassesAtExit=${beside}`,
    ]);
    process.kill(first.pid, "SIGTERM");
    const deadline = setTimeout(() => void first.end(), ARCHIVE_MS_MAX);
    await first.exited;
    clearTimeout(deadline);
    if (existsSync(beside)) renameSync(beside, programs.archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(beside, { force: true });
  }
}

async function launch(
  programs: KafkaPrograms,
  folder: string,
  ports: Ports,
  options: readonly string[],
): Promise<Kept> {
  return keep(
    "Kafka",
    folder,
    [
      ...["java", ...options, ...programs.java],
      ...["kafka.Kafka", join(folder, "server.properties")],
    ],
    () => answers(ports.plain),
  );
}

/** Whether metadata and the group coordinator can be had: the first group of a new broker makes it wait else. */
async function answers(port: number): Promise<boolean> {
  const admin = new Kafka({
    brokers: [`127.0.0.1:${port}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  }).admin();
  try {
    await admin.connect();
    await admin.describeCluster(); // without the brokers' list there is no coordinator to be asked for
    await admin.describeGroups(["none"]);
    return true;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

/**
 * Starts a broker of our own in a temporary folder.
 * @throws Error when its programs cannot be had, or it does not start
 */
export async function startKafka(): Promise<KafkaBroker> {
  const programs = installKafka();
  await makeClassArchive(programs);
  for (let attempt = 1; ; attempt += 1) {
    const folder = mkdtempSync(join(tmpdir(), "millrace-kafka-"));
    try {
      return await startIn(programs, folder, await findPorts());
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      const portTaken = /Address already in use/i.test(String(error));
      if (!portTaken || attempt >= PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

async function startIn(
  programs: KafkaPrograms,
  folder: string,
  ports: Ports,
): Promise<KafkaBroker> {
  const caPem = writeSettings(folder, ports);
  makeDataFolder(programs, folder);
  const options = existsSync(programs.archive)
    ? [`-XX:SharedArchiveFile=${programs.archive}`]
    : [];
  const start = () => launch(programs, folder, ports, options);
  let launched = await start();
  const toReturn = letReturn(folder);
  return {
    brokers: [`127.0.0.1:${ports.plain}`],
    secure: { brokers: [`127.0.0.1:${ports.secure}`], caPem, ...user },
    origin: `Maven, Kafka ${KAFKA_VERSION}`,
    get pid() {
      return launched.pid;
    },
    folder,
    stop: async () => {
      toReturn.forget();
      await launched.end();
      rmSync(folder, { recursive: true, force: true });
    },
    kill: async () => {
      toReturn.note();
      await launched.end();
    },
    revive: async () => {
      toReturn.forget();
      launched = await start();
    },
  };
}

/** The broker that a test run uses: the given one, else our own. */
export async function provideKafka(): Promise<KafkaService> {
  const brokers = process.env["TEST_KAFKA_BROKERS"] ?? "";
  if (brokers === "") return startKafka();
  return {
    brokers: brokers.split(",").map((broker) => broker.trim()),
    secure: null,
    origin: "TEST_KAFKA_BROKERS",
    pid: null,
    folder: null,
    stop: async () => {},
  };
}
