/**
 * The messages of a foreign source on their way to one channel: the rows of all streams in the order in which they came,
 * and behind the states that the source gives, the checkpoints that they cover. What a state covers is a group: one
 * checkpoint of each stream (and lane) that it speaks of, with the state to be given back once all of them are recorded.
 *
 * Not every state becomes a checkpoint, which ends a file: a state that comes soon after the last one is passed over, and
 * the next one stands for both.
 */
import { strict as assert } from "node:assert";
import { showStream } from "../airbyte/catalog.ts";
import { fromTraceError } from "../airbyte/errors.ts";
import {
  namespaceOf,
  readMessage,
  type AirbyteState,
  type AirbyteTrace,
} from "../airbyte/messages.ts";
import { countMismatch, PartitionStates } from "../airbyte/partition-states.ts";
import type { ColumnBatch, ColumnVector } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import type {
  RecordDecoder,
  RecordFacts,
  RecordValues,
} from "../sources/airbyte/record-decoder.ts";
import type { ReadRows } from "./source-rows.ts";

export interface MessageLane {
  readonly rows: ReadRows;
  readonly decoder: RecordDecoder;
}

export interface MessageStream {
  readonly number: number;
  /** Empty: in no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** The source is asked for what is new; else it gives the whole. */
  readonly isIncremental: boolean;
  /** One for each socket, or one. */
  readonly lanes: readonly MessageLane[];
}

/** A record, however it was written. */
export interface ForeignRecord extends RecordValues, RecordFacts {
  isOf(namespace: Uint8Array | null, name: Uint8Array): boolean;
  readonly stream: string;
  readonly namespace: string | null;
  readonly partitionId: string | null;
}

export type StateScope = "STREAM" | "GLOBAL" | "LEGACY";

export interface PassedState {
  readonly body: string;
  /** Records since the state before. */
  readonly rows: number;
}

export interface StateGroup {
  /** From 1. */
  readonly group: number;
  /** Null: it covers the end of a stream that has given no state. */
  readonly scope: StateScope | null;
  /** Of a state of one stream. */
  readonly stream: number | null;
  /** The STATE's body as JSON; null: as it was before. */
  readonly body: string | null;
  /** All states that it stands for, in their order, the last one included; empty unless they are wanted. */
  readonly bodies: readonly PassedState[];
  readonly members: readonly {
    readonly stream: number;
    readonly index: number;
  }[];
}

export type LogLevel = "error" | "warn" | "info" | "debug";

export interface MessageRowsOptions {
  readonly streams: readonly MessageStream[];
  readonly epoch: number;
  readonly checkpointEveryMs: number;
  /** Records carry the partition that their state names. */
  readonly hasPartitions: boolean;
  /** Each state is told, also those that another one stands for. */
  readonly keepsStates: boolean;
  readonly events: {
    onGroup(group: StateGroup): void;
    onStreamFailed(stream: number, error: ExtractError): void;
    onLog(level: LogLevel, message: string): void;
    onStatus(stream: number, status: string): void;
    onEstimate(
      stream: number | null,
      estimate: { readonly rows: number | null; readonly bytes: number | null },
    ): void;
  };
}

/** Groups whose indexes are not known yet. */
const GROUPS_AHEAD_MAX = 64;
/** Streams that were not asked for, whose states are told of once. */
const STRANGERS_MAX = 100;

interface Lane extends MessageLane {
  readonly ordinal: number;
  /** Batches on their way; the first free one ends the wait. */
  sending: Promise<void> | null;
  /** Checkpoints that wait for their index. */
  readonly asked: ((index: number) => void)[];
  /** In socket mode: whose rows are behind the last checkpoint. */
  segment: Segment | null;
  hasRows: boolean;
}

/** Rows of one partition of the source. */
interface Segment {
  readonly partition: string;
  readonly lane: Lane;
  rows: number;
  index: Promise<number> | null;
}

interface Followed {
  readonly stream: MessageStream;
  readonly shown: string;
  readonly namespaceBytes: Uint8Array | null;
  readonly nameBytes: Uint8Array;
  readonly lanes: readonly Lane[];
  readonly segments: Map<string, Segment>;
  readonly states: PartitionStates;
  rowsSinceState: number;
  checkpointedAt: number;
  /** States behind the last group. */
  passed: PassedState[];
  status: string | null;
  /** It has come to its end, or is given up. */
  isOver: boolean;
}

export class MessageRows {
  readonly #options: MessageRowsOptions;
  readonly #followed: readonly Followed[];
  readonly #byNumber: ReadonlyMap<number, Followed>;
  readonly #global = new PartitionStates("all streams");
  readonly #strangers = new Set<string>();
  #latest: Followed | null = null;
  #scope: StateScope | null = null;
  /** COMPLETE has been said of it, and nothing but its state may follow. */
  #ending: Followed | null = null;
  #rowsSinceGlobal = 0;
  #globalAt = performance.now();
  #passed: PassedState[] = [];
  #checkpoints = 0;
  #group = 0;
  #groupsAhead = 0;
  /** Groups are told in their order. */
  #telling: Promise<void> = Promise.resolve();
  #failure: Error | null = null;
  #traceError: ExtractError | null = null;
  #hasStatuses = false;
  #isHurried = false;
  readonly #hurried = Promise.withResolvers<void>();

  constructor(options: MessageRowsOptions) {
    this.#options = options;
    const now = performance.now();
    this.#followed = options.streams.map((stream) => ({
      stream,
      shown: showStream(stream),
      namespaceBytes:
        stream.namespace === "" ? null : Buffer.from(stream.namespace),
      nameBytes: Buffer.from(stream.name),
      lanes: stream.lanes.map((lane, ordinal) => ({
        ...lane,
        ordinal,
        sending: null,
        asked: [],
        segment: null,
        hasRows: false,
      })),
      segments: new Map(),
      states: new PartitionStates(showStream(stream)),
      rowsSinceState: 0,
      checkpointedAt: now,
      passed: [],
      status: null,
      isOver: false,
    }));
    this.#byNumber = new Map(
      this.#followed.map((one) => [one.stream.number, one]),
    );
  }

  /** Of a checkpoint that was asked for. */
  giveIndex(stream: number, partition: number, index: number): void {
    const lane = this.#byNumber
      .get(stream)
      ?.lanes.find(({ ordinal }) => ordinal === partition);
    const asked = lane?.asked.shift();
    assert(lane && asked, "an index was asked for");
    asked(index);
    lane.rows.giveIndex(index);
  }

  /** The stream has failed elsewhere: what comes of it is passed over. */
  leave(stream: number): void {
    const followed = this.#byNumber.get(stream);
    if (!followed) return;
    followed.isOver = true;
    if (this.#ending === followed) this.#ending = null;
  }

  /** The next state becomes a checkpoint. Resolves when its rows are queued. */
  hurry(): Promise<void> {
    this.#isHurried = true;
    return this.#hurried.promise;
  }

  /** What the source has said of its failure, if it has. */
  get traceError(): ExtractError | null {
    return this.#traceError;
  }

  /** Of every stream it is known how it has ended: what the source says by its exit is no news. */
  get isAccounted(): boolean {
    return (
      this.#traceError === null &&
      this.#followed.some(({ isOver }) => isOver) &&
      this.#followed.every(
        ({ isOver, status }) => isOver || status === "COMPLETE",
      )
    );
  }

  /**
   * Nothing is returned where nothing has to be waited for, which is the rule.
   * @throws ExtractError
   */
  takeRecord(record: ForeignRecord, lane: number): Promise<void> | void {
    this.#throwFailure();
    const followed = this.#findOf(record);
    if (this.#ending !== null || followed.isOver)
      return this.#takeBehindEnd(followed, record, lane);
    return this.#append(followed, record, lane);
  }

  async #takeBehindEnd(
    followed: Followed,
    record: ForeignRecord,
    lane: number,
  ): Promise<void> {
    if (this.#ending !== null && this.#ending !== followed)
      await this.#endStream(this.#ending);
    if (!followed.isOver && followed !== this.#ending)
      return this.#append(followed, record, lane);
    // what was given up goes on sending for a while
    if (followed.status !== "COMPLETE") return;
    throw new ExtractError(
      "CONNECTOR_MESSAGE_INVALID",
      `the source sends a record of ${followed.shown} behind the status COMPLETE`,
      { stream: followed.shown },
    );
  }

  #append(
    followed: Followed,
    record: ForeignRecord,
    ordinal: number,
  ): Promise<void> | void {
    const lane = followed.lanes[ordinal];
    assert(lane, "each socket has its lane");
    const segment = this.#options.hasPartitions
      ? this.#openSegment(followed, lane, record.partitionId)
      : null;
    if (!this.#tryAppend(lane, record))
      return this.#appendLater(followed, lane, segment, record);
    return this.#count(followed, lane, segment);
  }

  /** @returns false where all batches are on their way */
  #tryAppend(lane: Lane, record: ForeignRecord): boolean {
    for (;;) {
      const result = lane.decoder.append(record, record);
      if (result === "appended") return true;
      if (result === "busy") return false;
      this.#send(lane);
    }
  }

  async #appendLater(
    followed: Followed,
    lane: Lane,
    segment: Segment | null,
    record: ForeignRecord,
  ): Promise<void> {
    do {
      await lane.sending;
      this.#throwFailure();
    } while (!this.#tryAppend(lane, record));
    return this.#count(followed, lane, segment);
  }

  #count(
    followed: Followed,
    lane: Lane,
    segment: Segment | null,
  ): Promise<void> | void {
    lane.hasRows = true;
    followed.rowsSinceState += 1;
    this.#rowsSinceGlobal += 1;
    if (segment === null) return;
    segment.rows += 1;
    // a state that was here before its last record waits for it
    if (followed.states.isWaiting || this.#global.isWaiting)
      return this.#matchStates(followed);
  }

  /**
   * A line, or what an envelope holds: any message but a record.
   * @throws ExtractError
   */
  async takeMessage(text: string): Promise<void> {
    this.#throwFailure();
    const message = readMessage(text);
    switch (message.type) {
      case "STATE":
        await this.#takeState(message.state);
        return;
      case "TRACE":
        await this.#takeTrace(message.trace);
        return;
      case "LOG": {
        const { level, message: words } = message.log;
        this.#options.events.onLog(levelOf(level), words);
        return;
      }
      case "NONE":
        // printed against the protocol, as many libraries do
        if (message.text.trim() !== "")
          this.#options.events.onLog("info", message.text);
        return;
      case "UNKNOWN":
        this.#options.events.onLog(
          "warn",
          `a message of the unknown type ${message.name} is passed over`,
        );
        return;
      case "CONTROL":
        this.#options.events.onLog(
          "warn",
          "the source wants its configuration changed, which is not done: see its own documentation",
        );
        return;
      case "RECORD":
        throw new Error("records are taken by takeRecord");
      default:
        this.#options.events.onLog(
          "debug",
          `a ${message.type} message is passed over`,
        );
    }
  }

  /**
   * The source has come to its end in good order: the last checkpoints are made.
   * @throws ExtractError where it has not kept what it has said
   */
  async finish(): Promise<void> {
    this.#throwFailure();
    if (this.#ending !== null) await this.#endStream(this.#ending);
    if (this.#traceError) throw this.#traceError;
    this.#endStates();
    const open = this.#followed.filter(({ isOver }) => !isOver);
    const whole = open.filter((one) => {
      const isTold = this.#hasStatuses || this.#options.hasPartitions;
      if (!isTold || one.status === "COMPLETE") return true;
      this.#failStream(
        one,
        new ExtractError(
          "CONNECTOR_STREAM_INCOMPLETE",
          `the source ended without the status COMPLETE of ${one.shown}`,
          { stream: one.shown },
        ),
      );
      return false;
    });
    if (this.#scope === "GLOBAL" || this.#scope === "LEGACY") {
      // its rows belong to the states of the others
      if (whole.length < open.length)
        throw new ExtractError(
          "CONNECTOR_STREAM_INCOMPLETE",
          "a stream was given up whose state is that of all streams",
        );
      await this.#endTogether(whole);
    } else for (const one of whole) await this.#endStream(one);
    await this.#telling;
    this.#throwFailure();
  }

  #findOf(record: ForeignRecord): Followed {
    const latest = this.#latest;
    if (latest && record.isOf(latest.namespaceBytes, latest.nameBytes))
      return latest;
    const found = this.#followed.find((one) =>
      record.isOf(one.namespaceBytes, one.nameBytes),
    );
    if (found === undefined)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the source sends records of ${showStream({ name: record.stream, namespace: record.namespace })}, which it was not asked for`,
        { stream: record.stream },
      );
    this.#latest = found;
    return found;
  }

  /**
   * Rows that come as columns, from another connector of ours. The batch is free again when this resolves.
   * @throws ExtractError
   */
  async takeBatch(
    schema: StreamSchema,
    batch: ColumnBatch,
    partition: string | null,
    ordinal: number,
  ): Promise<void> {
    this.#throwFailure();
    const followed = this.#followed.find(
      ({ stream }) =>
        stream.name === schema.name && stream.namespace === schema.namespace,
    );
    if (!followed)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the source sends rows of ${showStream(schema)}, which it was not asked for`,
        { stream: schema.name },
      );
    if (followed.isOver) return;
    const lane = followed.lanes[ordinal];
    assert(lane, "each socket has its lane");
    const columns = arrangeColumns(lane.decoder.schema, schema, batch);
    const segment = this.#openSegment(followed, lane, partition);
    const { rowCount } = batch;
    const written = lane.rows.batch({ rowCount, columns });
    lane.hasRows = true;
    followed.rowsSinceState += rowCount;
    this.#rowsSinceGlobal += rowCount;
    segment.rows += rowCount;
    if (followed.states.isWaiting || this.#global.isWaiting)
      await this.#matchStates(followed);
    await written;
  }

  #openSegment(
    followed: Followed,
    lane: Lane,
    partition: string | null,
  ): Segment {
    if (partition === null)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a record of ${followed.shown} comes by a socket without its partition_id`,
        { stream: followed.shown },
      );
    const { segment } = lane;
    if (segment?.partition === partition && segment.index === null)
      return segment;
    if (segment !== null && segment.index === null)
      void this.#closeSegment(segment);
    const known = followed.segments.get(partition);
    if (known !== undefined)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `records of the partition ${partition} of ${followed.shown} come by two sockets, or behind its end`,
        { stream: followed.shown, partition },
      );
    const opened: Segment = { partition, lane, rows: 0, index: null };
    followed.segments.set(partition, opened);
    lane.segment = opened;
    return opened;
  }

  #closeSegment(segment: Segment): Promise<number> {
    segment.index ??= this.#checkpoint(segment.lane, false);
    return segment.index;
  }

  #send(lane: Lane): void {
    const taken = lane.decoder.take();
    if (!taken) return;
    lane.sending = lane.rows.batch(taken.batch).then(
      () => taken.giveBack(),
      (error: unknown) => this.#fail(error),
    );
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** All rows of the lane so far. @returns its index, once that is given */
  #checkpoint(lane: Lane, last: boolean): Promise<number> {
    this.#send(lane);
    lane.hasRows = false;
    this.#checkpoints += 1;
    const after = `${pad(this.#options.epoch, 8)}-${pad(this.#checkpoints, 12)}`;
    const index = new Promise<number>((resolve) => lane.asked.push(resolve));
    lane.rows
      .checkpoint(last ? null : { kind: "log", after }, last)
      .catch((error: unknown) => this.#fail(error));
    return index;
  }

  /** Tells of a group once its members have their indexes; the next state may be read meanwhile, up to a bound. */
  async #tellGroup(
    group: Omit<StateGroup, "group" | "members">,
    members: readonly { stream: number; index: Promise<number> }[],
  ): Promise<void> {
    const number = ++this.#group;
    this.#groupsAhead += 1;
    this.#telling = this.#telling.then(async () => {
      const known = await Promise.all(
        members.map(async ({ stream, index }) => ({
          stream,
          index: await index,
        })),
      );
      this.#groupsAhead -= 1;
      this.#options.events.onGroup({
        ...group,
        group: number,
        members: known,
      });
    });
    this.#telling.catch((error: unknown) => this.#fail(error));
    if (this.#isHurried) {
      await this.#telling;
      this.#hurried.resolve();
    } else if (this.#groupsAhead > GROUPS_AHEAD_MAX) await this.#telling;
  }

  async #takeState(state: AirbyteState): Promise<void> {
    const scope = state.type ?? "LEGACY";
    if (this.#scope !== null && this.#scope !== scope)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the source gives states of two kinds, ${this.#scope} and ${scope}`,
      );
    this.#scope = scope;
    const body = JSON.stringify(state);
    if (scope === "STREAM") await this.#takeStreamState(state, body);
    else await this.#takeGlobalState(state, body, scope);
  }

  async #takeStreamState(state: AirbyteState, body: string): Promise<void> {
    const descriptor = state.stream?.stream_descriptor;
    if (descriptor === undefined)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        "a state of one stream does not say of which",
      );
    const followed = this.#findNamed(descriptor);
    if (followed === null) return;
    if (this.#ending !== null && this.#ending !== followed)
      await this.#endStream(this.#ending);
    if (followed.isOver) return;
    if (this.#options.hasPartitions) {
      followed.states.add(this.#readPartitionState(state, body, followed));
      await this.#matchStates(followed);
      return;
    }
    const counted = state.sourceStats?.recordCount;
    if (counted !== undefined && counted !== followed.rowsSinceState)
      throw countMismatch(
        `the state of ${followed.shown}`,
        counted,
        followed.rowsSinceState,
      );
    const rows = followed.rowsSinceState;
    followed.rowsSinceState = 0;
    followed.passed = this.#pass(followed.passed, { body, rows });
    if (this.#ending === followed || !this.#isTime(followed.checkpointedAt))
      return;
    followed.checkpointedAt = performance.now();
    await this.#tellStreamGroup(followed, false);
  }

  async #takeGlobalState(
    state: AirbyteState,
    body: string,
    scope: "GLOBAL" | "LEGACY",
  ): Promise<void> {
    if (scope === "GLOBAL" && !state.global)
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        "a global state holds no `global`",
      );
    if (this.#options.hasPartitions) {
      this.#global.add(this.#readPartitionState(state, body, null));
      await this.#matchGlobal();
      return;
    }
    const counted = state.sourceStats?.recordCount;
    if (counted !== undefined && counted !== this.#rowsSinceGlobal)
      throw countMismatch(
        "the state of all streams",
        counted,
        this.#rowsSinceGlobal,
      );
    const rows = this.#rowsSinceGlobal;
    this.#rowsSinceGlobal = 0;
    this.#passed = this.#pass(this.#passed, { body, rows });
    if (!this.#isTime(this.#globalAt)) return;
    this.#globalAt = performance.now();
    const members = this.#followed.flatMap((one) =>
      one.isOver ? [] : this.#closeLanes(one, false),
    );
    await this.#tellGlobalGroup(members);
  }

  #readPartitionState(
    state: AirbyteState,
    body: string,
    followed: Followed | null,
  ): Parameters<PartitionStates["add"]>[0] {
    const recordCount = state.sourceStats?.recordCount;
    const { id, partition_id: partition } = state;
    const of = followed?.shown ?? "all streams";
    if (
      typeof id !== "number" ||
      recordCount === undefined ||
      typeof partition !== "string"
    )
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `a state of ${of} has no ${typeof id !== "number" ? "id" : recordCount === undefined ? "sourceStats.recordCount" : "partition_id"}, which sockets need`,
        { stream: of },
      );
    const inner =
      state.global?.stream_states.flatMap((one) => {
        const own = one["partition_id"];
        return typeof own === "string" ? [own] : [];
      }) ?? [];
    return {
      id,
      partitions: [...new Set([partition, ...inner])],
      recordCount,
      body,
    };
  }

  async #matchStates(followed: Followed): Promise<void> {
    if (this.#scope === "GLOBAL") return this.#matchGlobal();
    for (;;) {
      const state = followed.states.take(
        (partition) => followed.segments.get(partition)?.rows ?? 0,
      );
      if (state === null) return;
      const members = this.#closeSegments(followed, state.partitions);
      await this.#tellGroup(
        {
          scope: "STREAM",
          stream: followed.stream.number,
          body: state.body,
          bodies: this.#keep(state),
        },
        members,
      );
    }
  }

  async #matchGlobal(): Promise<void> {
    for (;;) {
      const state = this.#global.take((partition) =>
        this.#countRows(partition),
      );
      if (state === null) return;
      const members = this.#followed.flatMap((one) =>
        this.#closeSegments(one, state.partitions),
      );
      await this.#tellGroup(
        {
          scope: "GLOBAL",
          stream: null,
          body: state.body,
          bodies: this.#keep(state),
        },
        members,
      );
    }
  }

  /** Of all streams. */
  #countRows(partition: string): number {
    return this.#followed.reduce(
      (sum, { segments }) => sum + (segments.get(partition)?.rows ?? 0),
      0,
    );
  }

  #closeSegments(
    { stream, segments }: Followed,
    partitions: readonly string[],
  ): { stream: number; index: Promise<number> }[] {
    return partitions.flatMap((partition) => {
      const segment = segments.get(partition);
      return segment === undefined
        ? []
        : [{ stream: stream.number, index: this.#closeSegment(segment) }];
    });
  }

  #endStates(): void {
    for (const { states, segments } of this.#followed)
      states.end((partition) => segments.get(partition)?.rows ?? 0);
    this.#global.end((partition) => this.#countRows(partition));
  }

  #pass(passed: PassedState[], state: PassedState): PassedState[] {
    if (!this.#options.keepsStates) return [state];
    passed.push(state);
    return passed;
  }

  #keep({
    body,
    recordCount: rows,
  }: {
    readonly body: string;
    readonly recordCount: number;
  }): readonly PassedState[] {
    return this.#options.keepsStates ? [{ body, rows }] : [];
  }

  #isTime(since: number): boolean {
    return (
      this.#isHurried ||
      performance.now() - since >= this.#options.checkpointEveryMs
    );
  }

  #closeLanes(
    { lanes, stream }: Followed,
    last: boolean,
  ): { stream: number; index: Promise<number> }[] {
    return lanes
      .filter(({ hasRows }) => last || hasRows)
      .map((lane) => ({
        stream: stream.number,
        index: this.#checkpoint(lane, last),
      }));
  }

  async #tellStreamGroup(followed: Followed, last: boolean): Promise<void> {
    const { passed, stream } = followed;
    followed.passed = [];
    const body = passed.at(-1)?.body ?? null;
    const members = this.#closeLanes(followed, last);
    await this.#tellGroup(
      {
        scope: body === null ? null : "STREAM",
        stream: stream.number,
        body,
        bodies: this.#options.keepsStates ? passed : [],
      },
      members,
    );
  }

  async #tellGlobalGroup(
    members: readonly { stream: number; index: Promise<number> }[],
  ): Promise<void> {
    const passed = this.#passed;
    this.#passed = [];
    const body = passed.at(-1)?.body ?? null;
    await this.#tellGroup(
      {
        scope: body === null ? null : this.#scope,
        stream: null,
        body,
        bodies: this.#options.keepsStates ? passed : [],
      },
      members,
    );
  }

  /** All of it has come. */
  async #endStream(followed: Followed): Promise<void> {
    if (this.#ending === followed) this.#ending = null;
    if (followed.isOver) return;
    followed.isOver = true;
    this.#warnOfUncovered(followed);
    await this.#tellStreamGroup(followed, true);
  }

  async #endTogether(streams: readonly Followed[]): Promise<void> {
    for (const one of streams) one.isOver = true;
    await this.#tellGlobalGroup(
      streams.flatMap((one) => this.#closeLanes(one, true)),
    );
  }

  #warnOfUncovered({ stream, shown, rowsSinceState }: Followed): void {
    if (!stream.isIncremental || rowsSinceState === 0) return;
    if (this.#options.hasPartitions) return;
    this.#options.events.onLog(
      "warn",
      `${rowsSinceState} records of ${shown} came behind its last state: the next run is going to get them again`,
    );
  }

  #failStream(followed: Followed, error: ExtractError): void {
    if (followed.isOver) return;
    followed.isOver = true;
    if (this.#ending === followed) this.#ending = null;
    this.#options.events.onStreamFailed(followed.stream.number, error);
  }

  /** Null: it was not asked for. */
  #findNamed(descriptor: {
    readonly name: string;
    readonly namespace?: string | null | undefined;
  }): Followed | null {
    const namespace = namespaceOf(descriptor) ?? "";
    const found = this.#followed.find(
      ({ stream }) =>
        stream.name === descriptor.name && stream.namespace === namespace,
    );
    if (found) return found;
    const shown = showStream(descriptor);
    if (!this.#strangers.has(shown) && this.#strangers.size < STRANGERS_MAX) {
      this.#strangers.add(shown);
      this.#options.events.onLog(
        "debug",
        `the source speaks of ${shown}, which it was not asked for`,
      );
    }
    return null;
  }

  async #takeTrace(trace: AirbyteTrace): Promise<void> {
    const { events } = this.#options;
    switch (trace.type) {
      case "ERROR": {
        if (!trace.error) return;
        const error = fromTraceError(trace.error, "source");
        const descriptor = trace.error.stream_descriptor;
        const followed = descriptor ? this.#findNamed(descriptor) : null;
        events.onLog("error", error.message);
        if (followed !== null && this.#canFailAlone(followed))
          this.#failStream(
            followed,
            new ExtractError(
              "CONNECTOR_STREAM_INCOMPLETE",
              error.message,
              error.details,
              { cause: error },
            ),
          );
        else this.#traceError ??= error;
        return;
      }
      case "ESTIMATE": {
        const { estimate } = trace;
        if (!estimate) return;
        const of =
          estimate.type === "STREAM" && estimate.name
            ? this.#findNamed({ ...estimate, name: estimate.name })
            : null;
        events.onEstimate(of?.stream.number ?? null, {
          rows: estimate.row_estimate ?? null,
          bytes: estimate.byte_estimate ?? null,
        });
        return;
      }
      case "STREAM_STATUS": {
        const told = trace.stream_status;
        const followed = told ? this.#findNamed(told.stream_descriptor) : null;
        if (!told || !followed) return;
        this.#hasStatuses = true;
        await this.#takeStatus(followed, told.status);
        return;
      }
      case "ANALYTICS":
    }
  }

  async #takeStatus(followed: Followed, status: string): Promise<void> {
    if (this.#ending !== null && this.#ending !== followed)
      await this.#endStream(this.#ending);
    // told twice, by stdout and by a socket
    if (followed.status === status) return;
    followed.status = status;
    this.#options.events.onStatus(followed.stream.number, status);
    if (status === "INCOMPLETE") {
      const error = new ExtractError(
        "CONNECTOR_STREAM_INCOMPLETE",
        `the source has given ${followed.shown} up (status INCOMPLETE)${this.#traceError ? `: ${this.#traceError.message}` : ""}`,
        { stream: followed.shown },
      );
      if (this.#canFailAlone(followed)) this.#failStream(followed, error);
      else this.#traceError ??= error;
      return;
    }
    if (status !== "COMPLETE" || this.#options.hasPartitions) return;
    // where states are of all streams, its end is theirs
    if (this.#canFailAlone(followed) && !followed.isOver)
      this.#ending = followed;
  }

  /** Whether what becomes of it is no matter of the others. */
  #canFailAlone({ stream }: Followed): boolean {
    return (
      this.#scope === "STREAM" ||
      (this.#scope === null && !stream.isIncremental)
    );
  }
}

/** By their names, which say the same on both sides where the sender is what the catalog was made of. */
function arrangeColumns(
  wanted: StreamSchema,
  sent: StreamSchema,
  { columns }: ColumnBatch,
): ColumnVector[] {
  return wanted.columns.map(({ name, type }) => {
    const at = sent.columns.findIndex((one) => one.name === name);
    const column = columns[at];
    const found = sent.columns[at]?.type;
    if (
      column === undefined ||
      found?.kind !== type.kind ||
      found.precision !== type.precision ||
      found.scale !== type.scale
    )
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the column ${name} of ${showStream(sent)} comes as ${found?.kind ?? "none"}, and the catalog has ${type.kind}: columns go between connectors of ours only as the source discovers them`,
        { stream: sent.name, column: name },
      );
    return column;
  });
}

function pad(count: number, digits: number): string {
  return String(count).padStart(digits, "0");
}

function levelOf(level: string): LogLevel {
  switch (level) {
    case "FATAL":
    case "ERROR":
      return "error";
    case "WARN":
      return "warn";
    case "INFO":
      return "info";
    default:
      return "debug";
  }
}
