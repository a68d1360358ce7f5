import { describe, expect, test } from "vitest";
import {
  readVersion,
  sessionStatement,
} from "../../../../connectors/sources/mysql/session.ts";
import {
  compareKey,
  filterConditions,
  keyLiteral,
  keyText,
  quoteIdentifier,
  quoteLiteral,
} from "../../../../connectors/sources/mysql/sql.ts";
import type { MysqlColumn } from "../../../../connectors/sources/mysql/stream.ts";
import {
  columnSchema,
  keyType,
  rangeUse,
} from "../../../../connectors/sources/mysql/types.ts";

function column(
  columnType: string,
  more: Partial<MysqlColumn> = {},
): MysqlColumn {
  return {
    name: "c",
    dataType: /^\w+/.exec(columnType)?.[0] ?? "",
    columnType,
    charset: null,
    collation: null,
    unsigned: /unsigned/.test(columnType),
    precision: null,
    scale: null,
    datetimePrecision: null,
    nullable: false,
    generated: false,
    invisible: false,
    jsonChecked: false,
    ...more,
  };
}

describe("logical types", () => {
  test.for<[string, Partial<MysqlColumn>, string]>([
    ["tinyint(4)", {}, "int16"],
    ["tinyint", {}, "int16"],
    ["tinyint(1)", {}, "boolean"],
    ["tinyint(1) unsigned", {}, "int16"],
    ["tinyint(1) unsigned zerofill", {}, "int16"],
    ["bit(1)", { precision: 1 }, "boolean"],
    ["bit(2)", { precision: 2 }, "uint64"],
    ["int(10) unsigned", {}, "int64"],
    ["bigint unsigned", {}, "uint64"],
    ["decimal(18,4)", { precision: 18, scale: 4 }, "decimal64"],
    ["decimal(19,4)", { precision: 19, scale: 4 }, "decimal128"],
    ["decimal(39,0)", { precision: 39, scale: 0 }, "decimalText"],
    ["time", { datetimePrecision: 0 }, "text"],
    ["longtext", { charset: "utf8mb4" }, "text"],
    ["longtext", { charset: "utf8mb4", jsonChecked: true }, "json"],
    ["json", {}, "json"],
    ["varbinary(3)", {}, "binary"],
    ["multipolygon", {}, "binary"],
    ["uuid", {}, "uuid"],
    ["something new", {}, "text"],
  ])("%s is %s %s", ([columnType, more, kind]) => {
    expect(columnSchema(column(columnType, more)).type.kind).toBe(kind);
  });

  test("under the policy `null` what may not be representable may be NULL", () => {
    for (const [type, nullable] of [
      ["date", true],
      ["datetime", true],
      ["timestamp", true],
      ["tinyint(1)", true],
      ["int", false],
      ["time", false],
    ] as const) {
      expect(columnSchema(column(type), "error").nullable).toBe(false);
      expect(columnSchema(column(type), "null").nullable).toBe(nullable);
    }
  });

  test("what a column can do in a key", () => {
    expect(rangeUse(column("int"))).toBe("exact");
    expect(rangeUse(column("double"))).toBe("inexact");
    expect(rangeUse(column("varchar(9)", { charset: "utf8mb4" }))).toBe(
      "exact",
    );
    expect(rangeUse(column("varchar(9)", { charset: "sjis" }))).toBe("inexact");
    expect(rangeUse(column("enum('a')", { charset: "utf8mb4" }))).toBeNull();
  });
});

describe("SQL", () => {
  test("names and texts are quoted whatever they hold", () => {
    expect(quoteIdentifier("a`b")).toBe("`a``b`");
    expect(quoteLiteral("it's \\ \0")).toBe("'it''s \\\\ \\0'");
  });

  test("constants of a key are compared as its column is", () => {
    expect(keyLiteral("bigint(20) unsigned", "18446744073709551615")).toBe(
      "18446744073709551615",
    );
    expect(keyLiteral("decimal(5,2)", "-1.50")).toBe("-1.50");
    expect(keyLiteral("bit(3)", "5")).toBe("5");
    expect(keyLiteral("varbinary(4)", "00ff")).toBe("X'00ff'");
    expect(keyLiteral("date", "0000-00-00")).toBe("'0000-00-00'");
    const text = column("varchar(9)", {
      charset: "latin1",
      collation: "latin1_bin",
    });
    expect(keyType(text)).toBe(
      "varchar(9) CHARACTER SET latin1 COLLATE latin1_bin",
    );
    expect(keyLiteral(keyType(text), "x'")).toBe("'x'''");
    expect(keyText("`c`", "blob")).toBe("HEX(`c`)");
    expect(keyText("`c`", "bit(3)")).toBe("CAST(`c` + 0 AS CHAR)");
  });

  test("a number or bytes that are none never reach the server", () => {
    for (const [type, text] of [
      ["int", "1 OR 1=1"],
      ["int", ""],
      ["varbinary(3)", "0"],
      ["varbinary(3)", "'"],
    ] as const) {
      expect(() => keyLiteral(type, text)).toThrow();
    }
  });

  test("row values are written out", () => {
    const key = { columns: ["a", "b", "c"], types: ["int", "int", "int"] };
    expect(compareKey(key, ">=", ["1", "2", "3"])).toBe(
      "a >= 1 AND (a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND c >= 3))))",
    );
    expect(compareKey({ columns: ["a"], types: ["int"] }, "<", ["7"])).toBe(
      "a < 7",
    );
  });

  test("the user's words stand by themselves, with a comment at their end too", () => {
    expect(
      filterConditions({ where: "a OR b -- or so", cursor: null }),
    ).toEqual(["(a OR b -- or so\n)"]);
  });
});

describe("versions", () => {
  test.for([
    ["8.0.15", "mysql", 80_015],
    ["5.7.44-log", "mysql", 50_744],
    ["8.0.36-28", "mysql", 80_036],
    ["10.11.19-MariaDB-0+deb12u1-log", "mariadb", 101_119],
    ["5.5.5-10.6.18-MariaDB", "mariadb", 100_618],
    ["11.4.2-MariaDB", "mariadb", 110_402],
  ] as const)("%s", ([text, flavour, serverVersion]) => {
    expect(readVersion(text)).toEqual({ flavour, serverVersion });
  });

  test.for(["5.6.51", "5.5.62-MariaDB", "10.2.44-MariaDB", "unknown"])(
    "%s is refused",
    (text) => {
      expect(() => readVersion(text)).toThrow(/oldest version/);
    },
  );

  test("a session is set up by one statement", () => {
    expect(sessionStatement("mysql")).toMatch(
      /^SET NAMES utf8mb4, @@SESSION\..*max_execution_time = 0/,
    );
    expect(sessionStatement("mariadb")).toContain("max_statement_time = 0");
  });
});
