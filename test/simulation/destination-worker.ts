/** A destination's channel worker as the simulation has it: the real machines, and a disk that is a list. */
import { createActor, fromPromise } from "xstate";
import {
  inputFlowMachine,
  type FrameOutcome,
} from "../../actors/destination/input-flow.machine.ts";
import { writerMachine } from "../../actors/destination/writer.machine.ts";
import type { DestinationWorkerFact } from "../../actors/destination/worker-messages.ts";
import type {
  CheckpointStamp,
  DurableReport,
  SealedFile,
} from "../../proto/checkpoint.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { MemoryPair } from "../../transport/in-memory.ts";
import type { World } from "./world.ts";

/** One checkpoint's rows under their final name, with what a recovery reads back. */
export interface SimulatedFile {
  readonly report: DurableReport;
  readonly keys: readonly number[];
}

export interface SimulatedDisk {
  readonly files: SimulatedFile[];
  /** Seals under way, those of one partition one behind the other: when their process dies, some have happened. */
  readonly sealing: Set<(() => void)[]>;
}

interface OpenPartition {
  readonly key: string;
  attempt: number;
  keys: number[];
  segment: string | null;
  segments: number;
  readonly sealing: (() => void)[];
  lastSeal: Promise<void>;
}

export function runDestinationWorker(
  world: World,
  disk: SimulatedDisk,
  epoch: number,
  channel: MemoryPair["destination"],
  tell: (fact: DestinationWorkerFact) => void,
): void {
  const open = new Map<string, OpenPartition>();
  const bySegment = new Map<string, { of: OpenPartition; keys: number[] }>();

  const partitionOf = (ids: {
    stream: number;
    partition: number;
    attempt: number;
  }): OpenPartition => {
    const key = `${ids.stream}/${ids.partition}`;
    const known = open.get(key) ?? {
      key,
      attempt: ids.attempt,
      keys: [],
      segment: null,
      segments: 0,
      sealing: [],
      lastSeal: Promise.resolve(),
    };
    disk.sealing.add(known.sealing);
    known.attempt = ids.attempt;
    open.set(key, known);
    return known;
  };

  const takeFrame = async (): Promise<FrameOutcome> => {
    await world.turn();
    const frame = await channel.next();
    if (frame === null) return { kind: "end" };
    switch (frame.kind) {
      case "batch": {
        const { stream, partition, batch } = frame;
        const of = partitionOf(frame);
        of.segment ??= `writer:${of.key}#${(of.segments += 1)}`;
        const data = batch.columns[0]?.data ?? new Uint8Array();
        const view = new DataView(data.buffer, data.byteOffset);
        for (let row = 0; row < batch.rowCount; row += 1)
          of.keys.push(Number(view.getBigInt64(row * 8, true)));
        frame.release();
        return { kind: "written", writer: of.segment, stream, partition };
      }
      case "checkpoint": {
        const stamp = frame.checkpoint;
        const of = partitionOf(stamp);
        tell({ type: "checkpoint.announced", stamp });
        const writer = of.segment ?? `writer:${of.key}#none`;
        bySegment.set(writer, { of, keys: of.keys });
        of.keys = [];
        of.segment = null;
        return { kind: "checkpoint", writer, stamp };
      }
      case "discard": {
        const of = partitionOf(frame.discard);
        const writer = of.segment ?? `writer:${of.key}#none`;
        const wasOpen = of.segment !== null;
        bySegment.set(writer, { of, keys: [] });
        of.keys = [];
        of.segment = null;
        return { kind: "discard", writer, wasOpen };
      }
      case "schema":
      case "stalled":
        return { kind: "nothing" };
    }
  };

  const seal = async (
    segment: string,
    stamp: CheckpointStamp,
  ): Promise<readonly SealedFile[]> => {
    const sealed = bySegment.get(segment);
    if (!sealed) throw new Error(`${segment} is not open`);
    const { of, keys } = sealed;
    if (keys.length !== stamp.rows)
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `${stamp.rows} rows stamped, ${keys.length} arrived`,
      );
    const path = `s${stamp.stream}-p${stamp.partition}-e${epoch}-i${stamp.index}`;
    const files = [{ path, rows: keys.length, bytes: stamp.bytes }];
    const happen = (): void => {
      if (disk.files.some(({ report }) => report.files[0]?.path === path))
        throw new Error(`${path} is written twice`);
      disk.files.push({ report: { ...stamp, epoch, files }, keys });
    };
    of.sealing.push(happen);
    of.lastSeal = of.lastSeal
      .then(() => world.turn())
      .then(() => of.sealing.shift()?.());
    await of.lastSeal;
    return files;
  };

  const flow = createActor(
    inputFlowMachine.provide({
      actors: {
        takeFrames: fromPromise(takeFrame),
        writer: writerMachine.provide({
          actors: {
            seal: fromPromise(({ input }) => seal(input.key, input.stamp)),
            discard: fromPromise(async ({ input }) => {
              await bySegment.get(input.key)?.of.lastSeal;
              await world.turn();
            }),
          },
        }),
      },
      actions: {
        acknowledge: (_, { stamp, files }) => {
          const rows = files.reduce((sum, file) => sum + file.rows, 0);
          // a checkpoint over no rows leaves no file behind, and so nothing for a recovery to find
          tell({
            type: "checkpoint.durable",
            report: { ...stamp, rows, epoch, files },
          });
          const { stream, partition, attempt, sequence, bytes } = stamp;
          const ack = { stream, partition, attempt, sequence, rows, bytes };
          channel.write({ kind: "ack", ack });
        },
        answerDiscard: (_, { key }) => {
          const of = bySegment.get(key)?.of;
          if (!of) throw new Error(`${key} is not known`);
          const [stream = 0, partition = 0] = of.key.split("/").map(Number);
          channel.write({
            kind: "discarded",
            discarded: { stream, partition, attempt: of.attempt },
          });
        },
        reportPaused: () =>
          tell({ type: "channel.paused", reason: "the disk is busy" }),
        reportResumed: () => tell({ type: "channel.resumed" }),
        reportEnded: () => {
          void channel.close().then(() => tell({ type: "channel.ended" }));
        },
        reportBroken: (_, { error }) => tell({ type: "channel.broken", error }),
      },
    }),
    { clock: world.clock },
  );
  flow.subscribe({
    error: (error) =>
      tell({ type: "channel.broken", error: toWireError(error) }),
  });
  flow.start();
}
