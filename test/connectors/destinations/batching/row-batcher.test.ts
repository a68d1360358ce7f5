/** Cutting, joining, delay and failure of batches, with a clock of the test's own. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  RowBatcher,
  type BatchClock,
  type BatchLimits,
  type FlushOutcome,
  type RowCollector,
} from "../../../../connectors/destinations/batching/row-batcher.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";

/** Time moves only when the test says so. */
class FakeClock implements BatchClock {
  #now = 0;
  readonly #timers = new Set<{ at: number; fire: () => void }>();

  now(): number {
    return this.#now;
  }

  startTimer(delayMs: number, fire: () => void): () => void {
    const timer = { at: this.#now + delayMs, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get running(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = [...this.#timers]
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.fire();
    }
    this.#now = end;
  }
}

/** A row is a number and takes as many bytes as its last digit says, and one more. */
const bytesOf = (row: number): number => 1 + (row % 10);

class NumberCollector implements RowCollector {
  readonly taken: number[] = [];
  bytes = 0;
  readonly firstAt: number;

  constructor(firstAt: number) {
    this.firstAt = firstAt;
  }

  get rows(): number {
    return this.taken.length;
  }

  take(
    batch: ColumnBatch,
    from: number,
    rowsMax: number,
    bytesMax: number,
  ): number {
    const values = new Int32Array(batch.columns[0]!.data.buffer);
    let row = from;
    for (; row < batch.rowCount && this.rows < rowsMax; row++) {
      const value = values[row]!;
      if (this.rows > 0 && this.bytes + bytesOf(value) > bytesMax) break;
      this.taken.push(value);
      this.bytes += bytesOf(value);
    }
    return row;
  }
}

function batchOf(first: number, count: number): ColumnBatch {
  const values = Int32Array.from({ length: count }, (_, i) => first + i);
  const data = new Uint8Array(values.buffer);
  return {
    rowCount: count,
    columns: [{ nullCount: 0, validity: null, offsets: null, data }],
  };
}

interface Flushed {
  readonly rows: readonly number[];
  readonly mark: string | null;
  readonly at: number;
  /** When its first row came. */
  readonly firstAt: number;
  readonly settle: (outcome: FlushOutcome) => void;
}

/** A batcher whose flushes end when the test says so. */
function start(limits: Partial<BatchLimits> = {}, flushesAtOnceMax = 1) {
  const clock = new FakeClock();
  const flushes: Flushed[] = [];
  let acknowledged = 0;
  let underWay = 0;
  const batcher = new RowBatcher<NumberCollector, string>({
    limits: {
      batchRowsMax: 5,
      batchBytesMax: 1_000,
      batchDelayMs: 100,
      ...limits,
    },
    clock,
    flushesAtOnceMax,
    createCollector: () => new NumberCollector(clock.now()),
    flush: (collector, mark) => {
      underWay += 1;
      expect(underWay).toBeLessThanOrEqual(flushesAtOnceMax);
      const { promise, resolve } = Promise.withResolvers<FlushOutcome>();
      flushes.push({
        rows: collector.taken,
        mark,
        at: clock.now(),
        firstAt: collector.firstAt,
        settle: (outcome) => {
          underWay -= 1;
          resolve(outcome);
        },
      });
      return promise;
    },
    acknowledge: (rows) => {
      acknowledged += rows;
    },
  });
  const succeed = async (index: number): Promise<void> => {
    clock.advance(0);
    const flushed = flushes[index]!;
    flushed.settle({ rowsWritten: flushed.rows.length, error: null });
    await settle();
  };
  return { clock, flushes, batcher, succeed, acknowledged: () => acknowledged };
}

/** Lets everything that follows from settled promises happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe("bounds", () => {
  test("rows are joined up to the rows of a batch, and a large batch is cut", async () => {
    const { batcher, flushes, succeed, clock } = start();
    expect(batcher.write(batchOf(0, 2))).toBeUndefined();
    expect(flushes).toHaveLength(0);
    const rest = batcher.write(batchOf(2, 20));
    expect(rest).toBeInstanceOf(Promise);
    for (let i = 0; i < 4; i++) await succeed(i);
    await rest;
    expect(flushes.map(({ rows }) => rows.length)).toEqual([5, 5, 5, 5]);
    expect(flushes.flatMap(({ rows }) => rows)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
    clock.advance(100);
    expect(flushes[4]?.rows).toEqual([20, 21]);
  });

  test("a batch ends before the row that would pass its bytes, and a single row may be larger", async () => {
    const { batcher, flushes, succeed } = start({ batchBytesMax: 4 });
    const rest = batcher.write(batchOf(0, 8));
    for (let i = 0; i < 6; i++) await succeed(i);
    await rest;
    // bytes 1+2, 3, 4, 5, 6, 7: the last waits for more
    expect(flushes.map(({ rows }) => rows)).toEqual(
      [[0, 1], [2], [3], [4], [5], [6], [7]].slice(0, flushes.length),
    );
    expect(flushes.length).toBeGreaterThanOrEqual(6);
  });
});

describe("delay", () => {
  test("counts from the first row of the batch, not from the last", () => {
    const { batcher, flushes, clock } = start();
    clock.advance(30);
    void batcher.write(batchOf(0, 1));
    clock.advance(99);
    void batcher.write(batchOf(1, 1));
    expect(flushes).toHaveLength(0);
    clock.advance(1);
    expect(flushes).toMatchObject([{ rows: [0, 1], at: 130 }]);
  });

  test("a batch that is due while another is written grows until its turn comes", async () => {
    const { batcher, flushes, clock, succeed } = start();
    void batcher.write(batchOf(0, 1));
    clock.advance(100);
    void batcher.write(batchOf(1, 1));
    clock.advance(500);
    void batcher.write(batchOf(2, 1));
    expect(flushes).toHaveLength(1);
    await succeed(0);
    expect(flushes[1]).toMatchObject({ rows: [1, 2], at: 600 });
  });

  test("of 0 every write is handed over at the next turn of the clock", () => {
    const { batcher, flushes, clock } = start({ batchDelayMs: 0 });
    void batcher.write(batchOf(0, 3));
    clock.advance(0);
    expect(flushes).toMatchObject([{ rows: [0, 1, 2] }]);
  });

  test("no timer runs where no row waits", async () => {
    const { batcher, clock, succeed } = start();
    void batcher.write(batchOf(0, 5));
    await succeed(0);
    expect(clock.running).toBe(0);
    void batcher.write(batchOf(5, 2));
    void batcher.cut("end");
    expect(clock.running).toBe(0);
  });
});

describe("cuts", () => {
  test("end a batch with their mark, also without rows, and are answered in order", async () => {
    const { batcher, flushes, succeed } = start();
    void batcher.write(batchOf(0, 2));
    const answered: string[] = [];
    const first = batcher.cut("first").then(() => answered.push("first"));
    void batcher.write(batchOf(2, 1));
    const second = batcher.cut("second").then(() => answered.push("second"));
    const third = batcher.cut("third").then(() => answered.push("third"));
    expect(flushes).toHaveLength(1);
    await succeed(0);
    await succeed(1);
    await succeed(2);
    await Promise.all([first, second, third]);
    expect(answered).toEqual(["first", "second", "third"]);
    expect(flushes.map(({ rows, mark }) => [rows, mark])).toEqual([
      [[0, 1], "first"],
      [[2], "second"],
      [[], "third"],
    ]);
  });
});

describe("several flushes at once", () => {
  test("as many as there may be, within the bytes of one batch, answered in order", async () => {
    const { batcher, flushes, succeed, acknowledged } = start(
      { batchBytesMax: 12 },
      3,
    );
    const answered: number[] = [];
    const take = (i: number): void => {
      expect(batcher.write(batchOf(i, 1))).toBeUndefined();
      void batcher.cut(`${i}`).then(() => answered.push(i));
    };
    // rows of 1, 2, 3 and 4 bytes: three are under way and the fourth waits
    for (const i of [0, 1, 2, 3]) take(i);
    expect(flushes).toHaveLength(3);
    await succeed(1);
    expect(answered).toEqual([]);
    await succeed(0);
    expect(answered).toEqual([0, 1]);
    // 3, 4 and 5 bytes are all that may be; 6 have to wait for more than 3 of them
    take(4);
    take(5);
    expect(flushes).toHaveLength(5);
    await succeed(2);
    expect(flushes).toHaveLength(5);
    await succeed(3);
    expect(flushes.map(({ rows }) => rows[0])).toEqual([0, 1, 2, 3, 4, 5]);
    await succeed(4);
    await succeed(5);
    expect(answered).toEqual([0, 1, 2, 3, 4, 5]);
    expect(acknowledged()).toBe(6);
  });

  test("after a failure those behind it fail as well, and a drop waits for all of them", async () => {
    const { batcher, flushes, acknowledged } = start({}, 3);
    const broken = new Error("broken");
    const cuts = [0, 1, 2].map((i) => {
      void batcher.write(batchOf(i, 1));
      return batcher.cut(`${i}`);
    });
    const refused = Promise.all(
      cuts.map((cut) => expect(cut).rejects.toBe(broken)),
    );
    let isDropped = false;
    flushes[0]!.settle({ rowsWritten: 0, error: broken });
    await settle();
    const drop = batcher.drop(new Error("dropped")).then(() => {
      isDropped = true;
    });
    await settle();
    expect(isDropped).toBe(false);
    flushes[1]!.settle({ rowsWritten: 0, error: broken });
    flushes[2]!.settle({ rowsWritten: 0, error: broken });
    await refused;
    await drop;
    expect(acknowledged()).toBe(0);
  });
});

test("a cut right behind a full batch goes with it", () => {
  const { batcher, flushes, clock } = start();
  void batcher.write(batchOf(0, 5));
  void batcher.cut("end");
  clock.advance(0);
  expect(flushes).toMatchObject([{ rows: [0, 1, 2, 3, 4], mark: "end" }]);
});

describe("failure", () => {
  const broken = new Error("the disk is full");

  test("what was written is acknowledged, the rest is an error, and nothing is written behind it", async () => {
    const { batcher, flushes, acknowledged } = start();
    void batcher.write(batchOf(0, 5));
    void batcher.write(batchOf(5, 3));
    const cut = batcher.cut("end");
    const refused = expect(cut).rejects.toBe(broken);
    flushes[0]!.settle({ rowsWritten: 3, error: broken });
    await refused;
    expect(acknowledged()).toBe(3);
    expect(() => batcher.write(batchOf(8, 1))).toThrow(broken);
    await expect(batcher.cut("more")).rejects.toBe(broken);
    expect(flushes).toHaveLength(1);
  });

  test("reaches a write that waits for room", async () => {
    const { batcher, flushes } = start();
    const waits = batcher.write(batchOf(0, 30));
    const refused = expect(waits).rejects.toBe(broken);
    flushes[0]!.settle({ rowsWritten: 0, error: broken });
    await refused;
  });

  test("after a drop the batcher is as new; what waited gets the reason", async () => {
    const { batcher, flushes, succeed, acknowledged, clock } = start();
    const dropped = new Error("dropped");
    const waits = batcher.write(batchOf(0, 30));
    const refused = expect(waits).rejects.toBe(dropped);
    const drop = batcher.drop(dropped);
    await refused;
    await succeed(0);
    await drop;
    expect(acknowledged()).toBe(5);
    expect(clock.running).toBe(0);
    void batcher.write(batchOf(50, 1));
    const cut = batcher.cut("again");
    await succeed(1);
    await cut;
    expect(flushes.map(({ rows }) => rows)).toEqual([[0, 1, 2, 3, 4], [50]]);
  });
});

type Step =
  | { readonly kind: "write"; readonly rows: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "cut" }
  | { readonly kind: "answer"; readonly written: number | null };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("write" as const),
      rows: fc.integer({ min: 1, max: 30 }),
    }),
    fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.integer({ min: 0, max: 150 }),
    }),
    fc.record({ kind: fc.constant("cut" as const) }),
    fc.record({
      kind: fc.constant("answer" as const),
      // seldom: part of the batch fails
      written: fc
        .option(fc.double({ min: 0, max: 1, noNaN: true }), {
          freq: 12,
          nil: null,
        })
        .map((part) => (part === null ? 0.5 : null)),
    }),
  ),
  { minLength: 1, maxLength: 60 },
);

async function followSteps(
  list: readonly Step[],
  limits: BatchLimits,
): Promise<void> {
  const { batcher, flushes, clock, acknowledged } = start(limits);
  let written = 0;
  let answered = 0;
  const answeredAt: number[] = [];
  let failed: Error | null = null;
  let writing: Promise<void> | null = null;
  const outcomes: string[] = [];
  const answer = async (part: number | null): Promise<void> => {
    const flushed = flushes[answered];
    if (!flushed) return;
    answered += 1;
    answeredAt.push(clock.now());
    const count = flushed.rows.length;
    if (part === null) flushed.settle({ rowsWritten: count, error: null });
    else {
      failed ??= new Error("part of a batch");
      flushed.settle({
        rowsWritten: Math.floor(count * part),
        error: failed,
      });
    }
    await settle();
  };
  for (const step of list) {
    switch (step.kind) {
      case "write":
        if (writing) break;
        try {
          const result = batcher.write(batchOf(written, step.rows));
          written += step.rows;
          if (result)
            writing = result.then(
              () => {
                writing = null;
              },
              (error: unknown) => {
                expect(error).toBe(failed);
                writing = null;
              },
            );
        } catch (error) {
          expect(error).toBe(failed);
        }
        break;
      case "wait":
        clock.advance(step.ms);
        break;
      case "cut":
        if (writing) break;
        batcher.cut(`at ${written}`).then(
          () => outcomes.push("written"),
          (error: unknown) => {
            expect(error).toBe(failed);
            outcomes.push("failed");
          },
        );
        break;
      case "answer":
        await answer(step.written);
    }
    await settle();
  }
  for (
    let i = 0;
    i < 2 * written + list.length + 2 &&
    (answered < flushes.length || clock.running > 0);
    i++
  ) {
    await answer(null);
    clock.advance(limits.batchDelayMs);
    await settle();
  }
  const all = flushes.flatMap(({ rows }) => rows);
  expect(all).toEqual(Array.from({ length: all.length }, (_, i) => i));
  for (const [i, { rows, mark, at, firstAt }] of flushes.entries()) {
    // no later than its delay, unless the batch before it was still being written
    expect(at).toBeLessThanOrEqual(
      Math.max(firstAt + limits.batchDelayMs, answeredAt[i - 1] ?? 0),
    );
    const bytes = rows.reduce((sum, row) => sum + bytesOf(row), 0);
    expect(rows.length).toBeLessThanOrEqual(limits.batchRowsMax);
    if (rows.length > 1)
      expect(bytes).toBeLessThanOrEqual(limits.batchBytesMax);
    if (mark !== null && failed === null)
      expect(`at ${(rows.at(-1) ?? -2) + 1}`).toBe(
        rows.length > 0 ? mark : "at -1",
      );
  }
  if (failed === null) {
    expect(all).toHaveLength(written);
    expect(acknowledged()).toBe(written);
    expect(outcomes.every((outcome) => outcome === "written")).toBe(true);
  } else {
    expect(acknowledged()).toBeLessThanOrEqual(all.length);
    expect(outcomes.lastIndexOf("written")).toBeLessThan(
      outcomes.includes("failed") ? outcomes.indexOf("failed") : Infinity,
    );
  }
}

test("whatever comes: each row is acknowledged once or failed, order is kept, bounds and delay hold", async () => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.record({
        batchRowsMax: fc.integer({ min: 1, max: 12 }),
        batchBytesMax: fc.integer({ min: 1, max: 60 }),
        batchDelayMs: fc.integer({ min: 0, max: 100 }),
      }),
      followSteps,
    ),
    { numRuns: 400 },
  );
});
