/**
 * One run as the inspector knows it: a fold over its records, the same in the daemon, in the page and on the command
 * line. It keeps what is true now, and counts; the records themselves are kept elsewhere.
 */
import { ActorTree, type ActorView } from "./actor-tree.ts";
import { Checkpoints, type StreamCheckpoints } from "./checkpoints.ts";
import {
  Progress,
  type ChannelView,
  type PartitionView,
  type StreamView,
} from "./progress.ts";
import type { Figures, LogLag } from "../../../proto/figures.ts";
import type { ModelRecord } from "./records.ts";

export interface RunFigures {
  sync: string | null;
  /** As the run's own machine or the daemon last told it; empty before. */
  state: string;
  epoch: number;
  error: string | null;
  /** How rows go over each hop, and why so. */
  architecture: readonly string[];
}

/** A model as JSON: `RunModel.from` goes on where it was taken. */
export interface ModelSnapshot {
  /** Records that are in it: the number of the next one, from 0. */
  readonly sequence: number;
  readonly firstAt: number | null;
  readonly lastAt: number | null;
  readonly dropped: number;
  readonly forgotten: number;
  readonly run: RunFigures;
  /** Absent where none is followed, and of an older version. */
  readonly log?: LogLag | null;
  readonly actors: readonly ActorView[];
  readonly streams: readonly StreamView[];
  readonly partitions: readonly PartitionView[];
  readonly channels: readonly ChannelView[];
  readonly checkpoints: readonly StreamCheckpoints[];
}

export class RunModel {
  tree = new ActorTree();
  progress = new Progress();
  checkpoints = new Checkpoints();
  run: RunFigures = {
    ...{ sync: null, state: "", epoch: 1, error: null },
    architecture: [],
  };
  /** Null: no log is followed, or nothing was told of it yet. */
  log: LogLag | null = null;
  sequence = 0;
  firstAt: number | null = null;
  lastAt: number | null = null;
  /** Records that were left out on their way. */
  dropped = 0;
  /** Grows with every actor that comes or goes: what is listed has to be listed anew. */
  membersVersion = 0;

  static from(snapshot: ModelSnapshot): RunModel {
    const model = new RunModel();
    const copy = structuredClone(snapshot);
    model.sequence = copy.sequence;
    model.firstAt = copy.firstAt;
    model.lastAt = copy.lastAt;
    model.dropped = copy.dropped;
    // one that was taken by an older version knows less
    model.run = { ...model.run, ...copy.run };
    model.log = copy.log ?? null;
    model.tree = ActorTree.from(copy.actors, copy.forgotten);
    for (const view of copy.streams)
      model.progress.streams.set(view.stream, view);
    for (const view of copy.partitions)
      model.progress.partitions.set(`${view.stream}/${view.ordinal}`, view);
    for (const view of copy.channels)
      model.progress.channels.set(view.channel, view);
    for (const view of copy.checkpoints)
      model.checkpoints.streams.set(view.stream, view);
    return model;
  }

  apply(record: ModelRecord): void {
    this.sequence += 1;
    this.firstAt ??= record.at;
    // clocks of processes are one clock, but records of several come in chunks
    this.lastAt = Math.max(this.lastAt ?? record.at, record.at);
    if (record.kind === "dropped") {
      this.dropped += record.count ?? 0;
      return;
    }
    const { figures } = record;
    if (figures !== undefined) {
      if (figures.type === "run") this.#tellRun(figures);
      else if (figures.type === "log") this.log = figures;
      else this.progress.applyFigures(figures, record.at);
      if (figures.type === "checkpoint")
        this.checkpoints.apply(figures, this.run.epoch, record.at);
      return;
    }
    const before = this.tree.actors.size;
    const actor = this.tree.apply(record);
    if (record.kind === "actor" || this.tree.actors.size !== before)
      this.membersVersion += 1;
    if (actor === null || record.kind !== "state") return;
    this.progress.applyState(actor, record);
    if (actor.machine === "run" && actor.process === "bookkeeper")
      this.run.state = actor.state;
  }

  #tellRun(data: Extract<Figures, { type: "run" }>): void {
    if (data.epoch !== this.run.epoch && data.epoch > 0) {
      this.run.epoch = data.epoch;
      this.checkpoints.begin(data.epoch);
    }
    this.run.sync = data.sync ?? this.run.sync;
    this.run.error = data.error;
    this.run.architecture = data.architecture ?? this.run.architecture;
    if (data.state !== "") this.run.state = data.state;
  }

  snapshot(): ModelSnapshot {
    return {
      sequence: this.sequence,
      firstAt: this.firstAt,
      lastAt: this.lastAt,
      dropped: this.dropped,
      forgotten: this.tree.forgotten,
      run: this.run,
      log: this.log,
      actors: [...this.tree.actors.values()],
      streams: [...this.progress.streams.values()],
      partitions: [...this.progress.partitions.values()],
      channels: [...this.progress.channels.values()],
      checkpoints: [...this.checkpoints.streams.values()],
    };
  }
}
