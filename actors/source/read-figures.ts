/** How far each partition is that is being read, and over which socket: what the inspector draws as its bar. */
import {
  PARTITIONS_PER_RECORD_MAX,
  type Figures,
  type PartitionSample,
} from "../../proto/figures.ts";
import type { ReadRef } from "./worker-messages.ts";

export class ReadFigures {
  /** By partition: those that have moved or may still move. */
  readonly #reading = new Map<string, PartitionSample>();
  readonly #moved = new Set<string>();

  countRead(
    channel: number,
    read: ReadRef & { readonly rows: number; readonly bytes: number },
  ): void {
    const { stream, partition, attempt } = read;
    const key = `${stream}/${partition}`;
    const known = this.#reading.get(key);
    const before = known?.attempt === attempt ? known : { rows: 0, bytes: 0 };
    this.#reading.set(key, {
      stream,
      partition,
      attempt,
      channel,
      rows: before.rows + read.rows,
      bytes: before.bytes + read.bytes,
    });
    this.#moved.add(key);
  }

  /** The partition is read to its end: it is told once more, and forgotten. */
  take(isOver: (key: string) => boolean): Figures | null {
    const partitions: PartitionSample[] = [];
    for (const key of this.#moved) {
      if (partitions.length >= PARTITIONS_PER_RECORD_MAX) break;
      const sample = this.#reading.get(key);
      this.#moved.delete(key);
      if (!sample) continue;
      partitions.push(sample);
      if (isOver(key)) this.#reading.delete(key);
    }
    return partitions.length === 0 ? null : { type: "progress", partitions };
  }
}
