import fc from "fast-check";
import { expect, test } from "vitest";
import {
  commitOfBinlog,
  commitOfLsn,
  makePlace,
  writeNumber,
} from "../../../../../connectors/sources/debezium/events/positions.ts";
import {
  formatCommit,
  formatPosition,
  LAST_NUMBER,
} from "../../../../../proto/log-position.ts";

test("a place and a number make a position", () =>
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.bigInt({ min: 0n, max: 2n ** 80n - 1n }).map(formatCommit),
      fc.integer({ min: 0, max: LAST_NUMBER }),
      (epoch, commit, number) => {
        const { prefix } = makePlace(epoch, commit, null);
        const bytes = Buffer.alloc(40);
        bytes.set(prefix);
        writeNumber(bytes, prefix.length, number);
        expect(bytes.toString()).toBe(
          formatPosition({ epoch, commit, number }),
        );
      },
    ),
  ));

test("places of Postgres, of SQL Server and of binary logs", () => {
  expect(commitOfLsn("16/B374D848")).toBe("000000000016b374d848");
  expect(commitOfLsn("97500059720")).toBe(commitOfLsn("16/B374D848"));
  expect(commitOfLsn("FFFFFFFF/FFFFFFFF")).toBe("0000ffffffffffffffff");
  expect(commitOfLsn("00000027:00000AC0:0002")).toBe("0000002700000ac00002");
  expect(commitOfBinlog("binlog.000012", 345n)).toBe("0000000c000000000159");
  expect(commitOfBinlog("a.b.1000000", 2n ** 40n)).toBe("000f4240010000000000");
  for (const lsn of ["", "1/", "G/1", "18446744073709551616", "-1"]) {
    expect(() => commitOfLsn(lsn)).toThrow(/no LSN/);
  }
  for (const [file, offset] of [
    ["binlog", 1n],
    ["binlog.x", 1n],
    ["binlog.99999999999", 1n],
    ["b.1", -1n],
    ["b.1", 2n ** 48n],
  ] as const) {
    expect(() => commitOfBinlog(file, offset)).toThrow(/no place/);
  }
});
