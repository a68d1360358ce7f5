import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PostgresConnection } from "../../../../connectors/sources/postgres/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/postgres/url.ts";
import { describe, expect, test } from "../../../fixtures/postgres.ts";
import { certificate, startProxy, type ProxyOptions } from "./support/proxy.ts";
import { makeTask, readTask, type FinishedRead } from "./support/tasks.ts";

const createTable = `
  CREATE TABLE t AS SELECT i, i / 4.0 AS n, repeat('ab', i % 40) AS s, CASE WHEN i % 7 > 0 THEN now() END AS at,
    CASE i WHEN 777 THEN repeat('long', 200000) END AS l
  FROM generate_series(1, 3000) AS i`;

/** Reads the table `t` by way of a proxy. */
async function readThrough(
  serverUrl: string,
  options: ProxyOptions,
  parameters: Readonly<Record<string, string>> = {},
): Promise<FinishedRead & { readonly usable: boolean }> {
  const proxy = await startProxy(serverUrl, options);
  const url = new URL(proxy.url);
  for (const [name, value] of Object.entries(parameters))
    url.searchParams.set(name, value);
  try {
    const connection = await PostgresConnection.connect(
      parseSourceUrl(url.href),
    );
    try {
      const task = await makeTask(connection, "t");
      const first = await readTask(connection, task);
      // the driver has its connection back, and a second read follows
      const [row] = await connection.query<{ count: number }>(
        "SELECT count(*)::int AS count FROM t",
      );
      const second = await readTask(connection, task);
      expect(second.sink.rows).toEqual(first.sink.rows);
      expect(first.sink.rows).toHaveLength(row?.count ?? -1);
      return { ...first, usable: connection.usable };
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

describe("however the bytes arrive, the rows are the same", () => {
  test.for([
    { name: "prime pieces", sizes: [1, 2, 3, 5, 7, 11, 13, 4_099] },
    { name: "pieces around the window's size", sizes: [262_143, 262_145, 1] },
  ])("$name", async ({ sizes }, { pg }) => {
    await pg.query(createTable);
    const plain = await readThrough(pg.url, {});
    const pieces = await readThrough(pg.url, {
      transform: (chunk) => cut(chunk, sizes),
    });
    expect(pieces.sink.rows).toEqual(plain.sink.rows);
  });

  test("over TLS, with the certificate verified", async ({ pg }) => {
    await pg.query(createTable);
    const folder = await mkdtemp(join(tmpdir(), "millrace-tls-"));
    try {
      const sslrootcert = join(folder, "ca.pem");
      await writeFile(sslrootcert, certificate);
      const plain = await readThrough(pg.url, {});
      for (const parameters of [
        { sslmode: "require" },
        { sslmode: "verify-ca", sslrootcert },
        { sslmode: "verify-full", sslrootcert, host: "localhost" },
      ]) {
        const encrypted = await readThrough(pg.url, { tls: true }, parameters);
        expect(encrypted.sink.rows).toEqual(plain.sink.rows);
      }
      await expect(
        readThrough(pg.url, { tls: true }, { sslmode: "verify-full" }),
      ).rejects.toMatchObject({ code: "SOURCE_TLS_FAILED" });
      await writeFile(sslrootcert, "no certificate");
      await expect(
        readThrough(
          pg.url,
          { tls: true },
          { sslmode: "verify-ca", sslrootcert },
        ),
      ).rejects.toMatchObject({ code: "SOURCE_TLS_FAILED" });
      await expect(
        readThrough(
          pg.url,
          { tls: true },
          { sslmode: "verify-ca", sslrootcert: join(folder, "none.pem") },
        ),
      ).rejects.toMatchObject({ code: "SOURCE_TLS_FAILED" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("a long read over TLS, in which reads are coalesced and a sink is slow", async ({
    pg,
  }) => {
    await pg.query(
      "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 10) AS s FROM generate_series(1, 60000) AS i",
    );
    const proxy = await startProxy(pg.url, { tls: true });
    const connection = await PostgresConnection.connect(
      parseSourceUrl(`${proxy.url}?sslmode=require`),
    );
    const { sink } = await readTask(
      connection,
      await makeTask(connection, "t"),
      {},
      (_, kept) => {
        kept.onBatch = () => new Promise((resolve) => setTimeout(resolve, 20));
      },
    );
    expect(sink.rows).toHaveLength(60_000);
    expect(sink.rows.every(([i], index) => i === index + 1)).toBe(true);
    await connection.close();
    await proxy.close();
  });
});

describe("bytes that the protocol does not allow", () => {
  /** Changes the first row that begins inside a chunk, once the answer to the read has begun. */
  const corrupt =
    (change: (row: Buffer) => void) =>
    (chunk: Buffer): Buffer[] => {
      // the read's first row: 3 fields, of which the first is an int4
      const at = chunk.indexOf(Buffer.from([0, 5, 0, 0, 0, 4, 0, 0, 0, 1]));
      if (at >= 5) change(chunk.subarray(at - 5));
      return [chunk];
    };

  test.for<{ name: string; change: (row: Buffer) => void; code: string }>([
    {
      name: "a negative length",
      change: (row) => row.writeInt32BE(-1, 1),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
    {
      name: "a length of 2 GiB",
      change: (row) => row.writeInt32BE(0x7fffffff, 1),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
    {
      name: "a length of 3",
      change: (row) => row.writeInt32BE(3, 1),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
    {
      name: "another field count",
      change: (row) => row.writeInt16BE(9, 5),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
    {
      name: "a field of 2 GiB",
      change: (row) => row.writeInt32BE(0x7fffffff, 15),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
    {
      name: "a message of no known type",
      change: (row) => row.write("?", 0),
      code: "SOURCE_PROTOCOL_VIOLATION",
    },
  ])(
    "$name is $code, and nothing large is allocated",
    async ({ change, code }, { pg }) => {
      await pg.query(createTable);
      const before = process.memoryUsage().arrayBuffers;
      await expect(
        readThrough(pg.url, { transform: corrupt(change) }),
      ).rejects.toMatchObject({ code });
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(
        64_000_000,
      );
    },
  );
});
