/**
 * A destination, wherever it lives: gives the machines of this folder their effects. Rows never come here; they stay in
 * the channels' workers.
 */
import { createActor, type Actor } from "xstate";
import { stateJson } from "../../checkpoint/state.ts";
import type { DestinationStorage } from "../../connectors/destinations/destination.ts";
import { loadDestination } from "../../connectors/destinations/index.ts";
import type {
  DestinationFact,
  DestinationOrder,
  DestinationSettings,
  DestinationStream,
} from "../../proto/control.ts";
import type { CheckpointStamp } from "../../proto/checkpoint.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import type { Figures } from "../../proto/figures.ts";
import { describeTraceError, given, type ControlPipe } from "../child.ts";
import { fromEffect, giveEffects } from "../effects.ts";
import { inspectChild, type Inspector } from "../inspect.ts";
import { createLog } from "../log.ts";
import { createStateMessages } from "../state-message.ts";
import type {
  ChannelThread,
  ChannelThreadEvents,
  Hosted,
  Surroundings,
} from "../surroundings.ts";
import { checkpointCoordinatorMachine } from "./checkpoint-coordinator.machine.ts";
import {
  destinationProcessMachine,
  type StorageOrder,
} from "./destination-process.machine.ts";
import type {
  DestinationWorkerData,
  DestinationWorkerMessage,
  DestinationWorkerOrder,
} from "./worker-messages.ts";

const FIRST_CHANNEL = 1;

export type StartDestinationThread = (
  data: DestinationWorkerData,
  events: ChannelThreadEvents<DestinationWorkerMessage>,
) => ChannelThread<DestinationWorkerOrder>;

export type DestinationSurroundings = Surroundings<
  DestinationOrder,
  DestinationFact
>;

type DestinationEvent = Parameters<
  Actor<typeof destinationProcessMachine>["send"]
>[0];

/** Waits for `destination.open`, and ends by the surroundings' `exit`. */
export function startDestination(
  surroundings: DestinationSurroundings,
  startThread: StartDestinationThread,
): Hosted {
  return new DestinationProcess(surroundings, startThread);
}

class DestinationProcess implements Hosted {
  readonly #surroundings: DestinationSurroundings;
  readonly #startThread: StartDestinationThread;
  readonly #log = createLog("destination");
  readonly #describeState = createStateMessages("destination");
  readonly #streams = new Map<number, DestinationStream>();
  readonly #threads = new Map<number, ChannelThread<DestinationWorkerOrder>>();
  readonly #pipe: ControlPipe<DestinationFact>;
  readonly #root: Actor<typeof destinationProcessMachine>;
  /** Steps of the storage that are under way: what they have begun they end. */
  readonly #atWork = new Set<Promise<unknown>>();
  #settings: DestinationSettings | null = null;
  #storage: DestinationStorage | null = null;
  #inspector: Inspector | null = null;
  #isDestroyed = false;

  constructor(
    surroundings: DestinationSurroundings,
    startThread: StartDestinationThread,
  ) {
    this.#surroundings = surroundings;
    this.#startThread = startThread;
    this.#root = createActor(this.#provide());
    this.#pipe = surroundings.open((order) => this.#follow(order));
    this.#root.subscribe({
      next: (state) => {
        if (state.status !== "done") return;
        this.#tellAll({ type: "worker.abandon" });
        const code = state.matches("finished") ? 0 : 1;
        void Promise.allSettled([
          this.#pipe.flush(),
          this.#storage?.close(),
        ]).finally(() => surroundings.exit(code));
      },
      error: (error) => {
        this.#report({ type: "process.failed", error: toWireError(error) });
        void this.#pipe.flush().finally(() => surroundings.exit(1));
      },
    });
    this.#root.start();
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    this.#root.stop();
    const ended = [...this.#threads.values()];
    this.#threads.clear();
    await Promise.all(ended.map((thread) => thread.terminate()));
    await Promise.allSettled(this.#atWork);
    await this.#storage?.close().catch(() => {
      // what it was connected to is gone as well
    });
  }

  #follow(order: DestinationOrder): void {
    if (order.type === "destination.open") {
      // the next order may be here before its effect has begun
      this.#settings = order.settings;
      if (this.#settings.inspect)
        this.#inspector = inspectChild("destination", this.#root, this.#pipe);
    }
    if (order.type === "messages.write")
      this.#storage?.writeMessages?.(order.messages, order.state ?? null);
    else if (order.type === "stream.exhausted")
      this.#storage?.noteExhausted?.(order.stream, order.partitions);
    else this.#root.send(order as DestinationEvent);
    if (order.type === "stream.abandon")
      this.#storage?.noteAbandoned?.(order.stream);
  }

  async #open(settings: DestinationSettings): Promise<void> {
    // every run has one, and its thread takes as long to start as the source to find its tables
    if (!this.#threads.has(FIRST_CHANNEL)) this.#createThread(FIRST_CHANNEL);
    const { runId, epoch } = settings.attempt;
    this.#log.bind({ run: runId, epoch });
    const driver = await loadDestination(settings.config);
    for (let n = 1; n <= (driver.countOutputs?.(settings) ?? 0); n++)
      if (!this.#threads.has(n)) this.#createThread(n);
    const storage = await driver.openStorage({
      ...settings,
      onFault: (error) =>
        this.#root.send({
          type: "channel.failed",
          channel: 0,
          error: toWireError(error),
        }),
      onLog: (level, message) => this.#logConnector(level, message),
      onStarted: (pid) => this.#report({ type: "connector.started", pid }),
    });
    this.#storage = storage;
    if (this.#isDestroyed) await storage.close();
    else await storage.prepare();
  }

  /** In its own words, which have their own levels. */
  #logConnector(level: string, message: string): void {
    const own = level === "fatal" || level === "error" || level === "warn";
    this.#log.write(
      own ? "warn" : level === "info" ? "info" : "debug",
      message,
      {
        connector: level,
      },
    );
  }

  #report(fact: DestinationFact): void {
    if (fact.type === "process.failed") {
      this.#surroundings.writeProtocol(describeTraceError(fact.error));
      this.#log.write("info", fact.error.message, { code: fact.error.code });
    } else if (fact.type === "channel.joined")
      this.#log.write("debug", "channel opened", { channel: fact.channel });
    this.#pipe.send(fact);
  }

  #fail(error: unknown, channel: number): void {
    this.#root.send({
      type: "worker.fact",
      channel,
      fact: { type: "channel.broken", error: toWireError(error) },
    });
  }

  #tellAll(order: DestinationWorkerOrder): void {
    for (const thread of this.#threads.values()) thread.postMessage(order);
  }

  #connectChannel(channel: number, path: string): void {
    if (!this.#threads.has(channel)) this.#createThread(channel);
    this.#threads.get(channel)?.postMessage({ type: "channel.connect", path });
  }

  #createThread(channel: number): void {
    const data = { settings: given(this.#settings, "settings"), channel };
    const thread = this.#startThread(data, {
      onMessage: (message) => this.#hear(channel, message),
      onError: (error) => this.#fail(error, channel),
      onExit: () => {
        if (!this.#threads.delete(channel)) return;
        this.#fail(
          new ExtractError(
            "CHANNEL_BROKEN",
            `the worker of channel ${channel} ended`,
            { channel },
          ),
          channel,
        );
      },
    });
    this.#threads.set(channel, thread);
    for (const stream of this.#streams.values())
      thread.postMessage({ type: "stream.known", stream });
  }

  #hear(channel: number, message: DestinationWorkerMessage): void {
    if (message.type === "inspected") {
      this.#inspector?.forward(message.lines);
      return;
    }
    if (message.type === "checkpoint.announced")
      this.#inspector?.tell(describeAnnounced(message.stamp));
    if (message.type === "measured") {
      this.#pipe.send(message);
      return;
    }
    this.#root.send({ type: "worker.fact", channel, fact: message });
    if (message.type !== "channel.ended") return;
    const thread = this.#threads.get(channel);
    this.#threads.delete(channel);
    void thread?.terminate();
  }

  /** Each order ends in one fact. */
  async #carryOut(order: StorageOrder): Promise<DestinationFact> {
    const kept = given(this.#storage, "the storage");
    switch (order.type) {
      case "destination.recover":
        return {
          type: "destination.recovered",
          ...(await kept.recover(order.streams)),
        };
      case "destination.clean": {
        const removed = await kept.clean(order.intents, new Set(order.keep));
        return { type: "destination.cleaned", removed };
      }
      case "stream.verify": {
        const files = await kept.verify(order);
        const stream = order.stream.schema.number;
        return { type: "stream.verified", stream, files };
      }
      case "stream.publish":
        await kept.publish(order);
        return { type: "stream.published", stream: order.stream.schema.number };
      case "stream.apply": {
        const applied = await kept.apply(order);
        const stream = order.stream.schema.number;
        return { type: "stream.applied", stream, ...applied };
      }
      case "stream.supersede":
        await kept.supersede(order.stream, order.intents);
        return {
          type: "stream.superseded",
          stream: order.stream.schema.number,
        };
    }
  }

  #askStorage(order: StorageOrder): void {
    const work = this.#carryOut(order);
    this.#atWork.add(work);
    work
      .then(
        (fact) => this.#report(fact),
        (error: unknown) => {
          this.#root.send({
            type: "storage.failed",
            order,
            error: toWireError(error),
          });
        },
      )
      .finally(() => this.#atWork.delete(work));
  }

  #release(state: ReleasedState): void {
    const { schema } = given(
      this.#streams.get(state.stream) ?? null,
      `stream ${state.stream}`,
    );
    this.#surroundings.writeProtocol(
      this.#describeState(schema, JSON.parse(stateJson(state))),
    );
  }

  #provide(): typeof destinationProcessMachine {
    return giveEffects(destinationProcessMachine, {
      actors: {
        openDestination: fromEffect(({ input }) => this.#open(input)),
        checkpointCoordinator: giveEffects(checkpointCoordinatorMachine, {
          actions: { releaseState: (_, { state }) => this.#release(state) },
        }),
      },
      actions: {
        report: (_, fact) => this.#report(fact),
        startWorker: (_, { channel, path }) =>
          this.#connectChannel(channel, path),
        makeStreamKnown: (_, { stream }) => {
          const { generation, planVersion, schema } = stream;
          const fields = { stream: schema.number, generation, planVersion };
          this.#log.write("debug", "stream begun", fields);
          this.#streams.set(stream.schema.number, stream);
          this.#tellAll({ type: "stream.known", stream });
        },
        askStorage: (_, order) => this.#askStorage(order),
      },
    });
  }
}

type ReleasedState = Parameters<typeof stateJson>[0];

function describeAnnounced(stamp: CheckpointStamp): Figures {
  const { stream, index, partition, rows, bytes, last } = stamp;
  return {
    type: "checkpoint",
    step: "announced",
    stream,
    index,
    partition,
    rows,
    bytes,
    position: null,
    isLast: last,
  };
}
