/** One channel of a destination that speaks the Airbyte protocol: its output, and the records of its partitions. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckpointStamp, SealedFile } from "../../../proto/checkpoint.ts";
import type { ColumnBatch } from "../../../proto/columns.ts";
import type { DestinationStream } from "../../../proto/control.ts";
import {
  ExtractError,
  fromWireError,
  toWireError,
} from "../../../proto/error.ts";
import {
  encodeMessage,
  probe as protobufProbe,
} from "../../airbyte/record-protobuf/encoder.ts";
import { describeToken } from "../../airbyte/state-token.ts";
import type {
  DestinationContext,
  StreamWriter,
  WriterFactory,
  WriterTarget,
} from "../destination.ts";
import type { AirbyteDestinationConfig, ChannelFormat } from "./config.ts";
import { Lane, type LaneFact, type LaneOrder, type LanePeer } from "./lane.ts";
import {
  listen,
  MessageOutput,
  openStdout,
  type Listening,
  type RecordOutput,
} from "./output.ts";
import { createSlots, type RecordSlots, type Segment } from "./record-slots.ts";
import { RelayOutput } from "./relay-output.ts";
import { Turns } from "./turns.ts";

const utf8 = new TextEncoder();
const newline = utf8.encode("\n");

/** The end of a connector is known within this time of the end of its stdin. */
const REASON_MS_MAX = 10_000;

/** Has the output of all channels, where they take turns. */
const TURNS_CHANNEL = 1;
/** A peer that has come to one socket comes to the others within this time. */
const LATE_MS_MAX = 2_000;
/** Channels that end after the one that has their output are waited for so long. */
const OTHERS_MS_MAX = 60_000;

/** Where the connector's stdin is fed, in the attempt's folder. */
export const STDIN_SOCKET = "stdin.sock";

export class AirbyteWriters implements WriterFactory {
  readonly #context: DestinationContext;
  readonly #config: AirbyteDestinationConfig;
  readonly #channel: number;
  readonly #lane: Lane<LaneOrder | LaneFact | LanePeer, LaneFact | LanePeer>;
  readonly #slots = new Map<number, RecordSlots>();
  readonly #names = new Map<number, DestinationStream["schema"]>();
  /** Streams that have one state, at their end. */
  readonly #atEnd = new Set<number>();
  /** By stream: the last checkpoint, open once its state has left. */
  readonly #gates = new Map<
    number,
    { readonly index: number; readonly opened: PromiseWithResolvers<void> }
  >();
  /** The checkpoint whose state was written last is told of. */
  #noted: Promise<void> = Promise.resolve();
  /** Rows of each stream that have left behind its last state. */
  readonly #sinceState = new Map<number, number>();
  /** Checkpoints whose state has left behind their rows. */
  readonly #sealed = new Set<string>();
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  #listening: Listening | null = null;
  #output: Promise<RecordOutput> | null = null;
  #opened: RecordOutput | null = null;
  /** Null: its output is its own, or nobody takes turns. */
  #relay: RelayOutput | null = null;
  /** Null: another channel keeps them, or nobody takes turns. */
  #turns: Turns | null = null;
  /** Of this channel; null: it has none, and has not asked. Resolved: it has one. */
  #turn: PromiseWithResolvers<void> | null = null;
  /** Channels that have no output of their own, and are at work. */
  readonly #others = new Set<number>();
  #othersEnded: (() => void) | null = null;
  #fault: Error | null = null;
  readonly #faulted = Promise.withResolvers<void>();
  #isReady = false;
  #ending: Promise<void> | null = null;
  readonly #gone = Promise.withResolvers<void>();

  private constructor(context: DestinationContext, channel: number) {
    this.#context = context;
    this.#config = readConfig(context);
    this.#channel = channel;
    this.#lane = new Lane(this.#config.folder, (order) => this.#follow(order));
  }

  /** Listens where somebody is to connect. @throws ExtractError DESTINATION_UNWRITABLE */
  static async open(
    context: DestinationContext,
    channel: number,
  ): Promise<AirbyteWriters> {
    const writers = new AirbyteWriters(context, channel);
    try {
      await writers.#open();
    } catch (error) {
      writers.#fail(error);
      throw error;
    }
    return writers;
  }

  createWriter({ stream, partition }: WriterTarget): StreamWriter {
    const { number } = stream.schema;
    const slots =
      this.#slots.get(number) ??
      createSlots(stream.schema, this.format, stream.changes);
    this.#slots.set(number, slots);
    this.#names.set(number, stream.schema);
    if (stream.statesAtEnd) this.#atEnd.add(number);
    return new RecordWriter(this, slots, stream, partition);
  }

  get format(): ChannelFormat {
    const { channel } = this.#config;
    return channel.medium === "stdio" ? "jsonl" : channel.format;
  }

  /** Whether records and states have to name each other. */
  get namesPartitions(): boolean {
    return this.#config.channel.medium === "sockets";
  }

  /** Whether each checkpoint's state is written right behind its rows: else whoever has the ledger makes it. */
  get writesStates(): boolean {
    return this.#config.connector !== null;
  }

  get attempt(): DestinationContext["attempt"] {
    return this.#context.attempt;
  }

  get #inTurns(): boolean {
    const { channel } = this.#config;
    return channel.medium === "stdio" && channel.inTurns === true;
  }

  /** @throws ExtractError why nothing can be written */
  async output(): Promise<RecordOutput> {
    if (this.#fault) throw this.#fault;
    if (!this.#output) throw new Error("the channel is not open");
    return this.#output;
  }

  /** Behind what was written before, in front of what is written from now on. */
  async writeMessages(messages: readonly string[]): Promise<void> {
    if (this.#fault) throw this.#fault;
    // at once where it can be: nothing may come between rows and their state
    const output = this.#opened ?? (await this.output());
    await output.write(
      messages.flatMap((json) =>
        this.format === "jsonl"
          ? [utf8.encode(json), newline]
          : [encodeMessage(json)],
      ),
    );
  }

  /** Resolves once the destination has said that the checkpoint's rows are durable. */
  durable(stamp: CheckpointStamp): Promise<void> | null {
    this.closeGate(stamp);
    if (!this.writesStates) return null;
    if (this.#fault) return Promise.reject(this.#fault);
    const { stream, index } = stamp;
    // without rows nothing was sealed, and the destination hears of it here
    if (!this.#sealed.delete(`${stream}/${index}`))
      this.#tellEmpty(this.countState(stamp));
    return this.#waitFor(stream, index).promise;
  }

  /**
   * Where states say by their place alone what they cover, rows of a stream wait behind a checkpoint until its state,
   * which comes from the ledger, has left.
   */
  closeGate({ stream, index }: CheckpointStamp): void {
    if (this.writesStates || this.namesPartitions || this.#inTurns) return;
    if (this.#atEnd.has(stream)) return;
    const known = this.#gates.get(stream);
    // told of a second time, once it is sealed
    if (known && known.index >= index) return;
    known?.opened.resolve();
    this.#gates.set(stream, { index, opened: Promise.withResolvers() });
  }

  /** Resolves when rows of the stream may leave. @throws why they never will */
  async passGate(stream: number): Promise<void> {
    if (this.#inTurns) return this.#takeTurn();
    const gate = this.#gates.get(stream);
    if (gate) await Promise.race([gate.opened.promise, this.#faulted.promise]);
    if (this.#fault) throw this.#fault;
  }

  async #takeTurn(): Promise<void> {
    if (!this.#turn) {
      this.#turn = Promise.withResolvers();
      const channel = this.#channel;
      if (this.#turns) this.#turns.want(channel);
      else this.#lane.post({ type: "turn.want", channel });
    }
    await Promise.race([this.#turn.promise, this.#faulted.promise]);
    if (this.#fault) throw this.#fault;
  }

  #giveTurn(channel: number): void {
    if (channel === this.#channel) this.#turn?.resolve();
    else this.#lane.post({ type: "turn.have", channel });
  }

  /** Rows that come from now on are of the next turn: the state of those before is still to come. */
  leaveTurn(): void {
    this.#turn = null;
  }

  #openGate({ stream, index }: { stream: number; index: number }): void {
    const gate = this.#gates.get(stream);
    if (gate && gate.index <= index) gate.opened.resolve();
  }

  noteSealed({ stream, index }: CheckpointStamp): void {
    this.#sealed.add(`${stream}/${index}`);
  }

  /** The STATE message of a checkpoint, where the ledger alone knows what it means. */
  describeState(
    { stream, index, rows }: CheckpointStamp,
    partitionId: string | null,
  ): string {
    const { runId, epoch } = this.attempt;
    const name = this.#names.get(stream);
    if (!name) throw new Error(`stream ${stream} has no writer`);
    const token = { run: runId, epoch, stream, index };
    return describeToken(name, token, { rows, partitionId });
  }

  #tellEmpty(counted: CheckpointStamp): void {
    const { stream, partition, index } = counted;
    const state = this.describeState(
      counted,
      this.namesPartitions
        ? `${stream}-${partition}-${this.attempt.epoch}-empty-${index}`
        : null,
    );
    this.noteLeft(counted, this.writeMessages([state])).catch(
      (error: unknown) => this.#fail(error),
    );
  }

  /** Rows are on their way, in front of all that is written from now on. */
  noteRows(stream: number, rows: number): void {
    this.#sinceState.set(stream, (this.#sinceState.get(stream) ?? 0) + rows);
  }

  /**
   * What the checkpoint's state counts, which is written next: its own rows; or, where no partition tells them from
   * others, all of the stream since its last state.
   */
  countState(stamp: CheckpointStamp): CheckpointStamp {
    if (this.namesPartitions) return stamp;
    const rows = this.#sinceState.get(stamp.stream) ?? 0;
    this.#sinceState.delete(stamp.stream);
    return { ...stamp, rows };
  }

  /**
   * Tells of the checkpoint once it has left, in the order in which states were written: one that is given back says
   * that those before it are durable.
   * @throws why it has not left
   */
  async noteLeft(
    { stream, partition, index, last, rows }: CheckpointStamp,
    left: Promise<unknown>,
  ): Promise<void> {
    const before = this.#noted;
    const noted = Promise.withResolvers<void>();
    this.#noted = noted.promise;
    try {
      await left;
      await before;
      this.#lane.post({
        type: "written",
        channel: this.#channel,
        ...{ stream, partition, index, last, rows },
      });
    } finally {
      noted.resolve();
    }
  }

  /** Waits for what was written to be durable, where that is told. */
  async close(): Promise<void> {
    await this.#end();
    const durable = [...this.#waiting.values()].map(({ promise }) => promise);
    await Promise.race([Promise.all(durable), this.#gone.promise]);
    this.#lane.close();
  }

  /** Lets go of everything as it is. */
  destroy(): void {
    this.#lane.close();
    this.#listening?.close();
    this.#opened?.destroy();
  }

  #waitFor(stream: number, index: number): PromiseWithResolvers<void> {
    const key = `${stream}/${index}`;
    const known = this.#waiting.get(key);
    if (known) return known;
    const waiting = Promise.withResolvers<void>();
    waiting.promise.catch(() => {
      // told to whoever waits
    });
    this.#waiting.set(key, waiting);
    return waiting;
  }

  async #open(): Promise<void> {
    const { channel, connector, folder, stallMs, connectMs } = this.#config;
    const label = connector?.label ?? "whoever reads our output";
    const wrap = (
      stream: ConstructorParameters<typeof MessageOutput>[0],
      probe: Uint8Array | null,
    ): RecordOutput => {
      this.#opened = new MessageOutput(stream, {
        ...{ label, stallMs, probe, staysOpen: this.#inTurns },
        ...(connector === null ? {} : { explain: () => this.#explain() }),
      });
      this.#lane.post({ type: "connected", channel: this.#channel });
      return this.#opened;
    };
    if (this.#inTurns && this.#channel !== TURNS_CHANNEL) {
      this.#relay = new RelayOutput(this.#channel, (message) =>
        this.#lane.post(message),
      );
      this.#opened = this.#relay;
      this.#output = Promise.resolve(this.#relay);
    } else if (channel.medium === "stdio" && connector === null) {
      if (this.#inTurns) this.#turns = new Turns((one) => this.#giveTurn(one));
      this.#output = Promise.resolve(wrap(openStdout(), null));
    } else if (folder !== "") {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const path =
        channel.medium === "stdio"
          ? join(folder, STDIN_SOCKET)
          : channel.paths[this.#channel - 1];
      if (path === undefined)
        throw new Error(`channel ${this.#channel} has no socket`);
      this.#listening = await listen(path, connectMs, label);
      const probe =
        channel.medium === "stdio"
          ? null
          : channel.format === "jsonl"
            ? newline
            : protobufProbe;
      this.#output = this.#listening.connected.then((socket) =>
        wrap(socket, probe),
      );
    }
    this.#output?.catch(() => {
      // told to whoever writes
    });
    this.#isReady = true;
    this.#lane.post({ type: "ready", channel: this.#channel });
  }

  #follow(order: LaneOrder | LaneFact | LanePeer): void {
    switch (order.type) {
      case "ready":
        if (this.#turns) this.#others.add(order.channel);
        return;
      case "ended":
        this.#others.delete(order.channel);
        if (this.#others.size === 0) this.#othersEnded?.();
        return;
      case "turn.want":
        this.#turns?.want(order.channel);
        return;
      case "turn.have":
        if (order.channel === this.#channel) this.#turn?.resolve();
        return;
      case "relay":
        if (this.#turns) void this.#relayFor(order);
        return;
      case "relayed":
        if (order.channel === this.#channel)
          this.#relay?.noteWritten(order.id, order.error);
        return;
      case "connected":
      case "written":
      case "wrote":
      case "failed":
        // to the main thread
        return;
      case "call":
        if (this.#isReady)
          this.#lane.post({ type: "ready", channel: this.#channel });
        if (this.#opened)
          this.#lane.post({ type: "connected", channel: this.#channel });
        return;
      case "write":
        if (order.channel === this.#channel)
          void this.#writeMessages(order.id, order.messages, order.state);
        return;
      case "durable":
        this.#waiting.get(`${order.stream}/${order.index}`)?.resolve();
        this.#waiting.delete(`${order.stream}/${order.index}`);
        return;
      case "end":
        this.#end().catch((error: unknown) => this.#fail(error));
        return;
      case "endIdle":
        if (this.#slots.size === 0)
          this.#end().catch((error: unknown) => this.#fail(error));
        return;
      case "gone":
        this.#gone.resolve();
        return;
      case "fault":
        this.#fail(fromWireError(order.error));
        return;
    }
  }

  async #relayFor({
    channel,
    id,
    bytes,
  }: Extract<LanePeer, { type: "relay" }>): Promise<void> {
    let failure: unknown = null;
    try {
      await (await this.output()).write([bytes]);
    } catch (cause) {
      failure = cause;
    }
    const error = failure === null ? null : toWireError(failure);
    this.#lane.post({ type: "relayed", channel, id, error });
  }

  async #writeMessages(
    id: number,
    messages: readonly string[],
    state: { readonly stream: number; readonly index: number } | null,
  ): Promise<void> {
    try {
      // from here on rows are behind it
      if (state) this.#openGate(state);
      const written = this.writeMessages(messages);
      if (state) this.#turns?.endTurn();
      await written;
      this.#lane.post({ type: "wrote", id });
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#fault) return;
    this.#faulted.resolve();
    this.#fault = error instanceof Error ? error : new Error(String(error));
    this.#lane.post({
      type: "failed",
      channel: this.#channel,
      error: toWireError(this.#fault),
    });
    for (const { reject } of this.#waiting.values()) reject(this.#fault);
    this.#waiting.clear();
    this.#opened?.destroy();
  }

  /** A connector that has gone says why by its end, which is heard by another thread. */
  async #explain(): Promise<Error | null> {
    await Promise.race([
      this.#faulted.promise,
      sleep(REASON_MS_MAX, undefined, { ref: false }),
    ]);
    return this.#fault;
  }

  /** What was written has left, and the peer knows that nothing follows. */
  #end(): Promise<void> {
    this.#ending ??= this.#finish();
    return this.#ending;
  }

  async #finish(): Promise<void> {
    for (const slots of this.#slots.values()) await slots.flush();
    await this.#awaitOthers();
    // a peer that comes to all sockets at once is about to: it would be cut off where it is not let in
    if (!this.#opened && this.#output)
      await Promise.race([
        this.#output.catch(() => {
          // it has not come
        }),
        this.#gone.promise,
        this.#faulted.promise,
        sleep(LATE_MS_MAX, undefined, { ref: false }),
      ]);
    // nobody may have come where nothing was to be written
    if (this.#opened) await this.#opened.end();
    else this.#listening?.close();
    this.#lane.post({ type: "ended", channel: this.#channel });
  }

  /** Whoever has the output of others is the last to go. */
  async #awaitOthers(): Promise<void> {
    if (this.#others.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#othersEnded = resolve;
    await Promise.race([
      promise,
      this.#faulted.promise,
      sleep(OTHERS_MS_MAX, undefined, { ref: false }),
    ]);
  }
}

class RecordWriter implements StreamWriter {
  readonly #writers: AirbyteWriters;
  readonly #slots: RecordSlots;
  readonly #stream: DestinationStream;
  readonly #partition: number;
  #segment: Segment | null = null;
  #segments = 0;
  #rows = 0;

  constructor(
    writers: AirbyteWriters,
    slots: RecordSlots,
    stream: DestinationStream,
    partition: number,
  ) {
    this.#writers = writers;
    this.#slots = slots;
    this.#stream = stream;
    this.#partition = partition;
  }

  async write(batch: ColumnBatch): Promise<void> {
    await this.#writers.passGate(this.#stream.schema.number);
    this.#segment ??= this.#begin();
    this.#rows += batch.rowCount;
    const output = await this.#writers.output();
    const { number } = this.#stream.schema;
    const counted = {
      write: (pieces: readonly Uint8Array[]) => {
        this.#writers.noteRows(number, batch.rowCount);
        return output.write(pieces);
      },
    };
    await this.#slots.write(counted, batch, this.#segment);
  }

  async seal(stamp: CheckpointStamp): Promise<readonly SealedFile[]> {
    const segment = this.#segment ?? this.#begin();
    const rows = this.#rows;
    this.#segment = null;
    this.#rows = 0;
    if (rows !== stamp.rows)
      throw new ExtractError(
        "CHANNEL_CORRUPT",
        `a checkpoint of ${stamp.rows} rows came behind ${rows}`,
        { stream: stamp.stream, partition: stamp.partition },
      );
    this.#writers.closeGate(stamp);
    if (rows > 0) this.#writers.leaveTurn();
    // both before anything of the next checkpoint is written
    const flushed = this.#slots.flush();
    const counted = this.#writers.countState(stamp);
    const told = this.#writers.writesStates
      ? this.#writers.writeMessages([
          this.#writers.describeState(counted, segment.partitionId),
        ])
      : null;
    await this.#writers.noteLeft(counted, Promise.all([flushed, told]));
    this.#writers.noteSealed(stamp);
    const path = segment.partitionId ?? "";
    return [{ path, rows, bytes: stamp.bytes }];
  }

  discard(): Promise<void> {
    const rows = this.#rows;
    this.#segment = null;
    this.#rows = 0;
    if (rows === 0) return Promise.resolve();
    return Promise.reject(
      new ExtractError(
        "DESTINATION_FAILED",
        `${rows} records of ${this.#stream.schema.name} have left and cannot be taken back: the next attempt goes on behind the last state`,
        { stream: this.#stream.schema.number, partition: this.#partition },
      ),
    );
  }

  abandon(): void {
    this.#segment = null;
  }

  #begin(): Segment {
    this.#segments++;
    const { schema, statesAtEnd = false } = this.#stream;
    const { epoch } = this.#writers.attempt;
    const own = `${schema.number}-${this.#partition}-${epoch}-${this.#segments}`;
    return {
      partition: this.#partition,
      // one state covers all rows of a stream that cannot be gone on with inside
      partitionId: !this.#writers.namesPartitions
        ? null
        : statesAtEnd && !this.#writers.writesStates
          ? `${schema.number}-all-${epoch}`
          : own,
      emittedAt: Date.now(),
    };
  }
}

export function readConfig({
  config,
}: DestinationContext): AirbyteDestinationConfig {
  return config as DestinationContext["config"] & AirbyteDestinationConfig;
}

/** Channels that records go over: each has its thread from the beginning, since the peer connects to all at once. */
export function countOutputs({ channel }: AirbyteDestinationConfig): number {
  return channel.medium === "stdio" ? 1 : channel.paths.length;
}
