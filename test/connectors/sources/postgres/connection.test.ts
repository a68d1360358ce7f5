import { describe, expect, test } from "vitest";
import { ExtractError } from "../../../../proto/error.ts";
import { toSourceError } from "../../../../connectors/sources/postgres/errors.ts";
import {
  parseSourceUrl,
  putPassword,
  redactUrl,
  removePassword,
} from "../../../../connectors/sources/postgres/url.ts";

describe("source URLs", () => {
  test("every part is read", () => {
    expect(
      parseSourceUrl(
        "postgresql://us%40er:p%23ss@db.example:6543/sh%20op?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=3&application_name=x",
        {},
      ),
    ).toMatchObject({
      host: "db.example",
      port: 6543,
      user: "us@er",
      password: "p#ss",
      database: "sh op",
      sslmode: "verify-full",
      sslrootcert: "/ca.pem",
      connectTimeoutMs: 3_000,
      applicationName: "x",
    });
  });

  test("the environment fills what is left out", () => {
    const env = {
      PGHOST: "h",
      PGPORT: "7",
      PGUSER: "u",
      PGPASSWORD: "s",
      PGDATABASE: "d",
      PGSSLMODE: "require",
      PGSSLROOTCERT: "/r",
    };
    expect(parseSourceUrl("postgres://", env)).toMatchObject({
      host: "h",
      port: 7,
      user: "u",
      password: "s",
      database: "d",
      sslmode: "require",
      sslrootcert: "/r",
    });
    expect(parseSourceUrl("postgres://v:w@i:8/e", env)).toMatchObject({
      host: "i",
      port: 8,
      user: "v",
      password: "w",
      database: "e",
    });
  });

  test.for([
    {
      url: "postgres:///d?host=/run/pg&port=5433&user=u",
      host: "/run/pg",
      port: 5433,
    },
    { url: "postgres://u@%2Frun%2Fpg/d", host: "/run/pg", port: 5432 },
    { url: "postgres://u@[::1]:5433/d", host: "::1", port: 5433 },
    { url: "postgres://u@:5433/d", host: "localhost", port: 5433 },
    {
      url: "postgres://u:p@/d?host=%2Frun%2Fpg",
      host: "/run/pg",
      port: 5432,
    },
    { url: "postgres://u@/d", host: "localhost", port: 5432 },
  ])("$url leads to $host", ({ url, host, port }) => {
    expect(parseSourceUrl(url, {})).toMatchObject({
      host,
      port,
      user: "u",
      database: "d",
    });
  });

  test.for([
    "postgres://",
    "postgres:///d",
    "postgres://u@/d",
    "postgres://u@:8/d",
    "postgres://:8/d",
  ])("%s names no host, so that PGHOST does", (url) => {
    expect(parseSourceUrl(url, { PGHOST: "h", PGUSER: "u" }).host).toBe("h");
  });

  test("a database without a name is the user's", () => {
    expect(parseSourceUrl("postgres://ann@h", {}).database).toBe("ann");
  });

  test.for([
    { url: "mysql://h/d", words: "begins with postgres://" },
    { url: "postgres://u:p#q@h/d", words: "percent-encoded" },
    { url: "postgres://u@h/d#x", words: "%23" },
    { url: "postgres://u@h:99999/d", words: "cannot be read" },
    { url: "postgres://u@h/d?port=0", words: "port 0" },
    { url: "postgres://u@h/d?sslmode=maybe", words: "sslmode maybe" },
    {
      url: "postgres://u@h/d?ssl_mode=require",
      words: "ssl_mode is not known",
    },
    {
      url: "postgres://u@h/d?connect_timeout=soon",
      words: "connect_timeout soon",
    },
    { url: "postgres://u:%zz@h/d", words: "password" },
    { url: "postgres://u@a,b/d", words: "one host" },
  ])("$url is refused with words that help", ({ url, words }) => {
    let error: unknown = null;
    try {
      parseSourceUrl(url, {});
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ExtractError);
    expect(error).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining(words),
    });
  });

  test("a password never leaves", () => {
    expect(redactUrl("postgres://u:secret@h/d?password=secret")).not.toContain(
      "secret",
    );
    expect(redactUrl("postgres://u:sec ret@h:bad/d")).toBe("<source>");
  });

  test.for([
    {
      url: "postgres://u:secret@h:1/d?password=secret",
      bare: "postgres://u@h:1/d",
    },
    {
      url: "postgres://u:secret@/d?host=%2Frun",
      bare: "postgres://u@/d?host=%2Frun",
    },
    { url: "postgres://u:secret@:5/d", bare: "postgres://u@:5/d" },
    {
      url: "postgres:///d?user=u&password=secret",
      bare: "postgres:///d?user=u",
    },
  ])("the password is taken out of $url, and put back", ({ url, bare }) => {
    expect(removePassword(url)).toBe(bare);
    expect(redactUrl(url)).not.toContain("secret");
    const whole = putPassword(bare, "p @/#%");
    expect(parseSourceUrl(whole, {})).toEqual({
      ...parseSourceUrl(bare, {}),
      password: "p @/#%",
    });
  });
});

describe("errors", () => {
  const server = (code: string, message = "words", severity = "ERROR"): Error =>
    Object.assign(new Error(message), { code, severity });

  test.for([
    { error: server("28P01"), code: "SOURCE_AUTH_FAILED" },
    { error: server("28000"), code: "SOURCE_AUTH_FAILED" },
    { error: server("3D000"), code: "SOURCE_DATABASE_NOT_FOUND" },
    {
      error: server("57P03", "the database system is starting up", "FATAL"),
      code: "SOURCE_UNREACHABLE",
    },
    { error: server("42501"), code: "SOURCE_PERMISSION_DENIED" },
    { error: server("42P01"), code: "SOURCE_TABLE_NOT_FOUND" },
    { error: server("42703"), code: "SOURCE_COLUMN_NOT_FOUND" },
    { error: server("08006"), code: "SOURCE_CONNECTION_LOST" },
    {
      error: server("57P01", "terminating connection", "FATAL"),
      code: "SOURCE_CONNECTION_LOST",
    },
    {
      error: server("XX000", "out of the blue", "FATAL"),
      code: "SOURCE_CONNECTION_LOST",
    },
    {
      error: server("22023", 'invalid snapshot identifier: "x"'),
      code: "SOURCE_SNAPSHOT_LOST",
    },
    {
      error: server("42704", 'snapshot "x" does not exist'),
      code: "SOURCE_SNAPSHOT_LOST",
    },
    {
      error: server("22023", "parameter out of range"),
      code: "SOURCE_QUERY_FAILED",
    },
    {
      error: server(
        "40001",
        "canceling statement due to conflict with recovery",
      ),
      code: "SOURCE_SNAPSHOT_LOST",
    },
    {
      error: server("72000", "snapshot too old"),
      code: "SOURCE_SNAPSHOT_LOST",
    },
    { error: server("22012", "division by zero"), code: "SOURCE_QUERY_FAILED" },
    {
      error: Object.assign(new Error("connect ECONNREFUSED"), {
        code: "ECONNREFUSED",
      }),
      code: "SOURCE_UNREACHABLE",
    },
    {
      error: Object.assign(new Error("getaddrinfo ENOTFOUND h"), {
        code: "ENOTFOUND",
      }),
      code: "SOURCE_UNREACHABLE",
    },
    { error: new Error("timeout expired"), code: "SOURCE_UNREACHABLE" },
    {
      error: Object.assign(new Error("read ECONNRESET"), {
        code: "ECONNRESET",
      }),
      code: "SOURCE_CONNECTION_LOST",
    },
    {
      error: new Error("Connection terminated unexpectedly"),
      code: "SOURCE_CONNECTION_LOST",
    },
    {
      error: Object.assign(new Error("self-signed certificate"), {
        code: "DEPTH_ZERO_SELF_SIGNED_CERT",
      }),
      code: "SOURCE_TLS_FAILED",
    },
    {
      error: new Error("The server does not support SSL connections"),
      code: "SOURCE_TLS_FAILED",
    },
    {
      error: new Error(
        "SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string",
      ),
      code: "SOURCE_AUTH_FAILED",
    },
  ])("$error is $code", ({ error, code }) => {
    expect(toSourceError(error, { server: "h:1" })).toMatchObject({
      code,
      cause: error,
    });
  });

  test("a failure of the network names host and port", () => {
    const inner = new Error("connect ECONNREFUSED 127.0.0.1:1");
    const error = Object.assign(new AggregateError([inner]), {
      code: "ECONNREFUSED",
    });
    expect(toSourceError(error, { server: "db:1" }).message).toBe(
      "cannot reach db:1: connect ECONNREFUSED 127.0.0.1:1",
    );
  });
});
