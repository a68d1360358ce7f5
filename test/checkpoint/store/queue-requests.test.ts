/** Requests with a key are known for a day and no longer, by a clock that the test sets. */
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished } from "vitest";
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { test, type LedgerFolder } from "./fixtures.ts";

const DAY_MS = 86_400_000;
/** Every so many entries of the queue the old ones are removed. */
const PRUNED_EVERY = 64;
const KEPT_MAX = 100_000;

function start({ path }: LedgerFolder) {
  const clock = { ms: 1_700_000_000_000 };
  const ledger = Ledger.open(path, { create: true, now: () => clock.ms });
  const file = new DatabaseSync(path);
  onTestFinished(() => {
    file.close();
    ledger.close();
  });
  let sent = 0;
  const send = (key: string) =>
    ledger.enqueue({
      ...{ sync: "a", key: null, originJson: "{}", scopeJson: "[]" },
      ...{ dueAt: null, message: null },
      request: { caller: "me", key, fingerprint: "f" },
    });
  return {
    clock,
    send,
    file,
    /** Further requests, until old keys were removed once more. */
    prune: () => {
      for (let i = 0; i < PRUNED_EVERY; i++) send(`new ${(sent += 1)}`);
    },
    count: (where = "") =>
      Number(
        file
          .prepare(`SELECT count(*) AS keys FROM queue_requests ${where}`)
          .get()?.["keys"],
      ),
  };
}

test("a key is known to the last millisecond of its day, and makes a run again after it", ({
  folder,
}) => {
  const { clock, send } = start(folder);
  const first = send("1");
  clock.ms += DAY_MS - 1;
  expect(send("1")).toEqual({ ...first, result: "known" });
  clock.ms += 1;
  const second = send("1");
  expect(second.result).toBe("queued");
  expect(second.queueId).not.toBe(first.queueId);
  // it is known as the second from here on, for a day of its own
  clock.ms += DAY_MS - 1;
  expect(send("1")).toEqual({ ...second, result: "known" });
});

test("a clock that is put back forgets nothing", ({ folder }) => {
  const { clock, send } = start(folder);
  const first = send("1");
  clock.ms -= 10 * DAY_MS;
  expect(send("1")).toEqual({ ...first, result: "known" });
});

test("keys are removed when they are a day old, those that are not stay", ({
  folder,
}) => {
  const { clock, send, prune, count } = start(folder);
  for (let i = 0; i < 10; i++) send(`old ${i}`);
  clock.ms += DAY_MS / 2;
  send("younger");
  prune();
  expect(count()).toBe(11 + PRUNED_EVERY);
  clock.ms += DAY_MS / 2;
  prune();
  expect(count("WHERE key LIKE 'old%'")).toBe(0);
  expect(count("WHERE key = 'younger'")).toBe(1);
});

test("however many come in a day, a bounded number is kept, the newest", ({
  folder,
}) => {
  const { clock, prune, file, count } = start(folder);
  file.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${KEPT_MAX + 500})
     INSERT INTO queue_requests SELECT 'me', 'many ' || i, 'f', i, ${clock.ms} + i FROM n`,
  );
  clock.ms += KEPT_MAX + 1_000;
  prune();
  expect(count()).toBeLessThanOrEqual(KEPT_MAX + PRUNED_EVERY);
  expect(count("WHERE key = 'many 1'")).toBe(0);
  expect(count(`WHERE key = 'many ${KEPT_MAX + 500}'`)).toBe(1);
});
