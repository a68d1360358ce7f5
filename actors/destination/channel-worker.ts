/**
 * One channel of the destination: its socket, the encoders and the files of the partitions that come over it. The
 * machines `inputFlow` and `writer` say what happens next; here it is done.
 */
import { createActor, type Actor } from "xstate";
import {
  DestinationRows,
  KnownStreams,
} from "../../connectors/channels/destination-rows.ts";
import type {
  DestinationDriver,
  WriterFactory,
} from "../../connectors/destinations/destination.ts";
import { loadDestination } from "../../connectors/destinations/index.ts";
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { DestinationChannel } from "../../transport/channel.ts";
import { connectChannel } from "../../transport/destination-channel.ts";
import { given } from "../child.ts";
import { fromEffect, giveEffects } from "../effects.ts";
import { createInspector, type Inspector } from "../inspect.ts";
import type { ChannelPort, Hosted } from "../surroundings.ts";
import { inputFlowMachine } from "./input-flow.machine.ts";
import type {
  DestinationWorkerData,
  DestinationWorkerMessage,
  DestinationWorkerOrder,
} from "./worker-messages.ts";
import { WriteClock } from "../../connectors/channels/write-clock.ts";
import { writerMachine } from "./writer.machine.ts";

/** The source is told that we stall when nothing was taken for this long. */
const STALLED_AFTER_MS = 2_000;

export type DestinationPort = ChannelPort<
  DestinationWorkerOrder,
  DestinationWorkerMessage
>;

/** Follows the orders of the port from now on. */
export function startDestinationChannel(
  port: DestinationPort,
  data: DestinationWorkerData,
): Hosted {
  return new DestinationChannelWorker(port, data);
}

class DestinationChannelWorker implements Hosted {
  readonly #port: DestinationPort;
  readonly #data: DestinationWorkerData;
  readonly #streams = new KnownStreams();
  readonly #clock = new WriteClock((fact) => this.#tell(fact));
  readonly #inspector: Inspector | null;
  /** Under way before the source has a socket: there is time for it until then. */
  readonly #loading: Promise<DestinationDriver>;
  /** Seals and discards that are under way: what they have begun they end. */
  readonly #atWork = new Set<Promise<unknown>>();
  #opening: Promise<WriterFactory> | null = null;
  #factory: WriterFactory | null = null;
  #channel: DestinationChannel | null = null;
  #rows: DestinationRows | null = null;
  #flow: Actor<typeof inputFlowMachine> | null = null;
  #isDestroyed = false;

  constructor(port: DestinationPort, data: DestinationWorkerData) {
    this.#port = port;
    this.#data = data;
    const { settings, channel: thread } = data;
    this.#inspector = settings.inspect
      ? createInspector({ process: "destination", thread }, (lines) => {
          this.#tell({ type: "inspected", lines });
          return true;
        })
      : null;
    this.#loading = loadDestination(settings.config);
    this.#loading.then(
      (driver) => {
        if (thread <= (driver.countOutputs?.(settings) ?? 0))
          this.#openWriters().catch((error: unknown) =>
            this.#tell({ type: "channel.broken", error: toWireError(error) }),
          );
      },
      () => {
        // told by `#start`
      },
    );
    port.onMessage((order) => this.#follow(order));
  }

  async destroy(): Promise<void> {
    this.#inspector?.flush();
    this.#isDestroyed = true;
    this.#flow?.stop();
    this.#rows?.abandon();
    this.#channel?.fail(this.#describeEnd());
    await Promise.allSettled(this.#atWork);
    await this.#factory?.close().catch(() => {
      // what it was connected to is gone as well
    });
  }

  #describeEnd(): ExtractError {
    const { channel } = this.#data;
    return new ExtractError(
      "CHANNEL_BROKEN",
      `channel ${channel} is given up`,
      { channel },
    );
  }

  #tell(message: DestinationWorkerMessage): void {
    if (!this.#isDestroyed) this.#port.postMessage(message);
  }

  #opened(): DestinationRows {
    return given(this.#rows, "the channel");
  }

  async #finish<T>(work: Promise<T>): Promise<T> {
    this.#atWork.add(work);
    try {
      return await work;
    } finally {
      this.#atWork.delete(work);
    }
  }

  #acknowledge(stamp: CheckpointStamp, files: readonly SealedFile[]): void {
    const rows = files.reduce((sum, file) => sum + file.rows, 0);
    const { epoch } = this.#data.settings.attempt;
    const tell = (): void => {
      this.#tell({
        type: "checkpoint.durable",
        report: { ...stamp, rows, epoch, files },
      });
      this.#clock.tellSealed(stamp);
    };
    const durable = this.#factory?.durable?.(stamp) ?? null;
    if (durable)
      durable.then(tell, (error: unknown) =>
        this.#tell({ type: "channel.broken", error: toWireError(error) }),
      );
    else tell();
    this.#opened().acknowledge(stamp, rows);
  }

  #provide(): typeof inputFlowMachine {
    return giveEffects(inputFlowMachine, {
      actors: {
        takeFrames: fromEffect(({ signal }) => this.#opened().take(signal)),
        writer: giveEffects(writerMachine, {
          actors: {
            seal: fromEffect(({ input }) =>
              this.#finish(this.#opened().seal(input.key, input.stamp)),
            ),
            discard: fromEffect(({ input }) =>
              this.#finish(this.#opened().discard(input.key)),
            ),
          },
        }),
      },
      actions: {
        acknowledge: (_, { stamp, files }) => this.#acknowledge(stamp, files),
        answerDiscard: (_, { key }) => this.#opened().answerDiscard(key),
        reportPaused: () =>
          this.#tell({
            type: "channel.paused",
            reason: "rows are being made durable",
          }),
        reportResumed: () => this.#tell({ type: "channel.resumed" }),
        reportEnded: () => {
          this.#opened()
            .close()
            .then(
              () => {
                // this thread is ended when it is heard
                this.#inspector?.flush();
                this.#tell({ type: "channel.ended" });
              },
              (error: unknown) =>
                this.#tell({
                  type: "channel.broken",
                  error: toWireError(error),
                }),
            );
        },
        reportBroken: (_, { error }) => {
          this.#rows?.abandon();
          this.#tell({ type: "channel.broken", error });
        },
      },
    });
  }

  #openWriters(): Promise<WriterFactory> {
    this.#opening ??= this.#openOnce();
    return this.#opening;
  }

  async #openOnce(): Promise<WriterFactory> {
    const { settings, channel } = this.#data;
    const driver = await this.#loading;
    const factory = await driver.openWriters(settings, channel);
    this.#factory = factory;
    if (this.#isDestroyed) await factory.close();
    return factory;
  }

  async #connect(path: string): Promise<DestinationChannel> {
    const { settings, channel } = this.#data;
    const { attempt, times } = settings;
    const joined = await connectChannel(path, {
      run: attempt.runId,
      epoch: attempt.epoch,
      channel,
      connectDeadlineMs: times.connectDeadlineMs,
      handshakeMs: times.handshakeMs,
      probeMs: times.probeMs,
      probeDeadlineMs: times.probeDeadlineMs,
      stalledAfterMs: STALLED_AFTER_MS,
      frameBytesMax: settings.frameBytesMax,
      describeStall: () => "the rows of this channel are being written",
      checksumReader: () =>
        this.#factory?.passesBatchesOn === true ? "next" : "here",
    });
    this.#channel = joined;
    if (this.#isDestroyed) joined.fail(this.#describeEnd());
    return joined;
  }

  async #start(path: string): Promise<void> {
    const [factory, channel] = await Promise.all([
      this.#openWriters(),
      this.#connect(path),
    ]);
    if (this.#isDestroyed) return;
    this.#rows = new DestinationRows({
      channel,
      factory: this.#clock.watch(factory),
      streams: this.#streams,
      onCheckpoint: (stamp) =>
        this.#tell({ type: "checkpoint.announced", stamp }),
    });
    this.#tell({ type: "channel.joined" });
    const flow = createActor(this.#provide());
    this.#flow = flow;
    this.#inspector?.watch(flow);
    flow.subscribe({
      error: (error) => {
        this.#rows?.abandon();
        this.#inspector?.flush();
        const wire = toWireError(error);
        channel.fail(error instanceof Error ? error : new Error(wire.message));
        this.#tell({ type: "channel.broken", error: wire });
      },
    });
    flow.start();
  }

  #follow(order: DestinationWorkerOrder): void {
    switch (order.type) {
      case "channel.connect":
        this.#start(order.path).catch((error: unknown) =>
          this.#tell({ type: "channel.broken", error: toWireError(error) }),
        );
        return;
      case "stream.known":
        this.#streams.add(order.stream);
        return;
      case "worker.abandon":
        this.#rows?.abandon();
        return;
    }
  }
}
