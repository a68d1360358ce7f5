import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection } from "tedious";
import { MssqlConnection } from "../../../../connectors/sources/mssql/connection.ts";
import {
  isHookable,
  loadDriverParts,
} from "../../../../connectors/sources/mssql/tokens/driver-parts.ts";
import { parseSourceUrl } from "../../../../connectors/sources/mssql/url.ts";
import { createAuthority } from "../../../services/certificates.ts";
import {
  describe,
  expect,
  test,
  withSqlServer,
} from "../../../fixtures/sqlserver.ts";
import { withConnection } from "./support/tasks.ts";

async function failToConnect(url: string): Promise<unknown> {
  try {
    const connection = await MssqlConnection.connect(parseSourceUrl(url));
    await connection.close();
  } catch (error) {
    return error;
  }
  return null;
}

test("the driver has the parts that bulk reads stand on", () => {
  // where this fails, reads go by the driver's events, at some times the cost
  expect(loadDriverParts()).not.toBeNull();
  const driver = new Connection({ server: "nowhere" });
  expect(isHookable(driver)).toBe(true);
  expect(driver).toHaveProperty("config.options.packetSize");
  expect(driver).toHaveProperty("inTransaction", false);
});

describe("what stands against a connection is one error that says so", () => {
  test("a wrong password", async ({ sqlserver }) => {
    const url = new URL(sqlserver.url);
    url.password = "wrong";
    expect(await failToConnect(url.href)).toMatchObject({
      code: "SOURCE_AUTH_FAILED",
    });
  });

  test("nobody listens", async () => {
    expect(
      await failToConnect("sqlserver://sa:x@127.0.0.1:1/db?encrypt=false"),
    ).toMatchObject({
      code: "SOURCE_UNREACHABLE",
      details: { server: "127.0.0.1:1" },
    });
  });

  test("TLS is asked for and not offered", async ({ sqlserver }) => {
    if (sqlserver.server === null) return;
    const url = sqlserver.url.replace("encrypt=false", "encrypt=true");
    expect(await failToConnect(url)).toMatchObject({
      code: "SOURCE_TLS_FAILED",
    });
  });

  test("a certificate that is not trusted; named as trusted, or trusted whatever it is, it serves", async () => {
    const authority = createAuthority("a test");
    const folder = mkdtempSync(join(tmpdir(), "mssql-"));
    const ca = join(folder, "ca.pem");
    writeFileSync(ca, authority.certPem);
    const tls = authority.issue(["localhost"]);
    try {
      await withSqlServer(
        async ({ url, server }) => {
          if (server === null) return;
          const strict = url
            .replace("encrypt=false", "encrypt=true")
            .replace("127.0.0.1", "localhost");
          expect(await failToConnect(strict)).toMatchObject({
            code: "SOURCE_TLS_FAILED",
          });
          expect(
            await failToConnect(`${strict}&ca=/no/such/file.pem`),
          ).toMatchObject({ code: "SOURCE_TLS_FAILED" });
          for (const way of [
            "trustServerCertificate=true",
            `ca=${encodeURIComponent(ca)}`,
          ]) {
            await withConnection(`${strict}&${way}`, async (connection) => {
              expect(await connection.query("SELECT 1 AS one")).toEqual([
                { one: 1 },
              ]);
            });
          }
        },
        { tls },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("queries have parameters, and errors the server's words and number", async ({
  sqlserver,
}) => {
  await withConnection(sqlserver.url, async (connection) => {
    const odd = "O'Brien ]] \\\n 漢";
    expect(
      await connection.query("SELECT @p1 AS a, @p2 AS b", [odd, null]),
    ).toEqual([{ a: odd, b: null }]);
    await expect(
      connection.query("SELECT * FROM dbo.Nothing"),
    ).rejects.toMatchObject({
      code: "SOURCE_TABLE_NOT_FOUND",
      details: { sqlError: 208 },
    });
    expect(connection.usable).toBe(true);
    expect(connection.serverVersion).toBeGreaterThan(0);
  });
});

test("a connection that is destroyed is not usable, and its query rejects", async ({
  sqlserver,
}) => {
  const connection = await MssqlConnection.connect(
    parseSourceUrl(sqlserver.url),
  );
  const query = connection.query("SELECT 1 AS one");
  connection.destroy();
  await expect(query).rejects.toMatchObject({ code: "SOURCE_CONNECTION_LOST" });
  expect(connection.usable).toBe(false);
  await expect(connection.query("SELECT 1 AS one")).rejects.toMatchObject({
    code: "SOURCE_CONNECTION_LOST",
  });
});
