/**
 * What a source executable says beside rows: statuses, estimates and states, each where it belongs between them. A state
 * says what is left of a stream, so that the last one is all that a later read needs.
 */
import { toCount } from "../../connectors/airbyte/exact-json.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { DiscoveredWire, HeldColumns } from "../../proto/control.ts";
import type { RunBook } from "../run-book.ts";
import type { KeptPlan, RunMessages, StreamChoice } from "../run-messages.ts";
import {
  holdColumns,
  keyOf,
  type ConfiguredStream,
} from "./configured-streams.ts";
import { CopyProgress } from "./copy-progress.ts";
import {
  describeReadState,
  joinRanges,
  keepPartitions,
  recallReadState,
  type ReadState,
} from "./read-state.ts";
import { describeEstimate, describeName, describeStatus } from "./stdout.ts";
import { WaitingMessages } from "./waiting-messages.ts";

interface Progress {
  readonly copy: CopyProgress;
  /** Rows that no state has counted. */
  rows: number;
  /** States so far. */
  states: number;
  partitionId: string | null;
}

export interface ReadMessagesOptions {
  readonly streams: readonly ConfiguredStream[];
  /** Records name the partition that they are of, and states count for one. */
  readonly namesPartitions: boolean;
  /** Takes each message as it is handed out; null: it goes with the rows, and nowhere else. */
  readonly onMessage: ((message: string) => void) | null;
}

export class ReadMessages implements RunMessages {
  readonly columns: readonly HeldColumns[];
  readonly waiting: WaitingMessages;
  readonly #options: ReadMessagesOptions;
  readonly #streams: ReadonlyMap<string, ConfiguredStream>;
  readonly #progress = new Map<number, Progress>();

  constructor(options: ReadMessagesOptions) {
    this.#options = options;
    this.#streams = new Map(options.streams.map((one) => [keyOf(one), one]));
    this.columns = holdColumns(options.streams);
    this.waiting = new WaitingMessages(options.onMessage);
  }

  choiceOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): StreamChoice | null {
    return this.#streams.get(keyOf(stream))?.choice ?? null;
  }

  planOf(discovered: DiscoveredWire): KeptPlan | null {
    const state = this.#streams.get(keyOf(discovered.schema))?.state ?? null;
    return state?.kind === "plan" ? recallReadState(discovered, state) : null;
  }

  cursorOf(stream: {
    readonly namespace: string;
    readonly name: string;
  }): string | null {
    const state = this.#streams.get(keyOf(stream))?.state ?? null;
    return state?.kind === "cursor" ? state.cursor : null;
  }

  begun(book: RunBook, number: number): readonly string[] {
    const { ref, plan } = book.stream(number);
    this.#progress.set(number, {
      copy: new CopyProgress(book, number),
      ...{ rows: 0, states: 0, partitionId: null },
    });
    return this.waiting.tell([
      describeStatus(ref, "STARTED"),
      ...(plan ? [describeEstimate(ref, plan)] : []),
    ]);
  }

  recorded(book: RunBook, report: DurableReport): readonly string[] {
    const { stream, rows, files } = report;
    const progress = this.#of(stream);
    progress.copy.note(report);
    progress.rows += rows;
    progress.partitionId = files[0]?.path || progress.partitionId;
    if (!book.isResumable(stream)) return [];
    return this.waiting.tell([this.#describeState(book, stream)]);
  }

  complete(book: RunBook, stream: number): readonly string[] {
    const progress = this.#of(stream);
    const { ref } = book.stream(stream);
    // what has been counted already is in a state
    const isTold = book.isResumable(stream) && progress.states > 0;
    return this.waiting.tell([
      ...(isTold ? [] : [this.#describeState(book, stream)]),
      describeStatus(ref, "COMPLETE"),
    ]);
  }

  #of(stream: number): Progress {
    const progress = this.#progress.get(stream);
    if (!progress) throw new Error(`stream ${stream} has not begun`);
    return progress;
  }

  #describeState(book: RunBook, stream: number): string {
    const progress = this.#of(stream);
    const { ref } = book.stream(stream);
    progress.states++;
    const rows = progress.rows;
    progress.rows = 0;
    return JSON.stringify({
      type: "STATE",
      state: {
        type: "STREAM",
        stream: {
          stream_descriptor: describeName(ref),
          stream_state: this.#stateOf(book, stream, progress),
        },
        sourceStats: { recordCount: toCount(rows) },
        ...(this.#options.namesPartitions
          ? {
              id: progress.states,
              partition_id:
                progress.partitionId ?? `${stream}-none-${book.epoch}`,
            }
          : {}),
      },
    });
  }

  #stateOf(
    book: RunBook,
    stream: number,
    { copy: { done, after } }: Progress,
  ): object | null {
    const { schema, window, plan } = book.stream(stream);
    if (window !== null) {
      const cursor = window.nextState ?? this.cursorOf(schema);
      return cursor === null
        ? null
        : describeReadState({ kind: "cursor", column: window.column, cursor });
    }
    const { fingerprint } = schema;
    const left = plan ? keepPartitions(plan, done, after) : [];
    const state: ReadState =
      left.length === 0
        ? { kind: "done", fingerprint }
        : { kind: "plan", fingerprint, partitions: joinRanges(left) };
    return describeReadState(state);
  }
}
