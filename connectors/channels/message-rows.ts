/**
 * The messages of a foreign source on their way to one channel: the rows of all streams in the order in which they came,
 * and behind the states that the source gives, the checkpoints that they cover (`message-states.ts`).
 */
import { strict as assert } from "node:assert";
import { fromTraceError } from "../airbyte/errors.ts";
import {
  readMessage,
  type AirbyteState,
  type AirbyteTrace,
} from "../airbyte/messages.ts";
import type { ColumnBatch } from "../../proto/columns.ts";
import { ExtractError } from "../../proto/error.ts";
import type { StreamSchema } from "../../proto/schema.ts";
import { StateGroups } from "./message-groups.ts";
import { MessageLanes } from "./message-lanes.ts";
import { describedBy, MessageStates } from "./message-states.ts";
import {
  FollowedStreams,
  type Followed,
  type ForeignRecord,
  type Lane,
  type LogLevel,
  type MessageStream,
  type Segment,
  type StateGroup,
} from "./message-streams.ts";

export interface MessageRowsOptions {
  readonly streams: readonly MessageStream[];
  readonly epoch: number;
  readonly checkpointEveryMs: number;
  /** Records carry the partition that their state names. */
  readonly hasPartitions: boolean;
  /** Each state is told, also those that another one stands for. */
  readonly keepsStates: boolean;
  /** A stream that the source gives up fails alone; else what was told of it would be lost: the read fails at its end. */
  readonly failsAlone: boolean;
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

export class MessageRows {
  readonly #options: MessageRowsOptions;
  readonly #streams: FollowedStreams;
  readonly #lanes: MessageLanes;
  readonly #groups: StateGroups;
  readonly #states: MessageStates;
  /** COMPLETE has been said of it, and nothing but its state may follow. */
  #ending: Followed | null = null;
  #traceError: ExtractError | null = null;
  #hasStatuses = false;

  constructor(options: MessageRowsOptions) {
    this.#options = options;
    const { events } = options;
    this.#streams = new FollowedStreams(options.streams, (level, message) =>
      events.onLog(level, message),
    );
    this.#lanes = new MessageLanes(options.epoch);
    this.#groups = new StateGroups(this.#lanes, (group) =>
      events.onGroup(group),
    );
    this.#states = new MessageStates({
      ...options,
      streams: this.#streams,
      lanes: this.#lanes,
      groups: this.#groups,
    });
  }

  /** Of a checkpoint that was asked for. */
  giveIndex(stream: number, partition: number, index: number): void {
    const lane = this.#streams
      .byNumber(stream)
      ?.lanes.find(({ ordinal }) => ordinal === partition);
    const asked = lane?.asked.shift();
    assert(lane && asked, "an index was asked for");
    asked(index);
    lane.rows.giveIndex(index);
  }

  /** The stream has failed elsewhere: what comes of it is passed over. */
  leave(stream: number): void {
    const followed = this.#streams.byNumber(stream);
    if (!followed) return;
    followed.isOver = true;
    if (this.#ending === followed) this.#ending = null;
  }

  /** The next state becomes a checkpoint. Resolves when its rows are queued. */
  hurry(): Promise<void> {
    return this.#groups.hurry();
  }

  /** What the source has said of its failure, if it has. */
  get traceError(): ExtractError | null {
    return this.#traceError;
  }

  /** Of every stream it is known how it has ended: what the source says by its exit is no news. */
  get isAccounted(): boolean {
    return (
      this.#traceError === null &&
      this.#streams.all.some(({ isOver }) => isOver) &&
      this.#streams.all.every(
        ({ isOver, status }) => isOver || status === "COMPLETE",
      )
    );
  }

  /**
   * Nothing is returned where nothing has to be waited for, which is the rule.
   * @throws ExtractError
   */
  takeRecord(record: ForeignRecord, lane: number): Promise<void> | void {
    this.#lanes.throwFailure();
    const followed = this.#streams.findOf(record);
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
      ? this.#lanes.openSegment(followed, lane, record.partitionId)
      : null;
    if (!this.#lanes.tryAppend(lane, record))
      return this.#appendLater(followed, lane, segment, record);
    return this.#count(followed, lane, segment);
  }

  async #appendLater(
    followed: Followed,
    lane: Lane,
    segment: Segment | null,
    record: ForeignRecord,
  ): Promise<void> {
    do {
      await lane.sending;
      this.#lanes.throwFailure();
    } while (!this.#lanes.tryAppend(lane, record));
    return this.#count(followed, lane, segment);
  }

  #count(
    followed: Followed,
    lane: Lane,
    segment: Segment | null,
  ): Promise<void> | void {
    lane.hasRows = true;
    this.#states.countRows(followed, 1);
    if (segment === null) return;
    segment.rows += 1;
    return this.#states.match(followed);
  }

  /**
   * A line, or what an envelope holds: any message but a record.
   * @throws ExtractError
   */
  async takeMessage(text: string): Promise<void> {
    this.#lanes.throwFailure();
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
    this.#lanes.throwFailure();
    if (this.#ending !== null) await this.#endStream(this.#ending);
    this.#throwTraceError();
    this.#states.end();
    const open = this.#streams.all.filter(({ isOver }) => !isOver);
    const whole = open.filter((one) => {
      const isTold = this.#hasStatuses || this.#options.hasPartitions;
      if (!isTold || one.status === "COMPLETE") return true;
      const error = new ExtractError(
        "CONNECTOR_STREAM_INCOMPLETE",
        `the source ended without the status COMPLETE of ${one.shown}`,
        { stream: one.shown },
      );
      if (this.#options.failsAlone) this.#failStream(one, error);
      else this.#traceError ??= error;
      return false;
    });
    const { scope } = this.#states;
    if (scope === "GLOBAL" || scope === "LEGACY") {
      // its rows belong to the states of the others
      if (whole.length < open.length)
        throw new ExtractError(
          "CONNECTOR_STREAM_INCOMPLETE",
          "a stream was given up whose state is that of all streams",
        );
      await this.#endTogether(whole);
    } else for (const one of whole) await this.#endStream(one);
    await this.#groups.told;
    this.#lanes.throwFailure();
    this.#throwTraceError();
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
    this.#lanes.throwFailure();
    const followed = this.#streams.findExactly(schema);
    if (followed.isOver) return;
    const lane = followed.lanes[ordinal];
    assert(lane, "each socket has its lane");
    const { rowCount } = batch;
    const segment = this.#lanes.openSegment(followed, lane, partition);
    const written = this.#lanes.writeBatch(lane, schema, batch);
    this.#states.countRows(followed, rowCount);
    segment.rows += rowCount;
    await this.#states.match(followed);
    await written;
  }

  async #takeState(state: AirbyteState): Promise<void> {
    const scope = this.#states.noteScope(state);
    const body = JSON.stringify(state);
    if (scope !== "STREAM") return this.#states.takeGlobal(state, body, scope);
    const followed = this.#streams.findNamed(describedBy(state));
    if (followed === null) return;
    if (this.#ending !== null && this.#ending !== followed)
      await this.#endStream(this.#ending);
    if (followed.isOver) return;
    await this.#states.takeOwn(
      followed,
      state,
      body,
      this.#ending === followed,
    );
  }

  #throwTraceError(): void {
    if (this.#traceError) throw this.#traceError;
  }

  /** All of it has come. */
  async #endStream(followed: Followed): Promise<void> {
    if (this.#ending === followed) this.#ending = null;
    if (followed.isOver) return;
    followed.isOver = true;
    this.#warnOfUncovered(followed);
    await this.#states.tellOwn(followed, true);
  }

  async #endTogether(streams: readonly Followed[]): Promise<void> {
    for (const one of streams) one.isOver = true;
    await this.#states.tellGlobal(
      streams.flatMap((one) => this.#lanes.closeLanes(one, true)),
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

  async #takeTrace(trace: AirbyteTrace): Promise<void> {
    const { events } = this.#options;
    switch (trace.type) {
      case "ERROR": {
        if (!trace.error) return;
        const error = fromTraceError(trace.error, "source");
        const descriptor = trace.error.stream_descriptor;
        const followed = descriptor
          ? this.#streams.findNamed(descriptor)
          : null;
        events.onLog("error", error.message);
        if (followed !== null && this.#failsAlone(followed))
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
            ? this.#streams.findNamed({ ...estimate, name: estimate.name })
            : null;
        events.onEstimate(of?.stream.number ?? null, {
          rows: estimate.row_estimate ?? null,
          bytes: estimate.byte_estimate ?? null,
        });
        return;
      }
      case "STREAM_STATUS": {
        const told = trace.stream_status;
        const followed = told
          ? this.#streams.findNamed(told.stream_descriptor)
          : null;
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
      if (this.#failsAlone(followed)) this.#failStream(followed, error);
      else this.#traceError ??= error;
      return;
    }
    if (status !== "COMPLETE" || this.#options.hasPartitions) return;
    // where states are of all streams, its end is theirs
    if (this.#endsAlone(followed) && !followed.isOver) this.#ending = followed;
  }

  #failsAlone(followed: Followed): boolean {
    return this.#options.failsAlone && this.#endsAlone(followed);
  }

  /** Whether what becomes of it is no matter of the others. */
  #endsAlone({ stream }: Followed): boolean {
    const { scope } = this.#states;
    return scope === "STREAM" || (scope === null && !stream.isIncremental);
  }
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
