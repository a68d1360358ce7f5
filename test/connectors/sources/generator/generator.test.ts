/** Rows that follow from their numbers: the same whoever reads them, from wherever they are read on. */
import { describe, expect, test } from "vitest";
import { generatorDriver } from "../../../../connectors/sources/generator/driver.ts";
import {
  parseGeneratorUrl,
  parseSourceUrl,
} from "../../../../connectors/sources/generator/url.ts";
import type {
  PartitionRead,
  ReadSink,
  SourceSession,
} from "../../../../connectors/sources/source.ts";
import type { ColumnBatch } from "../../../../proto/columns.ts";
import type { Partition, Position } from "../../../../proto/partition.ts";

const settings = {
  channels: 4,
  checkpointTargetSeconds: 60,
  partitionBy: "auto",
  partitionBytesMin: 1_000,
} as const;
const all = { include: [], exclude: [], columns: null };

async function openPlan(url: string, columns: readonly string[] | null = null) {
  const session = await generatorDriver.connect(url);
  await session.beginSnapshot(null);
  const { streams } = await session.discover({ ...all, columns }, "error");
  const stream = streams[0]!;
  const { plan } = await session.planStream(
    stream,
    { where: null, cursor: null },
    settings,
  );
  return { session, stream, partitions: plan.partitions };
}

interface Taken {
  readonly ids: number[];
  readonly words: string[];
  readonly positions: {
    readonly position: Position | null;
    readonly last: boolean;
    readonly rows: number;
  }[];
}

function sinkOf(
  taken: Taken,
  onBatch: (taken: Taken) => void | Promise<void> = () => {},
): ReadSink {
  return {
    async batch(batch: ColumnBatch) {
      const [id, word] = batch.columns;
      const ids = new Int32Array(
        id!.data.buffer,
        id!.data.byteOffset,
        batch.rowCount,
      );
      for (let row = 0; row < batch.rowCount; row++) {
        taken.ids.push(ids[row]!);
        if (word?.offsets)
          taken.words.push(
            Buffer.from(
              word.data.subarray(word.offsets[row], word.offsets[row + 1]),
            ).toString(),
          );
      }
      await onBatch(taken);
    },
    async checkpoint(position, last) {
      taken.positions.push({ position, last, rows: taken.ids.length });
    },
    valueNulled: () => {},
  };
}

const nothing = (): Taken => ({ ids: [], words: [], positions: [] });

function read(
  session: SourceSession,
  stream: Parameters<SourceSession["startRead"]>[0]["stream"],
  partition: Partition,
  sink: ReadSink,
  resumeAfter: Position | null = null,
): PartitionRead {
  return session.startRead(
    {
      stream,
      partition,
      resumeAfter,
      filter: { where: null, cursor: null },
      policy: "error",
      rowBytesMax: 1_000,
    },
    sink,
    { checkpointEveryMs: 60_000 },
  );
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("generator:", () => {
  test("partitions together are every row once, and each value follows from its row", async () => {
    const url =
      "generator:?columns=id:int,first:string,last:string&rows=5000&batch=300";
    const { session, stream, partitions } = await openPlan(url);
    expect(partitions.length).toBe(4);
    const taken = nothing();
    for (const partition of partitions)
      expect(
        (await read(session, stream, partition, sinkOf(taken)).done).outcome,
      ).toBe("end");
    expect(taken.ids).toEqual(numbers(1, 5_000));
    expect(taken.positions.map(({ last }) => last)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(new Set(taken.words).size).toBeGreaterThan(500);
    expect(taken.words.every((word) => /^[a-z]{4,9}$/.test(word))).toBe(true);
    const alone = nothing();
    const whole = await openPlan(url.replace("batch=300", "batch=7"));
    for (const partition of whole.partitions)
      await read(whole.session, whole.stream, partition, sinkOf(alone)).done;
    expect(alone.words).toEqual(taken.words);
  });

  test("goes on behind any position, after a stop at one", async () => {
    const { session, stream, partitions } = await openPlan(
      "generator:?columns=id:int,w:string&rows=1000&batch=64&table=t",
    );
    const partition = partitions[1]!;
    const taken = nothing();
    const first: PartitionRead = read(
      session,
      stream,
      partition,
      sinkOf(taken, ({ ids }) => {
        if (ids.length === 64) first.requestCheckpoint();
        if (ids.length >= 128) first.stop();
      }),
    );
    const { outcome, rows } = await first.done;
    expect(outcome).toBe("stopped");
    expect(rows).toBe(taken.ids.length);
    const { position, last } = taken.positions.at(-1)!;
    expect(position).toEqual({
      kind: "key",
      after: [String(taken.ids.at(-1))],
    });
    expect(last).toBe(false);
    await read(session, stream, partition, sinkOf(taken), position).done;
    const from = Number(
      partition.split.kind === "key" ? partition.split.start?.[0] : 0,
    );
    expect(taken.ids).toEqual(
      numbers(from, from + partition.estimatedRows - 1),
    );
    for (const one of taken.positions.slice(0, -1))
      expect(one.position).toEqual({
        kind: "key",
        after: [String(from + one.rows - 1)],
      });
  });

  test("a range is given away in two halves that are the whole", async () => {
    const { session, stream, partitions } = await openPlan(
      "generator:?rows=1000",
    );
    const range = partitions.at(-1)!;
    const found = await session.findSplit(stream, {
      range,
      resumeAfter: null,
      rowBytes: 20,
      bytesMin: 10,
    });
    const taken = nothing();
    await read(session, stream, found!.giver, sinkOf(taken)).done;
    await read(session, stream, { ...found!.taker, ordinal: 9 }, sinkOf(taken))
      .done;
    expect(taken.ids).toEqual(numbers(1_001 - range.estimatedRows, 1_000));
    expect(
      await session.findSplit(stream, {
        range,
        resumeAfter: null,
        rowBytes: 20,
        bytesMin: 1e6,
      }),
    ).toBeNull();
  });

  test("a rate holds rows back", async () => {
    const { session, stream, partitions } = await openPlan(
      "generator:?rows=60&rate=1000",
    );
    expect(partitions).toHaveLength(1);
    const taken = nothing();
    const startedAt = performance.now();
    await read(session, stream, partitions[0]!, sinkOf(taken)).done;
    expect(performance.now() - startedAt).toBeGreaterThan(50);
    expect(taken.ids).toEqual(numbers(1, 60));
  });

  test("a sink that fails or a cancel ends the read with that error", async () => {
    const { session, stream, partitions } = await openPlan(
      "generator:?rows=100000&batch=10",
    );
    const broken = new Error("broken");
    await expect(
      read(
        session,
        stream,
        partitions[0]!,
        sinkOf(nothing(), () => {
          throw broken;
        }),
      ).done,
    ).rejects.toBe(broken);
    const stuck = read(
      session,
      stream,
      partitions[0]!,
      sinkOf(nothing(), () => new Promise<void>(() => {})),
    );
    const refused = expect(stuck.done).rejects.toBe(broken);
    stuck.cancel(broken);
    await refused;
  });

  test("every type; columns that are chosen keep their values", async () => {
    const url =
      "generator:?columns=id:int,w:string,n:long,f:float,b:boolean,t:timestamp&rows=50";
    const full = await openPlan(url);
    expect(full.stream.schema.columns.map(({ type }) => type.kind)).toEqual([
      "int32",
      "text",
      "int64",
      "float64",
      "boolean",
      "timestamptz",
    ]);
    expect(full.stream.schema.key).toEqual(["id"]);
    const some = await openPlan(
      "generator:?columns=id:int,x:string,w:string&rows=50",
      ["w"],
    );
    expect(some.stream.schema.columns.map(({ name }) => name)).toEqual([
      "id",
      "w",
    ]);
    const place = await openPlan(
      "generator:?columns=id:int,y:int,w:string&rows=50",
      ["w"],
    );
    const [a, b] = [nothing(), nothing()];
    for (const partition of some.partitions)
      await read(some.session, some.stream, partition, sinkOf(a)).done;
    for (const partition of place.partitions)
      await read(place.session, place.stream, partition, sinkOf(b)).done;
    expect(a.words).toEqual(b.words);
  });

  test("has one table, and names what is wrong with a URL", async () => {
    const session = await generatorDriver.connect("generator:?table=people");
    await expect(
      session.discover({ ...all, include: ["animals"] }, "error"),
    ).rejects.toMatchObject({ code: "SOURCE_TABLE_NOT_FOUND" });
    await expect(
      session.discover({ ...all, columns: ["name"] }, "error"),
    ).rejects.toMatchObject({ code: "SOURCE_COLUMN_NOT_FOUND" });
    for (const url of [
      "generator://x",
      "generator:?rows=-1",
      "generator:?rows=1e12",
      "generator:?columns=id:text",
      "generator:?columns=a:string",
      "generator:?columns=id:int,id:int",
      "generator:?speed=1",
    ])
      expect(() => parseGeneratorUrl(url), url).toThrow(
        expect.objectContaining({ code: "USAGE" }),
      );
    expect(parseSourceUrl("generator:?rows=5")).toEqual({
      host: "",
      port: 0,
      database: "rows(id:int,first:string,last:string)x5",
    });
    const held = await generatorDriver.holdSnapshot("generator:", () => {});
    expect(await held.lockRelations([])).toEqual([]);
    await held.close();
  });
});
