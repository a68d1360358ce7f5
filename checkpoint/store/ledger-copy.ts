/** A ledger as one file, while its owner goes on with it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { toLedgerError } from "./sqlite-error.ts";

/** How long another connection's transaction is waited for, in milliseconds. */
const BUSY_MS = 10_000;

/**
 * The bytes of a ledger's file as its last commit has left it, its log included.
 * @throws ExtractError of the ledger
 */
export function copyLedger(path: string): Buffer {
  const folder = mkdtempSync(join(dirname(path), "copy-"));
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
      const copy = join(folder, "ledger.sqlite");
      database.prepare("VACUUM INTO ?").run(copy);
      return readFileSync(copy);
    } finally {
      database.close();
    }
  } catch (error) {
    throw toLedgerError(error, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
