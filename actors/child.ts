/** What every child process has in common: the control pipe on file descriptor 3, and an end with its bookkeeper. */
import { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";
import { createLineReader, writeLine } from "../transport/control-lines.ts";
import type { InspectedLines } from "../proto/control.ts";
import { toWireError, type WireError } from "../proto/error.ts";
import type {
  ChannelPort,
  ChannelThread,
  ChannelThreadEvents,
  Surroundings,
} from "./surroundings.ts";

const CONTROL_FD = 3;
/** Facts that the bookkeeper has not read, above which those that can be left out are. */
const OFFERS_QUEUED_BYTES_MAX = 4 * 1024 * 1024;

export interface ControlPipe<Fact> {
  send(fact: Fact): void;
  /** Sends inspection records unless the bookkeeper is far behind. @returns whether they were sent */
  offer(lines: string): boolean;
  /** Resolves when what was sent has left the process; what others still have to add is sent by `prepare` first. */
  flush(): Promise<void>;
  /** Called at the beginning of each `flush`. */
  beforeFlush(prepare: () => void): void;
}

/**
 * Opens the control pipe. Pings are answered here. When the bookkeeper goes, `onClosed` decides; the default ends the
 * process at once: nothing is sealed any more that nobody would record.
 */
function openControlPipe<Order extends { readonly type: string }, Fact>(
  onOrder: (order: Order) => void,
  onClosed: () => void = () => process.exit(1),
): ControlPipe<Fact> {
  const pipe = new Socket({ fd: CONTROL_FD, readable: true, writable: true });
  // Ctrl-C reaches the whole process group: the bookkeeper alone decides what it means
  process.on("SIGINT", () => {});
  let closed = false;
  const end = (): void => {
    if (closed) return;
    closed = true;
    onClosed();
  };
  pipe.on("error", end);
  pipe.on("close", end);
  createLineReader(pipe, {
    onMessage: (message) => {
      const order = message as Order & { readonly id?: number };
      if (order.type === "ping")
        writeLine(pipe, { type: "pong", id: order.id });
      else onOrder(order);
    },
    onEnd: end,
  });
  const preparations: (() => void)[] = [];
  return {
    send: (fact) => {
      if (!closed) writeLine(pipe, fact);
    },
    offer: (lines) => {
      if (closed || pipe.writableLength > OFFERS_QUEUED_BYTES_MAX) return false;
      const fact: InspectedLines = { type: "inspected", lines };
      writeLine(pipe, fact);
      return true;
    },
    beforeFlush: (prepare) => preparations.push(prepare),
    flush: async () => {
      // whoever flushes in the middle of a machine's last step wants that step told as well
      await setImmediate();
      for (const prepare of preparations) prepare();
      await new Promise<void>((resolve) => {
        if (closed || pipe.writableLength === 0) resolve();
        else pipe.write("", () => resolve());
      });
    },
  };
}

/** Writes one message of the Airbyte protocol to stdout, where nothing else is ever written. */
function writeProtocolMessage(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** The Airbyte `TRACE` of an error: what any platform that runs this process shows its user. */
export function describeTraceError(error: WireError): object {
  return {
    type: "TRACE",
    trace: {
      type: "ERROR",
      emitted_at: Date.now(),
      error: {
        message: `${error.code}: ${error.message}`,
        failure_type: "system_error",
      },
    },
  };
}

/** This process as what the keeper stands on. */
export function ownProcess<
  Order extends { readonly type: string },
  Fact,
>(): Surroundings<Order, Fact> {
  return {
    outlivesBookkeeper: true,
    open: openControlPipe,
    writeProtocol: writeProtocolMessage,
    exit: (code) => process.exit(code),
  };
}

/** The same for source and destination, which tell what nobody caught before they end. */
export function ownTellingProcess<
  Order extends { readonly type: string },
  Fact,
>(): Surroundings<Order, Fact | ProcessFailed> {
  const own = ownProcess<Order, Fact | ProcessFailed>();
  return {
    ...own,
    open: (onOrder, onGone) => {
      const pipe = own.open(onOrder, onGone);
      failOnUncaught(pipe);
      return pipe;
    },
  };
}

/** A worker thread of this process, for one channel. */
export function startThread<Order, Fact>(
  script: URL,
  { name, workerData }: { readonly name: string; readonly workerData: object },
  events: ChannelThreadEvents<Fact>,
): ChannelThread<Order> {
  const worker = new Worker(script, { name, workerData });
  worker.on("message", events.onMessage);
  worker.on("error", events.onError);
  worker.on("exit", events.onExit);
  return worker;
}

/** That thread itself. */
export function ownThread<Order, Fact>(): ChannelPort<Order, Fact> {
  return {
    postMessage: (fact) => parentPort?.postMessage(fact),
    onMessage: (listen) => parentPort?.on("message", listen),
  };
}

interface ProcessFailed {
  readonly type: "process.failed";
  readonly error: WireError;
}

/** Faults that nobody caught end the process with the reason told first. */
function failOnUncaught(
  pipe: Pick<ControlPipe<ProcessFailed>, "send" | "flush">,
): void {
  const fail = (cause: unknown): void => {
    const error = toWireError(cause);
    pipe.send({ type: "process.failed", error });
    void pipe.flush().finally(() => process.exit(1));
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
}

/** What an order has to have set before: asking sooner is a fault of ours. */
export function given<T>(value: T | null, name: string): T {
  if (value === null) throw new Error(`${name} is not there yet`);
  return value;
}
