/** Messages of the protocol that this process writes itself, one line each. Nothing else is ever on stdout. */
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const STDOUT_FD = 1;
/** Whoever reads may be busy: it is tried again after so long. */
const RETRY_MS = 5;
/** A reader that takes nothing for so long is given up on. */
const STALL_MS_MAX = 15 * 60_000;

/**
 * Resolves when the system has the line. Other threads have let go of stdout by then, or never had it: a pipe that they
 * have made non-blocking says so.
 */
export async function writeMessage(message: object | string): Promise<void> {
  const text = typeof message === "string" ? message : JSON.stringify(message);
  const bytes = Buffer.from(`${text}\n`);
  const deadline = performance.now() + STALL_MS_MAX;
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(STDOUT_FD, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // nobody reads: whoever started us has gone, and hears of it by our end
      if (code === "EPIPE") return;
      if (code !== "EAGAIN" || performance.now() > deadline) throw error;
      await sleep(RETRY_MS);
    }
  }
}

export function describeLog(
  level: "INFO" | "WARN" | "ERROR",
  message: string,
): string {
  return JSON.stringify({ type: "LOG", log: { level, message } });
}

export type StreamStatus = "STARTED" | "COMPLETE" | "INCOMPLETE";

interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

export function describeStatus(
  stream: StreamName,
  status: StreamStatus,
): string {
  return JSON.stringify({
    type: "TRACE",
    trace: {
      type: "STREAM_STATUS",
      emitted_at: Date.now(),
      stream_status: { stream_descriptor: describeName(stream), status },
    },
  });
}

export function describeEstimate(
  stream: StreamName,
  {
    estimatedRows,
    estimatedBytes,
  }: { readonly estimatedRows: number; readonly estimatedBytes: number },
): string {
  return JSON.stringify({
    type: "TRACE",
    trace: {
      type: "ESTIMATE",
      emitted_at: Date.now(),
      estimate: {
        type: "STREAM",
        ...describeName(stream),
        row_estimate: Math.round(estimatedRows),
        byte_estimate: Math.round(estimatedBytes),
      },
    },
  });
}

/** A stream in no namespace has none. */
export function describeName({ namespace, name }: StreamName): {
  readonly name: string;
  readonly namespace?: string;
} {
  return { name, ...(namespace === "" ? {} : { namespace }) };
}
