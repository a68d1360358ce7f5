/** Where a ledger is: a file's path, or the address of a Postgres, and what of that may be shown. */
import { resolve } from "node:path";

const SCHEME = /^postgres(ql)?:\/\//i;

/** What `--ledger` and `ledger:` name when it is no path. */
export function isPostgresLedger(place: string): boolean {
  return SCHEME.test(place);
}

/** A path becomes absolute; a URL stays as it is. */
export function resolveLedger(place: string, base: string): string {
  return isPostgresLedger(place) ? place : resolve(base, place);
}

/** For messages and records: a path as it is, a URL without its password. */
export function nameLedger(place: string): string {
  return isPostgresLedger(place) ? redactLedgerUrl(place) : place;
}

/** Without the password, wherever it stands. What is no URL comes back as `<ledger>`. */
export function redactLedgerUrl(url: string): string {
  if (!URL.canParse(url)) return "<ledger>";
  const parsed = new URL(url);
  parsed.password = "";
  parsed.searchParams.delete("password");
  return parsed.href;
}

/** A server's or a driver's words without the password; `password`: null for none. */
export function hidePassword(words: string, password: string | null): string {
  return password ? words.replaceAll(password, "***") : words;
}
