/**
 * What every channel of the source has, whatever travels over it: its socket, the port by which the main thread speaks to
 * it, and a beat at which it tells how far it is. It does as it is told and decides nothing.
 */
import { ChannelRows } from "../../connectors/channels/source-rows.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import {
  listenChannel,
  type ChannelListener,
} from "../../transport/channel-listener.ts";
import type { ReplyFrame, SourceChannel } from "../../transport/channel.ts";
import type { ChannelPort, Hosted } from "../surroundings.ts";
import type {
  SourceWorkerData,
  SourceWorkerMessage,
  SourceWorkerOrder,
} from "./worker-messages.ts";

/** How often progress is told, and how long a write may take before the channel counts as paused. */
const BEAT_MS = 200;

export type SourcePort = ChannelPort<SourceWorkerOrder, SourceWorkerMessage>;

export abstract class ChannelHost implements Hosted {
  protected readonly data: SourceWorkerData;
  protected readonly rows = new ChannelRows(() => this.ready());
  protected isDestroyed = false;
  readonly #port: SourcePort;
  #beat: NodeJS.Timeout | null = null;
  #listener: ChannelListener | null = null;
  #channel: SourceChannel | null = null;
  #isPaused = false;
  #hasEnded = false;

  constructor(port: SourcePort, data: SourceWorkerData) {
    this.#port = port;
    this.data = data;
  }

  /** A fault of it breaks the channel. */
  protected abstract follow(order: SourceWorkerOrder): Promise<void>;
  protected abstract tellProgress(): void;
  /** What is under way is given up: nobody takes it any more. */
  protected abstract release(reason: ExtractError): void | Promise<void>;

  /** Once whoever extends this is made. */
  protected begin(): void {
    this.#beat = setInterval(() => this.#tellBeat(), BEAT_MS);
    this.#beat.unref();
    this.#port.onMessage((order) => {
      this.follow(order).catch((error: unknown) => this.#break(error));
    });
    if (this.data.listens)
      this.open().catch((error: unknown) => this.#break(error));
  }

  async destroy(): Promise<void> {
    this.isDestroyed = true;
    if (this.#beat) clearInterval(this.#beat);
    const reason = this.describeEnd();
    await this.release(reason);
    this.#channel?.fail(reason);
    await this.#listener?.close();
  }

  protected describeEnd(): ExtractError {
    const { channel } = this.data;
    return new ExtractError(
      "CHANNEL_BROKEN",
      `channel ${channel} is given up`,
      { channel },
    );
  }

  protected tell(message: SourceWorkerMessage): void {
    if (!this.isDestroyed) this.#port.postMessage(message);
  }

  protected ready(): SourceChannel {
    if (!this.#channel)
      throw new Error("a read before the channel is connected");
    return this.#channel;
  }

  protected async open(): Promise<void> {
    const { attempt, channel, path, times } = this.data;
    this.#listener = await listenChannel(path, {
      run: attempt.runId,
      epoch: attempt.epoch,
      channel,
      streams: () => [],
      handshakeMs: times.handshakeMs,
      probeMs: times.probeMs,
      probeDeadlineMs: times.probeDeadlineMs,
    });
    if (this.isDestroyed) return this.#listener.close();
    this.tell({ type: "channel.listening", path });
    const accepted = await this.#listener.accepted;
    this.#channel = accepted;
    accepted.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (error) => this.#onClosed(error),
    });
    this.tell({ type: "channel.connected" });
  }

  /** The last that is sent. */
  protected async end(): Promise<void> {
    this.#hasEnded = true;
    await this.ready().writeEnd(this.rows.totals);
  }

  #tellBeat(): void {
    this.tellProgress();
    const paused = this.rows.isStuckFor(BEAT_MS);
    if (paused === this.#isPaused) return;
    this.#isPaused = paused;
    this.tell({ type: paused ? "channel.paused" : "channel.resumed" });
  }

  #onFrame(frame: ReplyFrame): void {
    switch (frame.kind) {
      case "ack":
        this.tell({ type: "checkpoint.acked", ...frame.ack });
        return;
      case "discarded":
        this.tell({ type: "read.discarded", ...frame.discarded });
        return;
      case "stalled":
      case "probe":
      case "fault":
        // a fault closes the channel, and its error comes with that
        return;
    }
  }

  #onClosed(error: ExtractError | null): void {
    this.#channel = null;
    if (this.#hasEnded && !error) {
      this.tell({ type: "channel.ended" });
      return;
    }
    const { channel } = this.data;
    const broken =
      error ??
      new ExtractError(
        "CHANNEL_BROKEN",
        `channel ${channel} closed before its end`,
        { channel },
      );
    this.#break(broken);
    void this.release(broken);
  }

  #break(error: unknown): void {
    this.tell({ type: "channel.broken", error: toWireError(error) });
  }
}
