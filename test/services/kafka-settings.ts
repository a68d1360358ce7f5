/** How a broker of the tests is set up: its listeners, their ports, who may speak to it. */
import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createAuthority } from "./certificates.ts";

/** Known to the secure listener, by each mechanism. */
export const user = {
  username: "millrace",
  password: "millrace-secret",
} as const;

const PORT_TRIES_MAX = 50;

export interface Ports {
  readonly plain: number;
  readonly secure: number;
  readonly controller: number;
}

/** @returns the authority that vouches for the broker, as PEM */
export function writeSettings(folder: string, ports: Ports): string {
  const authority = createAuthority("millrace test authority");
  const { certPem, keyPem } = authority.issue(["localhost", "127.0.0.1"]);
  writeFileSync(join(folder, "broker.pem"), `${keyPem}${certPem}`);
  writeFileSync(join(folder, "ca.pem"), authority.certPem);
  const module = "org.apache.kafka.common.security";
  const settings = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${ports.controller}`,
    "controller.listener.names": "CONTROLLER",
    listeners: `PLAINTEXT://127.0.0.1:${ports.plain},SECURE://127.0.0.1:${ports.secure},CONTROLLER://127.0.0.1:${ports.controller}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${ports.plain},SECURE://127.0.0.1:${ports.secure}`,
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map":
      "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": join(folder, "broker.pem"),
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.secure.plain.sasl.jaas.config": `${module}.plain.PlainLoginModule required user_${user.username}="${user.password}";`,
    "listener.name.secure.scram-sha-256.sasl.jaas.config": `${module}.scram.ScramLoginModule required;`,
    "listener.name.secure.scram-sha-512.sasl.jaas.config": `${module}.scram.ScramLoginModule required;`,
    "log.dirs": join(folder, "data"),
    "num.partitions": 1,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    // a broker that was killed may come back once its session is over
    "broker.session.timeout.ms": 2_000,
    "broker.heartbeat.interval.ms": 500,
    // tests of dead members wait for less
    "group.min.session.timeout.ms": 1_000,
    // as careful administrators set it: a misspelt topic is an error
    "auto.create.topics.enable": false,
    // a small heap
    "log.cleaner.dedupe.buffer.size": 2_097_152,
  };
  const path = join(folder, "server.properties");
  const lines = Object.entries(settings).map(([k, v]) => `${k}=${v}`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return authority.certPem;
}

/**
 * Below the range from which the kernel takes ports for outgoing connections: the controller dials its own port before
 * it listens there, and is now and then connected to itself.
 */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;

/** Three neighbours. */
export async function findPorts(): Promise<Ports> {
  for (let attempt = 1; ; attempt += 1) {
    const first = randomInt(PORT_MIN, PORT_MAX);
    const ports = [first, first + 1, first + 2] as const;
    const [plain, secure, controller] = ports;
    const free = await Promise.all(ports.map((port) => isFree(port)));
    if (free.every(Boolean)) return { plain, secure, controller };
    if (attempt >= PORT_TRIES_MAX)
      throw new Error(`no free ports between ${PORT_MIN} and ${PORT_MAX}`);
  }
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((done) => {
    probe.once("error", () => done(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
  });
}
