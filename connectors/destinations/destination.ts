/**
 * What every destination offers: a storage, whose steps the main thread takes as the bookkeeper orders them, and
 * writers, one per partition, in the worker thread of each channel. Actors and sockets stay unknown to both.
 */
import type {
  CheckpointStamp,
  DurableReport,
  SealedFile,
} from "../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import type {
  AttemptRef,
  CommitStep,
  DestinationConfig,
  DestinationStream,
  GenerationIntent,
  LogBoundWire,
} from "../../proto/control.ts";
import type { ExtractError, WireError } from "../../proto/error.ts";

/** The attempt that works on the destination. */
export interface DestinationContext {
  /** The connector's own, made by its `config.ts`; its kind has chosen the driver. */
  readonly config: DestinationConfig;
  /** Names the ledger and the sync: what another one has written is foreign. */
  readonly syncId: string;
  readonly attempt: AttemptRef;
  /** What goes wrong while nobody asks for anything: it ends the attempt. */
  readonly onFault?: (error: ExtractError) => void;
  /** Takes what a connector of somebody else says for people. */
  readonly onLog?: (level: string, message: string) => void;
  /** A process beside ours, which must not outlive the attempt. */
  readonly onStarted?: (pid: number) => void;
}

/** A stream as an attempt finds it. */
export interface RecoverTarget extends DestinationStream {
  /** Generations that the ledger began; any other is foreign. */
  readonly knownGenerations: readonly number[];
  /** Earlier attempts of this run may have left durable checkpoints. */
  readonly resumed: boolean;
  /** No row of it comes in this attempt. */
  readonly isOver?: boolean;
}

export interface Recovery {
  /** Every checkpoint that is durable in the streams' generations. */
  readonly reports: readonly DurableReport[];
  readonly problems: readonly {
    readonly stream: number;
    readonly error: WireError;
  }[];
  /** Things beside ours that a reader by pattern would read with them. */
  readonly strangers: readonly string[];
  /** The destination cannot be asked what is durable: what the ledger has counts. */
  readonly isLedgerTrue?: boolean;
}

/** Shows readers what is durable up to a place in the log, while the generation goes on. */
export interface ApplyStep extends CommitStep {
  readonly log: LogBoundWire;
}

export interface Applied {
  /** Where the log stands at the destination by now: at least at the order's `upTo`. */
  readonly upTo: string;
  /** Change rows that this call has taken up; 0 where another one had done it. */
  readonly rows: number;
  /** The log has passed the end of the snapshot: the copy is the table as it was at `upTo`. */
  readonly isConsistent: boolean;
}

/** The steps of a commit, each repeatable: a crash between two of them is followed by the same step once more. */
export interface DestinationStorage {
  /** Proves that rows can be written, before any is read. @throws ExtractError of the destination */
  prepare(): Promise<void>;
  recover(streams: readonly RecoverTarget[]): Promise<Recovery>;
  /**
   * Removes what earlier attempts and abandoned generations left behind: only what an intent covers, never what is in
   * `keep`.
   * @returns how many things were removed
   */
  clean(
    intents: readonly GenerationIntent[],
    keep: ReadonlySet<string>,
  ): Promise<number>;
  /** Proves that all that counts is there. @returns the files of the generation; one empty file where there were no rows */
  verify(step: CommitStep): Promise<readonly SealedFile[]>;
  /** Makes the generation what readers see. */
  publish(step: CommitStep): Promise<void>;
  /**
   * Shows readers all that is durable up to a place in the log, and lets the generation go on: as often as wanted, once
   * the last partition of the snapshot is durable and the ledger knows what the step covers. A second time it does
   * nothing, and an older step never takes back what a newer one has shown.
   * @throws ExtractError of the destination
   */
  apply(step: ApplyStep): Promise<Applied>;
  /** Removes the generations that the published one replaces. */
  supersede(
    stream: DestinationStream,
    intents: readonly GenerationIntent[],
  ): Promise<void>;
  close(): Promise<void>;
  /**
   * Messages of the Airbyte protocol, behind the rows that are durable by now.
   * @param state the checkpoint whose state is among them
   */
  writeMessages?(
    messages: readonly string[],
    state: { readonly stream: number; readonly index: number } | null,
  ): void;
  /** Nothing comes of the stream any more but the rest of these partitions. */
  noteExhausted?(stream: number, partitions: readonly number[]): void;
  /** Nothing comes of the stream any more, and it is not complete. */
  noteAbandoned?(stream: number): void;
}

export interface WriterTarget {
  readonly stream: DestinationStream;
  readonly partition: number;
}

/** Writes one partition. */
export interface StreamWriter {
  /**
   * Takes the batch, which is borrowed until the call returns or the promise settles: a promise is back-pressure. May be
   * called while a seal is under way.
   * @throws ExtractError DESTINATION_*; after one, only `discard` and `abandon` are of use
   */
  write(batch: ColumnBatch): void | Promise<void>;
  /**
   * Makes all rows since the last checkpoint durable, together with the stamp, and checks them against it. Rows of the
   * next checkpoint may follow at once; checkpoints of a partition become durable in order.
   * @throws ExtractError CHANNEL_CORRUPT when the rows differ from the stamp's, else as `write`
   */
  seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]>;
  /** Drops what is not sealed, when seals under way have ended. The writer can then be used again. */
  discard(): Promise<void>;
  /** Lets go of everything as it is; nothing becomes durable any more. */
  abandon(): void;
}

/** What the writers of one channel share, e.g. a connection. */
export interface WriterFactory {
  createWriter(target: WriterTarget): StreamWriter;
  /**
   * Of a checkpoint that is sealed: resolves once its rows are durable, where that is later. The source need not keep
   * them until then; only the ledger waits. Null: they are.
   */
  durable?(stamp: CheckpointStamp): Promise<void> | null;
  /** True: a batch leaves as it came, and whoever gets it compares its checksum. Left out: its values are read here. */
  readonly passesBatchesOn?: boolean;
  close(): Promise<void>;
}

/** A kind of destination, as its process uses it: `connectors/destinations/index.ts` loads it by the configuration's kind. */
export interface DestinationDriver {
  openStorage(context: DestinationContext): Promise<DestinationStorage>;
  /** @throws ExtractError of the destination */
  openWriters(
    context: DestinationContext,
    channel: number,
  ): Promise<WriterFactory>;
  /** Channels whose writers are opened at once, whether rows come over them or not. Left out: none. */
  countOutputs?(context: DestinationContext): number;
}
