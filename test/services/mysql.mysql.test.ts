import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inject, vi } from "vitest";
import {
  describe,
  expect,
  flavours,
  test,
  testOn,
  withMysqlDatabase,
} from "../fixtures/mysql.ts";
import { test as plain } from "vitest";

describe.each(flavours)("the %s of the tests", (flavour) => {
  const test = testOn(flavour);

  test("is what it is called, and gives each test an empty database of its own", async ({
    server,
  }) => {
    await server.query(
      "CREATE TABLE kept (a int); INSERT INTO kept VALUES (7)",
    );
    expect(await server.query("SELECT a FROM kept WHERE a = ?", [7])).toEqual([
      { a: 7 },
    ]);
    let other: unknown[] = [{}];
    const { url } = inject(
      flavour === "mysql" ? "mysqlServer" : "mariadbServer",
    );
    await withMysqlDatabase(flavour, url ?? "", async (second) => {
      other = await second.query("SHOW TABLES");
    });
    expect(other).toEqual([]);
    const [row] = await server.query("SELECT version() AS version");
    expect(/maria/i.test(row.version)).toBe(flavour === "mariadb");
    expect(server.serverVersion).toBeGreaterThanOrEqual(80_000);
  });

  test("has row events and a binlog position", async ({ server }) => {
    const [row] = await server.query(
      "SELECT @@global.log_bin AS log, @@global.binlog_format AS format",
    );
    expect(row).toEqual({ log: 1, format: "ROW" });
  });

  test("drops the database even with a session left in it that holds a table", async ({
    server,
  }) => {
    const { url } = inject(
      flavour === "mysql" ? "mysqlServer" : "mariadbServer",
    );
    let name = "";
    await withMysqlDatabase(flavour, url ?? "", async (second) => {
      name = second.database;
      await second.query("CREATE TABLE t (a int); BEGIN; SELECT * FROM t");
    });
    expect(await server.query("SHOW DATABASES LIKE ?", [name])).toEqual([]);
  });

  test("makes users with what they are granted", async ({ server }) => {
    const { url } = await server.createUser([`SELECT ON ${server.database}.*`]);
    expect(new URL(url).pathname).toBe(`/${server.database}`);
  });
});

test("a test may use both at once", async ({ mysql, mariadb }) => {
  expect([mysql.flavour, mariadb.flavour]).toEqual(flavours);
  expect(mysql.url).not.toBe(mariadb.url);
});

const lone = fileURLToPath(new URL("./mysql-lone-server.ts", import.meta.url));

plain.skipIf(process.platform !== "linux").for(flavours)(
  "a %s ends with the process that started it, even by SIGKILL",
  { timeout: 90_000 },
  async (flavour, { skip }) => {
    const { url, reason } = inject(
      flavour === "mysql" ? "mysqlServer" : "mariadbServer",
    );
    if (url === null) return skip(reason);
    const starter = spawn(process.execPath, [lone, flavour], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(starter.stdout, "data")) as [Buffer];
    const [pid, folder = ""] = line.toString().trim().split(" ");
    const server = Number(pid);
    expect(existsSync(folder)).toBe(true);
    expect(() => process.kill(server, 0)).not.toThrow();
    starter.kill("SIGKILL");
    await vi.waitFor(() => expect(() => process.kill(server, 0)).toThrow(), {
      timeout: 30_000,
    });
    await vi.waitFor(() => expect(existsSync(folder)).toBe(false));
  },
);
