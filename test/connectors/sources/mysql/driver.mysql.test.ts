import { mysqlDriver } from "../../../../connectors/sources/mysql/driver.ts";
import type { MysqlReadTask } from "../../../../connectors/sources/mysql/stream.ts";
import type {
  DiscoveredStream,
  PlanSettings,
  RowFilter,
  SourceSession,
} from "../../../../connectors/sources/source.ts";
import type { Partition, Position } from "../../../../proto/partition.ts";
import type { UnrepresentablePolicy } from "../../../../proto/schema.ts";
import { describe, expect, flavours, testOn } from "../../../fixtures/mysql.ts";
import { select } from "./sessions.ts";
import { KeepingSink } from "./support/tasks.ts";

const settings: PlanSettings = {
  channels: 4,
  checkpointTargetSeconds: 300,
  partitionBy: "auto",
  partitionBytesMin: 1,
};

const noFilter: RowFilter = { where: null, cursor: null };

const numbers = `CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
  CREATE VIEW numbers AS SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 1 AS n
  FROM digits a, digits b, digits c, digits e WHERE e.d < 2;`;

/** Reads a partition, in two goes where `cut` says so: the second behind the last position of the first. */
async function read(
  session: SourceSession,
  stream: DiscoveredStream,
  partition: Partition,
  options: {
    filter?: RowFilter;
    cut?: boolean;
    policy?: UnrepresentablePolicy;
    /** Takes what was replaced by NULL. */
    nulled?: string[];
  } = {},
): Promise<unknown[][]> {
  const rows: unknown[][] = [];
  let resumeAfter: Position | null = null;
  for (let attempt = 1; ; attempt++) {
    const task: MysqlReadTask = {
      stream: stream as MysqlReadTask["stream"],
      partition,
      resumeAfter,
      filter: options.filter ?? noFilter,
      policy: options.policy ?? "error",
      rowBytesMax: 1_000_000,
    };
    const sink = new KeepingSink(task);
    const reading = session.startRead(task, sink, { checkpointEveryMs: 1_000 });
    if (options.cut === true && attempt === 1) reading.stop();
    const { outcome } = await reading.done;
    options.nulled?.push(...sink.nulled);
    const checkpoint = sink.checkpoints.at(-1);
    rows.push(...sink.rows.slice(0, checkpoint?.rows));
    if (outcome === "end") return rows;
    resumeAfter = checkpoint?.position ?? null;
  }
}

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test("readers on several sessions bring each row of one snapshot once, whatever is written meanwhile", async ({
    server,
  }) => {
    await server.query(
      `${numbers} CREATE TABLE t (region VARCHAR(9) COLLATE utf8mb4_general_ci, id INT, v INT, PRIMARY KEY (region, id));
      INSERT INTO t SELECT ELT(1 + n % 3, 'eu', 'Us', 'ÄS'), n, n FROM numbers; ANALYZE TABLE t`,
    );
    const held = await mysqlDriver.holdSnapshot(server.url, (error) => {
      throw error;
    });
    const sessions = await Promise.all(
      [1, 2, 3].map(() => mysqlDriver.connect(server.url)),
    );
    try {
      for (const session of sessions) await session.beginSnapshot(held.ref);
      const [first] = sessions;
      if (first === undefined) return;
      const found = await first.discover(select({ include: ["t"] }), "error");
      const [stream] = found.streams;
      if (stream === undefined) return;
      const problems = await held.lockRelations(
        stream.leaves.map(({ schema, name, oid, fileNode }) => ({
          ...{ schema, name, oid, fileNode },
        })),
      );
      expect(problems).toEqual([]);
      await server.query(
        "DELETE FROM t WHERE id % 2 = 0; INSERT INTO t SELECT 'new', n, n FROM numbers; UPDATE t SET v = -1",
      );
      const { plan } = await first.planStream(
        stream,
        { where: null, cursor: null },
        settings,
      );
      expect(plan.partitions.length).toBeGreaterThan(6);
      const queue = [...plan.partitions];
      const rows: unknown[][] = [];
      await Promise.all(
        sessions.map(async (session) => {
          for (let one = queue.shift(); one; one = queue.shift()) {
            const cut = one.ordinal % 2 === 0;
            rows.push(...(await read(session, stream, one, { cut })));
          }
        }),
      );
      const ids = rows.map(([, id]) => Number(id)).sort((a, b) => a - b);
      expect(ids).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1));
      expect(rows.every(([, id, v]) => id === v)).toBe(true);
    } finally {
      for (const session of sessions) await session.close();
      await held.close();
    }
  });

  test("a range that was split by its reader is read whole by both", async ({
    server,
  }) => {
    await server.query(
      `${numbers} CREATE TABLE t (id BINARY(16) PRIMARY KEY, n INT); INSERT INTO t SELECT UNHEX(MD5(n)), n FROM numbers;
      ANALYZE TABLE t`,
    );
    const session = await mysqlDriver.connect(server.url);
    try {
      await session.beginSnapshot(null);
      const found = await session.discover(select({ include: ["t"] }), "error");
      const [stream] = found.streams;
      if (stream === undefined) return;
      const { plan } = await session.planStream(
        stream,
        { where: null, cursor: null },
        { ...settings, partitionBytesMin: 1e9 },
      );
      const [range] = plan.partitions;
      if (range === undefined) return;
      expect(mysqlDriver.canSplit(stream, range)).toBe(true);
      const split = await session.findSplit(stream, {
        range,
        resumeAfter: null,
        rowBytes: 20,
        bytesMin: 100,
      });
      if (split === null) throw new Error("no split");
      const rows = [
        ...(await read(session, stream, split.giver)),
        ...(await read(session, stream, { ...split.taker, ordinal: 1 })),
      ];
      const ns = rows.map(([, n]) => Number(n)).sort((a, b) => a - b);
      expect(ns).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1));
    } finally {
      await session.close();
    }
  });

  describe("values that cannot be represented", () => {
    /** `sql_mode` lets a zero date in; 2 is in the range of the type, and no boolean. */
    const ddl = `SET SESSION sql_mode = '';
      CREATE TABLE flags (id INT PRIMARY KEY, flag TINYINT(1) NOT NULL, n INT NOT NULL);
      INSERT INTO flags VALUES (1, 1, 1), (2, 2, 2), (3, 0, 3);
      CREATE TABLE days (id INT PRIMARY KEY, day DATE NOT NULL, at DATETIME NOT NULL);
      INSERT INTO days VALUES (1, '2024-02-29', '2024-02-29 01:02:03'), (2, '0000-00-00', '0000-00-00 00:00:00')`;

    async function readUnder(
      url: string,
      table: string,
      policy: UnrepresentablePolicy,
    ) {
      const session = await mysqlDriver.connect(url);
      try {
        await session.beginSnapshot(null);
        const found = await session.discover(
          select({ include: [table] }),
          policy,
        );
        const [stream] = found.streams;
        if (stream === undefined) throw new Error(`no ${table}`);
        const { plan } = await session.planStream(
          stream,
          { where: null, cursor: null },
          settings,
        );
        const nulled: string[] = [];
        const rows: unknown[][] = [];
        for (const one of plan.partitions)
          rows.push(...(await read(session, stream, one, { policy, nulled })));
        const nullable = stream.schema.columns
          .filter((column) => column.nullable)
          .map(({ name }) => name);
        return { nullable, rows, nulled };
      } finally {
        await session.close();
      }
    }

    test("are NULL under the policy for that, each counted, in columns that were declared NOT NULL", async ({
      server,
    }) => {
      await server.query(ddl);
      const flags = await readUnder(server.url, "flags", "null");
      expect(flags.nullable).toEqual(["flag"]);
      expect(flags.rows.map(([, flag]) => flag)).toEqual([true, null, false]);
      expect(flags.nulled).toEqual([expect.stringMatching(/^flag: /)]);
      const days = await readUnder(server.url, "days", "null");
      expect(days.nullable).toEqual(["day", "at"]);
      expect(days.rows[0]).not.toContain(null);
      expect(days.rows[1]?.slice(1)).toEqual([null, null]);
      expect(days.nulled).toEqual([
        expect.stringMatching(/^day: /),
        expect.stringMatching(/^at: /),
      ]);
    });

    test.for([
      ["flags", "flag"],
      ["days", "day"],
    ] as const)(
      "fail the read by name without it: %s",
      async ([table, column], { server }) => {
        await server.query(ddl);
        await expect(
          readUnder(server.url, table, "error"),
        ).rejects.toMatchObject({
          code: "SOURCE_VALUE_UNREPRESENTABLE",
          message: expect.stringContaining(column),
        });
        const known = await mysqlDriver.connect(server.url);
        try {
          await known.beginSnapshot(null);
          const found = await known.discover(
            select({ include: [table] }),
            "error",
          );
          expect(
            found.streams[0]?.schema.columns.map(({ nullable }) => nullable),
          ).toEqual([false, false, false]);
        } finally {
          await known.close();
        }
      },
    );
  });

  describe("a condition", () => {
    const ddl = `${numbers} CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9)); INSERT INTO t SELECT n, 'a' FROM numbers`;

    test.for([
      "id = 1) OR (id > 0",
      "id = 1; DELETE FROM t",
      "id = 1) -- ",
      "id = 1 /*",
      "id = 'a",
      "id = 1 GROUP BY id",
      "id = 1 ORDER BY id LIMIT 1",
      "id = 1 UNION SELECT 1",
      "id = 1 INTO OUTFILE '/tmp/never'",
      "id = 1 /*! ) OR (1 = 1 */",
      "id = 1 FOR UPDATE",
      "(id = 1",
      "",
      "id >",
      "nothing > 1",
    ])(
      "is refused where it is not a whole one: %s",
      async (where, { server }) => {
        await server.query(ddl);
        const session = await mysqlDriver.connect(server.url);
        try {
          await session.beginSnapshot(null);
          const found = await session.discover(
            select({ include: ["t"] }),
            "error",
          );
          const [stream] = found.streams;
          if (stream === undefined) return;
          await expect(
            session.planStream(stream, { where, cursor: null }, settings),
          ).rejects.toMatchObject({
            code: expect.stringMatching(
              /^SOURCE_(QUERY_FAILED|COLUMN_NOT_FOUND)$/,
            ),
            details: { table: `${server.database}.t` },
          });
          // the transaction is as it was
          const { plan } = await session.planStream(
            stream,
            { where: "id > 1990 AND s <> '?) OR (' -- all", cursor: null },
            settings,
          );
          const rows = await Promise.all(
            plan.partitions.slice(0, 1).map((one) =>
              read(session, stream, one, {
                filter: { where: "id > 1990 -- all", cursor: null },
              }),
            ),
          );
          expect(plan.partitions.map(({ split }) => split.kind)).toEqual([
            "whole",
          ]);
          expect(rows.flat().length).toBe(10);
        } finally {
          await session.close();
        }
      },
    );
  });

  test("wrong addresses are told by what is wrong with them", async ({
    server,
  }) => {
    const wrong = (change: (url: URL) => void): string => {
      const url = new URL(server.url);
      change(url);
      return url.href;
    };
    const cases = [
      {
        url: wrong((url) => {
          url.username = "nobody";
          url.password = "x";
        }),
        code: "SOURCE_AUTH_FAILED",
      },
      { url: wrong((url) => (url.port = "1")), code: "SOURCE_UNREACHABLE" },
      {
        url: wrong((url) => (url.pathname = "/nowhere")),
        code: expect.stringMatching(/^SOURCE_/),
      },
    ];
    for (const { url, code } of cases) {
      await expect(mysqlDriver.connect(url)).rejects.toMatchObject({ code });
      await expect(
        mysqlDriver.holdSnapshot(url, () => {}),
      ).rejects.toMatchObject({ code });
    }
  });
});
