/** Reading as a program does it, from rows that are made as they are asked for. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Handoff } from "../../library/handoff.ts";
import { openSource, readTable, type TableBatch } from "../../library/index.ts";
import { buildBatch, buildSchema } from "../fixtures/batches.ts";

const generate = (rows: number) =>
  `generator:?columns=id:int,name:string&rows=${rows}`;
/** Nobody could read them all. */
const endless = generate(2e9);

interface Made {
  readonly id: number;
  readonly name: string;
}

test("all rows come, each once, with their types", async () => {
  const ids: number[] = [];
  for await (const row of readTable<Made>(generate(40_000), "rows")) {
    ids.push(row.id);
    expect(typeof row.name).toBe("string");
  }
  expect(ids).toHaveLength(40_000);
  expect(new Set(ids).size).toBe(40_000);
});

test("batches hold the same rows, and each iteration reads anew", async () => {
  const reader = readTable<Made>(generate(20_000), "rows");
  const sums: number[] = [];
  for (let round = 0; round < 2; round += 1) {
    let rows = 0;
    for await (const batch of reader.batches()) {
      rows += batch.rowCount;
      expect(batch.columns).toHaveLength(2);
      expect(batch.table.key).toEqual(["id"]);
    }
    sums.push(rows);
  }
  expect(sums).toEqual([20_000, 20_000]);
});

test("a batch lives until the next is asked for", async () => {
  let kept: TableBatch | null = null;
  let copy: TableBatch | null = null;
  for await (const batch of readTable(generate(40_000), "rows").batches()) {
    if (kept === null) {
      kept = batch;
      copy = batch.copy();
      continue;
    }
    expect(() => kept?.columns).toThrow(/keep a copy/);
    break;
  }
  expect(copy?.value(0, "id")).toBe(1);
});

test("a reader is asked no further than one batch is taken", async () => {
  const handoff = new Handoff(() => {});
  const schema = buildSchema({ id: "int32" });
  const batch = buildBatch(schema, [[1]]);
  let settled = 0;
  const given = [1, 2, 3].map(() => handoff.batch(batch));
  for (const one of given) void one.then(() => (settled += 1));
  const first = await handoff.next();
  await sleep(5);
  expect(settled).toBe(0);
  first?.free();
  await sleep(5);
  expect(settled).toBe(1);
  handoff.leave();
  await Promise.all(given);
  // who has left is given nothing, and holds nobody up
  await handoff.batch(batch);
  expect(await handoff.next()).toBeNull();
});

describe("who leaves early", () => {
  test("by break is not kept", async () => {
    let seen = 0;
    for await (const _ of readTable(endless, "rows")) if (++seen === 5) break;
    expect(seen).toBe(5);
  });

  test("by an error of his own is given that", async () => {
    const own = new Error("mine");
    await expect(
      (async () => {
        for await (const _ of readTable(endless, "rows")) throw own;
      })(),
    ).rejects.toBe(own);
  });

  test("by a signal is given its reason, at once and between two rows", async () => {
    const early = AbortSignal.abort(new Error("before"));
    const read = async (signal: AbortSignal, onRow: () => void) => {
      for await (const _ of readTable(endless, "rows", { signal })) onRow();
    };
    await expect(read(early, () => {})).rejects.toThrow("before");
    const controller = new AbortController();
    let seen = 0;
    const reading = read(controller.signal, () => {
      seen += 1;
      if (seen === 3) controller.abort(new Error("enough"));
    });
    await expect(reading).rejects.toThrow("enough");
    expect(seen).toBeGreaterThanOrEqual(3);
  });
});

describe("an open source", () => {
  test("tells its tables, and ends what is being read when it is closed", async () => {
    const source = await openSource(endless);
    expect(source.tables).toMatchObject([
      {
        ...{ namespace: "generator", name: "rows", rowsEstimated: 2e9 },
        columns: [
          { name: "id", kind: "int32", nullable: false },
          { name: "name", kind: "text" },
        ],
      },
    ]);
    const rows = source.table("generator.rows")[Symbol.asyncIterator]();
    await rows.next();
    await source.close();
    await source.close();
    await expect(
      (async () => {
        for (;;) if ((await rows.next()).done) return;
      })(),
    ).rejects.toThrow(/the source is closed/);
    const later = source.table("rows").batches()[Symbol.asyncIterator]();
    await expect(later.next()).rejects.toThrow(/the source is closed/);
  });

  test("refuses more tables at once than it has connections, and serves again when one is free", async () => {
    await using source = await openSource(endless, { connections: 2 });
    const open = Array.from({ length: 3 }, () =>
      source.table("rows")[Symbol.asyncIterator](),
    );
    const [first, second, third] = open;
    await first?.next();
    await second?.next();
    await expect(third?.next()).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("more `connections`"),
    });
    await first?.return?.();
    const again = source.table("rows")[Symbol.asyncIterator]();
    expect((await again.next()).value).toMatchObject({ id: 1 });
    await again.return?.();
    await second?.return?.();
  });

  test("is closed by its signal, with the reason", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const source = await openSource(endless, { signal });
    const rows = source.table("rows").batches()[Symbol.asyncIterator]();
    await rows.next();
    controller.abort(new Error("enough"));
    await expect(rows.next()).rejects.toThrow("enough");
    await source.close();
  });
});

describe("faults", () => {
  test.for<{ what: string; run: () => unknown; says: RegExp; code: string }>([
    {
      what: "a scheme that is no source's",
      run: () => openSource("ftp://me:secret@db/x"),
      ...{ says: /^(?!.*secret).*ftp/s, code: "USAGE" },
    },
    {
      what: "a table that is not there",
      run: async () => {
        for await (const _ of readTable(generate(1), "orders"));
      },
      ...{ says: /orders/, code: "SOURCE_TABLE_NOT_FOUND" },
    },
    {
      what: "a column that is not there",
      run: async () => {
        const columns = ["nmae"];
        for await (const _ of readTable(generate(1), "rows", { columns }));
      },
      ...{ says: /nmae/, code: "SOURCE_COLUMN_NOT_FOUND" },
    },
    {
      what: "an option that is none, and one of the wrong type",
      run: () => openSource(endless, { conections: 1, tables: "a" } as never),
      says: /conections is no option; did you mean connections\?.*/,
      code: "USAGE",
    },
    {
      what: "a server that is not there",
      run: () => openSource("postgres://me:hidden@127.0.0.1:1/x"),
      ...{ says: /^(?!.*hidden)/s, code: "SOURCE_UNREACHABLE" },
    },
  ])("$what", async ({ run, says, code }) => {
    const failing = (async () => run())();
    await expect(failing).rejects.toMatchObject({
      code,
      message: expect.stringMatching(says),
    });
  });
});
