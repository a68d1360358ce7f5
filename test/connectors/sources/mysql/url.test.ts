import { describe, expect, test } from "vitest";
import { ExtractError } from "../../../../proto/error.ts";
import { mysqlSource } from "../../../../connectors/sources/mysql/config.ts";
import {
  describeServer,
  parseSourceUrl,
  putPassword,
  redactUrl,
  removePassword,
} from "../../../../connectors/sources/mysql/url.ts";

describe("source URLs", () => {
  test("every part is read", () => {
    expect(
      parseSourceUrl(
        "mysql://us%40er:p%23ss@db.example:6543/sh%20op?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem&ssl-cert=/c.pem&ssl-key=/k.pem&connect-timeout=3",
        {},
      ),
    ).toEqual({
      host: "db.example",
      port: 6543,
      socket: null,
      user: "us@er",
      password: "p#ss",
      database: "sh op",
      sslMode: "verify-identity",
      sslCa: "/ca.pem",
      sslCert: "/c.pem",
      sslKey: "/k.pem",
      connectTimeoutMs: 3_000,
    });
  });

  test("what is left out has the servers' defaults, or the environment's", () => {
    expect(parseSourceUrl("mariadb://u@h", {})).toMatchObject({
      host: "h",
      port: 3306,
      user: "u",
      password: null,
      database: "",
      sslMode: "preferred",
      sslCa: null,
      connectTimeoutMs: 15_000,
    });
    const env = { MYSQL_HOST: "e", MYSQL_TCP_PORT: "7", MYSQL_PWD: "s" };
    expect(parseSourceUrl("mysql://u@/d", env)).toMatchObject({
      host: "e",
      port: 7,
      user: "u",
      password: "s",
      database: "d",
    });
    expect(parseSourceUrl("mysql://v:w@i:8/e", env)).toMatchObject({
      host: "i",
      port: 8,
      password: "w",
    });
  });

  test("modes of TLS have the names of several clients", () => {
    const modeOf = (parameters: string): string =>
      parseSourceUrl(`mysql://u@h/d?${parameters}`, {}).sslMode;
    expect(modeOf("ssl-mode=DISABLED")).toBe("disabled");
    expect(modeOf("sslmode=verify-ca")).toBe("verify-ca");
    expect(modeOf("ssl_mode=required")).toBe("required");
    expect(modeOf("sslmode=require")).toBe("required");
    expect(modeOf("ssl-ca=/x")).toBe("verify-ca");
    expect(modeOf("ssl-ca=/x&ssl-mode=REQUIRED")).toBe("required");
  });

  test("a socket, an IPv6 address", () => {
    const socket = parseSourceUrl(
      "mysql://u@localhost/d?socket=/run/m.sock",
      {},
    );
    expect(describeServer(socket)).toBe("/run/m.sock");
    const address = parseSourceUrl("mysql://u@[::1]:33/d", {});
    expect(address.host).toBe("::1");
    expect(describeServer(address)).toBe("[::1]:33");
  });

  test.for([
    { url: "postgres://h/d", says: "begins with mysql://" },
    { url: "mysql://u:p#ss@h/d", says: "percent-encoded" },
    { url: "mysql://u@h/d#x", says: "%23" },
    { url: "mysql://u:p%ss@h/d", says: "%25" },
    { url: "mysql://h:99999/d", says: "" },
    { url: "mysql://h/d?ssl-mode=maybe", says: "ssl-mode maybe" },
    { url: "mysql://h/d?sslmod=required", says: "sslmod is not known" },
    { url: "mysql://h/d?ssl-cert=/c", says: "belong together" },
    { url: "mysql://h/a/b", says: "more than one database" },
    { url: "mysql://h/d?connect-timeout=soon", says: "connect-timeout soon" },
    { url: "mysql://a,b/d", says: "one host" },
  ])("$url is refused", ({ url, says }) => {
    let error: unknown = null;
    try {
      parseSourceUrl(url, {});
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ExtractError);
    expect(error).toMatchObject({ code: "USAGE" });
    expect((error as ExtractError).message).toContain(says);
    expect(JSON.stringify(error)).not.toContain("p%ss");
    expect(mysqlSource.safeParse({ kind: "mysql", url }).success).toBe(false);
  });

  test("a password is taken out and put back", () => {
    const url = "mysql://u:p%40s@h:3307/d?ssl-mode=REQUIRED";
    const without = removePassword(url);
    expect(without).toBe("mysql://u@h:3307/d?ssl-mode=REQUIRED");
    expect(putPassword(without, "p@s")).toBe(url);
    expect(redactUrl(url)).toBe("mysql://u:***@h:3307/d?ssl-mode=REQUIRED");
    expect(removePassword("mysql://h/d?password=x")).toBe("mysql://h/d");
    expect(redactUrl("mysql://h/d?password=x")).toBe(
      "mysql://h/d?password=***",
    );
    const asParameter = putPassword("mysql://h/d", "a&b");
    expect(parseSourceUrl(asParameter, {}).password).toBe("a&b");
    expect(redactUrl("nonsense")).toBe("<source>");
  });
});
