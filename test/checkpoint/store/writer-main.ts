/**
 * A process that works with a ledger until it is killed: `lock <path>`, `syncLock <path> <sync>`, `reports <path> <runId> <epoch>`,
 * `transaction <path> <runId> <epoch>`, `create <path>`, `idle <path>`, `take <path> <daemon>`, `enqueue <path> <count>`,
 * `daemon <path> <leaseMs>`. What is refused it says by code, and ends.
 */
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { acquireRunLock } from "../../../checkpoint/store/locks.ts";
import { ExtractError } from "../../../proto/error.ts";
import { makeReport } from "../stamps.ts";
import { beginPlannedRun } from "./runs.ts";

const [order, path = "", runId = "", epochText = ""] = process.argv.slice(2);
const epoch = Number(epochText);

function say(line: string): void {
  // stdout is a pipe, written synchronously: a line that was said is read however the process ends
  process.stdout.write(`${line}\n`);
}

/** Takes an entry, begins its run, and writes reports until it is refused; then says what else is refused. */
function runDaemon(ledger: Ledger, leaseMs: number): void {
  const [entry] = ledger.takeQueued("late", { leaseMs, limit: 1 });
  if (!entry) throw new Error("nothing could be taken");
  const { queueId, epoch: taken } = entry;
  const run = beginPlannedRun(ledger);
  ledger.bindRun(queueId, taken, run.runId);
  const tell = (name: string, write: () => unknown): void => {
    try {
      say(`${name} ${JSON.stringify(write())}`);
    } catch (error) {
      say(`${name} ${error instanceof ExtractError ? error.code : "failed"}`);
    }
  };
  const write = (index: number): void => {
    try {
      ledger.renewLeases("late", leaseMs);
      ledger.recordDurable(run.runId, 1, makeReport({ index }));
    } catch {
      tell("recordDurable", () =>
        ledger.recordDurable(run.runId, 1, makeReport({ index })),
      );
      tell("setStreamState", () =>
        ledger.setStreamState(run.runId, 1, 1, "committing"),
      );
      tell("commitStream", () => ledger.commitStream(run.runId, 1, 1));
      tell("finishRun", () =>
        ledger.finishRun(run.runId, 1, "succeeded", null),
      );
      tell("finishQueued", () =>
        ledger.finishQueued(queueId, taken, "succeeded", null),
      );
      tell("requeue", () => ledger.requeue(queueId, taken, null));
      tell("renewLeases", () => ledger.renewLeases("late", leaseMs, [entry]));
      ledger.close();
      return;
    }
    if (index === 1) say(run.runId);
    setTimeout(write, 5, index + 1);
  };
  write(1);
}

/** Until it is killed. */
function stay(): void {
  setInterval(() => undefined, 60_000);
}

process.on("uncaughtException", (error) => {
  if (!(error instanceof ExtractError)) console.error(error);
  say(error instanceof ExtractError ? error.code : "failed");
  process.exit(1);
});

if (order === "lock") {
  acquireRunLock(path);
  say("locked");
  stay();
} else if (order === "syncLock") {
  Ledger.open(path, { create: false }).acquireRunLock(runId);
  say("locked");
  stay();
} else if (order === "reports") {
  const ledger = Ledger.open(path, { create: false });
  const more = (index: number): void => {
    ledger.recordDurable(runId, epoch, makeReport({ epoch, index }));
    say(String(index));
    // SQLite's lock is not fair: one that writes without a pause keeps others out for seconds
    setTimeout(more, 5, index + 1);
  };
  more(1);
} else if (order === "transaction") {
  const ledger = Ledger.open(path, { create: false });
  ledger.recordDurable(runId, epoch, makeReport({ epoch, index: 1 }));
  ledger.transaction(() => {
    ledger.recordDurable(runId, epoch, makeReport({ epoch, index: 2 }));
    say("in the middle");
    // nothing but a kill gets it out of here
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
} else if (order === "create") {
  say(Ledger.open(path, { create: true }).id);
} else if (order === "idle") {
  say("idle");
  stay();
} else if (order === "take") {
  const ledger = Ledger.open(path, { create: false });
  for (;;) {
    const entries = ledger.takeQueued(runId, { leaseMs: 60_000, limit: 3 });
    for (const { queueId, epoch: taken } of entries) {
      say(queueId);
      ledger.finishQueued(queueId, taken, "succeeded", null);
    }
    // those that others have taken are theirs to end
    if (ledger.countQueue().queued === 0) break;
  }
} else if (order === "enqueue") {
  const ledger = Ledger.open(path, { create: false });
  for (let at = 0; at < Number(runId); at++) {
    const { result } = ledger.enqueue({
      sync: "a",
      key: "k",
      originJson: "{}",
      scopeJson: `[${at}]`,
      dueAt: null,
      message: {
        topic: "t",
        partition: 0,
        offset: String(at),
        writtenAt: null,
      },
      mergeScope: (waiting, added) =>
        JSON.stringify([
          ...(JSON.parse(waiting) as number[]),
          ...(JSON.parse(added) as number[]),
        ]),
    });
    say(result);
  }
} else if (order === "daemon") {
  runDaemon(Ledger.open(path, { create: false }), Number(runId));
} else throw new Error(`unknown order ${String(order)}`);
