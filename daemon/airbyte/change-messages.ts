/**
 * What a source executable says beside rows where it captures changes: states are GLOBAL, and each covers all rows in
 * front of it, of whichever streams they are. The last one is all that a later read needs.
 */
import { strict as assert } from "node:assert";
import type { Ledger } from "../../checkpoint/store/ledger.ts";
import type { LogEntryRecord, LogNames } from "../../checkpoint/store/logs.ts";
import type { AttemptOwner } from "../../checkpoint/store/records.ts";
import { toCount } from "../../connectors/airbyte/exact-json.ts";
import type { DurableReport } from "../../proto/checkpoint.ts";
import type { DiscoveredWire, HeldColumns } from "../../proto/control.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type { RunBook } from "../run-book.ts";
import type {
  KeptPlan,
  LogMessages,
  RunMessages,
  StreamChoice,
} from "../run-messages.ts";
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
import {
  describeSharedState,
  keepLog,
  type SharedState,
} from "./shared-state.ts";
import { describeEstimate, describeName, describeStatus } from "./stdout.ts";
import { WaitingMessages } from "./waiting-messages.ts";

interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

type LogGroup = Parameters<LogMessages["grouped"]>[1];

/** Groups whose reports are still to come: the rows of the next one wait for the state of the one before. */
const GROUPS_WAITING_MAX = 100_000;

interface Progress {
  /** By which the run knows the stream. */
  readonly number: number;
  readonly copy: CopyProgress;
}

/** The state of a whole read, from run to run of it. */
export interface ReadPlace {
  shared: SharedState;
  /** By `keyOf`, of all streams of the catalog that have one. */
  readonly streams: Map<string, StreamName & { readonly state: ReadState }>;
  /** Of which it has been said that they are read. */
  readonly started: Set<string>;
  /** States so far. */
  states: number;
}

/** Rows that a state counts. */
interface Covered {
  readonly rows: number;
  /** Which they are of, over sockets; null: none of them has left. */
  readonly partitionId: string | null;
}

const nothing: Covered = { rows: 0, partitionId: null };

export interface ChangeMessagesOptions {
  /** Of this run: all come from the log, or none. */
  readonly streams: readonly ConfiguredStream[];
  /** Goes on with the run. */
  readonly place: ReadPlace;
  /** Null: rows are read, changes are not. */
  readonly names: LogNames | null;
  /** Records name the partition that they are of, and states count for one. */
  readonly namesPartitions: boolean;
  /** As in `WaitingMessages`. */
  readonly onMessage: ((message: string) => void) | null;
}

export class ChangeMessages implements RunMessages, LogMessages {
  readonly isOfAll = true;
  readonly columns: readonly HeldColumns[];
  readonly waiting: WaitingMessages;
  readonly log: LogMessages | null;
  readonly names: LogNames;
  readonly entry: LogEntryRecord | null;
  readonly #place: ReadPlace;
  readonly #namesPartitions: boolean;
  readonly #streams: ReadonlyMap<string, ConfiguredStream>;
  /** What the run began with. */
  readonly #states: ReadonlyMap<string, ReadState>;
  readonly #progress = new Map<string, Progress>();
  /** Groups of the log, in their order, that do not count yet. */
  readonly #groups: LogGroup[] = [];
  /** Checkpoints of the log that are of no group yet. */
  readonly #reported = new Map<string, DurableReport>();
  /** Something is new since the last state. */
  #isNew = false;
  readonly #complete: StreamName[] = [];

  constructor(options: ChangeMessagesOptions) {
    const { streams, place, names } = options;
    this.#place = place;
    this.#namesPartitions = options.namesPartitions;
    this.waiting = new WaitingMessages(options.onMessage);
    this.#streams = new Map(streams.map((one) => [keyOf(one), one]));
    this.#states = new Map(
      [...place.streams].map(([key, { state }]) => [key, state]),
    );
    this.log = names === null ? null : this;
    this.names = names ?? { slot: "", publication: "" };
    this.entry = names === null ? null : place.shared.entry;
    this.columns = names === null ? holdColumns(streams) : [];
  }

  /**
   * What is to be said once the run has ended well: the last state where one is missing, and that its streams are
   * complete.
   * @param isLast no run of the same read goes on with them
   */
  takeEnd(isLast: boolean): readonly string[] {
    const state = this.#isNew ? [this.#buildState(nothing)] : [];
    const statuses = (isLast ? this.#complete : []).map((one) =>
      describeStatus(one, "COMPLETE"),
    );
    return this.waiting.tell([...state, ...statuses]);
  }

  choiceOf(stream: StreamName): StreamChoice | null {
    return this.#streams.get(keyOf(stream))?.choice ?? null;
  }

  planOf(discovered: DiscoveredWire): KeptPlan | null {
    const state = this.#states.get(keyOf(discovered.schema));
    return state?.kind === "plan" || state?.kind === "copy"
      ? recallReadState(discovered, state)
      : null;
  }

  cursorOf(): string | null {
    return null;
  }

  fill(ledger: Ledger, syncId: string, owner: AttemptOwner): void {
    const { log } = this.#place.shared;
    if (log === null) return;
    const run = { syncId, mode: "cdc", requestJson: "{}", ...owner };
    const { runId, epoch } = ledger.beginRun(run);
    ledger.beginLog(runId, epoch, log);
    ledger.openLog(runId, epoch, log);
    const cursorState = JSON.stringify({ log: log.position });
    for (const [index, { namespace, name }] of [
      ...this.#streams.values(),
    ].entries()) {
      const state = this.#states.get(keyOf({ namespace, name }));
      if (state?.kind !== "log") continue;
      const number = index + 1;
      const { fingerprint } = JSON.parse(state.schema) as StreamSchema;
      ledger.putStream(runId, epoch, {
        ...{ number, namespace, name, fingerprint, mode: "cdc" },
        schemaJson: state.schema,
        generation: ledger.nextGeneration(syncId, namespace, name),
        cursorWindowJson: null,
      });
      ledger.setStreamState(runId, epoch, number, "committing", null);
      ledger.commitStream(runId, epoch, number, { cursorState });
    }
    ledger.finishRun(runId, epoch, "succeeded", null);
  }

  isBegun(stream: StreamName): boolean {
    return this.#states.get(keyOf(stream))?.kind === "copy";
  }

  isEntering(stream: StreamName): boolean {
    const state = this.#states.get(keyOf(stream));
    return state?.kind === "copy" && state.isEntering;
  }

  describeRecords(
    stream: StreamName,
    source: Parameters<LogMessages["describeRecords"]>[1],
  ): ReturnType<LogMessages["describeRecords"]> {
    const columns = this.#streams.get(keyOf(stream))?.columns ?? [];
    return { ...source, columns: columns.length > 0 ? columns : null };
  }

  begun(book: RunBook, number: number): readonly string[] {
    const { ref, plan } = book.stream(number);
    const { shared } = this.#place;
    // before anything of it is read
    if (this.log && shared.log === null)
      this.#place.shared = { ...shared, log: keepLog(book.logRecord()) };
    this.#progress.set(keyOf(ref), {
      number,
      copy: new CopyProgress(book, number),
    });
    const { started } = this.#place;
    const isNew = !started.has(keyOf(ref));
    started.add(keyOf(ref));
    return this.waiting.tell([
      ...(isNew ? [describeStatus(ref, "STARTED")] : []),
      ...(plan ? [describeEstimate(ref, plan)] : []),
    ]);
  }

  recorded(book: RunBook, report: DurableReport): readonly string[] {
    const { stream, index, partition, last, rows, files } = report;
    const { ref, plan } = book.stream(stream);
    const progress = this.#progress.get(keyOf(ref));
    const split = plan?.partitions[partition]?.split;
    assert(progress && split, `stream ${stream} has not begun`);
    this.#isNew = true;
    if (split.kind === "log") {
      this.#reported.set(`${stream}/${index}`, report);
      return this.#closeGroups(book);
    }
    progress.copy.note(report);
    assert(last || split.kind === "key", "a place inside of what has none");
    // without rows it has had no turn, and others may be in the middle of theirs
    const partitionId = files[0]?.path ?? null;
    return rows > 0 ? this.#tellState(book, { rows, partitionId }) : [];
  }

  grouped(book: RunBook, group: LogGroup): readonly string[] {
    assert(this.#groups.length < GROUPS_WAITING_MAX, "too many groups");
    this.#groups.push(group);
    return this.#closeGroups(book);
  }

  /** A group counts with all that its transactions have changed, in whichever streams. */
  #closeGroups(book: RunBook): readonly string[] {
    const told: string[] = [];
    for (;;) {
      const [group] = this.#groups;
      const places = group?.members.map(
        ({ stream, index }) => `${stream}/${index}`,
      );
      if (!group || !places?.every((one) => this.#reported.has(one))) break;
      this.#groups.shift();
      const covered = countCovered(
        places.flatMap((one) => this.#reported.get(one) ?? []),
      );
      for (const one of places) this.#reported.delete(one);
      this.#advance(group);
      if (covered.rows > 0) told.push(...this.#tellState(book, covered));
    }
    return told;
  }

  #advance({ position, offset, history }: LogGroup): void {
    const { shared } = this.#place;
    assert(shared.log, "a log that is followed has a place");
    const { log } = shared;
    this.#isNew = true;
    this.#place.shared = {
      ...shared,
      log: {
        ...log,
        position,
        offset: offset ?? log.offset,
        history: history ?? log.history,
      },
    };
  }

  complete(book: RunBook, stream: number): readonly string[] {
    this.#take(book);
    this.#complete.push(book.stream(stream).ref);
    return [];
  }

  #tellState(book: RunBook, covered: Covered): readonly string[] {
    this.#take(book);
    return this.waiting.tell([this.#buildState(covered)]);
  }

  /** Where the run stands. */
  #take(book: RunBook): void {
    const { shared, streams } = this.#place;
    const { log } = shared;
    const entry =
      this.log && log && book.entry && log.position < book.entry.position
        ? book.entry
        : null;
    this.#place.shared = { log, entry };
    for (const [key, progress] of this.#progress) {
      const { ref } = book.stream(progress.number);
      const { namespace, name } = ref;
      const state = this.#stateOf(book, progress, entry !== null);
      streams.set(key, { namespace, name, state });
    }
  }

  #stateOf(
    book: RunBook,
    { number, copy: { done, after } }: Progress,
    hasEntry: boolean,
  ): ReadState {
    const { ref, schema, plan } = book.stream(number);
    const { fingerprint } = schema;
    const left = plan ? keepPartitions(plan, done, after) : [];
    const partitions = joinRanges(left);
    if (!this.log)
      return left.length === 0
        ? { kind: "done", fingerprint }
        : { kind: "plan", fingerprint, partitions };
    const before = this.#states.get(keyOf(ref));
    const isInLog =
      before?.kind === "log" || (before?.kind === "copy" && !before.isEntering);
    const isEntering = hasEntry && !isInLog;
    return left.length === 0 && !isEntering
      ? { kind: "log", schema: JSON.stringify(schema) }
      : { kind: "copy", fingerprint, partitions, isEntering };
  }

  #buildState({ rows, partitionId }: Covered): string {
    this.#isNew = false;
    this.#place.states += 1;
    const { shared, streams, states } = this.#place;
    return JSON.stringify({
      type: "STATE",
      state: {
        type: "GLOBAL",
        global: {
          shared_state: describeSharedState(shared),
          stream_states: [...streams.values()].map(({ state, ...stream }) => ({
            stream_descriptor: describeName(stream),
            stream_state: describeReadState(state),
          })),
        },
        sourceStats: { recordCount: toCount(rows) },
        ...(this.#namesPartitions
          ? { id: states, partition_id: partitionId ?? `none-${states}` }
          : {}),
      },
    });
  }
}

/** Of a group, whose rows are one partition. */
function countCovered(reports: readonly DurableReport[]): Covered {
  const filled = reports.filter(({ rows }) => rows > 0);
  const ids = new Set(filled.map(({ files }) => files[0]?.path ?? ""));
  assert(ids.size <= 1, `a group of ${ids.size} partitions`);
  const [partitionId = null] = ids;
  return { rows: filled.reduce((sum, { rows }) => sum + rows, 0), partitionId };
}
