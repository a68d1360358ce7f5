import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ACTORS_MAX } from "../../../../daemon/inspector/model/actor-tree.ts";
import { readRecord } from "../../../../daemon/inspector/model/records.ts";
import {
  RunModel,
  type ModelSnapshot,
} from "../../../../daemon/inspector/model/run-model.ts";
import { describeLargeRun, readTrace, recordedRows } from "../traces.ts";

const trace = readTrace();

function fold(
  records: readonly (typeof trace)[number][],
  model = new RunModel(),
) {
  for (const record of records) model.apply(record);
  return model;
}

describe("a recorded run", () => {
  const model = fold(trace);
  const streams = [...model.progress.streams.values()];

  test("has all its rows, by stream and by partition", () => {
    const sum = (rows: number[]) => rows.reduce((a, b) => a + b, 0);
    expect(sum(streams.map((one) => one.rowsDurable))).toBe(recordedRows);
    expect(sum(streams.map((one) => one.rows))).toBe(recordedRows);
    const partitions = [...model.progress.partitions.values()];
    expect(sum(partitions.map((one) => one.rowsDurable))).toBe(recordedRows);
    expect(new Set(partitions.map((one) => one.state))).toEqual(
      new Set(["done"]),
    );
  });

  test("ends with its streams named and committed, and nothing being read", () => {
    expect(streams.map((one) => one.name).sort()).toEqual([
      "public.customers",
      "public.empty_one",
      "public.line_items",
      "public.orders",
    ]);
    for (const stream of streams) {
      expect(stream.state).toBe("committed");
      expect(stream.partitionsReading).toBe(0);
      expect(stream.partitionsDone).toBe(stream.partitions);
    }
    expect(model.run.state).toBe("succeeded");
  });

  test("shows what each reader with rows asked its server", () => {
    for (const partition of model.progress.partitions.values())
      expect(partition.sql).toMatch(/^SELECT .* FROM ONLY "public"\./);
  });

  test("has an actor tree of four processes in which each has its parent", () => {
    const { actors } = model.tree;
    const processes = new Set([...actors.values()].map((one) => one.process));
    expect([...processes].sort()).toEqual([
      "bookkeeper",
      "destination",
      "keeper",
      "source",
    ]);
    for (const actor of actors.values())
      if (actor.parent !== null) expect(actors.has(actor.parent)).toBe(true);
    const reader = [...actors.values()].find(
      (one) => one.name === "reader:1/0",
    );
    expect(actors.get(reader?.parent ?? "")?.machine).toBe("sourceProcess");
  });

  test("released every checkpoint it received, though some came out of order", () => {
    const all = [...model.checkpoints.streams.values()];
    for (const of of all) {
      expect(of.released).toBe(of.received);
      expect(of.recent.map((one) => one.index)).toEqual(
        Array.from({ length: of.received }, (_, at) => at + 1),
      );
    }
    expect(all.some((of) => of.reordered > 0)).toBe(true);
  });

  test("moved as many bytes over its sockets as its streams have", () => {
    const moved = [...model.progress.channels.values()].reduce(
      (sum, one) => sum + one.bytes,
      0,
    );
    const read = streams.reduce((sum, one) => sum + one.bytes, 0);
    expect(moved).toBe(read);
    expect(model.progress.channels.size).toBe(4);
  });
});

test("a model that goes on from its snapshot is the model of the whole", () => {
  const whole = JSON.stringify(fold(trace).snapshot());
  fc.assert(
    fc.property(fc.nat(trace.length), (cut) => {
      const text = JSON.stringify(fold(trace.slice(0, cut)).snapshot());
      const resumed = RunModel.from(JSON.parse(text) as ModelSnapshot);
      return (
        JSON.stringify(fold(trace.slice(cut), resumed).snapshot()) === whole
      );
    }),
    { numRuns: 12 },
  );
});

test("how far the run is behind its log is what was told last, and is kept in a snapshot", () => {
  const tell = (lagBytes: number | null, step: string) =>
    readRecord({
      ...{ at: 1, process: "bookkeeper", kind: "figures" },
      figures: { type: "log", asOfMs: 5, lagBytes, step },
    });
  const told = [tell(7, "hurry"), tell(null, "?")].flatMap((one) =>
    one === null ? [] : [one],
  );
  const model = fold(told.slice(0, 1));
  const last = { type: "log", asOfMs: 5, lagBytes: 7, step: "hurry" };
  expect(model.log).toEqual(last);
  const resumed = RunModel.from(model.snapshot());
  expect(resumed.log).toEqual(last);
  expect(fold(told.slice(1), resumed).log).toMatchObject({
    ...{ lagBytes: null, step: "calm" },
  });
});

test("a snapshot is not changed by what comes after", () => {
  const base = fold(trace.slice(0, 500)).snapshot();
  const before = JSON.stringify(base);
  fold(trace.slice(500), RunModel.from(base));
  expect(JSON.stringify(base)).toBe(before);
});

test("another attempt's processes take the place of the ones before, whose actors are over", () => {
  const root = {
    at: 1,
    process: "source",
    thread: 0,
    actor: "x:0",
    machine: "sourceProcess",
  };
  const child = {
    ...root,
    actor: "x:1",
    machine: "reader",
    name: "reader:1/0",
    parent: "x:0",
  };
  const model = fold([
    { ...root, kind: "actor" },
    { ...child, kind: "actor" },
    { ...child, kind: "state", state: "reading" },
    { ...root, kind: "actor", at: 2 },
  ]);
  const actors = [...model.tree.actors.values()];
  expect(actors.map(({ name, isOver }) => [name, isOver])).toEqual([
    ["reader:1/0", true],
    ["sourceProcess", false],
  ]);
});

test("rows that an attempt had read and not made durable are counted once", () => {
  const at = (attempt: number, rows: number) => ({
    at: attempt * 1000 + rows,
    process: "source",
    thread: 0,
    kind: "figures",
    actor: "",
    machine: "",
    figures: {
      type: "progress" as const,
      partitions: [
        {
          stream: 1,
          partition: 0,
          attempt,
          channel: 1,
          rows,
          bytes: rows * 10,
        },
      ],
    },
  });
  const model = fold([at(1, 60), at(2, 50), at(2, 100)]);
  expect(model.progress.streams.get(1)?.rows).toBe(100);
  expect(model.progress.partitions.get("1/0")).toMatchObject({
    rows: 100,
    bytes: 1000,
    attempt: 2,
  });
});

test("memory is bounded: of more actors than are kept, the oldest that are over go", () => {
  const model = new RunModel();
  const count = ACTORS_MAX + 500;
  for (let n = 0; n < count; n++) {
    const actor = {
      at: n,
      process: "source",
      thread: 0,
      actor: `a${n}`,
      machine: "reader",
      name: `reader:1/${n}`,
      parent: "x:0",
    };
    model.apply({ ...actor, kind: "actor" });
    model.apply({ ...actor, kind: "stopped", state: "done" });
  }
  expect(model.tree.actors.size).toBe(ACTORS_MAX);
  expect(model.tree.forgotten).toBe(500);
  expect(model.tree.actors.has("source/0/a0")).toBe(false);
  expect(model.tree.actors.has(`source/0/a${count - 1}`)).toBe(true);
});

test("ten thousand partitions are all there, in their states", () => {
  const model = fold([...describeLargeRun(10_000, 1_000)]);
  expect(model.progress.streams.get(1)).toMatchObject({
    partitions: 10_000,
    partitionsDone: 2_500,
    partitionsReading: 4,
    rowsPlanned: 500_000_000,
  });
});

describe("records of anybody", () => {
  test("whatever they are, none breaks the model", () => {
    const kind = fc.constantFrom(
      "actor",
      "event",
      "state",
      "stopped",
      "dropped",
      "figures",
      "?",
    );
    const record = fc.record(
      {
        at: fc.integer(),
        process: fc.string(),
        kind,
        thread: fc.anything(),
        actor: fc.anything(),
        machine: fc.anything(),
        state: fc.anything(),
        event: fc.anything(),
        from: fc.anything(),
        parent: fc.anything(),
        count: fc.anything(),
        figures: fc.anything(),
      },
      { requiredKeys: ["at", "process", "kind"] },
    );
    fc.assert(
      fc.property(fc.array(record), (values) => {
        const model = new RunModel();
        for (const value of values) {
          const read = readRecord(JSON.parse(JSON.stringify(value)));
          if (read) model.apply(read);
        }
        JSON.stringify(model.snapshot());
      }),
    );
  });

  test.for([
    null,
    1,
    "x",
    [],
    {},
    { at: "1", process: "a", kind: "b" },
    { at: Number.NaN, process: "a", kind: "b" },
  ])("%j is none", (value) => expect(readRecord(value)).toBeNull());

  test("names are cut", () => {
    const long = "x".repeat(10_000);
    const read = readRecord({
      at: 1,
      process: long,
      kind: "event",
      thread: 0,
      actor: long,
      machine: long,
      event: long,
    });
    expect(read?.event?.length).toBe(200);
    expect(read?.process.length).toBe(200);
  });
});
