/**
 * Orders and facts between the bookkeeper and its children: one JSON object a line on file descriptor 3, both ways.
 * Orders are imperative (`source.discover`), answers and news are facts (`source.discovered`). Rows never travel here.
 */
import type { ReadOrder, DurableReport, SealedFile } from "./checkpoint.ts";
import type { WireError } from "./error.ts";
import type { Figures } from "./figures.ts";
import type { LogBudget, LogMeasure, LogStep } from "./log-budget.ts";
import type { LogSnapshot, Partition, Plan } from "./partition.ts";
import type { StreamSchema, UnrepresentablePolicy } from "./schema.ts";

export interface AttemptRef {
  readonly runId: string;
  readonly epoch: number;
}

/** Where a stream stood when this attempt began: what both sides seed their cumulative states with. */
export interface StreamSeed {
  readonly done: readonly number[];
  readonly open: readonly {
    readonly partition: number;
    readonly position: import("./partition.ts").Position | null;
  }[];
}

export interface ChannelTimes {
  readonly handshakeMs: number;
  readonly probeMs: number;
  readonly probeDeadlineMs: number;
}

/** A table that is copied with no other columns than these, which it had in an earlier run. */
export interface HeldColumns {
  readonly namespace: string;
  readonly name: string;
  readonly columns: readonly string[];
}

/** What is done to rows where they are read. */
export interface MapperSettings {
  /** `tables` are patterns; null: every table. The steps are the mapper's own. */
  readonly sets: readonly {
    readonly tables: readonly string[] | null;
    readonly steps: readonly unknown[];
  }[];
  /** The destination merges rows by the stream's key. */
  readonly isMerged: boolean;
  /** Column of incremental syncs. */
  readonly cursor: string | null;
  /** By the names that the columns have behind the steps. */
  readonly heldColumns: readonly HeldColumns[];
}

/** Rows of a run that is narrowed. Texts are cast by the source to the column's type; null is open. */
export interface RangeFilter {
  /** Pattern of the streams that it narrows; several of one stream are joined by OR. */
  readonly stream: string;
  readonly column: string;
  readonly from: string | null;
  readonly to: string | null;
  /** `[)`: from inclusive, to exclusive, as key ranges are; `(]` as cursor windows are. */
  readonly bounds: "[)" | "(]";
}

/** How the source's log is followed. */
export interface SourceLogSettings {
  readonly slot: string;
  readonly publication: string;
  readonly sourceEpoch: number;
  /** Rows of the log wait for no longer than this until a checkpoint covers them; it stands at a commit. */
  readonly checkpointEveryMs: number;
  readonly budget: LogBudget;
  /** Streams have the column `_txid`; absent: they have not. */
  readonly transactionId?: boolean;
  /** File that takes events which cannot be decoded; absent: one of them ends the log. */
  readonly quarantine?: string;
  /** The source forgets what is before the place at which this run begins, and no more: the run's own ledger goes with it. */
  readonly isLedgerBrief?: boolean;
}

/** Sums over what an attempt has read of its log. */
export interface LogFigures {
  /** All that the source has committed before was told by then: milliseconds since the Unix epoch. */
  readonly asOfMs: number;
  /** Of the streams that are followed; those that were durable before are not counted. */
  readonly events: number;
  readonly transactions: number;
  /** Signs of life of the engine. */
  readonly heartbeats: number;
}

/** Where the log of a sync stands, as the ledger has it. */
export interface LogPlace {
  /** Every change up to here is durable. */
  readonly position: string;
  /** The engine's own, opaque: at or before `position`. */
  readonly offset: string | null;
  readonly history: readonly string[];
}

/** Where tables come to a log that goes on already. */
export interface LogEntry extends LogPlace {
  readonly offset: string;
  /** Of the streams of the run, those that do not come from the log before. */
  readonly streams: readonly number[];
}

/** What the keeper is to see to before the snapshot is taken, where the log is followed. */
export interface LogOpenOrder {
  readonly slot: string;
  readonly publication: string;
  readonly sourceEpoch: number;
  /** Null: what has these names is of an attempt that died, and is made anew. */
  readonly known: {
    readonly identity: string;
    readonly position: string;
    readonly offset: string | null;
  } | null;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Tables that are in the copy already; the others are read under the snapshot. */
  readonly copied: readonly {
    readonly namespace: string;
    readonly name: string;
  }[];
}

/** Whose changes an engine reads: each writes its events in its own way. */
export type LogConnector = "postgresql" | "mysql" | "mariadb" | "connect";

/** The log is held at the source, from where the sync stands. */
export interface LogOpened {
  readonly connector: LogConnector;
  /** Of the server, as the source compares it with a later one. */
  readonly identity: string;
  /** All changes up to here are in the snapshot. */
  readonly position: string;
  /**
   * Where the engine begins when the log is new; null: from what the ledger has. Of a log that goes on already it is
   * where tables come to it that are copied for the first time.
   */
  readonly offset: string | null;
  /** What the engine has to know of the tables there, as it keeps it itself. */
  readonly history: readonly string[];
  /** Transactions behind `position` that the snapshot shows all the same, as the server prints them; null: it tells none. */
  readonly visible: string | null;
  /** A copy is that of one moment once its log has got here; null: the snapshot shows nothing behind `position`. */
  readonly consistentFrom: string | null;
  /** When the snapshot was taken: microseconds since the Unix epoch, in decimal. */
  readonly takenAt: string;
  /** Where the log stood when this was found out; the source sees to it that the log goes beyond. */
  readonly now: string;
  /** Where it stood before: tables are discovered with what was committed up to here. */
  readonly before: string;
  /** Whose changes the log has, and no others'. */
  readonly tables: readonly {
    readonly namespace: string;
    readonly name: string;
  }[];
}

/** How one stream of a foreign source is to be read. */
export interface MessageStreamOrder {
  readonly stream: number;
  readonly syncMode: "full_refresh" | "incremental";
  readonly destinationSyncMode: "append" | "overwrite" | "append_dedup";
  /** Null: the source's own. */
  readonly cursorField: readonly string[] | null;
  readonly generation: number;
  /** Rows of generations before this one go once the stream is complete; 0: none do. */
  readonly generationMin: number;
}

/** What of a state is kept: STATE messages belong to the source, and go back to it as they came. */
export interface StateGroupWire {
  /** From 1, of this attempt. */
  readonly group: number;
  /** Null: it covers the end of a stream that has given no state. */
  readonly scope: "STREAM" | "GLOBAL" | "LEGACY" | null;
  readonly stream: number | null;
  /** The STATE's body as JSON; null: as it was before. */
  readonly body: string | null;
  /** All states that it stands for, where they are wanted, and the records that came since the one before each. */
  readonly bodies: readonly { readonly body: string; readonly rows: number }[];
  /** It counts once these checkpoints do. */
  readonly members: readonly {
    readonly stream: number;
    readonly index: number;
  }[];
}

export interface SourceSettings {
  readonly attempt: AttemptRef;
  readonly url: string;
  readonly socketDir: string;
  readonly channelsMax: number;
  /** Null: the governor decides. */
  readonly readers: number | null;
  readonly checkpointEveryMs: number;
  readonly rowBytesMax: number;
  readonly policy: UnrepresentablePolicy;
  readonly partitionBy: "auto" | "ctid" | "key";
  readonly partitionBytesMin: number;
  /** Null: rows travel as they are read. */
  readonly mappers: MapperSettings | null;
  /** Absent: rows are read, changes are not. */
  readonly log?: SourceLogSettings;
  /** Absent: all rows. */
  readonly ranges?: readonly RangeFilter[];
  /** The source is asked whether it can work, and nothing else: connectors have a question of their own for that. */
  readonly isCheck?: boolean;
  readonly times: ChannelTimes;
  readonly inspect: boolean;
}

/** What was under way in the source just before a snapshot was taken, and when that was. */
export interface OpenTransactions {
  /** Age of the oldest; 0 where none is open. Prepared ones count. */
  readonly oldestSeconds: number;
  /** False where some are hidden: this user may not see those of others, or they run on a standby's primary. */
  readonly complete: boolean;
  /** The server's clock, as text of a `timestamptz`. */
  readonly measuredAt: string;
}

export interface CursorOrder {
  readonly column: string;
  /** What the last committed window left, as the source wrote it; null on the first run. */
  readonly state: string | null;
  readonly lagSeconds: number | null;
  /** Of the run's snapshot; null where none is held (a plan that nothing follows). */
  readonly openTransactions: OpenTransactions | null;
}

/** Drops the rows at the beginning of a window that the run before has moved already. */
export interface RepeatFilter {
  /** The cursor up to which rows may be repeats, inclusive. */
  readonly upTo: string;
  /** SQL over a row, each giving one of its names as text: the row is a repeat when any of them is known. */
  readonly names: readonly string[];
  /** JSON object whose members are the known names. */
  readonly known: string;
}

export interface CursorWindow {
  readonly column: string;
  readonly type: string;
  /** Exclusive. */
  readonly from: string | null;
  /** Inclusive; null when no row has a cursor. */
  readonly to: string | null;
  readonly lagSeconds: number;
  /** Only the source reads it: where the next window begins, and the rows that will come again then. */
  readonly nextState: string | null;
  /** Null: no row can be a repeat. */
  readonly dropRepeats: RepeatFilter | null;
  readonly rowsWithoutCursor: number;
  readonly warnings: readonly string[];
}

export type SourceOrder =
  | { readonly type: "source.open"; readonly settings: SourceSettings }
  | {
      /** To a foreign source: all streams of the run are read together, once each is ordered or has failed. */
      readonly type: "source.messages";
      readonly streams: readonly MessageStreamOrder[];
      readonly syncId: number;
      /** What the connector is given as its state, as JSON; null: nothing. */
      readonly states: string | null;
      /** Each state is told of, also those that another one stands for. */
      readonly keepsStates: boolean;
    }
  | {
      readonly type: "source.discover";
      readonly snapshot: SnapshotWire | null;
      readonly include: readonly string[];
      readonly exclude: readonly string[];
      readonly columns: readonly string[] | null;
      /** Where rows travel as they are read; else the mappers hold them. */
      readonly heldColumns?: readonly HeldColumns[];
      /** The streams of a resumed run and their numbers: no other is read. Null for a new run. */
      readonly numbers:
        | readonly {
            readonly namespace: string;
            readonly name: string;
            readonly number: number;
            /** As it travels in this run, where its log is followed: whatever its table has become. */
            readonly schema?: StreamSchema;
          }[]
        | null;
    }
  | {
      readonly type: "source.plan";
      readonly stream: number;
      readonly where: string | null;
      readonly cursor: CursorOrder | null;
      /** The stream's changes are read as well. */
      readonly log?: {
        /** Changes up to and with this position are in the copy, or in the snapshot. */
        readonly after: string;
        /** Null: nothing but changes. */
        readonly snapshot: LogSnapshot | null;
      };
    }
  | {
      readonly type: "source.read";
      readonly stream: number;
      readonly partitions: readonly Partition[];
      readonly orders: readonly ReadOrder[];
      readonly seed: StreamSeed;
      readonly where: string | null;
      readonly window: CursorWindow | null;
    }
  | {
      /** The ledger has the split. A null taker: it was not made, and the giver keeps its range. */
      readonly type: "source.resplit";
      readonly giver: Partition;
      readonly taker: Partition | null;
    }
  | {
      readonly type: "ledger.committed";
      readonly stream: number;
      readonly index: number;
    }
  | {
      /** Of these streams, once each is ordered to be read or has failed. */
      readonly type: "source.log";
      readonly streams: readonly number[];
      /** Of the source's server, as the log was opened with. */
      readonly identity: string;
      readonly from: LogPlace;
      /** The log ends once it has got here; null: when it is told to. */
      readonly until: string | null;
      /** Changes up to here were made before the streams were discovered. */
      readonly discoveredAt: string;
      /** An earlier attempt has begun to end it here. */
      readonly end: string | null;
      readonly connector: LogConnector;
      /**
       * The log ends here, where tables come to it that this run copies; it goes on from this place. Null: all tables
       * are in it from the beginning.
       */
      readonly entry: LogEntry | null;
    }
  /** The stream has failed: its changes are not read any more. */
  | { readonly type: "log.leave"; readonly stream: number }
  /** The log ends at the next commit. */
  | { readonly type: "log.stop" }
  /** The ledger knows where the log of this run ends. */
  | { readonly type: "log.end"; readonly position: string }
  /** Up to the group of this number all rows are durable and recorded: the source may forget them. */
  | { readonly type: "log.committed"; readonly group: number }
  /** The ledger has given the log up: the source is to forget it, and this attempt ends. */
  | { readonly type: "log.giveUp"; readonly reason: string }
  | {
      /** From an operator; answered by `source.ordered` of the same id. */
      readonly type: "source.order";
      readonly id: number;
      readonly to: OrderTarget;
      readonly order: ActorOrder;
    }
  | { readonly type: "source.drain" }
  | { readonly type: "source.finish" }
  | { readonly type: "ping"; readonly id: number };

/** What an operator may tell one actor. */
export type ActorOrder = "pause" | "resume" | "retry" | "cancel";

/** An actor of the main thread, as inspection records name it, or all that is done for a stream. */
export type OrderTarget =
  | { readonly actor: string }
  | { readonly stream: number };

export interface SnapshotWire {
  readonly id: string;
  readonly visible: string;
}

export type SourceFact =
  | ({
      /** A state of a foreign source, and what it covers. */
      readonly type: "source.state";
    } & StateGroupWire)
  | {
      /** What a foreign connector has to say. */
      readonly type: "connector.told";
      readonly kind: "log" | "status" | "estimate";
      readonly level: "error" | "warn" | "info";
      readonly stream: number | null;
      readonly message: string;
    }
  | {
      /** A process beside ours, which ends with the attempt. */
      readonly type: "connector.started";
      readonly pid: number;
    }
  | { readonly type: "source.connected"; readonly serverVersion: number }
  | {
      readonly type: "source.discovered";
      /** DiscoveredStream[] of the connector: the bookkeeper reads the schemas and leaves, and stores it as it is. */
      readonly streams: readonly DiscoveredWire[];
      /** For people. */
      readonly warnings: readonly string[];
      readonly problems: readonly {
        readonly namespace: string;
        readonly name: string;
        readonly relationKind: DiscoveredWire["relationKind"];
        readonly error: WireError;
      }[];
    }
  | {
      readonly type: "stream.planned";
      readonly stream: number;
      readonly plan: Plan;
      readonly window: CursorWindow | null;
    }
  | {
      readonly type: "stream.failed";
      readonly stream: number;
      readonly error: WireError;
    }
  | {
      /** Every ordered partition has had its last checkpoint queued; `index` is the highest allotted. */
      readonly type: "stream.read";
      readonly stream: number;
      readonly index: number;
      readonly valuesNulled: Readonly<Record<string, number>>;
    }
  | {
      readonly type: "channel.listening";
      readonly channel: number;
      readonly path: string;
    }
  | { readonly type: "channel.connected"; readonly channel: number }
  | {
      readonly type: "partition.retried";
      readonly stream: number;
      readonly partition: number;
      readonly attempt: number;
      readonly error: WireError;
    }
  | {
      /** The giver has stopped and could leave the tail of its range to another reader; nobody reads either part yet. */
      readonly type: "partition.split";
      /** With its new end. */
      readonly giver: Partition;
      readonly taker: Omit<Partition, "ordinal">;
    }
  | {
      readonly type: "progress";
      readonly streams: readonly {
        readonly stream: number;
        readonly rows: number;
        readonly bytes: number;
        readonly partitionsDone: number;
        /** The highest index given. */
        readonly checkpoints: number;
        /** Since this attempt began, of all its readers, in milliseconds. */
        readonly waitingMs: number;
        readonly decodingMs: number;
        readonly socketMs: number;
      }[];
    }
  | {
      readonly type: "source.ordered";
      readonly id: number;
      /** Whom the order was for, for people. */
      readonly subject: string;
      /** Null: it is followed. */
      readonly refusal: string | null;
    }
  | {
      /** A checkpoint of all streams: it counts once those of its members do. */
      readonly type: "log.checkpoint";
      /** From 1. */
      readonly group: number;
      readonly position: string;
      /** Null: none since the group before. */
      readonly offset: string | null;
      /** Null: as it was. */
      readonly history: readonly string[] | null;
      /** The streams that have had rows since the group before, with the index of their checkpoint. */
      readonly members: readonly {
        readonly stream: number;
        readonly index: number;
      }[];
      readonly figures: LogFigures;
      /** Events of the attempt that could not be decoded and were set aside; absent: none. */
      readonly quarantined?: number;
    }
  | {
      /** What the source keeps of its log for us, and what is done about it. */
      readonly type: "log.measured";
      readonly measure: LogMeasure;
      readonly step: LogStep;
    }
  | {
      /** Another step than before; `giveUp` is answered by `log.giveUp`. */
      readonly type: "log.stepped";
      readonly measure: LogMeasure;
      readonly step: LogStep;
    }
  /** The log has got to where it is to end, and waits to be told so. */
  | {
      readonly type: "log.ending";
      readonly position: string;
      /** The table whose new shape ends it there; null: it was to end there. */
      readonly cutBy: string | null;
    }
  /** No partition of a snapshot is left to be read. */
  | { readonly type: "snapshot.read" }
  | { readonly type: "source.drained" }
  | { readonly type: "source.finished" }
  | CommonFact;

/** The part of a discovered stream that processes other than the source look at. */
export interface DiscoveredWire {
  readonly schema: StreamSchema;
  readonly relationKind: string;
  /** Of a foreign source: what it can do with this stream. */
  readonly foreign?: { readonly isIncremental: boolean };
  /** Those that are left out, too. */
  readonly allColumnNames?: readonly string[];
  /** It is as an earlier attempt of the run has met it, and its table is not so any more. */
  readonly isOutdated?: boolean;
  /** Columns that a row has had a value in from the moment they were added: by a default, or as the server counts. */
  readonly filledColumns?: readonly string[];
  readonly leaves: readonly {
    readonly oid: number;
    readonly schema: string;
    readonly name: string;
    readonly fileNode: number;
  }[];
  /** What ranges can be cut on, where there is such a key. */
  readonly key?: {
    readonly columns: readonly {
      readonly name: string;
      /** Declared, as SQL. */
      readonly type: string;
    }[];
  } | null;
}

export interface DestinationStream {
  readonly schema: StreamSchema;
  readonly generation: number;
  readonly planVersion: number;
  /** As in the step of its commit; left out: the sync's. */
  readonly mode?: string;
  /** It can be gone on with only where all of it has been read: its states say nothing before. */
  readonly statesAtEnd?: boolean;
  /** Its changes leave as records of the Airbyte protocol. */
  readonly changes?: ChangeRecordNames;
}

/** What records of a followed log are called by. */
export interface ChangeRecordNames {
  readonly connector: LogConnector;
  /** Any file of the binlog (`binlog.000012`), for the names of the others; null: it has none. */
  readonly logFile: string | null;
  /** Of the table, those that are wanted; null: all. */
  readonly columns: readonly string[] | null;
}

/** How far the log of a stream counts. */
export interface LogBoundWire {
  readonly partitions: readonly number[];
  readonly upTo: string;
  readonly consistentFrom: string | null;
}

/** The destination connector's own configuration; only its kind is read elsewhere. */
export interface DestinationConfig {
  readonly kind: string;
}

export interface DestinationSettings {
  readonly attempt: AttemptRef;
  readonly syncId: string;
  readonly config: DestinationConfig;
  readonly frameBytesMax: number;
  readonly times: ChannelTimes & { readonly connectDeadlineMs: number };
  readonly checkpointDeadlineMs: number;
  readonly inspect: boolean;
}

/** A generation that this ledger began, and the epochs that wrote into it. */
export interface GenerationIntent {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly epochs: readonly number[];
  /** The epoch at work in it; null when the generation is over. */
  readonly currentEpoch: number | null;
}

/** What each step of a stream's commit needs: the steps are `stream.verify`, `stream.publish`, `stream.supersede`. */
export interface CommitStep {
  readonly stream: DestinationStream;
  readonly mode: string;
  readonly files: readonly SealedFile[];
  /** ISO 8601, UTC. */
  readonly committedAt: string;
  /** Left out: there is no log, or all that is durable of it counts. */
  readonly log?: LogBoundWire;
}

export type DestinationOrder =
  | {
      readonly type: "destination.open";
      readonly settings: DestinationSettings;
    }
  | {
      /** Looks for foreign data and for checkpoints that are durable in this generation; answered once for all streams. */
      readonly type: "destination.recover";
      readonly streams: readonly (DestinationStream & {
        readonly knownGenerations: readonly number[];
        readonly resumed: boolean;
        readonly isOver?: boolean;
      })[];
    }
  | {
      /** Removes what earlier attempts and abandoned generations left behind: only names that an intent covers. */
      readonly type: "destination.clean";
      readonly intents: readonly GenerationIntent[];
      /** Paths that stay. */
      readonly keep: readonly string[];
    }
  | {
      readonly type: "stream.begin";
      readonly stream: DestinationStream;
      readonly seed: StreamSeed;
    }
  | { readonly type: "stream.abandon"; readonly stream: number }
  /** Nothing comes of the stream any more but the rest of these partitions. */
  | {
      readonly type: "stream.exhausted";
      readonly stream: number;
      readonly partitions: readonly number[];
    }
  /** Messages of the Airbyte protocol as JSON, behind the rows that are recorded by now. */
  | {
      readonly type: "messages.write";
      readonly messages: readonly string[];
      /** The checkpoint whose state is among them; left out: none's. */
      readonly state?: { readonly stream: number; readonly index: number };
    }
  | {
      readonly type: "channel.connect";
      readonly channel: number;
      readonly path: string;
    }
  | {
      readonly type: "checkpoint.void";
      readonly stream: number;
      readonly index: number;
    }
  | ({ readonly type: "stream.verify" } & CommitStep)
  | ({ readonly type: "stream.publish" } & CommitStep)
  /** Shows readers what is durable up to a place in the log, while the generation goes on. */
  | ({ readonly type: "stream.apply"; readonly log: LogBoundWire } & CommitStep)
  | {
      readonly type: "stream.supersede";
      readonly stream: DestinationStream;
      readonly intents: readonly GenerationIntent[];
    }
  | { readonly type: "destination.finish" }
  | { readonly type: "ping"; readonly id: number };

export type DestinationFact =
  | { readonly type: "destination.opened" }
  | {
      /** As the source's. */
      readonly type: "connector.started";
      readonly pid: number;
    }
  | {
      readonly type: "destination.recovered";
      readonly reports: readonly DurableReport[];
      readonly problems: readonly {
        readonly stream: number;
        readonly error: WireError;
      }[];
      /** Things in the streams' folders that are not ours: `**` patterns would read them with the table. */
      readonly strangers: readonly string[];
      /** It cannot be asked what is durable. */
      readonly isLedgerTrue?: boolean;
    }
  | { readonly type: "destination.cleaned"; readonly removed: number }
  | { readonly type: "channel.joined"; readonly channel: number }
  | { readonly type: "checkpoint.durable"; readonly report: DurableReport }
  | {
      /** For metrics; follows the `checkpoint.durable` whose batches are in `committed`. */
      readonly type: "measured";
      readonly stream: number;
      /** Since the last such fact, in milliseconds. */
      readonly encodingMs: number;
      readonly uploadingMs: number;
      /** When they arrived, in milliseconds since the Unix epoch, and how many. */
      readonly committed: readonly (readonly [at: number, batches: number])[];
    }
  | {
      readonly type: "stream.verified";
      readonly stream: number;
      /** The files of the generation; one empty file where the stream had no rows. */
      readonly files: readonly SealedFile[];
    }
  | { readonly type: "stream.published"; readonly stream: number }
  | {
      readonly type: "stream.applied";
      readonly stream: number;
      readonly upTo: string;
      readonly rows: number;
      readonly isConsistent: boolean;
    }
  | { readonly type: "stream.superseded"; readonly stream: number }
  | {
      readonly type: "stream.failed";
      readonly stream: number;
      readonly error: WireError;
    }
  | { readonly type: "destination.finished" }
  | CommonFact;

export type KeeperOrder =
  | {
      readonly type: "snapshot.open";
      readonly url: string;
      readonly log?: LogOpenOrder;
    }
  | {
      readonly type: "snapshot.lock";
      readonly relations: readonly {
        readonly schema: string;
        readonly name: string;
        readonly oid: number;
        readonly fileNode: number;
      }[];
    }
  | {
      readonly type: "keeper.hold";
      readonly graceMs: number;
      readonly socketPath: string;
    }
  /** Of this attempt, whoever started the keeper. */
  | { readonly type: "keeper.inspect" }
  | { readonly type: "keeper.release" }
  | { readonly type: "ping"; readonly id: number };

export type KeeperFact =
  | {
      readonly type: "snapshot.opened";
      readonly snapshot: SnapshotWire;
      readonly openTransactions: OpenTransactions;
      /** `at-the-start`: it ends with the sessions that have joined it, and no attempt after this one can read it. */
      readonly joins: "any-time" | "at-the-start";
      readonly log?: LogOpened;
    }
  | {
      readonly type: "snapshot.locked";
      readonly problems: readonly {
        readonly oid: number;
        readonly error: WireError;
      }[];
    }
  | { readonly type: "snapshot.lost"; readonly error: WireError }
  | CommonFact;

/** What any child may say. */
export type CommonFact =
  | { readonly type: "process.failed"; readonly error: WireError }
  | { readonly type: "warning"; readonly message: string }
  | InspectedLines
  | { readonly type: "pong"; readonly id: number };

/** Inspection records on their way: nobody reads them between the thread that made them and the one that wants them. */
export interface InspectedLines {
  readonly type: "inspected";
  /** JSON of `InspectionRecord`, each closed by a newline. */
  readonly lines: string;
}

/** What happened to one actor, as `--trace` writes it and the inspector draws it. */
export interface InspectionRecord {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly process: "bookkeeper" | "keeper" | "source" | "destination";
  /** 0 for the main thread, else the channel. */
  readonly thread: number;
  readonly kind:
    | "actor"
    | "event"
    | "state"
    | "stopped"
    | "dropped"
    | "figures";
  /** Names the actor within this process's thread, for as long as that lives. Empty of `dropped` and `figures`. */
  readonly actor: string;
  /** What it runs: the machine's id, or the name of the promise or callback. */
  readonly machine: string;
  /** Of `actor`: what its parent calls it (`reader:3/1`). */
  readonly name?: string;
  /** Of `actor`: who has spawned it; a thread's roots have none. */
  readonly parent?: string;
  /** Of `event`: who has sent it, where an actor did. */
  readonly from?: string;
  readonly event?: string;
  /** Of `state`: its name, or JSON of a nested or parallel one. Of `stopped`: `done`, `error` or `stopped`. */
  readonly state?: string;
  /** Of `stopped` with `error`: its message, cut off where it is long. */
  readonly error?: string;
  /** Of `figures`, which are of no actor. */
  readonly figures?: Figures;
  /** Of `dropped`: records of this thread that were left out since the one before. */
  readonly count?: number;
}
