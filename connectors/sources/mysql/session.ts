/** What is asked of and set for each new session, on either flavour of server and in every version. */
import { strict as assert } from "node:assert";
import { ExtractError, type ErrorDetails } from "../../../proto/error.ts";
import type { Flavour } from "./sql.ts";

/** The largest value of the servers' timeouts, in seconds: a year. @see MySQL manual, wait_timeout */
const TIMEOUT_SECONDS_MAX = 31_536_000;

/**
 * Values print and compare in one way whatever the server's defaults are, nothing times out while it waits, and no
 * limit cuts a result short. `ALLOW_INVALID_DATES` alone, so that a date which is stored can be compared with; any
 * other mode changes what quotes, `||` or padding mean.
 */
const commonSettings: readonly string[] = [
  "autocommit = 1",
  "sql_mode = 'ALLOW_INVALID_DATES'",
  "time_zone = '+00:00'",
  `net_write_timeout = ${TIMEOUT_SECONDS_MAX}`,
  `net_read_timeout = ${TIMEOUT_SECONDS_MAX}`,
  `wait_timeout = ${TIMEOUT_SECONDS_MAX}`,
  "sql_select_limit = 18446744073709551615",
  "sql_big_selects = 1",
  "sql_safe_updates = 0",
  "sql_buffer_result = 0",
];

const flavourSettings: Readonly<Record<Flavour, readonly string[]>> = {
  mysql: ["max_execution_time = 0"],
  // the second: a long IN list is to be searched by bisection, not made into a join
  mariadb: ["max_statement_time = 0", "in_predicate_conversion_threshold = 0"],
};

/** The oldest versions: they know all settings above, and are the oldest that were current when this was written. */
const versionMin: Readonly<Record<Flavour, readonly [number, string]>> = {
  mysql: [50_700, "MySQL 5.7"],
  mariadb: [100_300, "MariaDB 10.3"],
};

export interface ServerVersion {
  readonly flavour: Flavour;
  /** As a number that grows, e.g. 80015. */
  readonly serverVersion: number;
}

/**
 * Reads `version()`, e.g. `8.0.15`, `8.0.36-28` (Percona) or `10.11.19-MariaDB-0+deb12u1-log`.
 * @throws ExtractError USAGE for a version that is too old or cannot be read
 */
export function readVersion(
  text: string,
  details: ErrorDetails = {},
): ServerVersion {
  const flavour: Flavour = /mariadb/i.test(text) ? "mariadb" : "mysql";
  // old clients of replication take nothing above 5, so MariaDB may put that in front
  const match = /^(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)/.exec(text);
  const [oldest, name] = versionMin[flavour];
  const [, major, minor, patch] = match ?? [];
  const serverVersion =
    Number(major ?? 0) * 10_000 + Number(minor ?? 0) * 100 + Number(patch ?? 0);
  if (serverVersion < oldest) {
    throw new ExtractError(
      "USAGE",
      `the server is ${flavour === "mysql" ? "MySQL" : "MariaDB"} ${text}; ${name} is the oldest version that is supported`,
      { ...details, serverVersion: text },
    );
  }
  return { flavour, serverVersion };
}

/** One statement that sets the session up. */
export function sessionStatement(flavour: Flavour): string {
  const settings = [...commonSettings, ...flavourSettings[flavour]];
  assert(settings.length > 0);
  return `SET NAMES utf8mb4, ${settings.map((setting) => `@@SESSION.${setting}`).join(", ")}`;
}
