import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { MysqlConnection } from "../../../../connectors/sources/mysql/connection.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mysql/url.ts";
import { describe, expect, flavours, testOn } from "../../../fixtures/mysql.ts";
import { createAuthority } from "../../../services/certificates.ts";
import { startMysql, type MysqlService } from "../../../services/mysql.ts";
import { makeTask, readTask } from "./support/tasks.ts";

const connect = (url: string): Promise<MysqlConnection> =>
  MysqlConnection.connect(parseSourceUrl(url, {}));

/** The URL with other parts; the database is kept where none is given. */
function change(
  url: string,
  parts: Partial<Pick<URL, "hostname" | "password" | "pathname">>,
): string {
  return Object.assign(new URL(url), parts).href;
}

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test("the session is the one that readers rely on", async ({ server }) => {
    const connection = await connect(server.url);
    expect(connection.flavour).toBe(flavour);
    expect(connection.serverVersion).toBe(server.serverVersion);
    const [row] = await connection.query(`
      SELECT connection_id() AS id, @@sql_mode AS mode, @@time_zone AS zone, @@character_set_results AS charset,
        @@net_write_timeout AS writing, @@wait_timeout AS idle, @@autocommit AS autocommit,
        CAST(@@sql_select_limit AS CHAR) AS rows_max, CAST('9007199254740993' AS UNSIGNED) AS big, 1.50 AS exact,
        TIMESTAMP'2024-02-03 04:05:06.000001' AS at, X'00ff' AS bytes, 'ж\\\\' AS text`);
    expect(row).toEqual({
      id: connection.threadId,
      mode: "ALLOW_INVALID_DATES",
      zone: "+00:00",
      charset: "utf8mb4",
      writing: 31_536_000,
      idle: 31_536_000,
      autocommit: 1,
      rows_max: "18446744073709551615",
      big: "9007199254740993",
      exact: "1.50",
      at: "2024-02-03 04:05:06.000001",
      bytes: Buffer.from([0, 255]),
      text: "ж\\",
    });
    const limit =
      flavour === "mysql" ? "max_execution_time" : "max_statement_time";
    const [time] = await connection.query<{ v: unknown }>(
      `SELECT @@${limit} + 0 AS v`,
    );
    expect(Number(time?.v)).toBe(0);
    await connection.close();
    expect(connection.usable).toBe(false);
  });

  test("parameters are bound by the server, and leave quotes alone", async ({
    server,
  }) => {
    const connection = await connect(server.url);
    expect(
      await connection.query("SELECT '?' AS q, ? AS a, ? AS b, ? AS c", [
        "it's \\ ж",
        42,
        null,
      ]),
    ).toEqual([{ q: "?", a: "it's \\ ж", b: "42", c: null }]);
    await server.query(
      "CREATE TABLE t (k bigint PRIMARY KEY); INSERT INTO t VALUES (9007199254740993), (9007199254740992)",
    );
    expect(
      await connection.query("SELECT k FROM t WHERE k = ?", [
        "9007199254740993",
      ]),
    ).toEqual([{ k: "9007199254740993" }]);
    await connection.close();
  });

  test("a password is asked for, and what is wrong is named", async ({
    server,
  }) => {
    const user = await server.createUser([`SELECT ON ${server.database}.*`]);
    const connection = await connect(user.url);
    expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await connection.close();
    for (const password of ["wrong", ""]) {
      await expect(
        connect(change(user.url, { password })),
      ).rejects.toMatchObject({
        code: "SOURCE_AUTH_FAILED",
      });
    }
    await expect(
      connect(change(user.url, { pathname: "/mysql" })),
    ).rejects.toMatchObject({ code: "SOURCE_AUTH_FAILED" });
    await expect(
      connect(change(server.url, { pathname: "/no_such_database" })),
    ).rejects.toMatchObject({
      code: "SOURCE_DATABASE_NOT_FOUND",
      message: "Unknown database 'no_such_database'",
    });
  });

  test("what the server says of a statement is told by its kind", async ({
    server,
  }) => {
    await server.query("CREATE TABLE secret (a int)");
    const other = await server.createDatabase();
    const user = await server.createUser([`SELECT ON ${other}.*`]);
    const connection = await connect(change(user.url, { pathname: "" }));
    const codeOf = (sql: string): Promise<unknown> =>
      connection.query(sql).catch((error: { code: string }) => error.code);
    expect(await codeOf(`SELECT * FROM ${server.database}.secret`)).toBe(
      "SOURCE_PERMISSION_DENIED",
    );
    expect(await codeOf(`SELECT * FROM ${other}.nothing`)).toBe(
      "SOURCE_TABLE_NOT_FOUND",
    );
    expect(await codeOf("SELECT nothing")).toBe("SOURCE_COLUMN_NOT_FOUND");
    expect(await codeOf("SELEC 1")).toBe("SOURCE_QUERY_FAILED");
    expect(await codeOf("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.query(`KILL ${connection.threadId}`);
    expect(await codeOf("SELECT 1")).toBe("SOURCE_CONNECTION_LOST");
    expect(connection.usable).toBe(false);
  });

  test("a cancel request ends the statement that runs, and none after it", async ({
    server,
  }) => {
    const connection = await connect(server.url);
    for (let i = 0; i < 5; i++) {
      const sleeping = connection.query("SELECT SLEEP(60) AS slept").then(
        (rows) => rows,
        (error: { details: unknown }) => error.details,
      );
      // until the server runs it
      for (;;) {
        const rows = await server.query(
          `SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ${connection.threadId} AND STATE = 'User sleep'`,
        );
        if (rows.length > 0) break;
      }
      expect(await connection.cancelQuery()).toBe(true);
      // MySQL ends the sleep early, MariaDB the statement
      const ended = await sleeping;
      expect([
        [{ slept: 1 }],
        expect.objectContaining({ errno: 1317 }),
      ]).toContainEqual(ended);
      expect(await connection.cancelQuery()).toBe(true);
      await connection.absorbCancel();
      expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    }
    await connection.close();
  });
});

describe.each(flavours)("%s with TLS", (flavour) => {
  const test = testOn(flavour);
  const folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
  const path = (name: string): string => join(folder, name);
  let server: MysqlService | null = null;
  let base = "";
  let ca = "";

  beforeAll(async () => {
    const authority = createAuthority("test authority");
    const own = authority.issue(["localhost"]);
    chmodSync(folder, 0o755);
    for (const [name, text] of [
      ["ca.pem", authority.certPem],
      ["cert.pem", own.certPem],
      ["key.pem", own.keyPem],
      ["other.pem", createAuthority("another authority").certPem],
    ] as const) {
      writeFileSync(path(name), text, { mode: 0o644 });
    }
    const settings = [
      `ssl-ca=${path("ca.pem")}`,
      `ssl-cert=${path("cert.pem")}`,
      `ssl-key=${path("key.pem")}`,
    ];
    // the old OpenSSL in MySQL 8.0.15 takes no elliptic curve from us; it makes certificates for itself
    server = await startMysql({
      flavour,
      settings: flavour === "mariadb" ? settings : [],
    });
    ca =
      flavour === "mariadb"
        ? path("ca.pem")
        : join(server.folder ?? "", "data", "ca.pem");
    base = change(server.url, { hostname: "localhost" });
  });

  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  test.for([
    { parameters: "ssl-mode=DISABLED", isEncrypted: false },
    { parameters: "ssl-mode=PREFERRED", isEncrypted: false }, // on this machine
    { parameters: "ssl-mode=REQUIRED", isEncrypted: true },
    { parameters: "sslmode=verify-ca&sslca=CA", isEncrypted: true },
    { parameters: "sslca=CA", isEncrypted: true },
  ])("$parameters", async ({ parameters, isEncrypted }) => {
    const connection = await connect(
      `${base}?${parameters.replace(/CA$/, ca)}`,
    );
    const [row] = await connection.query<{ Value: string }>(
      "SHOW STATUS LIKE 'Ssl_cipher'",
    );
    expect(row?.Value !== "").toBe(isEncrypted);
    await connection.close();
  });

  test.for([
    { parameters: "ssl-mode=VERIFY_CA", code: "SOURCE_TLS_FAILED" },
    { parameters: "ssl-ca=OTHER", code: "SOURCE_TLS_FAILED" },
    { parameters: "ssl-mode=VERIFY_CA&ssl-ca=NONE", code: "SOURCE_TLS_FAILED" },
    {
      parameters: "ssl-mode=VERIFY_IDENTITY&ssl-ca=CA",
      host: "127.0.0.1",
      code: "USAGE",
    },
  ])(
    "$parameters, which does not match: $code",
    async ({ parameters, host, code }) => {
      const files = parameters
        .replace("OTHER", path("other.pem"))
        .replace("NONE", path("none.pem"))
        .replace(/=CA$/, `=${ca}`);
      const url = change(base, host === undefined ? {} : { hostname: host });
      await expect(connect(`${url}?${files}`)).rejects.toMatchObject({ code });
    },
  );

  test("the certificate is for the name that was asked for, or for another", async () => {
    const connecting = connect(`${base}?ssl-mode=VERIFY_IDENTITY&ssl-ca=${ca}`);
    if (flavour === "mariadb") {
      await (await connecting).close();
    } else {
      // those that the server makes name no host
      await expect(connecting).rejects.toMatchObject({
        code: "SOURCE_TLS_FAILED",
      });
    }
  });

  test("rows are read by way of TLS, with a slow sink and a stop", async () => {
    const connection = await connect(`${base}?ssl-mode=REQUIRED`);
    await connection.query(
      "CREATE TABLE mysql.big (id int PRIMARY KEY, t text) CHARACTER SET utf8mb4",
    );
    await connection.query(
      `INSERT INTO mysql.big WITH RECURSIVE d AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM d WHERE n < 199)
        SELECT a.n * 200 + b.n, REPEAT('x', 200 + b.n) FROM d a, d b`,
    );
    const task = await makeTask(connection, "big", { key: ["id"] });
    const { sink } = await readTask(connection, task, {}, (read, kept) => {
      kept.onBatch = () => read.stop();
    });
    const rest = await readTask(connection, {
      ...task,
      resumeAfter: sink.checkpoints.at(-1)?.position ?? null,
    });
    const rows = [...sink.rows, ...rest.sink.rows];
    expect(rows.map(([id]) => id)).toEqual(
      Array.from({ length: 40_000 }, (_, n) => n),
    );
    expect(
      rows.every(([id, t]) => String(t).length === 200 + (Number(id) % 200)),
    ).toBe(true);
    await connection.close();
  });
});

describe("without a server", () => {
  const test = testOn("mariadb");

  test("nobody listens, and nobody answers", async () => {
    await expect(connect("mysql://u@127.0.0.1:1/d")).rejects.toMatchObject({
      code: "SOURCE_UNREACHABLE",
    });
    await expect(
      connect("mysql://u@localhost/d?socket=/nowhere/mysqld.sock"),
    ).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE" });
    const silent = createServer((socket) => socket.on("error", () => {}));
    await new Promise<void>((resolve) =>
      silent.listen(0, "127.0.0.1", resolve),
    );
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : 0;
    await expect(
      connect(`mysql://u@127.0.0.1:${port}/d?connect-timeout=1`),
    ).rejects.toMatchObject({
      code: "SOURCE_UNREACHABLE",
      message: expect.stringContaining("no answer within"),
    });
    silent.close();
  });

  test("what speaks another protocol is told", async () => {
    const other = createServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const address = other.address();
    const port = typeof address === "object" ? address?.port : 0;
    const error = (await connect(
      `mysql://u@127.0.0.1:${port}/d?connect-timeout=2`,
    ).catch((e: unknown) => e)) as { code: string };
    expect([
      "SOURCE_UNREACHABLE",
      "SOURCE_CONNECTION_LOST",
      "SOURCE_PROTOCOL_VIOLATION",
    ]).toContain(error.code);
    other.close();
  });
});
