import { readCursorBounds } from "../../../../connectors/sources/postgres/cursor.ts";
import type { CursorBounds } from "../../../../connectors/sources/cursor-window.ts";
import {
  REPEATS_MAX,
  buildRepeatFilter,
  readMovedRows,
  type MovedRows,
} from "../../../../connectors/sources/postgres/repeats.ts";
import {
  filterConditions,
  type Queryable,
} from "../../../../connectors/sources/postgres/sql.ts";
import type { PostgresStream } from "../../../../connectors/sources/postgres/stream.ts";
import { describe, discoverOne, expect, test } from "./session.ts";

/** A window that has been moved, with what was noted of its end. */
interface MovedWindow {
  readonly bounds: CursorBounds;
  readonly moved: MovedRows | null;
}

async function moveWindow(
  connection: Queryable,
  stream: PostgresStream,
  {
    from = null as string | null,
    namesMax = 100,
    where = null as string | null,
  },
): Promise<MovedWindow> {
  const bounds = await readCursorBounds(connection, stream, {
    column: "c",
    from,
    lagSeconds: 3_600,
    openTransactions: null,
    where,
  });
  const moved = await readMovedRows(
    connection,
    stream,
    bounds,
    where,
    namesMax,
  );
  return { bounds, moved };
}

/** Ids of the rows that the next window brings, and what is warned of. */
async function readNext(
  connection: Queryable,
  stream: PostgresStream,
  { bounds: { nextFrom, to, column, type }, moved }: MovedWindow,
  where: string | null = null,
): Promise<{ ids: number[]; warnings: string[] }> {
  const warnings: string[] = [];
  const dropRepeats =
    moved === null || nextFrom === null || to === null
      ? null
      : await buildRepeatFilter(
          connection,
          stream,
          { zone: { column, type, after: nextFrom, upTo: to }, moved, where },
          warnings,
        );
  const { bounds } = await moveWindow(connection, stream, { from: nextFrom });
  const { sql, params } = filterConditions(
    { where, cursor: { ...bounds, dropRepeats } },
    1,
  );
  const rows = await connection.query<{ id: number }>(
    `SELECT id FROM t WHERE ${sql.join(" AND ")} ORDER BY id`,
    params,
  );
  return { ids: rows.map(({ id }) => id), warnings };
}

const fill = (columns: string): string => `
  CREATE TABLE t (${columns}, note text);
  INSERT INTO t SELECT g, now() - g * interval '1 minute', NULL FROM generate_series(1, 50) AS g`;

describe("rows that come again are dropped", () => {
  test.for([
    { by: "row", namesMax: 50, columns: "id int PRIMARY KEY, c timestamptz" },
    { by: "row", namesMax: 50, columns: "id int, c timestamptz" },
    { by: "transaction", namesMax: 49, columns: "id int, c timestamptz" },
    { by: "transaction", namesMax: 1, columns: "id int, c timestamptz" },
  ])(
    "noted by $by where $namesMax names are allowed, $columns",
    async ({ by, namesMax, columns }, { pg, sessions: { connection } }) => {
      await pg.query(fill(columns));
      const stream = await discoverOne(connection, "t");
      const first = await moveWindow(connection, stream, { namesMax });
      expect(first.moved).toMatchObject({ by });
      expect(await readNext(connection, stream, first)).toEqual({
        ids: [],
        warnings: [],
      });
      await pg.query(`UPDATE t SET note = '' WHERE id = 7;
        UPDATE t SET c = c + interval '1 microsecond' WHERE id = 8;
        UPDATE t SET c = NULL WHERE id = 9;
        DELETE FROM t WHERE id = 10;
        INSERT INTO t SELECT 111, c FROM t WHERE id = 12`);
      expect((await readNext(connection, stream, first)).ids).toEqual([
        7, 8, 111,
      ]);
    },
  );

  test("with their condition, and whatever their columns are called", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`
      CREATE TABLE t (id int PRIMARY KEY, c timestamptz, "a ""b""" json, name text, known xml);
      INSERT INTO t SELECT g, now(), '{"x": 1}', repeat('n', 100000), '<a/>' FROM generate_series(1, 4) AS g`);
    const stream = await discoverOne(connection, "t");
    const first = await moveWindow(connection, stream, { where: "id <= 3" });
    expect(Object.values(JSON.parse(first.moved?.known ?? ""))).toEqual([
      ...[1, 1, 1],
    ]);
    expect((await readNext(connection, stream, first)).ids).toEqual([4]);
  });

  test("are no more than can be told apart, else the cursor is refused", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`${fill("id int, c timestamptz")};
      INSERT INTO t VALUES (51, now())`);
    await pg.query("INSERT INTO t VALUES (52, now())");
    const stream = await discoverOne(connection, "t");
    await expect(
      moveWindow(connection, stream, { namesMax: 1 }),
    ).rejects.toMatchObject({
      code: "CURSOR_UNUSABLE",
      message: expect.stringContaining("shorter --cursor-lag") as string,
    });
    // rows of a view have no transaction of their own
    await pg.query(
      "ALTER TABLE t RENAME TO stored; CREATE VIEW t AS TABLE stored",
    );
    const view = await discoverOne(connection, "t");
    await expect(
      moveWindow(connection, view, { namesMax: 50 }),
    ).rejects.toMatchObject({ code: "CURSOR_UNUSABLE" });
    expect(await moveWindow(connection, view, { namesMax: 52 })).toMatchObject({
      moved: { by: "row" },
    });
  });

  test("as many as are noted at most, in one statement", async ({
    pg,
    sessions: { connection },
  }) => {
    await pg.query(`CREATE TABLE t (id int PRIMARY KEY, c timestamptz);
      INSERT INTO t SELECT g, now() FROM generate_series(1, ${REPEATS_MAX}) AS g; ANALYZE t`);
    const stream = await discoverOne(connection, "t");
    const first = await moveWindow(connection, stream, {
      namesMax: REPEATS_MAX,
    });
    expect(first.moved).toMatchObject({ by: "row" });
    expect((await readNext(connection, stream, first)).ids).toEqual([]);
  });
});
