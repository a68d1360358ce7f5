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
} from "../../proto/control.ts";
import type { WireError } from "../../proto/error.ts";

/** The attempt that works on the destination. */
export interface DestinationContext {
  /** The connector's own, made by its `config.ts`; its kind has chosen the driver. */
  readonly config: DestinationConfig;
  /** Names the ledger and the sync: what another one has written is foreign. */
  readonly syncId: string;
  readonly attempt: AttemptRef;
}

/** A stream as an attempt finds it. */
export interface RecoverTarget extends DestinationStream {
  /** Generations that the ledger began; any other is foreign. */
  readonly knownGenerations: readonly number[];
  /** Earlier attempts of this run may have left durable checkpoints. */
  readonly resumed: boolean;
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
  /** Removes the generations that the published one replaces. */
  supersede(
    stream: DestinationStream,
    intents: readonly GenerationIntent[],
  ): Promise<void>;
  close(): Promise<void>;
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
}
