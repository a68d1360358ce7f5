/** A database that is filled once and found again by a later start. */
import assert from "node:assert/strict";
import pg from "pg";

/** The URL of another database of the same server. */
export function databaseUrl(adminUrl: string, name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

export interface SeededDatabase {
  readonly adminUrl: string;
  readonly name: string;
  /** Of the data: another one than the database carries makes it anew. */
  readonly version: string;
  /** Makes it anew in any case. */
  readonly anew: boolean;
}

/**
 * Makes the database and fills it, unless it is there, complete and of this version.
 * @returns whether it was made
 */
export async function ensureDatabase(
  { adminUrl, name, version, anew }: SeededDatabase,
  fill: (client: pg.Client) => Promise<void>,
): Promise<boolean> {
  // neither CREATE DATABASE nor COMMENT takes parameters
  assert.match(name, /^[a-z0-9_]+$/);
  assert.match(version, /^[A-Za-z0-9_.-]+$/);
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    const { rows } = await admin.query(
      "SELECT FROM pg_database WHERE datname = $1 AND shobj_description(oid, 'pg_database') = $2",
      [name, version],
    );
    if (rows.length > 0 && !anew) return false;
    await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${name}`);
    const client = new pg.Client({
      connectionString: databaseUrl(adminUrl, name),
    });
    await client.connect();
    try {
      await client.query("SET timezone = 'UTC'");
      await fill(client);
    } finally {
      await client.end();
    }
    // the mark of completeness comes last
    await admin.query(`COMMENT ON DATABASE ${name} IS '${version}'`);
    return true;
  } finally {
    await admin.end();
  }
}
