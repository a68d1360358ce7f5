/**
 * `lineitem` and `users` for MySQL and MariaDB: columns, value ranges and shares of NULLs as in Postgres' tables, made
 * here and sent as LOAD DATA LOCAL, because a server reads text faster than it computes such rows by itself.
 */
import { Readable } from "node:stream";
import mysql from "mysql2/promise";
import { LINES_PER_ORDER, TEXT_BYTES } from "../../deploy/demo/lineitem.ts";
import { writeText } from "../../deploy/demo/words.ts";
import type { Sizes } from "./server.ts";

/** Of the text that is handed over at once. */
const PIECE_CHARS = 262_144;
const DAY_MS = 86_400_000;
const MONEY_DIGITS = 2;

const tables = {
  lineitem: `
    l_orderkey int NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL,
    l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL, l_discount decimal(15,2) NOT NULL,
    l_tax decimal(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
    l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
    l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL,
    PRIMARY KEY (l_orderkey, l_linenumber)`,
  users: `
    id char(36) NOT NULL, account_no int NOT NULL, email varchar(255) NOT NULL, created_at timestamp(6) NOT NULL,
    full_name varchar(100), bio text, profile json, balance decimal(18,4), rating double, is_active boolean,
    login_count int, last_login datetime(6), PRIMARY KEY (id)`,
};

/** The last steps of MurmurHash3 over two numbers. @returns 0 … 2^32 - 1 */
function draw(number: number, salt: number): number {
  let hash = Math.imul(number ^ Math.imul(salt, 0x9e3779b9), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

const instructions = [
  "DELIVER IN PERSON",
  "COLLECT COD",
  "NONE",
  "TAKE BACK RETURN",
];
const modes = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];

const firstOrderDay = Date.UTC(1992, 0, 1) / DAY_MS;
const ORDER_DAYS = 2_406;
/** The latest receipt is 151 days behind the last order. */
const days = Array.from({ length: ORDER_DAYS + 160 }, (_, day) =>
  new Date((firstOrderDay + day) * DAY_MS).toISOString().slice(0, 10),
);
const statusDay = days.indexOf("1995-06-17");

/** `amount` hundredths or ten-thousandths, as a decimal. */
function writeDecimal(amount: number, digits: number): string {
  const text = String(Math.abs(amount)).padStart(digits + 1, "0");
  return `${amount < 0 ? "-" : ""}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** Lines of text files as LOAD DATA wants them by default: tabs between fields, \N for NULL. */
function* writeLineitem(orderCount: number, text: string): Generator<string> {
  const partCount = Math.max(
    1,
    Math.round((orderCount * LINES_PER_ORDER) / 30),
  );
  const supplierCount = Math.max(1, Math.round(partCount / 20));
  for (let order = 0; order < orderCount; order += 1) {
    const key = Math.floor(order / 8) * 32 + (order % 8) + 1;
    const ordered = draw(order, 14) % ORDER_DAYS;
    const lineCount = 1 + (draw(order, 15) % 7);
    let lines = "";
    for (let line = 1; line <= lineCount; line += 1) {
      const n = order * 8 + line;
      const part = 1 + (draw(n, 1) % partCount);
      const quantity = 1 + (draw(n, 3) % 50);
      const price =
        90_000 + (Math.floor(part / 10) % 20_001) + 100 * (part % 1_000);
      const shipped = ordered + 1 + (draw(n, 7) % 121);
      const received = shipped + 1 + (draw(n, 9) % 30);
      const returned = draw(n, 6) % 2 === 0 ? "R" : "A";
      const cut = draw(n, 12) % (TEXT_BYTES - 44);
      lines +=
        `${key}\t${part}\t${1 + (draw(n, 2) % supplierCount)}\t${line}\t${quantity}\t` +
        `${writeDecimal(quantity * price, MONEY_DIGITS)}\t${writeDecimal(draw(n, 4) % 11, MONEY_DIGITS)}\t` +
        `${writeDecimal(draw(n, 5) % 9, MONEY_DIGITS)}\t${received > statusDay ? "N" : returned}\t` +
        `${shipped > statusDay ? "O" : "F"}\t${days[shipped]}\t${days[ordered + 30 + (draw(n, 8) % 61)]}\t` +
        `${days[received]}\t${instructions[draw(n, 10) % 4]}\t${modes[draw(n, 11) % 7]}\t` +
        `${text.slice(cut, cut + 10 + (draw(n, 13) % 34))}\n`;
    }
    yield lines;
  }
}

const domains = ["example.org", "example.com", "mail.example.net"];
const plans = ["free", "team", "pro"];
const firstCreated = Date.UTC(2016, 0, 1);
const firstLogin = Date.UTC(2024, 0, 1);
/** A prime, so that account numbers are in no order of the key. */
const ACCOUNT_STEP = 7_368_787;

const hex = (number: number, digits: number) =>
  number.toString(16).padStart(8, "0").slice(0, digits);

/** Ascending, so that rows go to the table's end; as random as others within their 2^32 / rowCount. */
function writeUuid(i: number, rowCount: number): string {
  const share = (i + draw(i, 20) / 2 ** 32) / rowCount;
  const high = hex(Math.floor(share * 2 ** 32), 8);
  const [a, b, c] = [draw(i, 21), draw(i, 22), draw(i, 23)];
  return `${high}-${hex(a, 4)}-4${hex(b, 3)}-a${hex(c, 3)}-${hex(draw(i, 24), 8)}${hex(draw(i, 25), 4)}`;
}

/** @param micros microseconds behind `firstMs` */
function writeInstant(firstMs: number, micros: number): string {
  const date = new Date(firstMs + Math.floor(micros / 1_000));
  const rest = String(micros % 1_000).padStart(3, "0");
  return `${date.toISOString().slice(0, -1).replace("T", " ")}${rest}`;
}

function* writeUsers(rowCount: number, text: string): Generator<string> {
  const cut = (n: number, salt: number, length: number) => {
    const first = draw(n, salt) % (TEXT_BYTES - 200);
    return text.slice(first, first + length);
  };
  for (let i = 0; i < rowCount; i += 1) {
    const account = (i * ACCOUNT_STEP) % rowCount;
    /** NULL in one row of `every`. */
    const orNull = (every: number, salt: number, write: () => string) =>
      draw(i, salt) % every === 0 ? "\\N" : write();
    yield (
      [
        writeUuid(i, rowCount),
        String(account),
        `user${account}@${domains[draw(i, 1) % 3]}`,
        writeInstant(firstCreated, account * 240_000_123),
        orNull(20, 2, () => cut(i, 3, 10 + (i % 9))),
        orNull(3, 4, () => cut(i, 5, 20 + (draw(i, 6) % 120))),
        orNull(4, 7, () => {
          const plan = plans[draw(i, 8) % 3];
          return `{"plan": "${plan}", "seats": ${draw(i, 9) % 40}, "beta": ${i % 7 === 0}}`;
        }),
        orNull(10, 10, () =>
          writeDecimal((draw(i, 11) >>> 1) - 500_000_000, 4),
        ),
        orNull(5, 12, () => String((draw(i, 13) % 1_280) / 128)),
        orNull(50, 14, () => (draw(i, 15) % 4 === 0 ? "0" : "1")),
        orNull(8, 16, () => String(draw(i, 17) % 5_000)),
        orNull(6, 18, () =>
          writeInstant(firstLogin, (draw(i, 19) % 31_536_000) * 1_000_001),
        ),
      ].join("\t") + "\n"
    );
  }
}

/** Lines in pieces of a useful size. */
function* gather(lines: Iterable<string>): Generator<Buffer> {
  let piece = "";
  for (const line of lines) {
    piece += line;
    if (piece.length < PIECE_CHARS) continue;
    yield Buffer.from(piece, "latin1");
    piece = "";
  }
  yield Buffer.from(piece, "latin1");
}

/**
 * Makes both tables in the database of the URL, which has neither.
 * @throws Error where the server allows no LOAD DATA LOCAL
 */
export async function createMysqlTables(
  url: string,
  { lineitemRows, usersRows }: Sizes,
): Promise<void> {
  const text = writeText(TEXT_BYTES).toString("latin1");
  const connection = await mysql.createConnection(url);
  try {
    // the tables are empty: with this MariaDB builds their pages in one go
    await connection.query("SET unique_checks = 0, foreign_key_checks = 0");
    await connection.query("SET time_zone = '+00:00'");
    const rows = {
      lineitem: () => writeLineitem(lineitemRows / LINES_PER_ORDER, text),
      users: () => writeUsers(usersRows, text),
    };
    for (const name of ["lineitem", "users"] as const) {
      await connection.query(
        `CREATE TABLE ${name} (${tables[name]}) ENGINE=InnoDB CHARACTER SET utf8mb4`,
      );
      await connection.query({
        sql: `LOAD DATA LOCAL INFILE 'rows' INTO TABLE ${name} CHARACTER SET utf8mb4`,
        infileStreamFactory: () => Readable.from(gather(rows[name]())),
      });
      const [warnings] = await connection.query<mysql.RowDataPacket[]>(
        "SHOW WARNINGS LIMIT 1",
      );
      // LOCAL turns errors into warnings
      if (warnings.length > 0)
        throw new Error(`${name}: ${String(warnings[0]?.["Message"])}`);
      await connection.query(`ANALYZE TABLE ${name}`);
    }
  } finally {
    await connection.end();
  }
}
