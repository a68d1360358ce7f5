/**
 * A process that works with a ledger until it is killed: `lock <path>`, `reports <path> <runId> <epoch>`,
 * `transaction <path> <runId> <epoch>`, `create <path>`, `idle <path>`. What is refused it says by code, and ends.
 */
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import { acquireRunLock } from "../../../checkpoint/store/locks.ts";
import { ExtractError } from "../../../proto/error.ts";
import { makeReport } from "../stamps.ts";

const [order, path = "", runId = "", epochText = ""] = process.argv.slice(2);
const epoch = Number(epochText);

function say(line: string): void {
  // stdout is a pipe, written synchronously: a line that was said is read however the process ends
  process.stdout.write(`${line}\n`);
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
} else throw new Error(`unknown order ${String(order)}`);
