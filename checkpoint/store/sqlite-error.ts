/** SQLite's result codes as our errors. */
import { ExtractError } from "../../proto/error.ts";
import { corruptLedger } from "./database.ts";

/** Primary result codes. @see https://www.sqlite.org/rescode.html */
const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** The primary result code of an error of `node:sqlite`; null for any other. */
function primaryCode(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error)) return null;
  // extended codes keep the primary one in the low byte
  return typeof error.errcode === "number" ? error.errcode & 0xff : null;
}

export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/** The world's faults get a code; anything else (a broken constraint, a wrong statement) is ours and stays. */
export function toLedgerError(error: unknown, path: string): unknown {
  const words = error instanceof Error ? error.message : String(error);
  const options = { cause: error };
  switch (primaryCode(error)) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return corruptLedger(path, words, error);
    case SQLITE_FULL:
      return new ExtractError(
        "LEDGER_DISK_FULL",
        `no space left for the ledger ${path}`,
        { path },
        options,
      );
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return new ExtractError(
        "DESTINATION_UNWRITABLE",
        `ledger ${path}: ${words}`,
        { path },
        options,
      );
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new ExtractError(
        "DESTINATION_FAILED",
        `ledger ${path} is held by another process: ${words}`,
        { path },
        options,
      );
    default:
      return error;
  }
}
