/** The schema of a ledger in Postgres: looked at with suspicion, made or brought to the newest version, then trusted. */
import { randomUUID } from "node:crypto";
import { ExtractError } from "../../proto/error.ts";
import { corruptLedger } from "./database.ts";
import type { LedgerValue, Row } from "./database.ts";
import { toPostgresTables } from "./postgres-sql.ts";
import { LEDGER_STEPS, LEDGER_VERSION } from "./schema.ts";

/** All tables are in it. Another application's schema of this name is left alone. */
export const LEDGER_SCHEMA_NAME = "millrace";

/** What tells our schema from another's. */
const APPLICATION = "millrace ledger";

/**
 * One row for every client that has the ledger open: the number of its last transaction, written in that transaction.
 * It tells, after a connection broke in COMMIT, whether there was one.
 */
const OWN_TABLES = `
CREATE TABLE about (application TEXT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE clients (
  id TEXT PRIMARY KEY,
  token BIGINT NOT NULL,
  seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
`;

/** How long a client that did not say goodbye is remembered. */
const CLIENTS_KEPT = "30 days";

export interface SchemaAccess {
  readonly path: string;
  /** Several statements. */
  execute(sql: string): void;
  all(sql: string, ...values: LedgerValue[]): readonly Row[];
}

/** Within a transaction that keeps all others out. */
export function prepareSchema(access: SchemaAccess, create: boolean): void {
  const { path } = access;
  const version = findVersion(access);
  if (version === null && !create)
    throw new ExtractError(
      "RUN_NOT_FOUND",
      `there is no ledger at ${path}: it has no schema ${LEDGER_SCHEMA_NAME}`,
      { path },
    );
  if (version !== null && version > LEDGER_VERSION)
    throw corruptLedger(
      path,
      `it was written by a newer Millrace (ledger version ${version}, this one knows ${LEDGER_VERSION})`,
    );
  if (version !== null && version < 1)
    throw corruptLedger(path, `it has the version ${version}`);
  if (version === LEDGER_VERSION) return;
  if (version === null)
    access.execute(`CREATE SCHEMA ${LEDGER_SCHEMA_NAME}; ${OWN_TABLES}`);
  for (const step of LEDGER_STEPS.slice(version ?? 0))
    access.execute(toPostgresTables(step));
  if (version === null) {
    access.execute(
      `INSERT INTO about (application, version) VALUES ('${APPLICATION}', 0);
       INSERT INTO ledger (id) VALUES ('${randomUUID()}')`,
    );
  }
  access.execute(
    `UPDATE about SET version = ${LEDGER_VERSION};
     DELETE FROM clients WHERE seen_at < clock_timestamp() - interval '${CLIENTS_KEPT}'`,
  );
}

/** Null where there is no schema. */
function findVersion(access: SchemaAccess): number | null {
  const [schema] = access.all(
    `SELECT to_regnamespace($1) IS NOT NULL AS has_schema, to_regclass($1 || '.about') IS NOT NULL AS has_about`,
    LEDGER_SCHEMA_NAME,
  );
  if (!schema?.["has_schema"]) return null;
  const foreign = corruptLedger(
    access.path,
    `the schema ${LEDGER_SCHEMA_NAME} there is another application's`,
  );
  if (!schema["has_about"]) throw foreign;
  const columns = access.all(
    `SELECT attname FROM pg_attribute
     WHERE attrelid = to_regclass($1 || '.about') AND attname IN ('application', 'version')`,
    LEDGER_SCHEMA_NAME,
  );
  if (columns.length !== 2) throw foreign;
  const [about] = access.all("SELECT application, version FROM about");
  if (about?.["application"] !== APPLICATION) throw foreign;
  return Number(about["version"]);
}
