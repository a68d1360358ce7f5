/** The one ledger of a daemon: a file that it has for itself, or a database that it shares with others. */
import { Ledger } from "../../checkpoint/store/ledger.ts";
import { acquireRunLock } from "../../checkpoint/store/locks.ts";
import { ExtractError } from "../../proto/error.ts";
import type { MillraceConfig } from "../config.ts";
import { isPostgresLedger } from "../../checkpoint/store/postgres-url.ts";

export interface OpenedLedger {
  readonly ledger: Ledger;
  /** Nobody else works with it: what it says is at work is not. */
  readonly isAlone: boolean;
  close(): void;
}

/** @throws ExtractError RUN_LOCKED naming who has the ledger; what `Ledger.open` throws */
export function openQueueLedger({
  ledgerPath,
  file,
}: MillraceConfig): OpenedLedger {
  if (ledgerPath === null)
    throw new ExtractError("CONFIG_INVALID", `${file} names no ledger`);
  if (isPostgresLedger(ledgerPath)) {
    const ledger = Ledger.open(ledgerPath, { create: true });
    return { ledger, isAlone: false, close: () => ledger.close() };
  }
  const lock = acquireRunLock(ledgerPath);
  try {
    // the loop is that of all runs and of the API: it must not stand still while a disk turns
    const ledger = Ledger.open(ledgerPath, {
      create: true,
      commits: "gathered",
    });
    const close = (): void => {
      ledger.close();
      lock.release();
    };
    return { ledger, isAlone: true, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}
