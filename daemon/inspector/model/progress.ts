/** Streams, their partitions and the sockets of one run. */
import type { ActorView } from "./actor-tree.ts";
import { numberOf, partitionOf } from "./names.ts";
import type { Figures, PartitionSample } from "../../../proto/figures.ts";
import type { ModelRecord } from "./records.ts";

const STREAMS_MAX = 10_000;
const PARTITIONS_MAX = 100_000;
const CHANNELS_MAX = 1_024;
/** Points of a socket's throughput, each of `SAMPLE_MS`. */
export const SAMPLES_MAX = 120;
export const SAMPLE_MS = 500;

export type PartitionState =
  | "waiting"
  | "reading"
  | "sealing"
  | "again"
  | "done"
  | "stopped"
  | "failed";

export interface PartitionView {
  readonly stream: number;
  readonly ordinal: number;
  state: PartitionState;
  /** Read in the attempt that is under way. */
  rows: number;
  bytes: number;
  rowsDurable: number;
  /** By the plan; 0 where it is not known. */
  rowsPlanned: number;
  bytesPlanned: number;
  range: string;
  /** Everything up to here is durable. */
  position: string | null;
  channel: number | null;
  attempt: number;
  sql: string | null;
  startedAt: number | null;
  endedAt: number | null;
  /** Rows a second, of late. */
  rate: number;
  lastAt: number;
}

export interface StreamView {
  readonly stream: number;
  name: string;
  rung: string;
  reason: string;
  state: string;
  rows: number;
  bytes: number;
  rowsDurable: number;
  rowsPlanned: number;
  partitions: number;
  partitionsDone: number;
  partitionsReading: number;
}

export interface ChannelView {
  readonly channel: number;
  source: string;
  destination: string;
  reading: string | null;
  rows: number;
  bytes: number;
  /** Milliseconds in which the source could not write, and in which the destination did not take. */
  pausedMs: number;
  heldMs: number;
  pausedSince: number | null;
  heldSince: number | null;
  openSince: number;
  /** Bytes by slot of time: `slot` is the last one's number. */
  slot: number;
  samples: number[];
}

const partitionStates: Readonly<Record<string, PartitionState>> = {
  queued: "waiting",
  reading: "reading",
  flushed: "sealing",
  yielding: "sealing",
  settling: "sealing",
  yielded: "sealing",
  cancelling: "again",
  discarding: "again",
  backingOff: "again",
  abandoning: "again",
  done: "done",
  stopped: "stopped",
  failed: "failed",
};

/** How much the newest interval counts in a rate. */
const RATE_WEIGHT = 0.4;

export class Progress {
  readonly streams = new Map<number, StreamView>();
  readonly partitions = new Map<string, PartitionView>();
  readonly channels = new Map<number, ChannelView>();

  /** What an actor's new state says of partitions, streams and sockets. */
  applyState(actor: ActorView, record: ModelRecord): void {
    if (actor.machine === "reader") this.#readerState(actor, record.at);
    else if (actor.machine === "streamRun") {
      const stream = numberOf(actor.name);
      if (stream !== null) {
        const view = this.stream(stream);
        if (view) view.state = actor.state;
      }
    } else if (actor.machine === "channel")
      this.#channelState(actor, record.at);
  }

  applyFigures(data: Figures, at: number): void {
    switch (data.type) {
      case "plan": {
        const view = this.stream(data.stream);
        if (!view) return;
        if (data.name !== "") view.name = data.name;
        view.rung = data.rung;
        view.reason = data.reason;
        for (const planned of data.partitions) {
          const partition = this.partition(data.stream, planned.ordinal, at);
          if (!partition) continue;
          view.rowsPlanned += planned.rows - partition.rowsPlanned;
          partition.rowsPlanned = planned.rows;
          partition.bytesPlanned = planned.bytes;
          partition.range = planned.range;
          if (planned.isDone) this.#setState(partition, "done", at);
        }
        return;
      }
      case "progress":
        for (const sample of data.partitions) this.#sample(sample, at);
        return;
      case "statement": {
        const partition = this.partition(data.stream, data.partition, at);
        if (!partition) return;
        partition.sql = data.sql;
        partition.channel = data.channel;
        return;
      }
      case "checkpoint": {
        if (data.step !== "durable" || data.partition === null) return;
        const partition = this.partition(data.stream, data.partition, at);
        const view = this.stream(data.stream);
        if (!partition || !view) return;
        partition.rowsDurable += data.rows;
        view.rowsDurable += data.rows;
        // a partition that is read faster than it is sampled has been read all the same
        this.#countRead(
          partition,
          view,
          partition.rowsDurable - partition.rows,
          0,
        );
        if (data.position !== null) partition.position = data.position;
        if (data.isLast) this.#setState(partition, "done", at);
        return;
      }
      case "run":
      case "log":
        return;
    }
  }

  stream(number: number): StreamView | null {
    const known = this.streams.get(number);
    if (known) return known;
    if (this.streams.size >= STREAMS_MAX) return null;
    const view: StreamView = {
      stream: number,
      name: `stream ${number}`,
      rung: "",
      reason: "",
      state: "",
      rows: 0,
      bytes: 0,
      rowsDurable: 0,
      rowsPlanned: 0,
      partitions: 0,
      partitionsDone: 0,
      partitionsReading: 0,
    };
    this.streams.set(number, view);
    return view;
  }

  partition(stream: number, ordinal: number, at: number): PartitionView | null {
    const key = `${stream}/${ordinal}`;
    const known = this.partitions.get(key);
    if (known) return known;
    const of = this.stream(stream);
    if (of === null || this.partitions.size >= PARTITIONS_MAX) return null;
    const view: PartitionView = {
      stream,
      ordinal,
      state: "waiting",
      rows: 0,
      bytes: 0,
      rowsDurable: 0,
      rowsPlanned: 0,
      bytesPlanned: 0,
      range: "",
      position: null,
      channel: null,
      attempt: 1,
      sql: null,
      startedAt: null,
      endedAt: null,
      rate: 0,
      lastAt: at,
    };
    of.partitions += 1;
    this.partitions.set(key, view);
    return view;
  }

  channel(number: number, at: number): ChannelView | null {
    const known = this.channels.get(number);
    if (known) return known;
    if (number < 1 || this.channels.size >= CHANNELS_MAX) return null;
    const view: ChannelView = {
      channel: number,
      source: "",
      destination: "",
      reading: null,
      rows: 0,
      bytes: 0,
      pausedMs: 0,
      heldMs: 0,
      pausedSince: null,
      heldSince: null,
      openSince: at,
      slot: Math.floor(at / SAMPLE_MS),
      samples: [],
    };
    this.channels.set(number, view);
    return view;
  }

  #readerState(actor: ActorView, at: number): void {
    const of = partitionOf(actor.name);
    if (of === null) return;
    const partition = this.partition(of.stream, of.partition, at);
    const state = partitionStates[actor.state];
    if (partition && state) this.#setState(partition, state, at);
  }

  #setState(view: PartitionView, state: PartitionState, at: number): void {
    if (view.state === state || view.state === "done") return;
    const of = this.streams.get(view.stream);
    if (of) {
      if (view.state === "reading") of.partitionsReading -= 1;
      if (state === "reading") of.partitionsReading += 1;
      if (state === "done") of.partitionsDone += 1;
    }
    view.state = state;
    if (state === "reading") view.startedAt ??= at;
    else {
      view.rate = 0;
      if (state !== "sealing") view.channel = null;
    }
    if (state === "done" || state === "failed" || state === "stopped")
      view.endedAt = at;
    view.lastAt = at;
  }

  #channelState(actor: ActorView, at: number): void {
    const number = numberOf(actor.name);
    if (number === null) return;
    const view = this.channel(number, at);
    if (!view) return;
    if (actor.process === "source") {
      view.source = actor.state;
      settle(view, "paused", actor.state.endsWith("pausedByBackpressure"), at);
    } else {
      view.destination = actor.state;
      settle(view, "held", actor.state === "pausedByWriter", at);
    }
  }

  #sample(sample: PartitionSample, at: number): void {
    const partition = this.partition(sample.stream, sample.partition, at);
    const of = this.streams.get(sample.stream);
    if (!partition || !of) return;
    if (sample.attempt > partition.attempt) {
      // what the attempt before had read and not made durable is read again
      const lost = partition.rows - partition.rowsDurable;
      of.rows -= lost;
      partition.rows -= lost;
      partition.bytes = 0;
      partition.attempt = sample.attempt;
    }
    const channel = this.channel(sample.channel, at);
    partition.channel = sample.channel;
    const base =
      sample.attempt > 1 ? Math.max(0, partition.rows - sample.rows) : 0;
    const rows = Math.max(0, sample.rows + base - partition.rows);
    const bytes = Math.max(0, sample.bytes - partition.bytes);
    const elapsed = at - partition.lastAt;
    if (elapsed > 0) {
      const now = (rows * 1000) / elapsed;
      partition.rate =
        partition.rate === 0
          ? now
          : partition.rate * (1 - RATE_WEIGHT) + now * RATE_WEIGHT;
    }
    partition.lastAt = at;
    this.#countRead(partition, of, rows, bytes);
    if (!channel) return;
    channel.reading = `${sample.stream}/${sample.partition}`;
    channel.rows += rows;
    channel.bytes += bytes;
    addSample(channel, bytes, at);
  }

  #countRead(
    partition: PartitionView,
    of: StreamView,
    rows: number,
    bytes: number,
  ): void {
    if (rows <= 0 && bytes <= 0) return;
    partition.rows += Math.max(0, rows);
    partition.bytes += bytes;
    of.rows += Math.max(0, rows);
    of.bytes += bytes;
  }
}

function settle(
  view: ChannelView,
  what: "paused" | "held",
  isOn: boolean,
  at: number,
): void {
  const since = what === "paused" ? view.pausedSince : view.heldSince;
  if (isOn === (since !== null)) return;
  const ms = since === null ? 0 : Math.max(0, at - since);
  if (what === "paused") {
    view.pausedSince = isOn ? at : null;
    view.pausedMs += ms;
  } else {
    view.heldSince = isOn ? at : null;
    view.heldMs += ms;
  }
}

function addSample(view: ChannelView, bytes: number, at: number): void {
  const slot = Math.floor(at / SAMPLE_MS);
  const passed = Math.min(SAMPLES_MAX, Math.max(0, slot - view.slot));
  if (view.samples.length === 0) view.samples.push(0);
  for (let i = 0; i < passed; i++) view.samples.push(0);
  view.samples.splice(0, view.samples.length - SAMPLES_MAX);
  view.slot = Math.max(view.slot, slot);
  const last = view.samples.length - 1;
  view.samples[last] = (view.samples[last] ?? 0) + bytes;
}
