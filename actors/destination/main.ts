/** The destination process: gives the machines of this folder their effects. Rows never come here; they stay in the workers. */
import { Worker } from "node:worker_threads";
import { createActor, fromPromise } from "xstate";
import { stateJson } from "../../checkpoint/state.ts";
import type { DestinationStorage } from "../../connectors/destinations/destination.ts";
import { loadDestination } from "../../connectors/destinations/index.ts";
import type {
  DestinationFact,
  DestinationOrder,
  DestinationSettings,
  DestinationStream,
} from "../../proto/control.ts";
import { ExtractError, toWireError } from "../../proto/error.ts";
import {
  failOnUncaught,
  openControlPipe,
  writeProtocolMessage,
  writeTraceError,
  given,
} from "../child.ts";
import { createInspector } from "../inspect.ts";
import { createLog } from "../log.ts";
import { createStateMessages } from "../state-message.ts";
import { checkpointCoordinatorMachine } from "./checkpoint-coordinator.machine.ts";
import {
  destinationProcessMachine,
  type StorageOrder,
} from "./destination-process.machine.ts";
import type {
  DestinationWorkerData,
  DestinationWorkerFact,
  DestinationWorkerOrder,
} from "./worker-messages.ts";

const FIRST_CHANNEL = 1;

const log = createLog("destination");
const describeState = createStateMessages("destination");
const streams = new Map<number, DestinationStream>();
const workers = new Map<number, Worker>();
let settings: DestinationSettings | null = null;
let storage: DestinationStorage | null = null;

const pipe = openControlPipe<DestinationOrder, DestinationFact>((order) => {
  if (order.type === "destination.open") startInspecting(order.settings);
  root.send(order as Parameters<typeof root.send>[0]);
});
failOnUncaught(pipe);

let inspect: ReturnType<typeof createInspector> | null = null;
function startInspecting({ inspect: isWanted }: DestinationSettings): void {
  if (isWanted)
    inspect = createInspector("destination", 0, (event) =>
      pipe.send({ type: "inspected", event }),
    );
}

function report(fact: DestinationFact): void {
  if (fact.type === "process.failed") {
    writeTraceError(fact.error);
    log.write("info", fact.error.message, { code: fact.error.code });
  } else if (fact.type === "channel.joined")
    log.write("debug", "channel opened", { channel: fact.channel });
  pipe.send(fact);
}

function fail(error: unknown, channel: number): void {
  root.send({
    type: "worker.fact",
    channel,
    fact: { type: "channel.broken", error: toWireError(error) },
  });
}

function tellAll(order: DestinationWorkerOrder): void {
  for (const worker of workers.values()) worker.postMessage(order);
}

function startWorker(channel: number, path: string): void {
  if (!workers.has(channel)) createWorker(channel);
  workers.get(channel)?.postMessage({ type: "channel.connect", path });
}

function createWorker(channel: number): void {
  const workerData: DestinationWorkerData = {
    settings: given(settings, "settings"),
    channel,
  };
  const worker = new Worker(
    new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url),
    {
      workerData,
      name: `destination-${channel}`,
    },
  );
  workers.set(channel, worker);
  for (const stream of streams.values())
    worker.postMessage({ type: "stream.known", stream });
  worker.on("message", (fact: DestinationWorkerFact) => {
    root.send({ type: "worker.fact", channel, fact });
    if (fact.type !== "channel.ended") return;
    workers.delete(channel);
    void worker.terminate();
  });
  worker.on("error", (error) => fail(error, channel));
  worker.on("exit", () => {
    if (workers.delete(channel)) {
      fail(
        new ExtractError(
          "CHANNEL_BROKEN",
          `the worker of channel ${channel} ended`,
          { channel },
        ),
        channel,
      );
    }
  });
}

/** Each order ends in one fact. */
async function carryOut(order: StorageOrder): Promise<DestinationFact> {
  const kept = given(storage, "the storage");
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
    case "stream.supersede":
      await kept.supersede(order.stream, order.intents);
      return { type: "stream.superseded", stream: order.stream.schema.number };
  }
}

function askStorage(order: StorageOrder): void {
  carryOut(order).then(report, (error: unknown) => {
    root.send({ type: "storage.failed", order, error: toWireError(error) });
  });
}

const machine = destinationProcessMachine.provide({
  actors: {
    openDestination: fromPromise(async ({ input }) => {
      settings = input;
      // every run has one, and its thread takes as long to start as the source to find its tables
      createWorker(FIRST_CHANNEL);
      const { runId, epoch } = input.attempt;
      log.bind({ run: runId, epoch });
      const driver = await loadDestination(input.config);
      storage = await driver.openStorage(input);
      await storage.prepare();
    }),
    checkpointCoordinator: checkpointCoordinatorMachine.provide({
      actions: {
        releaseState: (_, { state }) => {
          const { schema } = given(
            streams.get(state.stream) ?? null,
            `stream ${state.stream}`,
          );
          writeProtocolMessage(
            describeState(schema, JSON.parse(stateJson(state))),
          );
        },
      },
    }),
  },
  actions: {
    report: (_, fact) => report(fact),
    startWorker: (_, { channel, path }) => startWorker(channel, path),
    makeStreamKnown: (_, { stream }) => {
      const { generation, planVersion, schema } = stream;
      const fields = { stream: schema.number, generation, planVersion };
      log.write("debug", "stream begun", fields);
      streams.set(stream.schema.number, stream);
      tellAll({ type: "stream.known", stream });
    },
    askStorage: (_, order) => askStorage(order),
  },
});

const root = createActor(machine, { inspect: (event) => inspect?.(event) });
root.subscribe({
  next: (state) => {
    if (state.status !== "done") return;
    tellAll({ type: "worker.abandon" });
    void Promise.allSettled([pipe.flush(), storage?.close()]).finally(() =>
      process.exit(state.matches("finished") ? 0 : 1),
    );
  },
  error: (error) => {
    report({ type: "process.failed", error: toWireError(error) });
    void pipe.flush().finally(() => process.exit(1));
  },
});
root.start();
