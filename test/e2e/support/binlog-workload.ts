/** The tables and the random transactions of `log-workload`, as MySQL and MariaDB have them. */
import mysql from "mysql2/promise";
import type { MysqlFixture } from "../../fixtures/mysql.ts";
import {
  accounts,
  LARGE_CHARS,
  visits,
  type ComparedTable,
  type Dialect,
} from "./log-workload.ts";

/** Lock wait timeout; a savepoint that TRUNCATE has ended with its transaction; deadlock. */
const passedOver = new Set([1205, 1305, 1213]);

/** Expressions of columns whose text is not the value's own. */
const texts: Readonly<Record<string, string>> = {
  active: "CASE active WHEN 1 THEN 'true' WHEN 0 THEN 'false' END",
  large: "MD5(large)",
  changed_at: "CAST(UNIX_TIMESTAMP(changed_at) * 1000000 AS SIGNED)",
};

export async function createBinlogTables(
  { query }: MysqlFixture,
  rows = 2_000,
): Promise<void> {
  const list = (make: (i: number) => string, count = rows) =>
    Array.from({ length: count }, (_, i) => make(i + 1)).join(", ");
  await query(`
    CREATE TABLE accounts (id int PRIMARY KEY, amount decimal(12,2), active tinyint(1), note varchar(200), large longtext,
      changed_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));
    CREATE TABLE \`lines\` (account int, line varchar(100), words text, PRIMARY KEY (account, line));
    CREATE TABLE visits (id bigint PRIMARY KEY, page text);
    INSERT INTO accounts (id, amount, active, note, large) VALUES ${list((i) => `(${i}, ${i} * 1.25, ${i % 2 === 0 ? 1 : 0}, 'note ${i}', ${i % 50 === 0 ? `REPEAT(MD5('${i}'), 200)` : "NULL"})`)};
    INSERT INTO \`lines\` VALUES ${list((i) => `(${i % 500}, 'line ${i}', 'words of ${i}')`)};
    INSERT INTO visits VALUES ${list((i) => `(${i}, '/page/${i}')`, Math.ceil(rows / 4))}`);
}

const large = (of: string) => `REPEAT(MD5('${of}'), ${LARGE_CHARS / 32})`;

export const binlogDialect: Dialect = {
  connect: async (url) => {
    const client = await mysql.createConnection({
      uri: url,
      multipleStatements: true,
    });
    // a test that has failed leaves its database without waiting for this
    client.on("error", () => {});
    await client.query(
      "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
    );
    return {
      query: (sql) => client.query(sql),
      end: async () => client.destroy(),
    };
  },
  begin: "BEGIN",
  isPassedOver: (error) =>
    passedOver.has((error as { errno?: number }).errno ?? 0),
  changes: ({ fresh, id, rows, take }) => [
    () => {
      take(rows);
      const values = Array.from({ length: rows }, (_, i) => fresh + i).map(
        (i) =>
          `(${i}, ${i} / 7.0, NULL, 'new ${i}', ${i % 3 === 0 ? large(String(i)) : "NULL"})`,
      );
      return `INSERT INTO accounts (id, amount, active, note, large) VALUES ${values.join(", ")}`;
    },
    () =>
      `UPDATE accounts SET amount = amount + 1, changed_at = CURRENT_TIMESTAMP(6) WHERE id BETWEEN ${id} AND ${id + rows}`,
    () =>
      `UPDATE accounts SET large = ${large(String(fresh))} WHERE id BETWEEN ${id} AND ${id + 1}`,
    () => {
      take(1);
      return `UPDATE accounts SET id = ${fresh}, note = 'moved' WHERE id = ${id}`;
    },
    () => `DELETE FROM accounts WHERE id BETWEEN ${id} AND ${id + rows}`,
    () => {
      const values = Array.from(
        { length: rows },
        (_, i) => `(${id % 500}, 'line ${fresh} ${i}', NULL)`,
      );
      return `INSERT IGNORE INTO \`lines\` (account, line, words) VALUES ${values.join(", ")}`;
    },
    () =>
      `UPDATE \`lines\` SET words = 'changed ${fresh}' WHERE account = ${id % 500}`,
    () =>
      `UPDATE \`lines\` SET account = account + 1000 WHERE account = ${id % 500} ORDER BY line LIMIT 1`,
    () => `DELETE FROM \`lines\` WHERE account = ${id % 500}`,
    () => {
      take(1);
      return `INSERT INTO visits VALUES (${fresh}, '/new')`;
    },
    () =>
      `UPDATE visits SET page = CONCAT(page, '!') WHERE id % 97 = ${id % 97}`,
  ],
  addColumn: (column, number) =>
    `ALTER TABLE \`lines\` ADD COLUMN ${column} int; INSERT INTO \`lines\` (account, line, ${column})
       VALUES (-${number}, 'with ${column}', ${number})`,
};

/** As the tables are when columns have come to `lines`. */
export function listBinlogTables(
  { database }: MysqlFixture,
  linesNow: ComparedTable,
): readonly ComparedTable[] {
  return [accounts, linesNow, visits].map((table) => ({
    ...table,
    namespace: database,
  }));
}

/** All rows as one sorted text each. */
export async function readBinlogSource(
  { query }: MysqlFixture,
  { name, columns }: ComparedTable,
): Promise<string[]> {
  const list = columns.map(
    (column) =>
      `CAST(${texts[column.name] ?? `\`${column.name}\``} AS CHAR) AS \`${column.name}\``,
  );
  const rows = await query<Record<string, string | null>>(
    `SELECT ${list.join(", ")} FROM \`${name}\``,
  );
  return rows
    .map((row) => JSON.stringify(columns.map((column) => row[column.name])))
    .toSorted();
}
