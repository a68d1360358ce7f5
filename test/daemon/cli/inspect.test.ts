/** What `discover`, `plan` and `check` print, from what a source has said. */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import type {
  DiscoveredStream,
  Discovery,
} from "../../../connectors/sources/source.ts";
import { checkDestination } from "../../../daemon/cli/check-destination.ts";
import { renderDiscovery } from "../../../daemon/cli/commands/discover.ts";
import { renderPlans } from "../../../daemon/cli/commands/plan.ts";
import { describeRange } from "../../../daemon/cli/ranges.ts";
import { createPaint } from "../../../daemon/cli/terminal.ts";
import { ExtractError } from "../../../proto/error.ts";
import type { Partition, Split } from "../../../proto/partition.ts";
import { runMillrace, test } from "./run-millrace.ts";

const plain = createPaint(false);

function makeStream(
  number: number,
  name: string,
  facts: Partial<DiscoveredStream> = {},
): DiscoveredStream {
  return {
    schema: {
      number,
      namespace: "public",
      name,
      fingerprint: "f",
      columns: [
        {
          name: "id",
          type: { kind: "int64" },
          nullable: false,
          sourceType: "bigint",
        },
        {
          name: "price",
          type: { kind: "decimal64", precision: 12, scale: 2 },
          nullable: true,
          sourceType: "numeric(12,2)",
        },
      ],
    },
    columns: [],
    relationKind: "table",
    leaves: [
      {
        oid: 1,
        schema: "public",
        name,
        only: true,
        heap: true,
        fileNode: 1,
        pages: 10,
        rowEstimate: 1_500_000,
      },
    ],
    key: {
      name: "pk",
      primary: true,
      columns: [{ name: "id", type: "bigint", exact: true }],
    },
    allColumnNames: ["id", "price"],
    ...facts,
  };
}

function makePartition(ordinal: number, split: Split): Partition {
  return {
    stream: 1,
    ordinal,
    relation: { schema: "public", name: "orders", oid: 1 },
    only: true,
    split,
    estimatedRows: 1000,
    estimatedBytes: 50_000_000,
  };
}

function discover(...streams: DiscoveredStream[]): Discovery {
  return { serverVersion: 150_018, streams, problems: [], warnings: [] };
}

describe("discover", () => {
  test("lists rows, columns and key of each table", () => {
    const view = makeStream(2, "totals", {
      relationKind: "view",
      leaves: [],
      key: null,
    });
    const lines = renderDiscovery(
      discover(makeStream(1, "orders"), view),
      false,
      plain,
      null,
    );
    expect(lines[1]).toMatch(/^public\.orders +table +~1,500,000 +2 +id$/);
    expect(lines[2]).toMatch(/^public\.totals +view +– +2 +–$/);
    expect(lines.at(-1)).toBe("2 tables");
  });

  test("a table that was never analysed has no row count", () => {
    const [leaf] = makeStream(1, "orders").leaves;
    const stream = makeStream(1, "orders", {
      leaves: leaf ? [leaf, { ...leaf, rowEstimate: -1 }] : [],
    });
    const lines = renderDiscovery(discover(stream), false, plain, null);
    expect(lines[1]).toMatch(/^public\.orders +table +– /);
  });

  test("columns show the type of the source and what is written", () => {
    const lines = renderDiscovery(
      discover(makeStream(1, "orders")),
      true,
      plain,
      null,
    );
    expect(lines.join("\n")).toMatch(
      /^price +numeric\(12,2\) +decimal\(12,2\) +yes$/m,
    );
  });
});

describe("plan", () => {
  test("says which way of cutting was chosen, why, and what it costs", () => {
    const partitions = Array.from({ length: 20 }, (_, i) =>
      makePartition(i, { kind: "pages", startPage: i, endPage: i + 1 }),
    );
    const text = renderPlans(
      [
        {
          stream: 1,
          rung: "pages",
          reason: "the server is 15 and the table is short",
          partitions,
          estimatedRows: 20_000,
          estimatedBytes: 1_000_000_000,
        },
      ],
      discover(makeStream(1, "orders")),
      plain,
      null,
    ).join("\n");
    expect(text).toMatch(
      /^public\.orders +pages \(ctid\) +20 +~20,000 +~1\.0 GB +~10\.0 s$/m,
    );
    expect(text).toContain(
      "public.orders: the server is 15 and the table is short",
    );
    expect(text).toMatch(/^ +11 +orders pages 11–11 /m);
    expect(text).toContain("and 8 more partitions");
  });

  test.for<{ split: Split; range: string }>([
    { split: { kind: "whole" }, range: "public.orders" },
    {
      split: { kind: "pages", startPage: 512, endPage: null },
      range: "orders pages 512–…",
    },
    {
      split: {
        kind: "key",
        columns: ["a", "b"],
        types: ["int", "text"],
        start: null,
        end: ["7", "x"],
      },
      range: "a, b from … to before (7, x)",
    },
  ])("a range reads $range", ({ split, range }) => {
    expect(describeRange(makePartition(0, split))).toBe(range);
  });
});

describe("check of a destination", () => {
  test("a folder that is not there yet is fine, and is not made", async ({
    folder,
  }) => {
    const { exitCode, stdout } = await runMillrace(["check", "a/b"], {
      cwd: folder,
    });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^ok destination: a\/b \(made by the first sync\), .* free\n$/,
    );
    expect(checkDestination(join(folder, "a")).exists).toBe(false);
  });

  test("a file in its place is refused", async ({ folder }) => {
    await writeFile(join(folder, "file"), "");
    const { exitCode, stdout, stderr } = await runMillrace(
      ["check", "file/below", "--json"],
      { cwd: folder },
    );
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(
      /^error DESTINATION_UNWRITABLE: .*file is no folder/,
    );
    expect(JSON.parse(stdout)).toMatchObject({
      source: null,
      destination: { ok: false, error: { code: "DESTINATION_UNWRITABLE" } },
    });
  });

  // root may write anywhere
  test.skipIf(process.getuid?.() === 0)(
    "a folder that this user may not write is refused",
    async ({ folder }) => {
      const locked = join(folder, "locked");
      await mkdir(locked);
      await chmod(locked, 0o500);
      expect(() => checkDestination(join(locked, "out"))).toThrow(ExtractError);
    },
  );
});
