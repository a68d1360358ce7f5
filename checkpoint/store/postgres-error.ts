/** What Postgres or its connection said, as our errors. */
import { ExtractError } from "../../proto/error.ts";
import type { BridgeFault } from "./postgres-bridge.ts";

/** SQLSTATE classes and codes. @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
const DISK_FULL = "53100";
/** Connections, memory; a server that goes down or up; a role that became a standby's; waits and conflicts. */
const PASSING = /^(08|53|57P|25006|25P0[34]|40001|40P01|55P03|57014)/;
/** Role and password; no such database; no permission. */
const REFUSED = /^(28|3D000|42501)/;
const DAMAGED = /^XX00[12]/;

export function ledgerUnreachable(
  path: string,
  words: string,
  details: Readonly<Record<string, string | number>> = {},
): ExtractError {
  return new ExtractError("LEDGER_UNREACHABLE", `ledger ${path}: ${words}`, {
    path,
    ...details,
  });
}

/** Anything that is not the world's (a broken constraint, a wrong statement) is ours, and no ExtractError. */
export function toPostgresError(
  fault: BridgeFault,
  path: string,
  sql: string,
): Error {
  const { code, message, isLost } = fault;
  if (code === DISK_FULL)
    return new ExtractError(
      "LEDGER_DISK_FULL",
      `no space left for the ledger ${path}: ${message}`,
      { path },
    );
  if (code !== null && REFUSED.test(code))
    return new ExtractError(
      "DESTINATION_UNWRITABLE",
      `ledger ${path}: ${message}`,
      { path },
    );
  if (code !== null && DAMAGED.test(code))
    return new ExtractError("LEDGER_CORRUPT", `ledger ${path}: ${message}`, {
      path,
    });
  if (isLost || (code !== null && PASSING.test(code)))
    return ledgerUnreachable(path, message);
  return new Error(`ledger ${path}: ${message} (${String(code)}) in ${sql}`);
}
