/** A client that changes the tables all along: it updates, inserts and deletes rows, a few a turn. */
import pg from "pg";
import { queryDuckDb } from "../../connectors/formats/duckdb.ts";
import { ROWS, type WritableTable } from "./tables.ts";

const ROWS_UPDATED = 40;
const ROWS_INSERTED = 5;
const ROWS_DELETED = 3;

export interface Writer {
  /** Ends the last turn. Gives how many there were. */
  stop(): Promise<number>;
}

/**
 * Rows have a number `n`, indexed, from 1. Those whose number divides by MORTAL_EVERY are deleted in turn, the others
 * live through it all; new ones begin above ROWS.
 */
const MORTAL_EVERY = 10;

/** Rows that no writer deletes. */
export const SURVIVORS = ROWS - Math.floor(ROWS / MORTAL_EVERY);

/** Of the rows that no writer deletes, those that a reader of the files sees: all, and different ones. */
export async function findSurvivors(
  root: string,
  { name }: WritableTable,
): Promise<{ rows: number; numbers: number }> {
  const [row] = await queryDuckDb(
    `SELECT count(*), count(DISTINCT n) FROM read_parquet('${root}/public/${name}/**/*.parquet')
     WHERE n <= ${ROWS} AND n % ${MORTAL_EVERY} <> 0`,
  );
  return { rows: Number(row?.[0]), numbers: Number(row?.[1]) };
}

export async function prepareForWriter(
  query: (sql: string) => Promise<unknown>,
  { name, key }: WritableTable,
): Promise<void> {
  await query(
    `ALTER TABLE ${name} ADD COLUMN n bigint;
     UPDATE ${name} SET n = r.n FROM (SELECT ctid AS at, row_number() OVER (ORDER BY ${key.join(", ")}) AS n FROM ${name}) AS r WHERE ctid = r.at;
     CREATE INDEX ON ${name} (n);
     `,
  );
  // the update above has left every row twice
  await query(`VACUUM FULL ${name}`);
  await query(`ANALYZE ${name}`);
}

export async function startWriter(
  url: string,
  tables: readonly WritableTable[],
): Promise<Writer> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // the query under way fails by itself
  await client.connect();
  let isOver = false;
  let turns = 0;
  const { rows } = await client.query<{ last: string }>(
    `SELECT greatest(${tables.map(({ name }) => `(SELECT max(n) FROM ${name})`).join(", ")}) AS last`,
  );
  const inserted = Number(rows[0]?.last);
  const work = (async () => {
    while (!isOver) {
      for (const { name, insert } of tables) {
        // prime steps, so that turns reach all over the table
        const start = (turns * 7919) % ROWS;
        await client.query(
          `UPDATE ${name} SET name = coalesce(name, '') || '+', amount = amount + 1
           WHERE n IN (SELECT ($1::bigint + i * 997) % $2 + 1 FROM generate_series(1, ${ROWS_UPDATED}) AS i)`,
          [start, ROWS],
        );
        await client.query(
          `DELETE FROM ${name} WHERE n IN (SELECT ($1::bigint * ${ROWS_DELETED} + i) * ${MORTAL_EVERY} FROM generate_series(0, ${ROWS_DELETED - 1}) AS i) AND n <= $2`,
          [turns, ROWS],
        );
        for (let i = 0; i < ROWS_INSERTED; i += 1)
          await client.query(insert(inserted + turns * ROWS_INSERTED + i + 1));
      }
      turns += 1;
    }
  })();
  // a failure is the writer's own, and told by stop()
  work.catch(() => {});
  return {
    stop: async () => {
      isOver = true;
      try {
        await work;
      } finally {
        await client.end();
      }
      return turns;
    },
  };
}
