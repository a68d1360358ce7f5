import { expect, test } from "vitest";
import {
  STREAMS_LISTED_MAX,
  renderSummary,
} from "../../../daemon/cli/summary.ts";
import { createPaint, measureWidth } from "../../../daemon/cli/terminal.ts";
import { refOf, runSummary, summarize } from "./run-events.ts";

const plain = createPaint(false);

test("the total adds up what was moved, and the rates leave out what was kept", () => {
  const lines = renderSummary(
    runSummary([
      summarize(refOf(1, "orders"), { rows: 3_000_000, rowsKept: 1_000_000 }),
      summarize(refOf(2, "users"), { rows: 500_000, files: 1 }),
    ]),
    plain,
    null,
  );
  expect(lines).toContain(
    "done: 3,500,000 rows in 2 tables, 500 kB in 3 files, 2.0 s, 1.3 M rows/s, 1.0 MB/s",
  );
  expect(lines).toContain(
    "resumed: 1,000,000 rows kept, 2,500,000 rows read in this attempt",
  );
  const orders = lines.find((line) => line.includes("public.orders"));
  expect(orders).toContain("3,000,000");
  expect(orders).toContain("/data/out/public/orders");
});

test("a first run says nothing of resuming", () => {
  const lines = renderSummary(runSummary([summarize(refOf(1))]), plain, null);
  expect(lines.join("\n")).not.toMatch(/resumed|note:/);
});

test("only committed tables count as moved, and a failed one shows its code", () => {
  const error = {
    code: "SOURCE_PERMISSION_DENIED",
    message: "no",
    details: {},
  } as const;
  const lines = renderSummary(
    runSummary(
      [
        summarize(refOf(1)),
        summarize(refOf(2), { state: "failed", rows: 0, files: 0, error }),
      ],
      { state: "partlyFailed", exitCode: 4 },
    ),
    plain,
    null,
  );
  expect(lines.join("\n")).toContain("failed (SOURCE_PERMISSION_DENIED)");
  expect(lines.join("\n")).toContain(
    "partly failed: 1,000 rows, 1 of 2 tables committed",
  );
});

test("of very many tables the largest are listed, and every failed one", () => {
  const streams = Array.from({ length: 200 }, (_, i) =>
    summarize(refOf(i + 1), { rows: i }),
  );
  streams[0] = summarize(refOf(1), { rows: 0, state: "failed" });
  const text = renderSummary(runSummary(streams), plain, null).join("\n");
  expect(text).toContain("public.table200");
  expect(text).toMatch(/public\.table1 /);
  expect(text).not.toMatch(/public\.table2 /);
  expect(text).toContain(`and ${200 - STREAMS_LISTED_MAX - 1} more tables`);
});

test("changed values, rows without a cursor and further snapshots are told", () => {
  const lines = renderSummary(
    runSummary(
      [
        summarize(refOf(1, "orders"), {
          valuesNulled: { shipped_at: 2 },
          rowsWithoutCursor: 7,
        }),
      ],
      { snapshots: 2, epoch: 2 },
    ),
    plain,
    null,
  );
  const text = lines.join("\n");
  expect(text).toContain(
    "public.orders.shipped_at: 2 values could not be represented and became NULL",
  );
  expect(text).toContain("public.orders: 7 rows without a cursor left out");
  expect(text).toContain("2 snapshots were used");
  expect(text).toContain("resumed: 0 rows kept");
});

test.for([90, 110, 140])("the table fits %d columns", (width) => {
  const long = summarize(refOf(1, "x".repeat(80)), {
    folder: `/data/${"y".repeat(120)}`,
  });
  const lines = renderSummary(runSummary([long]), plain, width);
  for (const line of lines.slice(0, 3)) {
    expect(measureWidth(line)).toBeLessThanOrEqual(width);
  }
});

test("a run that came to no table says only that", () => {
  const facts = { state: "failed", exitCode: 3, epoch: 3 } as const;
  expect(renderSummary(runSummary([], facts), plain, null)).toEqual([
    "",
    "failed: no tables, 2.0 s",
  ]);
});

test("a table of a source without schemas has its name alone", () => {
  const ref = { ...refOf(1, "users"), namespace: "" };
  const lines = renderSummary(runSummary([summarize(ref)]), plain, null);
  expect(lines.some((line) => /^users\s/.test(line))).toBe(true);
});
