/** The same of MySQL and MariaDB, whose connections see one snapshot only if they join it at its start. */
import { describe, expect } from "vitest";
import { openSource, readTable } from "../../library/index.ts";
import { flavours, testOn, type MysqlFixture } from "../fixtures/mysql.ts";

const ROWS = 16_384;

async function createTables({ query }: MysqlFixture): Promise<void> {
  await query(
    "CREATE TABLE orders (id int PRIMARY KEY, amount decimal(12, 2), note varchar(2000) NOT NULL)",
  );
  await query("INSERT INTO orders VALUES (1, 0.25, repeat('x', 500))");
  for (let rows = 1; rows < ROWS; rows *= 2)
    await query(
      `INSERT INTO orders SELECT id + ${rows}, amount + ${rows}, note FROM orders`,
    );
  await query("CREATE TABLE people (id int PRIMARY KEY, name varchar(20))");
  await query("INSERT INTO people VALUES (1, 'żółw'), (2, NULL)");
}

async function collect<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test("rows, several tables at once, of one moment, and early ends that leave the connections as they were", async ({
    server,
  }) => {
    await createTables(server);
    expect(await collect(readTable(server.url, "people"))).toEqual([
      { id: 1, name: "żółw" },
      { id: 2, name: null },
    ]);
    await using source = await openSource(server.url, { connections: 2 });
    await server.query("DELETE FROM people");
    const [orders, people] = await Promise.all([
      collect(source.table("orders")),
      collect(source.table("people")),
    ]);
    expect(orders).toHaveLength(ROWS);
    expect(orders.at(-1)).toMatchObject({
      id: ROWS,
      amount: `${ROWS - 1}.25`,
    });
    expect(people).toHaveLength(2);
    // more often than there are connections, none of which may join again
    for (let round = 0; round < 5; round += 1)
      for await (const _ of source.table("orders")) break;
    expect(await collect(source.table("people"))).toHaveLength(2);
    await source.close();
    const [left] = await server.query<{ sessions: string }>(
      "SELECT count(*) AS sessions FROM information_schema.processlist WHERE db = database() AND id <> connection_id() AND command <> 'Sleep'",
    );
    expect(Number(left?.sessions)).toBe(0);
    expect(await collect(readTable(server.url, "people"))).toEqual([]);
  });
});
