import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, vi } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import type { KafkaTriggerConfig } from "../../../daemon/triggers/config.ts";
import {
  configOf,
  messagesOf,
  queue,
  SESSION_MS,
  sum,
  test,
  WAIT,
} from "./fixture.ts";

const main = fileURLToPath(new URL("trigger-main.ts", import.meta.url));
const MESSAGES = 30;

function spawnTrigger(options: {
  readonly ledger: string;
  readonly config: KafkaTriggerConfig;
  readonly killAfter: number | null;
}) {
  const child = spawn(
    process.execPath,
    [main, JSON.stringify({ ...options, sessionMs: SESSION_MS })],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  return { child, exited: once(child, "exit"), said: () => said };
}

describe("a daemon that is killed between a record and its offset's commit", () => {
  test.for([[1], [7], [2, 5, 11]])(
    "after %s records, records each message once",
    async (kills, { topics, folder }) => {
      const ledgerPath = join(folder, "ledger.sqlite");
      const values = Array.from(
        { length: MESSAGES },
        (_, i) => `{"sync":"orders","streams":["t${i}"]}`,
      );
      await topics.send(...values);
      const config = configOf(topics);
      const options = { ledger: ledgerPath, config };
      for (const killAfter of kills) {
        const { exited } = spawnTrigger({ ...options, killAfter });
        expect(await exited).toEqual([null, "SIGKILL"]);
      }
      const messages = await topics.count(topics.topic);
      const before = sum(await topics.committed());
      const last = spawnTrigger({ ...options, killAfter: null });
      await vi.waitFor(
        async () => expect(sum(await topics.committed())).toBe(messages),
        WAIT,
      );
      last.child.stdin.end();
      await last.exited;
      const ledger = Ledger.open(ledgerPath, { create: false });
      const recorded = messagesOf(ledger);
      ledger.close();
      expect(new Set(recorded).size).toBe(messages);
      expect(recorded).toHaveLength(messages);
      // the kill came where it was to come: some messages were recorded, and came again
      const counts = JSON.parse(last.said().split("\n").at(-2) ?? "{}");
      expect(counts.known).toBeGreaterThan(0);
      expect(counts.known + counts.queued).toBe(messages - before);
    },
  );
});

test("a daemon that slept while another one, with its own ledger, took its place gives way when it wakes", async ({
  topics,
  folder,
  start,
}) => {
  const ledgerPath = join(folder, "sleeper.sqlite");
  const config = configOf(topics);
  const sleeper = spawnTrigger({ ledger: ledgerPath, config, killAfter: null });
  await vi.waitFor(() => expect(sleeper.said()).toContain("started"), WAIT);
  sleeper.child.kill("SIGSTOP");
  // refused as long as the group remembers the one that sleeps
  const { ledger, trigger } = await vi.waitFor(() => start(config), WAIT);
  sleeper.child.kill("SIGCONT");
  for (let i = 0; i < MESSAGES; i += 1) {
    await topics.send(`{"sync":"orders","streams":["t${i}"]}`);
    await new Promise((done) => setTimeout(done, SESSION_MS / MESSAGES));
  }
  const messages = await topics.count(topics.topic);
  await vi.waitFor(() => expect(queue(ledger)).toHaveLength(messages), WAIT);
  expect(trigger.health()).toMatchObject({ state: "consuming", error: null });
  sleeper.child.stdin.end();
  await sleeper.exited;
  const other = Ledger.open(ledgerPath, { create: false });
  const recorded = messagesOf(other);
  other.close();
  expect(recorded).toEqual([]);
});
