import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeError, toJsonLine } from "../../../daemon/cli/print.ts";
import { renderTable } from "../../../daemon/cli/table.ts";
import {
  coverArguments,
  coverSecrets,
  createPaint,
  cutText,
  hasColours,
  measureWidth,
  sanitize,
} from "../../../daemon/cli/terminal.ts";
import {
  printBytes,
  printCount,
  printDuration,
  printQuantity,
  printRowRate,
  printTime,
} from "../../../daemon/cli/values.ts";

describe("secrets", () => {
  test.for([
    ["postgres://me:pw@h/d", "postgres://me:***@h/d"],
    [
      "at 'postgres://me:p@w/x?y@h:5/d' and b",
      "at 'postgres://me:***@h:5/d' and b",
    ],
    ["postgres://:pw@h/d", "postgres://:***@h/d"],
    ["postgres://me:p\"w'@h/d", "postgres://me:***@h/d"],
    [
      "postgres://h/d?user=me&password=pw&sslmode=x",
      "postgres://h/d?user=me&password=***&sslmode=x",
    ],
    ["host=h password = pw dbname=d", "host=h password = *** dbname=d"],
    ["postgres://me@h:5432/d", "postgres://me@h:5432/d"],
    ["mail me@example.com: now", "mail me@example.com: now"],
  ])("%s shows as %s", ([text, shown]) => {
    expect(coverSecrets(text ?? "")).toBe(shown);
  });

  test("a password of any signs but blanks is covered in a URL", () =>
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (noise) => {
        const password = `Zq${noise.replaceAll(/\s/g, "")}9Kx`;
        const shown = coverSecrets(`to postgres://me:${password}@h/d failed`);
        expect(shown).toBe("to postgres://me:***@h/d failed");
      }),
    ));

  test("an argument's password may hold blanks", () =>
    expect(coverArguments("got postgres://me:a b@c d@h/d")).toBe(
      "got postgres://me:***@h/d",
    ));

  test("are covered in JSON, which stays JSON", () => {
    const line = toJsonLine({ a: { b: ['postgres://me:p"w@h/d'] }, n: 1n });
    expect(JSON.parse(line)).toEqual({
      a: { b: ["postgres://me:***@h/d"] },
      n: "1",
    });
  });

  test("are covered in an error's message and details", () => {
    const text = describeError({
      code: "SOURCE_UNREACHABLE",
      message: "no way to postgres://me:pw1@h/d",
      details: { url: "postgres://me:pw2@h/d", port: 5432, stack: "hidden" },
    });
    expect(text.split("\n")).toEqual([
      "error SOURCE_UNREACHABLE: no way to postgres://me:***@h/d",
      "  url: postgres://me:***@h/d",
      "  port: 5432",
      expect.stringMatching(/^ {2}→ Check host, port/),
    ]);
  });
});

test.for([
  { isTTY: true, env: {}, colours: true },
  { isTTY: true, env: { NO_COLOR: "1" }, colours: false },
  { isTTY: true, env: { NO_COLOR: "" }, colours: true },
  { isTTY: true, env: { TERM: "dumb" }, colours: false },
  { isTTY: false, env: {}, colours: false },
])("colours with $isTTY and $env: $colours", ({ isTTY, env, colours }) => {
  expect(hasColours({ isTTY, write: () => true }, env)).toBe(colours);
});

test("widths count columns, not code units", () => {
  expect(measureWidth("abc")).toBe(3);
  expect(measureWidth("日本")).toBe(4);
  expect(measureWidth("e\u0301")).toBe(1);
  expect(measureWidth("\u001b[31mred\u001b[39m")).toBe(3);
});

test("a cut text never takes more columns than it may", () =>
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 1, max: 30 }),
      (text, width) => {
        const cut = cutText(sanitize(text), width);
        expect(measureWidth(cut)).toBeLessThanOrEqual(width);
      },
    ),
  ));

test("control characters and directions of writing are made harmless", () => {
  expect(sanitize("a\u001b[31mb\u0007c\td\u202ee\u0085f")).toBe(
    "ab\ufffdc d\ufffde\ufffdf",
  );
});

describe("a table", () => {
  const plain = createPaint(false);
  const columns = [
    { title: "name", shrinks: true },
    { title: "rows", align: "right" },
    { title: "where", shrinks: true },
  ] as const;

  test("aligns its columns", () => {
    expect(
      renderTable(
        columns,
        [
          ["a", "1", "x"],
          ["long name", "12,345", "y"],
        ],
        plain,
        null,
      ),
    ).toEqual([
      "name         rows  where",
      "a               1  x",
      "long name  12,345  y",
    ]);
  });

  test("shares the loss of width between the columns that shrink", () => {
    const row = ["n".repeat(40), "1", "w".repeat(30)];
    const lines = renderTable(columns, [row], plain, 50);
    expect(lines[1]).toMatch(/^n{20}…\s+1 {2}w{20}…$/);
  });

  test("leaves the others whole, even where it does not fit", () => {
    const lines = renderTable(columns, [["n", "1".repeat(60), "w"]], plain, 40);
    expect(lines[1]).toContain("1".repeat(60));
  });
});

describe("numbers", () => {
  test.for([
    [0, "0"],
    [999, "999"],
    [1000, "1,000"],
    [1234567, "1,234,567"],
    [1e12, "1,000,000,000,000"],
  ] as const)("%d is %s", ([count, text]) => {
    expect(printCount(count)).toBe(text);
  });

  test.for([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [75_100_000, "75.1 MB"],
    [999_949, "1.0 MB"],
    [433_000_000, "433 MB"],
    [2.5e12, "2.5 TB"],
  ] as const)("%d bytes are %s", ([bytes, text]) => {
    expect(printBytes(bytes)).toBe(text);
  });

  test.for([
    [0, "0 ms"],
    [850, "850 ms"],
    [2600, "2.6 s"],
    [59_940, "59.9 s"],
    [59_960, "1m 00s"],
    [65_000, "1m 05s"],
    [11_220_000, "3h 07m"],
    [183_600_000, "2d 03h"],
    [Infinity, "–"],
  ] as const)("%d ms are %s", ([ms, text]) => {
    expect(printDuration(ms)).toBe(text);
  });

  test("one is told from many", () => {
    expect(printQuantity(1, "row")).toBe("1 row");
    expect(printQuantity(0, "row")).toBe("0 rows");
  });

  test("no rate is made of no time", () => {
    expect(printRowRate(10, 0)).toBe("–");
    expect(printRowRate(3_000_000, 2000)).toBe("1.5 M rows/s");
    expect(printRowRate(1, 10_000)).toBe("1 rows/s");
  });

  test("times are local and sort as text", () => {
    expect(printTime(new Date(2026, 2, 1, 5, 4, 9).getTime())).toBe(
      "2026-03-01 05:04:09",
    );
    expect(printTime(null)).toBe("–");
  });
});
