/**
 * The main thread's part of a destination that speaks the Airbyte protocol. Nothing is removed or renamed there: what
 * counts is said by the states, which our own platform keeps in the ledger and another one wherever it does.
 */
import type { SealedFile } from "../../../proto/checkpoint.ts";
import type {
  AttemptRef,
  CommitStep,
  DestinationStream,
  GenerationIntent,
} from "../../../proto/control.ts";
import { ExtractError, fromWireError } from "../../../proto/error.ts";
import type {
  Applied,
  ApplyStep,
  DestinationContext,
  DestinationStorage,
  RecoverTarget,
  Recovery,
} from "../destination.ts";
import type { AirbyteDestinationConfig } from "./config.ts";
import { ForeignDestination } from "./foreign.ts";
import { Lane, type LaneFact, type LaneOrder } from "./lane.ts";
import { countOutputs, readConfig } from "./writers.ts";

/** The threads of the channels have loaded their code and listen within this time. */
const READY_MS_MAX = 30_000;
/** Of all messages beside records: the first channel. */
const MESSAGES_CHANNEL = 1;

type WrittenState = { readonly stream: number; readonly index: number };

export class AirbyteStorage implements DestinationStorage {
  readonly #config: AirbyteDestinationConfig;
  readonly #attempt: AttemptRef;
  readonly #lane: Lane<LaneFact, LaneOrder>;
  readonly #ready = new Set<number>();
  readonly #allReady = Promise.withResolvers<void>();
  readonly #writes = new Map<number, PromiseWithResolvers<void>>();
  readonly #foreign: ForeignDestination | null;
  #nextWrite = 1;
  #error: ExtractError | null = null;

  constructor(context: DestinationContext) {
    this.#config = readConfig(context);
    this.#attempt = context.attempt;
    this.#lane = new Lane(this.#config.folder, (fact) => this.#hear(fact));
    this.#allReady.promise.catch(() => {
      // told where it is waited for
    });
    const { connector } = this.#config;
    this.#foreign =
      connector === null
        ? null
        : new ForeignDestination({
            config: this.#config,
            connector,
            attempt: context.attempt,
            post: (order) => this.#lane.post(order),
            write: (channel, messages) => this.#write(channel, messages),
            onFault: (error) => context.onFault?.(error),
            onLog: (level, message) => context.onLog?.(level, message),
            onStarted: (pid) => context.onStarted?.(pid),
          });
  }

  async prepare(): Promise<void> {
    this.#lane.post({ type: "call" });
    const timer = setTimeout(
      () =>
        this.#allReady.reject(
          new ExtractError(
            "CHANNEL_START_TIMEOUT",
            `${this.#ready.size} of ${countOutputs(this.#config)} outputs were ready within ${READY_MS_MAX} ms`,
            { ready: this.#ready.size },
          ),
        ),
      READY_MS_MAX,
    );
    try {
      await this.#allReady.promise;
    } finally {
      clearTimeout(timer);
    }
    // no attempt of a run: it is only asked
    if (this.#attempt.epoch === 0) await this.#foreign?.check();
  }

  async recover(streams: readonly RecoverTarget[]): Promise<Recovery> {
    await this.#foreign?.start(streams);
    return { reports: [], problems: [], strangers: [], isLedgerTrue: true };
  }

  async clean(_intents: readonly GenerationIntent[]): Promise<number> {
    return 0;
  }

  /** A connector has ended by then, and well: what it does at its end may be the whole work, and nothing can follow. */
  async verify({ files }: CommitStep): Promise<readonly SealedFile[]> {
    await this.#foreign?.ended();
    return files.length > 0 ? files : [{ path: "", rows: 0, bytes: 0 }];
  }

  /** Once all that was to be written in front of it is on its way. */
  async publish(_step: CommitStep): Promise<void> {
    await Promise.all([...this.#writes.values()].map(({ promise }) => promise));
  }

  async apply({ log }: ApplyStep): Promise<Applied> {
    return { upTo: log.upTo, rows: 0, isConsistent: false };
  }

  async supersede(_stream: DestinationStream): Promise<void> {
    // whoever has the rows knows of their generations
  }

  writeMessages(messages: readonly string[], state: WrittenState | null): void {
    this.#write(MESSAGES_CHANNEL, messages, state).catch(() => {
      // told where it is waited for
    });
  }

  noteExhausted(stream: number, partitions: readonly number[]): void {
    this.#foreign?.noteExhausted(stream, partitions);
  }

  noteAbandoned(stream: number): void {
    this.#foreign?.noteAbandoned(stream);
  }

  async close(): Promise<void> {
    await this.#foreign?.close();
    this.#lane.close();
  }

  #write(
    channel: number,
    messages: readonly string[],
    state: WrittenState | null = null,
  ): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    const id = this.#nextWrite++;
    const written = Promise.withResolvers<void>();
    written.promise.catch(() => {
      // told where it is waited for
    });
    this.#writes.set(id, written);
    this.#lane.post({ type: "write", channel, id, messages, state });
    return written.promise;
  }

  #hear(fact: LaneFact): void {
    switch (fact.type) {
      case "ready":
        this.#ready.add(fact.channel);
        if (this.#ready.size >= countOutputs(this.#config))
          this.#allReady.resolve();
        return;
      case "connected":
        return;
      case "ended":
        this.#foreign?.noteOutputEnded();
        return;
      case "written":
        this.#foreign?.noteWritten(fact);
        return;
      case "wrote":
        this.#writes.get(fact.id)?.resolve();
        this.#writes.delete(fact.id);
        return;
      case "failed":
        this.#error ??= fromWireError(fact.error);
        this.#allReady.reject(this.#error);
        for (const { reject } of this.#writes.values()) reject(this.#error);
        this.#writes.clear();
        return;
    }
  }
}
