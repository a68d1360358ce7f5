/** Messages between the source's main thread and its channel workers: one worker a socket. */
import type {
  CursorWindow,
  AttemptRef,
  ChannelTimes,
  LogConnector,
  LogEntry,
  LogPlace,
  MapperSettings,
  SnapshotWire,
  SourceFact,
  SourceLogSettings,
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";
import type {
  LogSnapshot,
  Partition,
  Position,
} from "../../proto/partition.ts";
import type { UnrepresentablePolicy } from "../../proto/schema.ts";
import type { ReadPhases } from "../../connectors/channels/phase-clock.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";

/** What a worker is born with. */
export interface SourceWorkerData {
  readonly attempt: AttemptRef;
  readonly channel: number;
  readonly path: string;
  readonly url: string;
  readonly times: ChannelTimes;
  readonly rowBytesMax: number;
  readonly policy: UnrepresentablePolicy;
  readonly checkpointEveryMs: number;
  readonly mappers: MapperSettings | null;
  /** What the channel carries: the log of all streams, and nothing else. Null: partitions. */
  readonly log: SourceLogSettings | null;
  /** Rows that travel as those of a log have the column `_txid`. */
  readonly transactionId: boolean;
  /** Tells its statements. */
  readonly inspect: boolean;
  /** Opens its socket at once; else on `channel.open`. */
  readonly listens: boolean;
  /** Has a second session join a snapshot that cannot be joined later, for when the first one's connection is lost. */
  readonly keepsSpare: boolean;
}

/** Names one try at one partition on a channel. */
export interface ReadRef {
  readonly stream: number;
  readonly partition: number;
  readonly attempt: number;
}

/** A stream whose changes are read. */
export interface LogJoin {
  readonly stream: number;
  readonly partition: number;
  /** Its changes up to and with this position are durable. */
  readonly after: string;
  /** As of its snapshot: what these transactions have done is durable as well. Null: none behind `after`. */
  readonly visible: string | null;
}

export type SourceWorkerOrder =
  | { readonly type: "channel.open" }
  | { readonly type: "snapshot.use"; readonly snapshot: SnapshotWire | null }
  /** Nothing is read from it any more. */
  | { readonly type: "snapshot.leave" }
  | { readonly type: "stream.known"; readonly stream: DiscoveredStream }
  /** The rows of its snapshot travel as rows of its log. */
  | {
      readonly type: "stream.logged";
      readonly stream: number;
      readonly snapshot: LogSnapshot;
    }
  | {
      readonly type: "log.start";
      readonly streams: readonly LogJoin[];
      readonly from: LogPlace;
      readonly until: string | null;
      /** It does not end there before `log.release`. */
      readonly isHeld: boolean;
      readonly discoveredAt: string;
      readonly connector: LogConnector;
      readonly entry: LogEntry | null;
    }
  | { readonly type: "log.leave"; readonly stream: number }
  /** Ends the log of the run at the next commit. */
  | { readonly type: "log.stop" }
  | { readonly type: "log.end"; readonly position: string }
  /** No snapshot is read any more: the log may end where it is to. */
  | { readonly type: "log.release" }
  /** How often the log is to have a checkpoint, from now on; the first one at the next commit. */
  | { readonly type: "log.pace"; readonly checkpointEveryMs: number }
  | { readonly type: "log.committed"; readonly group: number }
  /** Leaves behind a checkpoint at the next commit, while the log goes on in another attempt. */
  | { readonly type: "log.cancel" }
  | ({
      readonly type: "read.start";
      readonly range: Partition;
      readonly resumeAfter: Position | null;
      readonly where: string | null;
      readonly window: CursorWindow | null;
    } & ReadRef)
  | ({
      readonly type: "checkpoint.index";
      readonly sequence: number;
      readonly index: number;
    } & ReadRef)
  | ({ readonly type: "read.stop" } & ReadRef)
  | ({ readonly type: "read.cancel" } & ReadRef)
  | ({ readonly type: "read.discard"; readonly fromSequence: number } & ReadRef)
  | { readonly type: "channel.end" };

/** The answer to `snapshot.use`: the session is inside of it, or why not. */
export interface SnapshotJoined {
  readonly type: "snapshot.joined";
  readonly error: WireError | null;
}

/** What a read asks its server, for people. */
export interface ReadStatement {
  readonly type: "read.statement";
  readonly stream: number;
  readonly partition: number;
  readonly sql: string;
}

/** Where the time of its reads went since the last such message; for metrics only. */
export interface ReadMeasured {
  readonly type: "read.measured";
  readonly stream: number;
  readonly phases: ReadPhases;
}

/** What the source process's machine is told. */
export type SourceWorkerFact =
  | { readonly type: "channel.listening"; readonly path: string }
  | { readonly type: "channel.connected" }
  | { readonly type: "channel.broken"; readonly error: WireError }
  | { readonly type: "channel.paused" }
  | { readonly type: "channel.resumed" }
  | { readonly type: "channel.ended" }
  /** Its connection is gone, and there is no way back into the snapshot: others have to read. */
  | { readonly type: "session.lost" }
  | ({
      /** The checkpoint's rows are in the socket's write queue: the index may be given. */
      readonly type: "checkpoint.ready";
      readonly sequence: number;
      readonly position: Position | null;
      readonly rows: number;
      readonly bytes: number;
      readonly last: boolean;
    } & ReadRef)
  | ({
      readonly type: "read.progress";
      readonly rows: number;
      readonly bytes: number;
    } & ReadRef)
  | ({ readonly type: "read.done" } & ReadRef)
  | ({ readonly type: "read.stopped" } & ReadRef)
  | ({
      readonly type: "read.failed";
      readonly error: WireError;
    } & ReadRef)
  | ({ readonly type: "read.discarded" } & ReadRef)
  | ({
      /** Durable at the destination. */
      readonly type: "checkpoint.acked";
      readonly sequence: number;
      readonly rows: number;
      readonly bytes: number;
    } & ReadRef)
  | Extract<SourceFact, { type: "log.checkpoint" | "log.ending" }>
  | { readonly type: "log.closed" }
  | { readonly type: "log.failed"; readonly error: WireError }
  | ({
      readonly type: "value.nulled";
      readonly column: string;
      readonly reason: string;
    } & ReadRef);

/** All that a worker says. */
export type SourceWorkerMessage =
  | SourceWorkerFact
  | SnapshotJoined
  | ReadStatement
  | ReadMeasured;
