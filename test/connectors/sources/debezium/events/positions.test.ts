import fc from "fast-check";
import { expect, test } from "vitest";
import {
  commitOfBinlog,
  commitOfLsn,
  comparePositions,
  formatPosition,
  LAST_NUMBER,
  makePlace,
  parsePosition,
  writeNumber,
  type LogPosition,
} from "../../../../../connectors/sources/debezium/events/positions.ts";

const position = fc.record({
  epoch: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  commit: fc
    .bigInt({ min: 0n, max: 2n ** 80n - 1n })
    .map((value) => value.toString(16).padStart(20, "0")),
  number: fc.integer({ min: 0, max: LAST_NUMBER }),
});

test("positions compare as their texts, and come back from them", () =>
  fc.assert(
    fc.property(position, position, (a, b) => {
      const order = (one: LogPosition): bigint =>
        (BigInt(one.epoch) << 120n) |
        (BigInt(`0x${one.commit}`) << 40n) |
        BigInt(one.number);
      const found = comparePositions(formatPosition(a), formatPosition(b));
      expect(Math.sign(found)).toBe(
        order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0,
      );
      expect(parsePosition(formatPosition(a))).toEqual(a);
      const { prefix } = makePlace(a.epoch, a.commit, null);
      const bytes = Buffer.alloc(40);
      bytes.set(prefix);
      writeNumber(bytes, prefix.length, a.number);
      expect(bytes.toString()).toBe(formatPosition(a));
    }),
  ));

test("places of Postgres, of SQL Server and of binary logs", () => {
  expect(commitOfLsn("16/B374D848")).toBe("000000000016b374d848");
  expect(commitOfLsn("97500059720")).toBe(commitOfLsn("16/B374D848"));
  expect(commitOfLsn("FFFFFFFF/FFFFFFFF")).toBe("0000ffffffffffffffff");
  expect(commitOfLsn("00000027:00000AC0:0002")).toBe("0000002700000ac00002");
  expect(commitOfBinlog("binlog.000012", 345)).toBe("0000000c000000000159");
  expect(commitOfBinlog("a.b.1000000", 2 ** 40)).toBe("000f4240010000000000");
  for (const lsn of ["", "1/", "G/1", "18446744073709551616", "-1"]) {
    expect(() => commitOfLsn(lsn)).toThrow(/no LSN/);
  }
  for (const [file, offset] of [
    ["binlog", 1],
    ["binlog.x", 1],
    ["binlog.99999999999", 1],
    ["b.1", -1],
    ["b.1", 2 ** 48],
  ] as const) {
    expect(() => commitOfBinlog(file, offset)).toThrow(/no place/);
  }
  expect(() => parsePosition("x")).toThrow(/no place/);
});
