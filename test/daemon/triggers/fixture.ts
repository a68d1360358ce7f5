/** `test` with triggers on real ledgers and a real broker. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import type { KafkaTriggerConfig } from "../../../daemon/triggers/config.ts";
import {
  startKafkaTrigger,
  type KafkaTrigger,
} from "../../../daemon/triggers/kafka/trigger.ts";
import { test as base, type KafkaFixture } from "../../fixtures/kafka.ts";
import {
  createLog,
  createSmallService,
  type SmallService,
} from "./small-service.ts";

export const WAIT = { timeout: 30_000, interval: 50 };
export const SESSION_MS = 3_000;

export function configOf(
  topics: KafkaFixture,
  changes: Partial<KafkaTriggerConfig> = {},
): KafkaTriggerConfig {
  return {
    brokers: topics.brokers,
    topic: topics.topic,
    group: topics.group,
    clientId: "millrace",
    ssl: false,
    sasl: null,
    format: "json",
    resultTopic: topics.resultTopic,
    deadLetterTopic: topics.deadLetterTopic,
    from: "beginning",
    ...changes,
  };
}

interface Started {
  readonly ledger: Ledger;
  readonly service: SmallService;
  readonly trigger: KafkaTrigger;
  readonly lines: readonly string[];
}

interface Fixtures {
  folder: string;
  /** Starts a trigger, with a ledger of its own or a given one, and closes it after the test. */
  start: (
    config: KafkaTriggerConfig,
    options?: {
      readonly ledger?: Ledger;
      readonly prepare?: (service: SmallService) => void;
    },
  ) => Promise<Started>;
}

export const test = base.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-trigger-"));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
  start: async ({ folder }, use) => {
    const ends: (() => Promise<void> | void)[] = [];
    let count = 0;
    await use(async (config, { ledger: given, prepare } = {}) => {
      count += 1;
      const ledger =
        given ??
        Ledger.open(join(folder, `ledger-${count}.sqlite`), { create: true });
      if (!given) ends.push(() => ledger.close());
      const service = createSmallService(ledger, ["orders"]);
      prepare?.(service);
      const log = createLog();
      const trigger = await startKafkaTrigger(service, {
        ...{ config, ledger, log },
        sessionMs: SESSION_MS,
      });
      ends.push(() => trigger.close());
      return { ledger, service, trigger, lines: log.lines };
    });
    for (const end of ends.toReversed()) await end();
  },
});

export const queue = (ledger: Ledger) =>
  ledger.listQueue({ sync: null, states: null, limit: 1_000 });

/** The messages that were recorded, each as often as it was. */
export const messagesOf = (ledger: Ledger): string[] =>
  queue(ledger).map(({ originJson }) => originJson);

export const sum = (counts: readonly number[]): number =>
  counts.reduce((total, count) => total + Math.max(0, count), 0);
