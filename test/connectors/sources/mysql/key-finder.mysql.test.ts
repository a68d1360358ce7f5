import {
  KeyFinder,
  type KeyRange,
} from "../../../../connectors/sources/mysql/key-finder.ts";
import type { Queryable } from "../../../../connectors/sources/mysql/sql.ts";
import {
  describe,
  discoverOne,
  expect,
  flavours,
  sessionsOn,
} from "./sessions.ts";

const numbers = `CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
  CREATE VIEW numbers AS SELECT a.d + 10 * b.d + 100 * c.d AS n FROM digits a, digits b, digits c;`;

/** Halves of halves: 2^DEPTH parts. */
const DEPTH = 4;

/** The same connection, and how many statements went through it. */
function count(connection: Queryable): Queryable & { statements: number } {
  return {
    flavour: connection.flavour,
    serverVersion: connection.serverVersion,
    statements: 0,
    query<Row>(sql: string, params?: Parameters<Queryable["query"]>[1]) {
      this.statements += 1;
      return connection.query<Row>(sql, params);
    },
  };
}

describe.each(flavours)("%s", (flavour) => {
  const test = sessionsOn(flavour);

  test.for([
    ["whole numbers", "k INT PRIMARY KEY", "n * n"],
    ["texts", "k VARCHAR(40) PRIMARY KEY", "SHA1(n)"],
    ["a tuple", "k INT, l INT, PRIMARY KEY (k, l)", "n DIV 400, n"],
  ])(
    "a finder that remembers what it found cuts as one that asks: %s",
    async ([, columns, values], { server, sessions: { connection } }) => {
      await server.query(
        `${numbers} CREATE TABLE t (${columns}); INSERT INTO t SELECT ${values} FROM numbers`,
      );
      const stream = await discoverOne(connection, "t");
      const leaf = stream.leaves[0]!;
      const remembering = count(connection);
      const asking = count(connection);
      const finder = new KeyFinder(remembering, stream, leaf);
      let ranges: KeyRange[] = [{ start: null, end: null }];
      for (let depth = 0; depth < DEPTH; depth++) {
        const parts: KeyRange[] = [];
        for (const range of ranges) {
          const fresh = new KeyFinder(asking, stream, leaf);
          const middle = await finder.middle(range);
          expect(middle).toEqual(await fresh.middle(range));
          expect(middle).not.toBeNull();
          parts.push(
            { start: range.start, end: middle },
            { start: middle, end: range.end },
          );
        }
        ranges = parts;
      }
      expect(remembering.statements).toBeLessThan(asking.statements);
    },
  );
});
