/** Daemons that are triggered by a topic: a group of two on one ledger, of which one dies. */
import { beforeAll, expect, vi } from "vitest";
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { SEQUENCE_LAST } from "../../daemon/triggers/run-results.ts";
import { withTopics } from "../fixtures/kafka.ts";
import { provideKafka, type KafkaService } from "../services/kafka.ts";
import { isContinuousIntegration } from "../services/postgres.ts";
import { signal, waitFor } from "./support/command.ts";
import { startDaemon, writeConfig } from "./support/daemon.ts";
import { test } from "./support/fixtures.ts";

const SYNCS = 6;
const ROWS = 20_000;
/** Of the daemon's lease, which a dead one leaves behind, and some more. */
const TAKEN_OVER_MS_MAX = 120_000;

let broker: KafkaService | null = null;
let reason = "";

beforeAll(async () => {
  try {
    broker = await provideKafka();
  } catch (error) {
    if (isContinuousIntegration()) throw error;
    reason = String(error);
  }
  return () => broker?.stop();
});

const names = Array.from({ length: SYNCS }, (_, i) => `sync-${i}`);

test(
  "two daemons of one group share the messages; the runs of the one that is killed are taken over, and each is done once",
  { timeout: 2 * TAKEN_OVER_MS_MAX },
  async ({ database, destination, skip }) => {
    if (broker === null) return skip(reason);
    await withTopics(broker, async (topics) => {
      writeConfig(destination, {
        ledger: database.url,
        daemon: {
          listen: "127.0.0.1:0",
          // so that there is something left to be taken over
          concurrency: { runs: 2 },
          kafka: {
            brokers: topics.brokers,
            topic: topics.topic,
            group: topics.group,
            resultTopic: topics.resultTopic,
            deadLetterTopic: topics.deadLetterTopic,
          },
        },
        syncs: Object.fromEntries(
          names.map((name) => [
            name,
            {
              source: {
                kind: "generator",
                url: `generator:?columns=id:int,word:string&rows=${ROWS}&rate=10000`,
              },
              destination: { kind: "file", path: name },
              mode: "full-refresh-append",
            },
          ]),
        ),
      });
      const [one, two] = [startDaemon(destination), startDaemon(destination)];
      await Promise.all([one.ready(), two.ready()]);
      await topics.send(
        ...names.map((sync) => ({
          key: sync,
          value: JSON.stringify({ sync }),
        })),
      );
      const ledger = Ledger.open(database.url, { create: false });
      const list = () => ledger.listQueue({ limit: 100 });
      await waitFor("a run of each daemon", () => {
        const taken = list().filter(({ state }) => state === "taken");
        return new Set(taken.map(({ daemon }) => daemon)).size === 2 || null;
      });
      signal(one.running.pid, "SIGKILL");
      await vi.waitFor(
        () => {
          const states = list().map(({ state }) => state);
          expect(states).toEqual(names.map(() => "succeeded"));
        },
        { timeout: TAKEN_OVER_MS_MAX, interval: 200 },
      );
      const entries = list();
      expect(entries.map(({ sync }) => sync).toSorted()).toEqual(names);
      expect(new Set(entries.map(({ runId }) => runId)).size).toBe(SYNCS);
      expect(entries.some(({ attempts }) => attempts > 1)).toBe(true);
      for (const { runId } of entries) {
        const durable = ledger.durableOf(runId ?? "");
        expect(durable.reduce((sum, { rows }) => sum + rows, 0)).toBe(ROWS);
      }
      ledger.close();
      signal(two.running.pid, "SIGTERM");
      const { code, stderr } = await two.running.ended;
      expect(code, stderr).toBe(0);
      const results = (await topics.read(topics.resultTopic)).map(
        ({ value }) => JSON.parse(value) as { runId: string; sequence: number; type: string }, // prettier-ignore
      );
      const ends = results.filter(({ sequence }) => sequence === SEQUENCE_LAST);
      const succeeded = ends.filter(({ type }) => type === "succeeded");
      expect(new Set(succeeded.map(({ runId }) => runId)).size).toBe(SYNCS);
      expect(await topics.read(topics.deadLetterTopic)).toEqual([]);
    });
  },
);
