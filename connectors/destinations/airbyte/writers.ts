/** One channel of a destination that speaks the Airbyte protocol: its output, and the records of its partitions. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckpointStamp } from "../../../proto/checkpoint.ts";
import type { DestinationStream } from "../../../proto/control.ts";
import { fromWireError, toWireError } from "../../../proto/error.ts";
import { describeToken } from "../../airbyte/state-token.ts";
import type {
  DestinationContext,
  StreamWriter,
  WriterFactory,
  WriterTarget,
} from "../destination.ts";
import {
  encodeMessages,
  probeOf,
  type ChannelFormat,
} from "../../airbyte/message-bytes.ts";
import type { AirbyteDestinationConfig } from "./config.ts";
import { Lane, type LaneFact, type LaneOrder, type LanePeer } from "./lane.ts";
import {
  listen,
  MessageOutput,
  openStdout,
  type Listening,
  type RecordOutput,
} from "../../airbyte/message-output.ts";
import { createSlots, type RecordSlots } from "./record-slots.ts";
import { RecordWriter } from "./record-writer.ts";
import { SharedOutput } from "./shared-output.ts";

/** The end of a connector is known within this time of the end of its stdin. */
const REASON_MS_MAX = 10_000;

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
  /** Null: each channel has its output for itself. */
  readonly #shared: SharedOutput | null;
  /** Of partitions that are of all streams: those that are over. */
  #partitions = 0;
  /** Writes that wait at a gate, or have passed it and not begun. */
  #entering = 0;
  /** Checkpoints whose state is being written. */
  #sealing = 0;
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
    this.#shared = isShared(this.#config)
      ? new SharedOutput({
          channel,
          takesTurns: this.#inTurns,
          post: (message) => this.#lane.post(message),
          output: () => this.output(),
        })
      : null;
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

  get passesBatchesOn(): boolean {
    return this.format === "columnar";
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
    await output.write(encodeMessages(messages, this.format));
  }

  /** Resolves once the destination has said that the checkpoint's rows are durable. */
  durable(stamp: CheckpointStamp): Promise<void> | null {
    this.closeGate(stamp);
    if (!this.writesStates) return null;
    if (this.#fault) return Promise.reject(this.#fault);
    const { stream, index } = stamp;
    // without rows nothing was sealed, and the destination hears of it here
    if (!this.#sealed.delete(`${stream}/${index}`))
      this.#tellEmpty(stamp).catch((error: unknown) => this.#fail(error));
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

  /**
   * Resolves when rows of the stream may leave.
   * @param begin called at that moment
   * @throws why they never will
   */
  async passGate(stream: number, begin: () => void): Promise<void> {
    const opened = this.#inTurns
      ? this.#shared?.takeTurn()
      : this.#gates.get(stream)?.opened.promise;
    this.#entering++;
    if (opened) await Promise.race([opened, this.#faulted.promise]);
    this.#entering--;
    if (this.#fault) throw this.#fault;
    begin();
  }

  /**
   * Between rows and their state: what is written from now on is of the next turn, and of the next partition where these
   * are of all streams. Behind `noteSealed` of all checkpoints that have begun so, others have their turn.
   */
  beginSeal(rows: number): void {
    this.#sealing++;
    if (rows === 0) return;
    this.#partitions++;
    this.#shared?.leaveTurn();
  }

  /** Names the partition that rows of all streams are of, now; null: each partition of a stream has its own. */
  get openPartition(): string | null {
    const { channel } = this.#config;
    if (channel.medium === "stdio" || channel.partitionsOf === undefined)
      return null;
    return `${channel.partitionsOf}${this.#channel}-${this.#partitions}`;
  }

  #openGate({ stream, index }: { stream: number; index: number }): void {
    const gate = this.#gates.get(stream);
    if (gate && gate.index <= index) gate.opened.resolve();
  }

  noteSealed({ stream, index }: CheckpointStamp): void {
    this.#sealed.add(`${stream}/${index}`);
    this.#endSeal();
  }

  #endSeal(): void {
    this.#sealing--;
    // whoever has the ledger ends the turn with the state that it makes
    if (!this.writesStates || !this.#inTurns) return;
    if (this.#sealing === 0 && this.#sinceState.size === 0)
      this.#shared?.finishTurn(this.#entering > 0);
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

  async #tellEmpty(stamp: CheckpointStamp): Promise<void> {
    const { stream, partition, index } = stamp;
    // another channel may be in the middle of the stream's rows
    await this.passGate(stream, () => this.beginSeal(0));
    const counted = this.countState(stamp);
    const state = this.describeState(
      counted,
      this.namesPartitions
        ? `${stream}-${partition}-${this.attempt.epoch}-empty-${index}`
        : null,
    );
    await this.noteLeft(counted, this.writeMessages([state]));
    this.#endSeal();
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
        ...{
          label,
          stallMs,
          probe,
          staysOpen: this.#inTurns && connector === null,
        },
        ...(connector === null ? {} : { explain: () => this.#explain() }),
      });
      this.#lane.post({ type: "connected", channel: this.#channel });
      return this.#opened;
    };
    const relay = this.#shared?.relay ?? null;
    if (relay) {
      this.#opened = relay;
      this.#output = Promise.resolve(relay);
    } else if (channel.medium === "stdio" && connector === null) {
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
      const probe = channel.medium === "stdio" ? null : probeOf(channel.format);
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
        this.#shared?.noteReady(order.channel);
        return;
      case "ended":
        this.#shared?.noteEnded(order.channel);
        return;
      case "turn.want":
      case "turn.have":
      case "turn.end":
      case "relay":
      case "relayed":
        this.#shared?.hear(order);
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

  async #writeMessages(
    id: number,
    messages: readonly string[],
    state: { readonly stream: number; readonly index: number } | null,
  ): Promise<void> {
    try {
      // from here on rows are behind it
      if (state) this.#openGate(state);
      const written = this.writeMessages(messages);
      if (state) this.#shared?.endTurn();
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
    await Promise.race([
      this.#shared?.awaitOthers(),
      this.#faulted.promise,
      sleep(OTHERS_MS_MAX, undefined, { ref: false }),
    ]);
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
}

export function readConfig({
  config,
}: DestinationContext): AirbyteDestinationConfig {
  return config as DestinationContext["config"] & AirbyteDestinationConfig;
}

/** Channels without an output of their own hand their bytes to the first one. */
function isShared({ channel }: AirbyteDestinationConfig): boolean {
  return channel.medium === "stdio"
    ? channel.inTurns === true
    : channel.paths.length === 1;
}

/** Channels that records go over: each has its thread from the beginning, since the peer connects to all at once. */
export function countOutputs({ channel }: AirbyteDestinationConfig): number {
  return channel.medium === "stdio" ? 1 : channel.paths.length;
}
