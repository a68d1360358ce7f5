/** The channels of a source as its main thread sees them: started, ordered, told what all have to know, and ended. */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import type { SourceSettings } from "../../proto/control.ts";
import type { LogSnapshot } from "../../proto/partition.ts";
import {
  ExtractError,
  fromWireError,
  toWireError,
  type WireError,
} from "../../proto/error.ts";
import { given } from "../child.ts";
import type { ChannelThread, ChannelThreadEvents } from "../surroundings.ts";
import type {
  SourceWorkerData,
  SourceWorkerMessage,
  SourceWorkerOrder,
} from "./worker-messages.ts";

/** A discovery that takes longer is not waited for: all channels join, before the keeper lets the server go. */
const SIZES_MS_MAX = 10_000;
/** The first channel opens at once, and a log takes the next one before anything is read. */
const LOG_CHANNEL = 2;

export type StartSourceThread = (
  data: SourceWorkerData,
  events: ChannelThreadEvents<SourceWorkerMessage>,
) => ChannelThread<SourceWorkerOrder>;

export interface SourceThreadsEvents {
  onMessage(
    channel: number,
    message: Exclude<SourceWorkerMessage, { type: "snapshot.joined" }>,
  ): void;
  onBroken(channel: number, error: WireError): void;
}

type SnapshotOrder = Extract<SourceWorkerOrder, { type: "snapshot.use" }>;

export class SourceThreads {
  readonly #start: StartSourceThread;
  readonly #settings: () => SourceSettings;
  readonly #events: SourceThreadsEvents;
  readonly #threads = new Map<number, ChannelThread<SourceWorkerOrder>>();
  /** Settles when the channel's session is inside of the snapshot. */
  readonly #joins = new Map<number, PromiseWithResolvers<void>>();
  readonly #streams = new Map<number, DiscoveredStream>();
  readonly #logged = new Map<number, SourceWorkerOrder>();
  #snapshot: SnapshotOrder | null = null;
  #clock: NodeJS.Timeout | null = null;

  constructor(
    start: StartSourceThread,
    settings: () => SourceSettings,
    events: SourceThreadsEvents,
  ) {
    this.#start = start;
    this.#settings = settings;
    this.#events = events;
  }

  order(channel: number, order: SourceWorkerOrder): void {
    const thread = this.#threads.get(channel) ?? null;
    given(thread, `worker ${channel}`).postMessage(order);
  }

  /** Opens the channel's socket, in a worker of its own. */
  open(channel: number, isLog = false): void {
    if (!this.#threads.has(channel)) return this.#create(channel, true, isLog);
    assert(!isLog, "the log has a channel of its own");
    this.order(channel, { type: "channel.open" });
  }

  useSnapshot(snapshot: SnapshotOrder["snapshot"]): void {
    this.#snapshot = { type: "snapshot.use", snapshot };
    this.#tellAll(this.#snapshot);
  }

  leaveSnapshot(): void {
    this.#tellAll({ type: "snapshot.leave" });
  }

  /** Its rows become rows of a log from now on: before any of them is read. */
  makeLogged(stream: number, snapshot: LogSnapshot): void {
    const order = { type: "stream.logged", stream, snapshot } as const;
    this.#logged.set(stream, order);
    this.#tellAll(order);
  }

  makeKnown(stream: DiscoveredStream): void {
    this.#streams.set(stream.schema.number, stream);
    this.#tellAll({ type: "stream.known", stream });
  }

  /** Waits for the sizes to say how many channels are needed, but not for long. */
  joinInTime(channelsMax: number): {
    stopClock(): void;
    /** @returns how many have joined */
    join(needed: number): Promise<number>;
  } {
    const late: { joining: Promise<void> | null } = { joining: null };
    const clock = setTimeout(() => {
      late.joining = this.#joinAll(channelsMax);
      // told to whoever asks to join
      late.joining.catch(() => {});
    }, SIZES_MS_MAX);
    this.#clock = clock;
    return {
      stopClock: () => clearTimeout(clock),
      join: async (needed) => {
        await (late.joining ?? this.#joinAll(needed));
        return late.joining ? channelsMax : needed;
      },
    };
  }

  /** Ends them as they are. */
  async end(): Promise<void> {
    if (this.#clock) clearTimeout(this.#clock);
    const ended = [...this.#threads.values()];
    this.#threads.clear();
    await Promise.all(ended.map((thread) => thread.terminate()));
  }

  /** Connects all channels that will ever read while the keeper still holds the server: later there is no way in. */
  async #joinAll(channels: number): Promise<void> {
    const isLogged = this.#settings().log !== undefined;
    for (let channel = 1, joined = 0; joined < channels; channel++) {
      if (isLogged && channel === LOG_CHANNEL) continue;
      joined += 1;
      if (!this.#threads.has(channel)) this.#create(channel, false);
    }
    await Promise.all([...this.#joins.values()].map(({ promise }) => promise));
  }

  #tellAll(order: SourceWorkerOrder): void {
    for (const thread of this.#threads.values()) thread.postMessage(order);
  }

  #settleJoin(channel: number, error: WireError | null): void {
    if (error) this.#joins.get(channel)?.reject(fromWireError(error));
    else this.#joins.get(channel)?.resolve();
  }

  #create(channel: number, listens: boolean, isLog = false): void {
    const thread = this.#start(this.#describe(channel, listens, isLog), {
      onMessage: (message) => {
        if (message.type === "snapshot.joined") {
          this.#settleJoin(channel, message.error);
          return;
        }
        this.#events.onMessage(channel, message);
        if (message.type === "channel.ended") void thread.terminate();
      },
      onError: (error) => {
        const wire = toWireError(error);
        this.#settleJoin(channel, wire);
        this.#events.onBroken(channel, wire);
      },
      onExit: () => {
        if (!this.#threads.delete(channel)) return;
        const error = new ExtractError(
          "CHANNEL_BROKEN",
          `the worker of channel ${channel} ended`,
          { channel },
        );
        this.#events.onBroken(channel, toWireError(error));
      },
    });
    this.#threads.set(channel, thread);
    const joined = Promise.withResolvers<void>();
    // most sources join whenever they like, and nobody waits
    joined.promise.catch(() => {});
    this.#joins.set(channel, joined);
    if (this.#snapshot) thread.postMessage(this.#snapshot);
    for (const stream of this.#streams.values())
      thread.postMessage({ type: "stream.known", stream });
    for (const order of this.#logged.values()) thread.postMessage(order);
  }

  #describe(
    channel: number,
    listens: boolean,
    isLog: boolean,
  ): SourceWorkerData {
    const {
      attempt,
      url,
      socketDir,
      times,
      rowBytesMax,
      policy,
      checkpointEveryMs,
      mappers,
      log = null,
      inspect,
    } = this.#settings();
    return {
      attempt,
      channel,
      path: join(socketDir, `socket_${channel}.sock`),
      url,
      times,
      rowBytesMax,
      policy,
      checkpointEveryMs,
      mappers,
      log: isLog ? log : null,
      transactionId: log?.transactionId ?? false,
      inspect,
      listens,
      // others give their partitions to those that are left; this one may be alone
      keepsSpare: channel === 1,
    };
  }
}
