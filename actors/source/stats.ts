/** What the source process has read so far, by stream. */
import type { SourceFact } from "../../proto/control.ts";
import type { ReadPhases } from "../../connectors/channels/phase-clock.ts";

interface StreamCounts {
  rows: number;
  bytes: number;
  partitionsDone: number;
  waitingMs: number;
  decodingMs: number;
  socketMs: number;
  isUntold: boolean;
  readonly nulled: Map<string, number>;
}

export class SourceStats {
  readonly #streams = new Map<number, StreamCounts>();
  readonly #paused = new Set<number>();
  bytesTotal = 0;

  #of(stream: number): StreamCounts {
    let counts = this.#streams.get(stream);
    if (!counts) {
      counts = {
        rows: 0,
        bytes: 0,
        partitionsDone: 0,
        waitingMs: 0,
        decodingMs: 0,
        socketMs: 0,
        isUntold: false,
        nulled: new Map(),
      };
      this.#streams.set(stream, counts);
    }
    counts.isUntold = true;
    return counts;
  }

  countRead(stream: number, rows: number, bytes: number): void {
    const counts = this.#of(stream);
    counts.rows += rows;
    counts.bytes += bytes;
    this.bytesTotal += bytes;
  }

  countPhases(stream: number, phases: ReadPhases): void {
    const counts = this.#of(stream);
    counts.waitingMs += phases.waiting;
    counts.decodingMs += phases.decoding;
    counts.socketMs += phases.socket;
  }

  countPartition(stream: number): void {
    this.#of(stream).partitionsDone += 1;
  }

  countNulled(stream: number, column: string): void {
    const { nulled } = this.#of(stream);
    nulled.set(column, (nulled.get(column) ?? 0) + 1);
  }

  valuesNulled(stream: number): Record<string, number> {
    return Object.fromEntries(this.#streams.get(stream)?.nulled ?? []);
  }

  notePaused(channel: number, isPaused: boolean): void {
    if (isPaused) this.#paused.add(channel);
    else this.#paused.delete(channel);
  }

  get channelsPaused(): number {
    return this.#paused.size;
  }

  /** The streams that have moved since the last call; null where none has. */
  takeProgress(
    lastIndex: (stream: number) => number,
  ): Extract<SourceFact, { type: "progress" }> | null {
    const moved = [...this.#streams].filter(([, counts]) => counts.isUntold);
    if (moved.length === 0) return null;
    return {
      type: "progress",
      streams: moved.map(([stream, counts]) => {
        counts.isUntold = false;
        const { isUntold: _, nulled: __, ...told } = counts;
        return { stream, ...told, checkpoints: lastIndex(stream) };
      }),
    };
  }
}
