/**
 * The thread that makes a ledger's log durable, so that the loop which writes the log need not wait for the disk. It
 * does one order at a time.
 */
import { fdatasyncSync, fstatSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { LogAnswer, LogOrder, LogWorkerData } from "./log-order.ts";

/**
 * Tries to carry the whole log over between two of the writer's transactions. What is not carried over now is with the
 * next order; the writer itself does it when the log has grown far beyond.
 */
const CARRY_TRIES_MAX = 8;

const { path } = workerData as LogWorkerData;
// SQLite has no locks on this file that closing it could break
const log = openSync(`${path}-wal`, "r+");

function makeDurable(): void {
  // a log that was replaced would be synced in vain
  if (fstatSync(log).nlink === 0) throw new Error("its log was removed");
  fdatasyncSync(log);
}

/** Nothing here waits for a lock: the writer would be held up meanwhile. */
function carryOver(): void {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    for (let tries = 0; tries < CARRY_TRIES_MAX; tries++) {
      // most of it beside the writer; what it has added meanwhile is little, and is all that it may wait for
      database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get();
      const rest = database.prepare("PRAGMA wal_checkpoint(RESTART)").get();
      if (rest?.["busy"] === 0) return;
    }
  } finally {
    database.close();
  }
}

parentPort?.on("message", ({ upTo, isCarriedOver }: LogOrder) => {
  const answer = (fault: string | null): void =>
    parentPort?.postMessage({ upTo, fault } satisfies LogAnswer);
  try {
    makeDurable();
    answer(null);
  } catch (error) {
    answer(error instanceof Error ? error.message : String(error));
    return;
  }
  if (!isCarriedOver) return;
  try {
    carryOver();
  } catch {
    // the log only stays longer; what is wrong with the file is told to its writer
  }
});
