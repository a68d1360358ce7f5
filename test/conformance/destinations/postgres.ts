/** Tables of a Postgres database, read by `pg` as the text that the server prints. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { inject } from "vitest";
import { withDatabase, type PostgresFixture } from "../../fixtures/postgres.ts";
import { sessionSettings } from "../../fixtures/every-type.ts";
import {
  hold,
  Unavailable,
  type DestinationDriver,
  type StreamPlace,
} from "../drivers.ts";
import { normalise, type Column, type Row } from "../model.ts";

const ROWS_PER_FETCH = 20_000;

export const postgresTables: DestinationDriver = {
  name: "Postgres tables",
  waivers: {},
  isEngine: true,
  open: async () => {
    const adminUrl = inject("postgresUrl");
    if (adminUrl === null) throw new Unavailable(inject("postgresReason"));
    const { value: database, close } = await hold<PostgresFixture>((use) =>
      withDatabase(adminUrl, use),
    );
    const scratch = mkdtempSync(join(tmpdir(), "millrace-conformance-"));
    const [row] = await database.query("SHOW server_version");
    return {
      target: database.url,
      options: [],
      env: { XDG_STATE_HOME: scratch },
      version: `PostgreSQL ${String(row.server_version).split(" ")[0]}`,
      read: (place, columns, take) => readTable(database, place, columns, take),
      close: async () => {
        rmSync(scratch, { recursive: true, force: true });
        await close();
      },
    };
  },
};

async function readTable(
  { url }: PostgresFixture,
  { namespace, name }: StreamPlace,
  columns: readonly Column[],
  take: (row: Row) => void,
): Promise<readonly string[]> {
  const client = new pg.Client({
    connectionString: url,
    types: { getTypeParser: () => (text: unknown) => text },
  });
  await client.connect();
  try {
    await client.query(`${sessionSettings}; BEGIN`);
    const table = `${pg.escapeIdentifier(namespace)}.${pg.escapeIdentifier(name)}`;
    await client.query(
      `DECLARE found NO SCROLL CURSOR FOR SELECT * FROM ${table}`,
    );
    for (;;) {
      const { rows, fields } = await client.query({
        text: `FETCH ${ROWS_PER_FETCH} FROM found`,
        rowMode: "array",
      });
      const names = fields.map((field) => field.name);
      if (rows.length === 0) return names;
      const places = columns.map((column) => names.indexOf(column.name));
      for (const row of rows as (string | null)[][])
        take(
          columns.map((column, i) => {
            const text = row[places[i] ?? -1] ?? null;
            return text === null ? null : normalise(column, text);
          }),
        );
    }
  } finally {
    await client.end();
  }
}
