/** A table of people: a UUID key, text, jsonb and eight columns with NULLs; the opposite of `lineitem` in most ways. */
import type pg from "pg";
import { writeText } from "../../deploy/demo/words.ts";

const TEXT_BYTES = 1_048_576;
const ROWS_PER_INSERT = 250_000;

const hash = (salt: number) => `(hashint8extended(i, ${salt}) & 2147483647)`;
const cut = (salt: number, length: string) =>
  `convert_from(substring($1::bytea FROM (1 + ${hash(salt)} % ${TEXT_BYTES - 200})::int FOR (${length})::int), 'UTF8')`;
/** NULL in one row of `every`. */
const orNull = (every: number, salt: number, expression: string) =>
  `CASE WHEN ${hash(salt)} % ${every} <> 0 THEN ${expression} END`;

export async function createUsers(
  client: pg.Client,
  rowCount: number,
): Promise<void> {
  const text = writeText(TEXT_BYTES);
  await client.query("BEGIN");
  await client.query(`CREATE TABLE users (
    id uuid NOT NULL, account_no int NOT NULL, email text NOT NULL, created_at timestamptz NOT NULL,
    full_name text, bio text, profile jsonb, balance numeric(18, 4), rating double precision, is_active boolean,
    login_count int, last_login timestamptz)`);
  for (let first = 0; first < rowCount; first += ROWS_PER_INSERT) {
    const last = Math.min(rowCount, first + ROWS_PER_INSERT) - 1;
    await client.query(
      `INSERT INTO users SELECT md5(i::text)::uuid, i::int,
        'user' || i || '@' || (array['example.org', 'example.com', 'mail.example.net'])[1 + ${hash(1)} % 3],
        timestamptz '2016-01-01 00:00Z' + i * interval '4 minutes 0.000123 seconds',
        ${orNull(20, 2, `initcap(${cut(3, "10 + i % 9")})`)},
        ${orNull(3, 4, cut(5, `20 + ${hash(6)} % 120`))},
        ${orNull(4, 7, `jsonb_build_object('plan', (array['free', 'team', 'pro'])[1 + ${hash(8)} % 3], 'seats', ${hash(9)} % 40, 'beta', i % 7 = 0)`)},
        ${orNull(10, 10, `(${hash(11)} - 500000000) * 0.0001`)},
        ${orNull(5, 12, `(${hash(13)} % 1280) / 128.0`)},
        ${orNull(50, 14, `${hash(15)} % 4 <> 0`)},
        ${orNull(8, 16, `(${hash(17)} % 5000)::int`)},
        ${orNull(6, 18, `timestamptz '2024-01-01 00:00Z' + ${hash(19)} % 31536000 * interval '1.000001 seconds'`)}
        FROM generate_series(${first}::bigint, ${last}) AS i`,
      [text],
    );
  }
  await client.query("ALTER TABLE users ADD PRIMARY KEY (id)");
  await client.query("COMMIT");
}
