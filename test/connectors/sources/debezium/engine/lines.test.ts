import fc from "fast-check";
import { expect, test } from "vitest";
import { LineCutter } from "../../../../../connectors/sources/debezium/engine/lines.ts";
import {
  LogReader,
  type EngineLogEntry,
} from "../../../../../connectors/sources/debezium/engine/log.ts";

test("lines come out as they went in, wherever the chunks were cut", () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ unit: "grapheme" }).map((s) => s.replace(/\n/g, "")),
      ),
      fc.array(fc.nat({ max: 40 })),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const cutter = new LineCutter(1_000_000);
        const found: string[] = [];
        let at = 0;
        for (const size of [...cuts, bytes.length]) {
          for (const line of cutter.cut(bytes.subarray(at, at + size)))
            found.push(line.toString());
          at += size;
        }
        expect(found).toEqual(lines);
        expect(cutter.pendingBytes).toBe(0);
      },
    ),
  ));

test("a line beyond the bound is refused before its end has come", () => {
  const cutter = new LineCutter(10);
  expect([...cutter.cut(Buffer.from("0123456789\nab"))]).toHaveLength(1);
  expect(() => [...cutter.cut(Buffer.alloc(9, 0x61))]).toThrow(
    expect.objectContaining({ code: "SOURCE_ROW_TOO_LARGE" }),
  );
  const whole = new LineCutter(10);
  expect(() => [...whole.cut(Buffer.from("0123456789a\n"))]).toThrow(
    expect.objectContaining({ code: "SOURCE_ROW_TOO_LARGE" }),
  );
});

test("what follows an entry without a head of its own belongs to it", () => {
  const entries: EngineLogEntry[] = [];
  const log = new LogReader((entry) => entries.push(entry));
  log.push("[WARN] io.debezium.A - one\n[ERROR] io.debezium.B - tw");
  log.push("o\njava.lang.X: why\n\tat Y\nPicked up something\n");
  log.push("OpenJDK warning: no end");
  log.end();
  expect(entries).toEqual([
    { level: "warn", logger: "io.debezium.A", message: "one" },
    {
      level: "error",
      logger: "io.debezium.B",
      message:
        "two\njava.lang.X: why\n\tat Y\nPicked up something\nOpenJDK warning: no end",
    },
  ]);
});

test("an entry has a bound", () => {
  const entries: EngineLogEntry[] = [];
  const log = new LogReader((entry) => entries.push(entry));
  log.push(`[WARN] a - ${"x".repeat(100_000)}\n`);
  for (let i = 0; i < 100; i += 1) log.push(`${"y".repeat(1_000)}\n`);
  log.end();
  expect(entries).toHaveLength(1);
  expect(entries[0]?.message.length).toBeLessThanOrEqual(8_192);
});
