/**
 * The destination's side of a channel's beginning: connects to the source's Unix socket, again and again while nobody
 * listens there yet.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ExtractError } from "../proto/error.ts";
import type { DestinationChannel } from "./channel.ts";
import { SocketDestinationChannel } from "./socket-destination.ts";
import type { DestinationChannelOptions } from "./socket-destination.ts";

const BACKOFF_MS_MIN = 5;
const BACKOFF_MS_MAX = 250;

export interface ConnectOptions extends DestinationChannelOptions {
  /** How long a path that is not there, or not listened on, is tried again. */
  readonly connectDeadlineMs: number;
}

/**
 * Connects to the source's socket and greets.
 * @throws ExtractError CHANNEL_START_TIMEOUT when nobody listens or answers in time, CHANNEL_BROKEN, or the Fault with
 * which the source refuses
 */
export async function connectChannel(
  path: string,
  options: ConnectOptions,
): Promise<DestinationChannel> {
  const { channel, connectDeadlineMs } = options;
  const deadline = performance.now() + connectDeadlineMs;
  for (let backoffMs = BACKOFF_MS_MIN; ; backoffMs *= 2) {
    try {
      return await SocketDestinationChannel.open(path, options);
    } catch (cause) {
      if (!isNotYetListening(cause)) throw cause;
      if (performance.now() + backoffMs > deadline) {
        throw new ExtractError(
          "CHANNEL_START_TIMEOUT",
          `channel ${channel}: nobody listened on ${path} within ${connectDeadlineMs} ms`,
          { channel, path, connectDeadlineMs },
          { cause },
        );
      }
    }
    await sleep(Math.min(backoffMs, BACKOFF_MS_MAX));
  }
}

function isNotYetListening(error: unknown): boolean {
  return (
    error instanceof ExtractError &&
    error.code === "CHANNEL_BROKEN" &&
    error.cause instanceof Error &&
    "syscall" in error.cause &&
    error.cause.syscall === "connect" &&
    "code" in error.cause &&
    (error.cause.code === "ENOENT" || error.cause.code === "ECONNREFUSED")
  );
}
