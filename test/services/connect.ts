/**
 * A real Kafka Connect with Debezium's connectors, one worker of its own for a test: it listens on loopback only and
 * cannot outlive the process that started it.
 */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { javaOptions, KAFKA_VERSION, logger } from "./kafka-programs.ts";
import { findPorts } from "./kafka-settings.ts";
import { keep, letReturn } from "./keeper.ts";
import { fetchJars } from "./maven.ts";
import { findCacheFolder } from "./postgres.ts";

/** The engine's own: `deploy/debezium/pom.xml`. */
const DEBEZIUM_VERSION = "3.5.0.Final";
const ANSWER_MS_MAX = 5_000;

export interface Connect {
  /** It will go on with what is in the logs, and not with another snapshot. */
  hasLeftSnapshots(): boolean;
  /** By SIGKILL: offsets that it has not written down are told again. */
  kill(): Promise<void>;
  revive(): Promise<void>;
  stop(): Promise<void>;
}

type Properties = Readonly<Record<string, string>>;

/**
 * Starts a worker with connectors, and waits until their tasks run.
 * @param connectors by name
 * @throws Error when the jars cannot be had, or a task fails
 */
export async function startConnect(
  brokers: readonly string[],
  connectors: Readonly<Record<string, Properties>>,
): Promise<Connect> {
  const jars = join(
    findCacheFolder(),
    `connect-${KAFKA_VERSION}-${DEBEZIUM_VERSION}`,
  );
  fetchJars(jars, [
    `org.apache.kafka:connect-runtime:${KAFKA_VERSION}`,
    ...["postgres", "mysql"].map(
      (kind) => `io.debezium:debezium-connector-${kind}:${DEBEZIUM_VERSION}`,
    ),
    logger,
  ]);
  const folder = mkdtempSync(join(tmpdir(), "millrace-connect-"));
  const { plain: port } = await findPorts();
  const offsets = join(folder, "offsets");
  const worker = writeProperties(folder, "worker", {
    "bootstrap.servers": brokers.join(","),
    listeners: `http://127.0.0.1:${port}`,
    "plugin.discovery": "service_load",
    "offset.storage.file.filename": offsets,
    "offset.flush.interval.ms": "1000",
    "topic.creation.enable": "true",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "header.converter": "org.apache.kafka.connect.json.JsonConverter",
  });
  const command = [
    ...["java", ...javaOptions, "-cp", `${jars}/*`],
    ...["org.apache.kafka.connect.cli.ConnectStandalone", worker],
    ...Object.entries(connectors).map(([name, properties]) =>
      writeProperties(folder, name, { name, ...properties }),
    ),
  ];
  const toReturn = letReturn(folder);
  const start = () =>
    keep("Kafka Connect", folder, command, () =>
      areRunning(port, Object.keys(connectors)),
    );
  let kept = await start();
  return {
    hasLeftSnapshots: () => {
      const written = existsSync(offsets)
        ? readFileSync(offsets, "latin1")
        : "";
      const hasAll = Object.keys(connectors).every((name) =>
        written.includes(`"${name}"`),
      );
      return hasAll && !written.includes('"snapshot"');
    },
    kill: async () => {
      toReturn.note();
      await kept.end();
    },
    revive: async () => {
      toReturn.forget();
      kept = await start();
    },
    stop: async () => {
      toReturn.forget();
      await kept.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function writeProperties(
  folder: string,
  name: string,
  properties: Properties,
): string {
  const path = join(folder, `${name}.properties`);
  const lines = Object.entries(properties).map(([k, v]) => `${k}=${v}`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** @throws Error when a task has failed, with its reason */
async function areRunning(
  port: number,
  names: readonly string[],
): Promise<boolean> {
  for (const name of names) {
    const response = await fetch(
      `http://127.0.0.1:${port}/connectors/${name}/status`,
      { signal: AbortSignal.timeout(ANSWER_MS_MAX) },
    ).catch(() => null);
    if (!response?.ok) return false;
    const { connector, tasks } = (await response.json()) as {
      connector: { state: string; trace?: string };
      tasks: { state: string; trace?: string }[];
    };
    const states = [connector, ...tasks];
    const failed = states.find(({ state }) => state === "FAILED");
    if (failed) throw new Error(`${name}: ${failed.trace}`);
    if (tasks.length === 0 || states.some(({ state }) => state !== "RUNNING"))
      return false;
  }
  return true;
}
