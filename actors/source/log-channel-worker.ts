/**
 * The channel of the log: its socket, the engine that reads the source's log, and the rows of all streams. It does as it
 * is told by the main thread and decides nothing.
 */
import { randomBytes } from "node:crypto";
import type { LogRows } from "../../connectors/channels/log-rows.ts";
import { ChannelRows } from "../../connectors/channels/source-rows.ts";
import type { DiscoveredStream } from "../../connectors/sources/source.ts";
import { describeChanges } from "../../proto/change-columns.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import {
  listenChannel,
  type ChannelListener,
} from "../../transport/channel-listener.ts";
import type { ReplyFrame, SourceChannel } from "../../transport/channel.ts";
import { given } from "../child.ts";
import type { ChannelPort, Hosted } from "../surroundings.ts";
import type {
  SourceWorkerData,
  SourceWorkerMessage,
  SourceWorkerOrder,
} from "./worker-messages.ts";

type StartOrder = Extract<SourceWorkerOrder, { type: "log.start" }>;

/** How often progress is told, and how long a write may take before the channel counts as paused. */
const BEAT_MS = 200;
/** Tries at a partition are counted per epoch, and the log has one. */
const ATTEMPT = 1;
const PLACEHOLDER_BYTES = 12;

export class LogChannelWorker implements Hosted {
  readonly #port: ChannelPort<SourceWorkerOrder, SourceWorkerMessage>;
  readonly #data: SourceWorkerData;
  readonly #streams = new Map<number, DiscoveredStream>();
  readonly #rows = new ChannelRows(() => given(this.#channel, "the channel"));
  readonly #beat: NodeJS.Timeout;
  #listener: ChannelListener | null = null;
  #channel: SourceChannel | null = null;
  #log: LogRows | null = null;
  /** What was told before the log could be read. */
  readonly #early: ((log: LogRows) => void)[] = [];
  #tellProgress: () => void = () => {};
  /** Settles when the log is read no more. */
  #reading: Promise<void> | null = null;
  #kill: () => Promise<void> = async () => {};
  #isPaused = false;
  #hasEnded = false;
  #isDestroyed = false;

  constructor(
    port: ChannelPort<SourceWorkerOrder, SourceWorkerMessage>,
    data: SourceWorkerData,
  ) {
    this.#port = port;
    this.#data = data;
    this.#beat = setInterval(() => this.#tellBeat(), BEAT_MS);
    this.#beat.unref();
    port.onMessage((order) => {
      this.#follow(order).catch((error: unknown) => this.#break(error));
    });
    if (data.listens)
      this.#open().catch((error: unknown) => this.#break(error));
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    clearInterval(this.#beat);
    await this.#kill();
    this.#channel?.fail(
      new ExtractError("CHANNEL_BROKEN", "the log's channel is given up", {
        channel: this.#data.channel,
      }),
    );
    await this.#listener?.close();
  }

  #tell(message: SourceWorkerMessage): void {
    if (!this.#isDestroyed) this.#port.postMessage(message);
  }

  #tellBeat(): void {
    this.#tellProgress();
    const paused = this.#rows.isStuckFor(BEAT_MS);
    if (paused === this.#isPaused) return;
    this.#isPaused = paused;
    this.#tell({ type: paused ? "channel.paused" : "channel.resumed" });
  }

  #onFrame(frame: ReplyFrame): void {
    if (frame.kind === "ack")
      this.#tell({ type: "checkpoint.acked", ...frame.ack });
  }

  #onClosed(error: ExtractError | null): void {
    this.#channel = null;
    if (this.#hasEnded && !error) {
      this.#tell({ type: "channel.ended" });
      return;
    }
    const { channel } = this.#data;
    const broken =
      error ??
      new ExtractError(
        "CHANNEL_BROKEN",
        `channel ${channel} closed before its end`,
        { channel },
      );
    this.#break(broken);
    void this.#kill();
  }

  async #open(): Promise<void> {
    const { attempt, channel, path, times } = this.#data;
    this.#listener = await listenChannel(path, {
      run: attempt.runId,
      epoch: attempt.epoch,
      channel,
      streams: () => [],
      ...times,
    });
    if (this.#isDestroyed) return this.#listener.close();
    this.#tell({ type: "channel.listening", path });
    const accepted = await this.#listener.accepted;
    this.#channel = accepted;
    accepted.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (error) => this.#onClosed(error),
    });
    this.#tell({ type: "channel.connected" });
  }

  async #read(order: StartOrder): Promise<void> {
    const log = given(this.#data.log, "the log's settings");
    const [{ LogRows: Rows }, { LogDecoder }, { openLog }] = await Promise.all([
      import("../../connectors/channels/log-rows.ts"),
      import("../../connectors/channels/log-decoder.ts"),
      import("../../connectors/channels/open-log.ts"),
    ]);
    const unavailableValue = `__millrace_unavailable_${randomBytes(PLACEHOLDER_BYTES).toString("hex")}`;
    const streams = order.streams.map(
      ({ stream, partition, after, visible }) => {
        const known = given(
          this.#streams.get(stream) ?? null,
          `stream ${stream}`,
        );
        const { schema } = known;
        const ref = { stream, partition, attempt: ATTEMPT };
        return {
          number: stream,
          namespace: schema.namespace,
          name: schema.name,
          after,
          visible,
          rows: this.#rows.begin({
            ...ref,
            schema: describeChanges(schema),
            mapper: null,
            onCheckpoint: (place) =>
              this.#tell({ type: "checkpoint.ready", ...place }),
            onNulled: () => {},
          }),
          ref,
          decoder: new LogDecoder(schema, {
            connector: "postgresql",
            beforeImage: "key",
            policy: this.#data.policy,
            valueNulled: (column, reason) =>
              this.#tell({ type: "value.nulled", ...ref, column, reason }),
            unavailableValue,
            transactionId: false,
            timePrecision: "microseconds",
          }),
        };
      },
    );
    const engine = await openLog({
      url: this.#data.url,
      log,
      from: order.from,
      tables: streams,
      unavailableValue,
    });
    this.#kill = () => engine.kill();
    if (this.#isDestroyed) return engine.kill();
    this.#tellProgress = () => {
      for (const { rows, ref } of streams) {
        const progress = rows.takeProgress();
        if (progress)
          this.#tell({ type: "read.progress", ...ref, ...progress });
      }
    };
    const reading = new Rows({
      engine,
      streams,
      sourceEpoch: log.sourceEpoch,
      from: order.from,
      until: order.until,
      discoveredAt: order.discoveredAt,
      checkpointEveryMs: log.checkpointEveryMs,
      events: {
        onGroup: (group) => this.#tell({ type: "log.checkpoint", ...group }),
        onEnding: (position) => this.#tell({ type: "log.ending", position }),
      },
    });
    this.#log = reading;
    for (const tell of this.#early) tell(reading);
    await reading.run();
    this.#tellProgress();
    this.#tell({ type: "log.closed" });
  }

  async #end(): Promise<void> {
    await this.#reading;
    this.#hasEnded = true;
    await given(this.#channel, "the channel").writeEnd(this.#rows.totals);
  }

  async #follow(order: SourceWorkerOrder): Promise<void> {
    switch (order.type) {
      case "channel.open":
        await this.#open();
        return;
      case "stream.known":
        this.#streams.set(order.stream.schema.number, order.stream);
        return;
      case "log.start":
        this.#reading = this.#read(order).catch((error: unknown) =>
          this.#tell({ type: "log.failed", error: toWireError(error) }),
        );
        return;
      case "checkpoint.index":
        this.#log?.giveIndex(order.stream, order.index);
        return;
      case "log.leave":
        this.#tellLog((log) => log.leave(order.stream));
        return;
      case "log.stop":
        this.#tellLog((log) => log.wish("stop"));
        return;
      case "log.cancel":
        this.#tellLog((log) => log.wish("cancel"));
        return;
      case "log.end":
        this.#log?.end(order.position);
        return;
      case "log.committed":
        this.#log?.commit(order.group);
        return;
      case "channel.end":
        await this.#end();
        return;
      case "snapshot.use":
        // nothing is read from a snapshot here
        this.#tell({ type: "snapshot.joined", error: null });
        return;
      case "snapshot.leave":
      case "stream.logged":
      case "read.start":
      case "read.stop":
      case "read.cancel":
      case "read.discard":
        return;
    }
  }

  #tellLog(tell: (log: LogRows) => void): void {
    if (this.#log) tell(this.#log);
    else this.#early.push(tell);
  }

  #break(error: unknown): void {
    this.#tell({ type: "channel.broken", error: toWireError(error) });
  }
}
