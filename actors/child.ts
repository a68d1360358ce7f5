/** What every child process has in common: the control pipe on file descriptor 3, and an end with its bookkeeper. */
import { Socket } from "node:net";
import { createLineReader, writeLine } from "../transport/control-lines.ts";
import { toWireError, type WireError } from "../proto/error.ts";

const CONTROL_FD = 3;

export interface ControlPipe<Fact> {
  send(fact: Fact): void;
  /** Resolves when what was sent has left the process. */
  flush(): Promise<void>;
}

/**
 * Opens the control pipe. Pings are answered here. When the bookkeeper goes, `onClosed` decides; the default ends the
 * process at once: nothing is sealed any more that nobody would record.
 */
export function openControlPipe<Order extends { readonly type: string }, Fact>(
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
  return {
    send: (fact) => {
      if (!closed) writeLine(pipe, fact);
    },
    flush: () =>
      new Promise((resolve) => {
        if (closed || pipe.writableLength === 0) resolve();
        else pipe.write("", () => resolve());
      }),
  };
}

/** Writes one message of the Airbyte protocol to stdout, where nothing else is ever written. */
export function writeProtocolMessage(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** The Airbyte `TRACE` of an error: what any platform that runs this process shows its user. */
export function writeTraceError(error: WireError): void {
  writeProtocolMessage({
    type: "TRACE",
    trace: {
      type: "ERROR",
      emitted_at: Date.now(),
      error: {
        message: `${error.code}: ${error.message}`,
        failure_type: "system_error",
      },
    },
  });
}

/** Faults that nobody caught end the process with the reason told first. */
export function failOnUncaught(
  pipe: ControlPipe<{ type: "process.failed"; error: WireError }>,
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
