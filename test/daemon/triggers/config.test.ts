import { describe, expect, test } from "vitest";
import {
  kafkaSecretPaths,
  kafkaTriggerSchema,
  readKafkaTrigger,
} from "../../../daemon/triggers/config.ts";

const least = { brokers: ["localhost:9092"], topic: "triggers" };
const PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----";

function faultsOf(changes: object): string[] {
  const parsed = kafkaTriggerSchema.safeParse({ ...least, ...changes });
  return (parsed.error?.issues ?? []).map(
    ({ path, message }) => `${path.join(".")}: ${message}`,
  );
}

test("brokers and a topic are enough", () => {
  expect(readKafkaTrigger(kafkaTriggerSchema.parse(least))).toEqual({
    ...least,
    group: "millrace",
    clientId: "millrace",
    ssl: false,
    sasl: null,
    format: "json",
    resultTopic: null,
    deadLetterTopic: "triggers.dead-letter",
    from: "beginning",
  });
});

describe("a configuration that cannot be meant is refused", () => {
  test.for([
    [
      "a broker without a port",
      { brokers: ["localhost"] },
      "brokers.0: is no broker; write it like kafka.example.com:9092",
    ],
    [
      "a broker with a scheme",
      { brokers: ["kafka://localhost:9092"] },
      "brokers.0: is no broker; write it like kafka.example.com:9092",
    ],
    [
      "a broker with port 0",
      { brokers: ["localhost:0"] },
      "brokers.0: has no port between 1 and 65535",
    ],
    [
      "a topic with a blank",
      { topic: "a b" },
      "topic: must have letters, digits, `.`, `_` and `-`",
    ],
    [
      "the topic `..`",
      { topic: ".." },
      "topic: must have letters, digits, `.`, `_` and `-`",
    ],
    [
      "results in the trigger topic",
      { resultTopic: "triggers" },
      ": reads and writes one topic: each result would be taken for a trigger",
    ],
    [
      "dead letters in the trigger topic",
      { deadLetterTopic: "triggers" },
      ": reads and writes one topic: each result would be taken for a trigger",
    ],
    [
      "a certificate without its key",
      { ssl: { cert: PEM } },
      "ssl: needs both of `cert` and `key`, or neither",
    ],
  ] as const)("%s", ([, changes, fault]) => {
    expect(faultsOf(changes)).toContain(fault);
  });

  test("a mechanism that is not known", () => {
    const sasl = { mechanism: "gssapi", username: "u", password: "p" };
    expect(faultsOf({ sasl })[0]).toMatch(/^sasl.mechanism: /);
  });
});

test("each secret has its place in the schema", () => {
  const secrets = {
    ssl: { ca: PEM, cert: PEM, key: PEM },
    sasl: { mechanism: "plain", username: "u", password: "p" },
  } as const;
  const parsed = kafkaTriggerSchema.parse({ ...least, ...secrets });
  for (const [part, name] of kafkaSecretPaths)
    expect(parsed[part]).toHaveProperty(name);
});
