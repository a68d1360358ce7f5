/** A source's channel worker as the simulation has it: the same orders and facts, a table of numbers for a server. */
import type {
  ReadRef,
  SourceWorkerFact,
  SourceWorkerOrder,
} from "../../actors/source/worker-messages.ts";
import { batchBytes } from "../../proto/columns.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { Position } from "../../proto/partition.ts";
import type { MemoryPair } from "../../transport/in-memory.ts";
import { buildBatch } from "../fixtures/batches.ts";
import { describeTable, keysOf, type SimulatedTable } from "./table.ts";
import type { World } from "./world.ts";

type StartOrder = Extract<SourceWorkerOrder, { type: "read.start" }>;

/** How often, for each batch, the server goes away. */
const LOSS_PROBABILITY = 0.03;
const CHECKPOINT_PROBABILITY = 0.2;
const BATCH_ROWS_MAX = 5;

const lost = (): ExtractError =>
  new ExtractError("SOURCE_CONNECTION_LOST", "the server went away");

export class SimulatedSourceWorker {
  readonly #world: World;
  readonly #tables: ReadonlyMap<number, SimulatedTable>;
  readonly #channel: MemoryPair["source"];
  readonly #tell: (fact: SourceWorkerFact) => void;
  readonly #totals = { batches: 0, rows: 0, bytes: 0, checkpoints: 0 };
  #hasEnded = false;
  #active: { ref: ReadRef; stopping: boolean; cancelled: boolean } | null =
    null;
  #giveIndex: ((index: number) => void) | null = null;

  constructor(
    world: World,
    tables: ReadonlyMap<number, SimulatedTable>,
    channel: MemoryPair["source"],
    tell: (fact: SourceWorkerFact) => void,
  ) {
    this.#world = world;
    this.#tables = tables;
    this.#channel = channel;
    this.#tell = tell;
    channel.start({
      onFrame: (frame) => {
        if (frame.kind === "ack")
          tell({ type: "checkpoint.acked", ...frame.ack });
        else if (frame.kind === "discarded")
          tell({ type: "read.discarded", ...frame.discarded });
      },
      onClosed: (error) => {
        if (this.#hasEnded && !error) tell({ type: "channel.ended" });
        else
          this.#break(
            error ?? new ExtractError("CHANNEL_BROKEN", "closed before End"),
          );
      },
    });
  }

  #break(error: unknown): void {
    this.#tell({ type: "channel.broken", error: toWireError(error) });
  }

  follow(order: SourceWorkerOrder): void {
    const active = this.#active;
    switch (order.type) {
      case "read.start":
        if (active) throw new Error("two reads on one channel");
        void this.#read(order);
        return;
      case "checkpoint.index":
        this.#giveIndex?.(order.index);
        return;
      case "read.stop":
        if (active) active.stopping = true;
        return;
      case "read.cancel":
        if (active) active.cancelled = true;
        return;
      case "read.discard": {
        const { stream, partition, attempt, fromSequence } = order;
        this.#channel
          .writeDiscard({ stream, partition, attempt, fromSequence })
          .catch((error: unknown) => this.#break(error));
        return;
      }
      case "channel.end":
        this.#hasEnded = true;
        this.#channel
          .writeEnd(this.#totals)
          .catch((error: unknown) => this.#break(error));
        return;
      case "channel.open":
      case "snapshot.use":
      case "stream.known":
        return;
      // no log is followed in a simulation
      case "snapshot.leave":
      case "stream.logged":
      case "log.start":
      case "log.leave":
      case "log.stop":
      case "log.end":
      case "log.release":
      case "log.pace":
      case "log.committed":
      case "log.cancel":
        throw new Error(`${order.type} in a simulation`);
    }
  }

  async #read(order: StartOrder): Promise<void> {
    const { stream, partition, attempt } = order;
    const ref: ReadRef = { stream, partition, attempt };
    const active = { ref, stopping: false, cancelled: false };
    this.#active = active;
    const end = (fact: SourceWorkerFact): void => {
      this.#active = null;
      this.#tell(fact);
    };
    try {
      const isWhole = await this.#sendRows(order, active);
      end({ type: isWhole ? "read.done" : "read.stopped", ...ref });
    } catch (error) {
      end({ type: "read.failed", ...ref, error: toWireError(error) });
    }
  }

  async #sendRows(
    order: StartOrder,
    active: { readonly stopping: boolean; readonly cancelled: boolean },
  ): Promise<boolean> {
    const { stream, partition, attempt, range, resumeAfter } = order;
    const ref: ReadRef = { stream, partition, attempt };
    const table = this.#tables.get(stream);
    if (!table) throw new Error(`no table ${stream}`);
    const schema = describeTable(table);
    const after =
      resumeAfter?.kind === "key" ? Number(resumeAfter.after[0]) : -1;
    const keys = keysOf(table, range).filter((key) => key > after);
    let sequence = 1;
    let rows = 0;
    let bytes = 0;
    const checkpoint = async (
      position: Position | null,
      last: boolean,
    ): Promise<void> => {
      const place = {
        ...ref,
        sequence: sequence++,
        position,
        rows,
        bytes,
        last,
      };
      rows = 0;
      bytes = 0;
      const index = await new Promise<number>((resolve) => {
        this.#giveIndex = resolve;
        this.#tell({ type: "checkpoint.ready", ...place });
      });
      this.#totals.checkpoints += 1;
      await this.#channel.writeCheckpoint({ ...place, index });
    };
    let lastKey = after;
    while (keys.length > 0) {
      await this.#world.turn();
      if (active.cancelled || this.#world.happens(LOSS_PROBABILITY))
        throw lost();
      if (active.stopping) {
        // as the real reader: a partition that is resumable at its end only has nothing to stop at
        if (range.split.kind === "whole") throw lost();
        if (rows > 0)
          await checkpoint({ kind: "key", after: [String(lastKey)] }, false);
        return false;
      }
      const batch = buildBatch(
        schema,
        keys
          .splice(0, this.#world.draw(1, BATCH_ROWS_MAX))
          .map((key) => [BigInt((lastKey = key))]),
      );
      rows += batch.rowCount;
      bytes += batchBytes(batch);
      this.#totals.batches += 1;
      this.#totals.rows += batch.rowCount;
      this.#totals.bytes += batchBytes(batch);
      this.#tell({
        type: "read.progress",
        ...ref,
        rows: batch.rowCount,
        bytes: batchBytes(batch),
      });
      // not waited for: a checkpoint may follow while it is on its way; a channel that breaks says so itself
      this.#channel
        .writeBatch({ ...ref, sequence: sequence++ }, batch)
        .catch(() => {});
      if (
        range.split.kind === "key" &&
        this.#world.happens(CHECKPOINT_PROBABILITY)
      )
        await checkpoint({ kind: "key", after: [String(lastKey)] }, false);
    }
    await checkpoint(null, true);
    return true;
  }
}
