/**
 * A table in the shape of TPC-H's `lineitem`: the same 16 columns, types and value ranges, made by the server itself,
 * the same on every machine. The comments are cut from a text of our own instead of TPC-H's grammar.
 * @see TPC-H specification 3.0.1, sections 1.4.1 (columns) and 4.2.3 (how they are filled)
 */
import type pg from "pg";
import { writeText } from "./words.ts";

/** As many different comments as a cut can begin at. */
export const TEXT_BYTES = 1_048_576;
/** An order has one to seven lines, each number as often as the others. */
export const LINES_PER_ORDER = 4;

/** A number from 0 to n - 1 that looks random, from the line's number and the column's salt. */
const draw = (salt: number, n: number) =>
  `(hashint8extended(o * 8 + l, ${salt}) & 2147483647) % ${n}`;

const lineitemColumns = `
  l_orderkey int NOT NULL,
  l_partkey int NOT NULL,
  l_suppkey int NOT NULL,
  l_linenumber int NOT NULL,
  l_quantity numeric(15, 2) NOT NULL,
  l_extendedprice numeric(15, 2) NOT NULL,
  l_discount numeric(15, 2) NOT NULL,
  l_tax numeric(15, 2) NOT NULL,
  l_returnflag char(1) NOT NULL,
  l_linestatus char(1) NOT NULL,
  l_shipdate date NOT NULL,
  l_commitdate date NOT NULL,
  l_receiptdate date NOT NULL,
  l_shipinstruct char(25) NOT NULL,
  l_shipmode char(10) NOT NULL,
  l_comment varchar(44) NOT NULL`;

/** Lines of orders `first` to `last` minus one; $1 is the text. Order keys are sparse: 8 of each 32, as in TPC-H. */
function selectLines(first: number, last: number, orderCount: number): string {
  const partCount = Math.max(
    1,
    Math.round((orderCount * LINES_PER_ORDER) / 30),
  );
  const supplierCount = Math.max(1, Math.round(partCount / 20));
  return `
    SELECT (o / 8) * 32 + o % 8 + 1, part, supplier, l, quantity,
      quantity * (90000 + (part / 10) % 20001 + 100 * (part % 1000)) * 0.01, discount * 0.01, tax * 0.01,
      CASE WHEN received > '1995-06-17' THEN 'N' WHEN flag = 0 THEN 'R' ELSE 'A' END,
      CASE WHEN shipped > '1995-06-17' THEN 'O' ELSE 'F' END,
      shipped, committed, received,
      CASE instruct WHEN 0 THEN 'DELIVER IN PERSON' WHEN 1 THEN 'COLLECT COD' WHEN 2 THEN 'NONE'
        ELSE 'TAKE BACK RETURN' END,
      CASE mode WHEN 0 THEN 'REG AIR' WHEN 1 THEN 'AIR' WHEN 2 THEN 'RAIL' WHEN 3 THEN 'SHIP' WHEN 4 THEN 'TRUCK'
        WHEN 5 THEN 'MAIL' ELSE 'FOB' END,
      convert_from(substring($1::bytea FROM cut::int FOR length::int), 'UTF8')
    FROM (
      SELECT o, l, 1 + ${draw(1, partCount)} AS part, 1 + ${draw(2, supplierCount)} AS supplier,
        1 + ${draw(3, 50)} AS quantity, ${draw(4, 11)} AS discount, ${draw(5, 9)} AS tax, ${draw(6, 2)} AS flag,
        ordered + 1 + (${draw(7, 121)})::int AS shipped, ordered + 30 + (${draw(8, 61)})::int AS committed,
        ordered + 2 + (${draw(7, 121)})::int + (${draw(9, 30)})::int AS received,
        ${draw(10, 4)} AS instruct, ${draw(11, 7)} AS mode,
        1 + ${draw(12, TEXT_BYTES - 44)} AS cut, 10 + ${draw(13, 34)} AS length
      FROM (
        SELECT o, date '1992-01-01' + ((hashint8extended(o, 14) & 2147483647) % 2406)::int AS ordered,
          (1 + (hashint8extended(o, 15) & 2147483647) % 7)::int AS lines
        FROM generate_series(${first}::bigint, ${last - 1}::bigint) AS o
      ) AS orders, generate_series(1, lines) AS l
    ) AS drawn`;
}

/** Orders of one INSERT: it shows progress and keeps each statement short enough to be cancelled. */
const ORDERS_PER_INSERT = 125_000;

/** Makes the table with about four lines for each order. Ends with the primary key in place, not analysed. */
export async function createLineitem(
  client: pg.Client,
  orderCount: number,
): Promise<void> {
  const text = writeText(TEXT_BYTES);
  await client.query("BEGIN");
  await client.query(`CREATE TABLE lineitem (${lineitemColumns})`);
  for (let first = 0; first < orderCount; first += ORDERS_PER_INSERT) {
    const last = Math.min(orderCount, first + ORDERS_PER_INSERT);
    await client.query(
      `INSERT INTO lineitem ${selectLines(first, last, orderCount)}`,
      [text],
    );
  }
  await client.query(
    "ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber)",
  );
  await client.query("COMMIT");
}
