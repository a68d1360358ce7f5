import { describe, expect, test } from "vitest";
import {
  checkLoggedDatabases,
  judgeLogSettings,
  readRetention,
} from "../../../../connectors/sources/mysql/log-settings.ts";

const right = {
  log_bin: "ON",
  binlog_format: "ROW",
  binlog_row_image: "FULL",
  binlog_row_value_options: "",
  server_id: "1",
};

function findWrong(changes: Readonly<Record<string, string>>): string[] {
  return judgeLogSettings(new Map(Object.entries({ ...right, ...changes })))
    .filter(({ isRight }) => !isRight)
    .map(({ name, found }) => `${name} ${found}`);
}

describe("what a server must be set to", () => {
  test.for([
    [{}, []],
    [{ log_bin: "1", binlog_format: "row" }, []],
    // of MariaDB: the image behind an update lacks what was not changed
    [{ binlog_row_image: "FULL_NODUP" }, ["binlog_row_image FULL_NODUP"]],
    [{ log_bin: "OFF" }, ["log_bin off"]],
    [{ binlog_format: "MIXED" }, ["binlog_format MIXED"]],
    [{ binlog_row_image: "noblob" }, ["binlog_row_image NOBLOB"]],
    [
      { binlog_row_value_options: "PARTIAL_JSON" },
      ["binlog_row_value_options PARTIAL_JSON"],
    ],
    [{ log_bin_compress: "OFF" }, []],
    [{ log_bin_compress: "ON" }, ["log_bin_compress ON"]],
    [{ server_id: "0" }, ["server_id 0"]],
  ] as const)("%j", ([changes, wrong]) => {
    expect(findWrong(changes)).toEqual(wrong);
  });
});

test("a database that the server leaves out of its log is refused by name", () => {
  const check = (only: string, never: string) =>
    checkLoggedDatabases(
      { File: "b.1", Position: 4, Binlog_Do_DB: only, Binlog_Ignore_DB: never },
      [{ schema: "shop", name: "orders" }],
    );
  check("", "");
  check("other,shop", "tmp");
  expect(() => check("other", "")).toThrow("shop out of its binlog");
  expect(() => check("", "tmp,shop")).toThrow("binlog_ignore_db");
});

test.for([
  // MySQL 8, and what it does where the one is 0
  [{ binlog_expire_logs_seconds: "2592000", expire_logs_days: "0" }, 2_592_000],
  [{ binlog_expire_logs_seconds: "0", expire_logs_days: "7" }, 604_800],
  // MariaDB since 10.6 counts parts of days
  [{ expire_logs_days: "0.500000" }, 43_200],
  [{ binlog_expire_logs_seconds: "0", expire_logs_days: "0" }, null],
  [
    {
      binlog_expire_logs_seconds: "3600",
      binlog_expire_logs_auto_purge: "OFF",
    },
    null,
  ],
  [{}, null],
] as const)("%j: the log is removed after %s s", ([variables, seconds]) => {
  expect(readRetention(new Map(Object.entries(variables)))).toEqual({
    ...{ seconds, bytes: null },
  });
});

test.for([
  [{ max_binlog_total_size: "1048576" }, 1_048_576],
  [{ binlog_space_limit: "4096" }, 4_096],
  [{ max_binlog_total_size: "0" }, null],
] as const)("%j: the log is kept up to %s bytes", ([variables, bytes]) => {
  expect(readRetention(new Map(Object.entries(variables))).bytes).toBe(bytes);
});
