import { describe, expect, test } from "vitest";
import { mssqlSource } from "../../../../connectors/sources/mssql/config.ts";
import {
  describeServer,
  parseSourceUrl,
  putPassword,
  redactUrl,
  removePassword,
} from "../../../../connectors/sources/mssql/url.ts";

describe("a source URL", () => {
  test.for([
    {
      url: "sqlserver://sa:p%40ss@db.example:1444/Sales",
      env: {},
      found: {
        host: "db.example",
        port: 1444,
        user: "sa",
        password: "p@ss",
        database: "Sales",
        encrypt: "true",
        trustServerCertificate: false,
        instance: null,
      },
    },
    {
      url: "mssql://sa@db.example/?encrypt=false&trustServerCertificate=true",
      env: { MSSQL_PASSWORD: "secret" },
      found: {
        port: 1433,
        password: "secret",
        database: "master",
        encrypt: "false",
        trustServerCertificate: true,
      },
    },
    {
      url: "sqlserver://reader:x@host%5CREPORTS/Sales",
      env: {},
      found: { host: "host", instance: "REPORTS", database: "Sales" },
    },
    {
      url: "sqlserver://reader:x@host\\REPORTS/Sales",
      env: {},
      found: { host: "host", instance: "REPORTS" },
    },
    {
      url: "sqlserver://reader:x@host:1500/Sales?instance=REPORTS",
      env: {},
      found: { port: 1500, instance: null },
    },
    {
      url: "sqlserver://[::1]/Sales?user=a%20b&password=c%26d&Encrypt=strict&applicationIntent=ReadOnly&connectTimeout=3",
      env: {},
      found: {
        host: "::1",
        user: "a b",
        password: "c&d",
        encrypt: "strict",
        readOnlyIntent: true,
        connectTimeoutMs: 3_000,
      },
    },
    {
      url: "sqlserver:///",
      env: {
        MSSQL_HOST: "h",
        MSSQL_USER: "u",
        MSSQL_DATABASE: "d",
        MSSQL_PORT: "5",
      },
      found: { host: "h", user: "u", password: null, database: "d", port: 5 },
    },
  ])("$url", ({ url, env, found }) => {
    expect(parseSourceUrl(url, env)).toMatchObject(found);
  });

  test.for([
    ["postgres://x", "begins with sqlserver://"],
    ["sqlserver://h/db", "names no user"],
    ["sqlserver://u@h:99999/db", "cannot be read"],
    ["sqlserver://u@h/db?port=0", "port 0"],
    ["sqlserver://u@h/db?encrypt=maybe", "encrypt maybe"],
    [
      "sqlserver://u@h/db?trustServerCertificate=yes",
      "trustServerCertificate yes",
    ],
    ["sqlserver://u@h/db?sslmode=require", "sslmode is not known"],
    ["sqlserver://u@h/db?applicationIntent=write", "applicationIntent write"],
    ["sqlserver://u@h/db?connectTimeout=soon", "connectTimeout soon"],
    ["sqlserver://u:p#x@h/db", "percent-encoded"],
    ["sqlserver://u:p@h/db#x", "has a #"],
    ["sqlserver://u:%zz@h/db", "percent-encoded"],
  ] as const)("%s is refused: %s", ([url, why]) => {
    expect(() => parseSourceUrl(url, {})).toThrow(why);
    expect(mssqlSource.safeParse({ kind: "mssql", url }).success).toBe(
      url.startsWith("sqlserver://h/") &&
        process.env["MSSQL_USER"] !== undefined,
    );
  });

  test("a password is never shown, and goes out and in", () => {
    const url = "sqlserver://sa:p%40ss@host:1444/Sales?encrypt=false";
    expect(redactUrl(url)).toBe(
      "sqlserver://sa:***@host:1444/Sales?encrypt=false",
    );
    expect(removePassword(url)).toBe(
      "sqlserver://sa@host:1444/Sales?encrypt=false",
    );
    expect(
      parseSourceUrl(putPassword(removePassword(url), "p@ss/?#")).password,
    ).toBe("p@ss/?#");
    const byParameter = "mssql://host\\I/Sales?user=sa&password=secret";
    expect(redactUrl(byParameter)).not.toContain("secret");
    expect(removePassword(byParameter)).toBe("mssql://host\\I/Sales?user=sa");
    expect(
      parseSourceUrl(putPassword("mssql://host/Sales?user=sa", "x y")).password,
    ).toBe("x y");
    expect(redactUrl("sqlserver://[")).toBe("<source>");
    expect(() => removePassword("sqlserver://[")).toThrow(TypeError);
    for (const wrong of [
      "sqlserver://u:hidden@h/db?encrypt=maybe",
      "sqlserver://u:hidden@h/db?nonsense=1",
    ]) {
      try {
        parseSourceUrl(wrong, {});
        expect.unreachable();
      } catch (error) {
        expect(JSON.stringify(error) + String(error)).not.toContain("hidden");
      }
    }
  });

  test("a server is named by port or instance", () => {
    expect(describeServer({ host: "h", port: 1433, instance: null })).toBe(
      "h:1433",
    );
    expect(describeServer({ host: "::1", port: 1433, instance: null })).toBe(
      "[::1]:1433",
    );
    expect(describeServer({ host: "h", port: 1433, instance: "X" })).toBe(
      "h\\X",
    );
  });
});
