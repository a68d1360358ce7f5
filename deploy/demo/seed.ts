/**
 * Fills the demo's database: about two million rows in six tables, each of which is hard to partition in its own way.
 * The server makes every row itself, from the row's number, so the data is the same on every machine.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type pg from "pg";
import { databaseUrl, ensureDatabase } from "./database.ts";
import { TEXT_BYTES, createLineitem } from "./lineitem.ts";
import { writeText } from "./words.ts";

export interface DemoTable {
  readonly name: string;
  /** What makes it worth having. */
  readonly shape: string;
  /** A numeric column whose sum is compared, and the digits behind its decimal point. */
  readonly sum: { readonly column: string; readonly scale: number };
}

interface SeededTable extends DemoTable {
  create(client: pg.Client): Promise<void>;
}

const DATABASE = "demo";
const LINEITEM_ORDERS = 225_000;
const ORDER_LINES = 400_000;
const EVENTS = 400_000;
/** Of each ten events nine are in 1 % of the range of ids. */
const EVENTS_DENSE = (EVENTS / 10) * 9;
const EVENT_ID_MAX = 100_000_000;
const CUSTOMERS = 200_000;
const EVERY_TYPE = 50_000;
const NOTES = 50_000;

const hash = (value: string, salt: number) =>
  `(hashint8extended(${value}, ${salt}) & 2147483647)`;

/** A uuid of version 4's form from a number. */
const uuid = (value: string) =>
  `overlay(overlay(md5((${value})::text) placing '4' from 13) placing '8' from 17)::uuid`;

const text = (salt: number, lengthMax: number) =>
  `convert_from(substring($1::bytea FROM (1 + ${hash("i", salt)} % ${TEXT_BYTES - lengthMax})::int
    FOR (8 + ${hash("i", salt + 1)} % ${lengthMax - 8})::int), 'UTF8')`;

/** NULL in one row of `every`. */
const orNull = (every: number, salt: number, expression: string) =>
  `CASE WHEN ${hash("i", salt)} % ${every} <> 0 THEN ${expression} END`;

/** In one transaction with the table's making, so that a seed cut short leaves nothing. */
async function fill(
  client: pg.Client,
  create: string,
  insert: string,
  finish = "",
): Promise<void> {
  await client.query("BEGIN");
  await client.query(create);
  await client.query(
    insert,
    insert.includes("$1") ? [writeText(TEXT_BYTES)] : [],
  );
  if (finish !== "") await client.query(finish);
  await client.query("COMMIT");
}

const seededTables: readonly SeededTable[] = [
  {
    name: "lineitem",
    shape: "wide, 16 columns as in TPC-H",
    sum: { column: "l_extendedprice", scale: 2 },
    create: (client) => createLineitem(client, LINEITEM_ORDERS),
  },
  {
    name: "order_lines",
    shape: "composite key (order_id, line_no)",
    sum: { column: "amount", scale: 2 },
    create: (client) =>
      fill(
        client,
        `CREATE TABLE order_lines (order_id bigint NOT NULL, line_no smallint NOT NULL, product_id int NOT NULL,
          amount numeric(12, 2) NOT NULL, placed_at timestamptz NOT NULL, note text)`,
        // the orders differ widely in length: an order id alone would cut the table unevenly
        `INSERT INTO order_lines
          SELECT 1 + i / 40 * 7 + CASE WHEN i % 40 < 34 THEN 0 ELSE i % 40 - 33 END,
            CASE WHEN i % 40 < 34 THEN 1 + i % 40 ELSE 1 END, ${hash("i", 1)} % 5000,
            (${hash("i", 2)} % 1000000) * 0.01, timestamptz '2023-01-01 00:00Z' + i * interval '71 seconds',
            ${orNull(3, 3, text(4, 60))}
          FROM generate_series(0::bigint, ${ORDER_LINES - 1}) AS i`,
        "ALTER TABLE order_lines ADD PRIMARY KEY (order_id, line_no)",
      ),
  },
  {
    name: "events",
    shape: "skewed key: 90 % of the ids in 1 % of their range",
    sum: { column: "id", scale: 0 },
    create: (client) =>
      fill(
        client,
        `CREATE TABLE events (id bigint NOT NULL, kind text NOT NULL, happened_at timestamptz NOT NULL,
          payload jsonb NOT NULL, duration_ms double precision)`,
        // the dense ids are even and the others odd, so that none comes twice
        `INSERT INTO events
          SELECT id, (array['view', 'click', 'search', 'purchase', 'refund'])[1 + ${hash("i", 1)} % 5],
            timestamptz '2024-03-01 00:00Z' + i * interval '997 milliseconds',
            jsonb_build_object('session', ${hash("i", 2)}, 'page', '/p/' || ${hash("i", 3)} % 900, 'ok', i % 17 <> 0),
            ${orNull(5, 4, `(${hash("i", 5)} % 100000) / 128.0`)}
          FROM (
            SELECT i, CASE WHEN i < ${EVENTS_DENSE} THEN ${EVENT_ID_MAX / 2} + 2 * i
              ELSE 1 + (i - ${EVENTS_DENSE}) * ${EVENT_ID_MAX / (EVENTS - EVENTS_DENSE)} END AS id
            FROM generate_series(0::bigint, ${EVENTS - 1}) AS i
          ) AS numbered`,
        "ALTER TABLE events ADD PRIMARY KEY (id)",
      ),
  },
  {
    name: "customers",
    shape: "UUID key, in no order on disk",
    sum: { column: "balance", scale: 4 },
    create: (client) =>
      fill(
        client,
        `CREATE TABLE customers (id uuid NOT NULL, name text NOT NULL, email text, born date, active boolean NOT NULL,
          balance numeric(18, 4) NOT NULL, tags text[], joined_at timestamp NOT NULL)`,
        `INSERT INTO customers
          SELECT ${uuid("i")}, initcap(${text(1, 24)}), ${orNull(9, 3, "'user' || i || '@example.org'")},
            ${orNull(4, 4, `date '1940-01-01' + (${hash("i", 5)} % 25000)::int`)}, ${hash("i", 6)} % 10 <> 0,
            (${hash("i", 7)} - 1073741824) * 0.0001, array['t' || ${hash("i", 8)} % 20, 't' || ${hash("i", 9)} % 20],
            timestamp '2015-06-01 00:00' + i * interval '23 minutes'
          FROM generate_series(1::bigint, ${CUSTOMERS}) AS i`,
        "ALTER TABLE customers ADD PRIMARY KEY (id)",
      ),
  },
  {
    name: "every_type",
    shape: "each kind of column, with NULLs",
    sum: { column: "a_bigint", scale: 0 },
    create: (client) =>
      fill(
        client,
        `CREATE TYPE mood AS ENUM ('glad', 'calm', 'sad');
        CREATE DOMAIN percentage AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
        CREATE TABLE every_type (id int NOT NULL, a_boolean boolean, a_smallint smallint, a_integer int,
          a_bigint bigint, a_decimal numeric(10, 2), a_wide_decimal numeric(30, 8), a_numeric numeric, a_real real,
          a_double double precision, a_money money, a_text text, a_varchar varchar(40), a_char char(8), a_bytea bytea,
          a_date date, a_time time, a_timetz timetz, a_timestamp timestamp, a_timestamptz timestamptz,
          an_interval interval, a_uuid uuid, a_json json, a_jsonb jsonb, a_mood mood, a_percentage percentage,
          some_integers int[], some_texts text[], an_inet inet, a_cidr cidr, a_macaddr macaddr, a_bit bit(8),
          a_varbit varbit, a_range int4range, a_period tstzrange, a_point point, a_box box, an_xml xml,
          a_tsvector tsvector)`,
        `INSERT INTO every_type
          SELECT i, ${[
            "i % 2 = 0",
            "(i % 65536 - 32768)::smallint",
            "(i * 40009 - 1000000000)::int",
            "(i - 25000) * 360000000000",
            "(i * 7919 % 10000000) * 0.01 - 50000",
            "(i - 25000) * 1234567890123.00000001",
            "(i - 25000) * 98765432109876543210.0123456789012345678901234567890123456789",
            "(i * 0.37)::real",
            "i / 7.0::double precision",
            "(i * 0.13)::numeric::money",
            text(60, 90),
            "'value ' || i",
            "'c' || i % 1000",
            "decode(md5(i::text), 'hex')",
            "date '0001-01-01' + (i * 58)::int",
            "time '00:00' + i * interval '1.728001 seconds'",
            "(time '00:00' + i * interval '1.5 seconds')::timetz",
            "timestamp '1900-01-01 00:00:00.000001' + i * interval '1 day 7 seconds'",
            "timestamptz '1970-01-01 00:00:00.5Z' + i * interval '9 hours 11 seconds'",
            "i * interval '1 month 2 days 3.25 seconds'",
            uuid("i + 7000000"),
            "json_build_object('i', i, 'words', array['a', 'b'])",
            "jsonb_build_object('n', i, 'nested', jsonb_build_object('half', i / 2.0), 'none', NULL)",
            "(array['glad', 'calm', 'sad'])[1 + i % 3]::mood",
            "(i % 10001) * 0.01",
            "array[i, NULL, -i]::int[]",
            `array['plain', 'with "quotes"', 'with, comma', NULL, i::text]`,
            "inet '10.0.0.0' + i",
            "set_masklen((inet '192.168.0.0' + (i % 256) * 256)::cidr, 24)",
            "lpad(to_hex(i), 12, '0')::macaddr",
            "(i % 256)::int::bit(8)",
            "(i % 256)::int::bit(8)::varbit",
            "int4range(i::int, (i + 10)::int)",
            "tstzrange(timestamptz '2020-01-01Z' + i * interval '1 hour', NULL)",
            "point(i, -i / 2.0)",
            "box(point(0, 0), point(i, 1))",
            "xmlelement(name row, i)",
            "to_tsvector('simple', 'row number ' || i)",
          ]
            .map((expression, n) => orNull(4 + (n % 9), 100 + n, expression))
            .join(",\n            ")}
          FROM generate_series(1::bigint, ${EVERY_TYPE}) AS i`,
        "ALTER TABLE every_type ADD PRIMARY KEY (id)",
      ),
  },
  {
    name: "notes_without_key",
    shape: "no key at all",
    sum: { column: "priority", scale: 0 },
    create: (client) =>
      fill(
        client,
        "CREATE TABLE notes_without_key (written_at timestamptz NOT NULL, author text, body text, priority int)",
        `INSERT INTO notes_without_key
          SELECT timestamptz '2024-01-01 00:00Z' + i * interval '3 minutes', ${orNull(6, 1, `'author ' || ${hash("i", 2)} % 300`)},
            ${text(3, 400)}, ${orNull(8, 5, `(${hash("i", 6)} % 5)::int`)}
          FROM generate_series(1::bigint, ${NOTES}) AS i`,
      ),
  },
];

export const demoTables: readonly DemoTable[] = seededTables;

/** The URL of the demo's database on the server of `adminUrl`. */
export function demoUrl(adminUrl: string): string {
  return databaseUrl(adminUrl, DATABASE);
}

/**
 * Makes and fills the database unless it is there, complete and of this version.
 * @param anew even where it is there
 * @param tell called as each table is begun
 * @returns whether anything was made
 */
export async function seedDemo(
  adminUrl: string,
  anew: boolean,
  tell: (table: DemoTable) => void,
): Promise<boolean> {
  const version = hashFiles(["seed.ts", "lineitem.ts", "words.ts"]);
  return ensureDatabase(
    { adminUrl, name: DATABASE, version, anew },
    async (client) => {
      for (const table of seededTables) {
        tell(table);
        await table.create(client);
        await client.query(`VACUUM (ANALYZE, FREEZE) ${table.name}`);
      }
    },
  );
}

/** Changes with the code that makes the data, so that an old database is made anew. */
function hashFiles(names: readonly string[]): string {
  const digest = createHash("sha256");
  for (const name of names)
    digest.update(readFileSync(new URL(name, import.meta.url)));
  return digest.digest("hex").slice(0, 16);
}
