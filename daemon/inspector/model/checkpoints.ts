/** The checkpoints of each stream: in which order they became durable, and in which order their states left. */
import type { Figures } from "../../../proto/figures.ts";

/** Checkpoints that are kept of one stream, the newest. */
export const CHECKPOINTS_MAX = 500;
const STREAMS_MAX = 1_000;

export interface CheckpointView {
  readonly index: number;
  partition: number | null;
  rows: number;
  announcedAt: number | null;
  durableAt: number | null;
  releasedAt: number | null;
  isVoid: boolean;
  /** Its place among those that became durable, from 1; null before. */
  arrival: number | null;
}

export interface StreamCheckpoints {
  readonly stream: number;
  epoch: number;
  received: number;
  released: number;
  /** Of those received, how many came before one with a lower index. */
  reordered: number;
  indexMax: number;
  releasedIndex: number;
  recent: CheckpointView[];
}

type CheckpointFigures = Extract<Figures, { type: "checkpoint" }>;

export class Checkpoints {
  readonly streams = new Map<number, StreamCheckpoints>();

  /** Indexes count anew in each attempt. */
  begin(epoch: number): void {
    for (const [stream, of] of this.streams)
      if (of.epoch !== epoch) this.streams.delete(stream);
  }

  apply(data: CheckpointFigures, epoch: number, at: number): void {
    const of = this.#of(data.stream, epoch);
    if (of === null) return;
    if (data.step === "released") {
      release(of, data.index, at);
      return;
    }
    const view = place(of, data.index);
    if (view === null) return;
    if (data.partition !== null) view.partition = data.partition;
    if (data.rows > 0) view.rows = data.rows;
    switch (data.step) {
      case "announced":
        view.announcedAt ??= at;
        return;
      case "voided":
        view.isVoid = true;
        return;
      case "durable":
        if (view.durableAt !== null) return;
        view.durableAt = at;
        of.received += 1;
        view.arrival = of.received;
        if (data.index < of.indexMax) of.reordered += 1;
        of.indexMax = Math.max(of.indexMax, data.index);
        return;
    }
  }

  #of(stream: number, epoch: number): StreamCheckpoints | null {
    const known = this.streams.get(stream);
    if (known) return known;
    if (this.streams.size >= STREAMS_MAX) return null;
    const fresh: StreamCheckpoints = {
      stream,
      epoch,
      received: 0,
      released: 0,
      reordered: 0,
      indexMax: 0,
      releasedIndex: 0,
      recent: [],
    };
    this.streams.set(stream, fresh);
    return fresh;
  }
}

/** States are cumulative: with an index leave all before it. */
function release(of: StreamCheckpoints, index: number, at: number): void {
  of.releasedIndex = Math.max(of.releasedIndex, index);
  for (const view of of.recent) {
    if (view.index > index) break;
    if (view.releasedAt !== null) continue;
    view.releasedAt = at;
    of.released += 1;
  }
}

/** In order of their indexes; null for one that is older than what is kept. */
function place(of: StreamCheckpoints, index: number): CheckpointView | null {
  const { recent } = of;
  let at = recent.length;
  while (at > 0 && (recent[at - 1]?.index ?? 0) > index) at -= 1;
  const known = recent[at - 1];
  if (known?.index === index) return known;
  if (at === 0 && recent.length >= CHECKPOINTS_MAX) return null;
  const view: CheckpointView = {
    index,
    partition: null,
    rows: 0,
    announcedAt: null,
    durableAt: null,
    releasedAt: null,
    isVoid: false,
    arrival: null,
  };
  recent.splice(at, 0, view);
  if (recent.length > CHECKPOINTS_MAX) recent.shift();
  return view;
}
