import { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import { describe, expect, flavours, testOn } from "../../../fixtures/mysql.ts";
import { startProxy, type ProxyOptions } from "../postgres/support/proxy.ts";
import { makeTask, readTask, type FinishedRead } from "./support/tasks.ts";

const createTable = `
  CREATE TABLE t (i int PRIMARY KEY, n decimal(10,2), s varchar(200), at datetime(6), l longtext);
  INSERT INTO t WITH RECURSIVE d AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM d WHERE n < 59)
    SELECT 60 * a.n + b.n + 1, (60 * a.n + b.n + 1) / 4, REPEAT('ab', b.n), IF(b.n % 7 > 0, NOW(6), NULL),
      IF(60 * a.n + b.n = 777, REPEAT('long', 1000000), NULL) FROM d a, d b;
  UPDATE t SET s = REPEAT('x', 17), at = NULL WHERE i = 1`;

/** Reads the table `t` by way of a proxy. */
async function readThrough(
  serverUrl: string,
  options: ProxyOptions,
): Promise<FinishedRead> {
  const proxy = await startProxy(serverUrl, options);
  try {
    const connection = await MysqlConnection.connect(parseSourceUrl(proxy.url));
    try {
      const task = await makeTask(connection, "t");
      const first = await readTask(connection, task);
      // the driver has its connection back, and a second read follows
      const [row] = await connection.query<{ count: number }>(
        "SELECT count(*) AS count FROM t",
      );
      const second = await readTask(connection, task);
      expect(second.sink.rows).toEqual(first.sink.rows);
      expect(first.sink.rows).toHaveLength(row?.count ?? -1);
      return first;
    } finally {
      await connection.close();
    }
  } finally {
    await proxy.close();
  }
}

function cut(chunk: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < chunk.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    pieces.push(chunk.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test.for([
    { name: "prime pieces", sizes: [1, 2, 3, 5, 7, 11, 13, 4_099] },
    { name: "pieces around the window's size", sizes: [262_143, 262_145, 1] },
  ])(
    "however the bytes arrive, the rows are the same: $name",
    async ({ sizes }, { server }) => {
      await server.query(createTable);
      const plain = await readThrough(server.url, {});
      const pieces = await readThrough(server.url, {
        transform: (chunk) => cut(chunk, sizes),
      });
      expect(pieces.sink.rows).toEqual(plain.sink.rows);
    },
  );

  /** Changes the table's first row: its header, a zero byte, the bitmap, 1, "0.25", 17 times x. */
  const corrupt =
    (change: (row: Buffer) => void) =>
    (chunk: Buffer): Buffer[] => {
      const at = chunk.indexOf("\u0001\0\0\0\u00040.25\u0011xxx", "latin1");
      if (at >= 6) change(chunk.subarray(at - 6));
      return [chunk];
    };

  test.for<{ name: string; change: (row: Buffer) => void }>([
    { name: "a length of 0", change: (row) => row.writeUIntLE(0, 0, 3) },
    { name: "a length of 1", change: (row) => row.writeUIntLE(1, 0, 3) },
    { name: "a longer row", change: (row) => row.writeUIntLE(90, 0, 3) },
    { name: "a packet out of order", change: (row) => row.writeUInt8(200, 3) },
    { name: "no known marker", change: (row) => row.writeUInt8(7, 4) },
    { name: "other NULLs", change: (row) => row.writeUInt8(0, 5) },
    {
      name: "a text of 2 GiB",
      change: (row) => row.write("\u00fe", 15, "latin1"),
    },
    {
      name: "a text that is NULL",
      change: (row) => row.write("\u00fb", 15, "latin1"),
    },
  ])(
    "bytes that the protocol does not allow: $name",
    async ({ change }, { server }) => {
      await server.query(createTable);
      const before = process.memoryUsage().arrayBuffers;
      let changed = 0;
      const transform = corrupt((row) => {
        changed++;
        change(row);
      });
      await expect(
        readThrough(server.url, { transform }),
      ).rejects.toMatchObject({ code: "SOURCE_PROTOCOL_VIOLATION" });
      expect(changed).toBe(1);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(
        64_000_000,
      );
    },
  );
});
