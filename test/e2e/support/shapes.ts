/** Tables of every shape that decides how they are read: rungs, partitions, children, generated columns, odd keys. */
import type { PostgresFixture } from "../../fixtures/postgres.ts";
import type { TableSpec } from "./tables.ts";

/** Rows of the large tables, about 250 bytes each. */
const SHAPE_ROWS = 12_000;

export interface Shape extends TableSpec {
  /** The first version that takes the statements. */
  readonly since: number;
}

const numbers = (rows: number): string => `generate_series(1, ${rows}) AS g`;

const columns = `
  CASE WHEN g % 7 = 0 THEN NULL ELSE 'name ' || g END AS name,
  repeat(md5(g::text), 6) AS payload`;

function shape(
  name: string,
  key: readonly string[],
  fields: readonly string[],
  create: string,
  since = 13,
): Shape {
  return {
    ...{ name, key, create, since },
    postgres: [...key, ...fields],
    duckdb: [...key, ...fields],
  };
}

const plain = ["name", "payload"];

const shapes: readonly Shape[] = [
  shape(
    "accounts",
    ["id"],
    plain,
    `CREATE TABLE accounts AS
      SELECT ((g::bigint * 7919) % ${SHAPE_ROWS}) * 3 - 9000 AS id, ${columns} FROM ${numbers(SHAPE_ROWS)};
    ALTER TABLE accounts ADD PRIMARY KEY (id)`,
  ),
  shape(
    "lines",
    ["account", "line"],
    plain,
    `CREATE TABLE lines AS
      SELECT g / 700 AS account, 'l' || (g % 700) AS line, ${columns} FROM ${numbers(SHAPE_ROWS)};
    ALTER TABLE lines ADD PRIMARY KEY (account, line)`,
  ),
  shape(
    "visits",
    ["id"],
    plain,
    `CREATE TABLE visits AS SELECT g AS id, ${columns} FROM ${numbers(SHAPE_ROWS)}`,
  ),
  // a leaf whose columns stand in another order, a level below, a default, and one without rows
  shape(
    "measures",
    ["id", "kind"],
    plain,
    `CREATE TABLE measures (id int, gone int, kind text, name text, payload text, PRIMARY KEY (id, kind))
      PARTITION BY RANGE (id);
    ALTER TABLE measures DROP COLUMN gone;
    CREATE TABLE measures_low PARTITION OF measures FOR VALUES FROM (0) TO (3000);
    CREATE TABLE measures_none PARTITION OF measures FOR VALUES FROM (-10) TO (0);
    CREATE TABLE measures_mid PARTITION OF measures FOR VALUES FROM (3000) TO (6000) PARTITION BY LIST (kind);
    CREATE TABLE measures_mid_a (payload text, kind text NOT NULL, id int NOT NULL, name text);
    ALTER TABLE measures_mid ATTACH PARTITION measures_mid_a FOR VALUES IN ('a', 'b');
    CREATE TABLE measures_mid_rest PARTITION OF measures_mid DEFAULT;
    CREATE TABLE measures_rest PARTITION OF measures DEFAULT PARTITION BY HASH (id);
    CREATE TABLE measures_rest_0 PARTITION OF measures_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE measures_rest_1 PARTITION OF measures_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO measures (id, kind, name, payload)
      SELECT g, substr('abcd', 1 + g % 4, 1), ${columns} FROM ${numbers(9_000)}`,
  ),
  // the parent has rows of its own, a child has a column of its own
  shape(
    "places",
    ["id"],
    plain,
    `CREATE TABLE places (id int NOT NULL, name text, payload text);
    CREATE TABLE cities (mayor text) INHERITS (places);
    CREATE TABLE capitals (since date) INHERITS (cities);
    INSERT INTO places SELECT g, ${columns} FROM ${numbers(300)};
    INSERT INTO cities SELECT 1000 + g, ${columns}, 'mayor' FROM ${numbers(500)};
    INSERT INTO capitals SELECT 2000 + g, ${columns}, 'mayor', date '2000-01-01' FROM ${numbers(200)}`,
  ),
  shape(
    "totals",
    ["id"],
    ["price", "twice", "label"],
    `CREATE TABLE totals (id int PRIMARY KEY, price numeric(10, 2),
      twice numeric(12, 2) GENERATED ALWAYS AS (price * 2) STORED,
      label text GENERATED ALWAYS AS ('no. ' || id::text) STORED);
    INSERT INTO totals (id, price) SELECT g, nullif(g % 10, 3) * 0.25 FROM ${numbers(3_000)}`,
  ),
  // NULL is in the index once, and so is no key
  shape(
    "badges",
    ["id"],
    ["badge"],
    `CREATE TABLE badges (id int, badge int, UNIQUE NULLS NOT DISTINCT (badge));
    INSERT INTO badges SELECT g, nullif(g, 77) FROM ${numbers(3_000)}`,
    15,
  ),
  // a virtual column has no bytes in the table: the server computes it as it is read
  shape(
    "virtual_totals",
    ["id"],
    ["price", "twice", "label"],
    `CREATE TABLE virtual_totals (id int PRIMARY KEY, price numeric(10, 2),
      twice numeric(12, 2) GENERATED ALWAYS AS (price * 2) VIRTUAL,
      label text GENERATED ALWAYS AS ('no. ' || id::text));
    INSERT INTO virtual_totals (id, price) SELECT g, nullif(g % 10, 3) * 0.25 FROM ${numbers(3_000)}`,
    18,
  ),
  // declared NOT NULL and not yet checked: there are NULLs among the keys
  shape(
    "codes",
    ["id"],
    ["code", "name"],
    `CREATE TABLE codes AS SELECT g AS id, nullif(g, 5) AS code, ${columns} FROM ${numbers(4_000)};
    CREATE UNIQUE INDEX ON codes (code);
    ALTER TABLE codes ADD CONSTRAINT codes_code NOT NULL code NOT VALID`,
    18,
  ),
  // a primary key of a GiST index has no order
  shape(
    "bookings",
    ["id"],
    ["name"],
    `CREATE TABLE bookings (room int4range, during daterange, id int, name text,
      PRIMARY KEY (room, during WITHOUT OVERLAPS));
    INSERT INTO bookings SELECT int4range(g, g + 1), daterange('2020-01-01', '2020-01-08'), g, 'guest ' || g
      FROM ${numbers(2_000)}`,
    18,
  ),
];

export async function createShapes({
  query,
  serverVersion,
}: Pick<PostgresFixture, "query" | "serverVersion">): Promise<
  readonly Shape[]
> {
  const there = shapes.filter(({ since }) => since <= serverVersion);
  for (const { create, name } of there) {
    await query(create);
    await query(`ANALYZE ${name}`);
  }
  return there;
}
