/** What the source process knows: its orders, its events, and the reads that wait and run. */
import type { ReadOrder } from "../../proto/checkpoint.ts";
import type {
  CursorOrder,
  HeldColumns,
  CursorWindow,
  SnapshotWire,
  SourceFact,
  SourceOrder,
  SourceSettings,
  StreamSeed,
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";
import type { LogStep } from "../../proto/log-budget.ts";
import type { ReadSoFar } from "../../partitioning/resplit.ts";
import type { Partition } from "../../proto/partition.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type { ChannelNews } from "./channel.machine.ts";
import type { LogGuardNews } from "./log-guard.machine.ts";
import type { LogReaderNews } from "./log-reader.machine.ts";
import type { OrderedActor } from "./order-subject.ts";
import type { LogPlan, PartitionerNews } from "./partitioner.machine.ts";
import type { ReaderNews } from "./reader.machine.ts";
import type { ResplitterNews } from "./resplitter.machine.ts";
import type { SourceWorkerFact } from "./worker-messages.ts";

export interface DiscoverOrder {
  readonly snapshot: SnapshotWire | null;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly columns: readonly string[] | null;
  readonly heldColumns?: readonly HeldColumns[];
  readonly numbers:
    | readonly {
        readonly namespace: string;
        readonly name: string;
        readonly number: number;
        readonly schema?: StreamSchema;
      }[]
    | null;
}

export interface Discovered {
  readonly fact: Extract<SourceFact, { type: "source.discovered" }>;
  /** Channels that may read: those of the settings, or those that have joined a snapshot which none can join later. */
  readonly channelsMax: number;
}

export interface ReadStreamOrder {
  readonly stream: number;
  readonly partitions: readonly Partition[];
  readonly orders: readonly ReadOrder[];
  readonly seed: StreamSeed;
  readonly where: string | null;
  readonly window: CursorWindow | null;
}

export interface QueuedRead {
  readonly key: string;
  /** Bytes of the whole stream, then edge partitions first: what is served earlier. */
  readonly streamBytes: number;
  readonly edge: boolean;
}

/** A partition that has a reader. */
export interface KnownRead extends ReadSoFar {
  readonly key: string;
  /** There was nothing to give when it was asked for a part. */
  readonly hasRefused: boolean;
}

export interface SourceProcessContext {
  readonly settings: SourceSettings | null;
  readonly queue: readonly QueuedRead[];
  readonly weights: Readonly<Record<string, QueuedRead>>;
  readonly reads: Readonly<Record<string, KnownRead>>;
  /** What the rows of each stream are chosen by. */
  readonly filters: Readonly<
    Record<number, Pick<ReadStreamOrder, "where" | "window">>
  >;
  /** The one re-split under way: the giver's key, and the actor's. */
  readonly resplitting: {
    readonly key: string;
    readonly actor: string;
  } | null;
  readonly resplits: number;
  /** What each open channel is doing: the key of its reader, or null. A channel that is still connecting is not here. */
  readonly channels: Readonly<Record<number, string | null>>;
  readonly channelsOpened: number;
  /** Open channels that can read no more, the snapshot being closed to them. */
  readonly channelsLost: readonly number[];
  /** Of these two an operator has said so: nothing is read over the channel, or of the stream, until it is resumed. */
  readonly pausedChannels: readonly number[];
  readonly pausedStreams: readonly number[];
  readonly readersTarget: number;
  /** Partitions of each stream that are not acknowledged yet. */
  readonly remaining: Readonly<Record<number, number>>;
  readonly plansWaiting: readonly {
    stream: number;
    where: string | null;
    cursor: CursorOrder | null;
    log: LogPlan | null;
  }[];
  readonly planning: boolean;
  readonly failedStreams: readonly number[];
  readonly readersAlive: number;
  /** Null: no log is followed. */
  readonly log: {
    readonly channel: number;
    /** Every stream is ordered to be read, or has failed. */
    readonly isGathered: boolean;
    readonly isDone: boolean;
    readonly isSnapshotTold: boolean;
    /** Somebody watches what the source keeps of it. */
    readonly isGuarded: boolean;
    /** What is done about that. */
    readonly step: LogStep;
  } | null;
  readonly channelsClosed: number;
  readonly error: WireError | null;
}

export type SourceProcessEvent =
  | { readonly type: "source.open"; readonly settings: SourceSettings }
  | ({ readonly type: "source.discover" } & DiscoverOrder)
  | {
      readonly type: "source.plan";
      readonly stream: number;
      readonly where: string | null;
      readonly cursor: CursorOrder | null;
      readonly log?: LogPlan;
    }
  | ({ readonly type: "source.read" } & ReadStreamOrder)
  | Extract<SourceOrder, { type: "source.resplit" }>
  | { readonly type: "resplit.consider" }
  | Extract<
      SourceOrder,
      {
        type:
          | "source.log"
          | "log.leave"
          | "log.stop"
          | "log.end"
          | "log.committed"
          | "log.giveUp";
      }
    >
  | LogReaderNews
  | LogGuardNews
  | OrderedActor
  | { readonly type: "source.drain" }
  | { readonly type: "source.finish" }
  | {
      readonly type: "worker.fact";
      readonly channel: number;
      readonly fact: SourceWorkerFact;
    }
  | { readonly type: "governor.target"; readonly readers: number }
  | ReaderNews
  | ResplitterNews
  | ChannelNews
  | PartitionerNews;

export function byPriority(a: QueuedRead, b: QueuedRead): number {
  return b.streamBytes - a.streamBytes || Number(b.edge) - Number(a.edge);
}

export function without<T>(
  record: Readonly<Record<string, T>>,
  key: string,
): Record<string, T> {
  const { [key]: _, ...rest } = record;
  return rest;
}

export function beginRead(key: string, range: Partition): KnownRead {
  return { key, range, rows: 0, bytes: 0, hasRefused: false };
}

export const streamOfKey = (key: string): number =>
  Number(key.slice(0, key.indexOf("/")));
