/**
 * The source's side of a channel's beginning: listens on a Unix socket, lets in one connection, and greets it.
 */
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { ExtractError, toWireError } from "../proto/error.ts";
import type { StreamSchema } from "../proto/schema.ts";
import type { SourceChannel } from "./channel.ts";
import { encodeFrame } from "./frame-codec.ts";
import { FrameParser } from "./frame-parser.ts";
import type { VersionedSchema } from "./frames.ts";
import { checkHello, encodeReply, readHello } from "./greeting.ts";
import type { Identity } from "./greeting.ts";
import type { LivenessOptions } from "./liveness.ts";
import { SocketSourceChannel } from "./socket-source.ts";

/** The source waits this long for the destination to connect. */
const ACCEPT_DEADLINE_MS = 30_000;
/** Longer than any pause that the destination does not explain by a Stalled frame. */
const PROGRESS_DEADLINE_MS = 60_000;

export interface ListenOptions extends Identity, LivenessOptions {
  /** Asked when the destination connects. */
  readonly streams: () => readonly StreamSchema[];
  /** From the connection to the whole Hello. */
  readonly handshakeMs: number;
  readonly acceptDeadlineMs?: number;
  readonly progressDeadlineMs?: number;
}

export interface ChannelListener {
  readonly path: string;
  /**
   * The channel, once the destination has connected and both have greeted.
   * @throws ExtractError CHANNEL_START_TIMEOUT, CHANNEL_BROKEN for a stranger, CONTROL_MALFORMED for another version
   */
  readonly accepted: Promise<SourceChannel>;
  /** Stops listening and removes the socket file; a channel that is there already lives on. */
  close(): Promise<void>;
}

/**
 * Listens on `path`; the folder is the caller's, with mode 0700. The first connection is the only one: the file goes
 * with it, so whoever comes later finds nothing to connect to.
 * @throws ExtractError CHANNEL_BROKEN when the path cannot be listened on, or exists: whether a dead process left it
 * cannot be told without taking its one connection, so each attempt has a folder of its own
 */
export async function listenChannel(
  path: string,
  options: ListenOptions,
): Promise<ChannelListener> {
  const server = createServer();
  server.maxConnections = 1;
  const sockets = nextConnection(server);
  try {
    await listen(server, path);
  } catch (cause) {
    throw new ExtractError(
      "CHANNEL_BROKEN",
      `channel ${options.channel}: cannot listen on ${path}`,
      { channel: options.channel, path },
      { cause },
    );
  }
  const timeout = startTimeout(server, path, options);
  const accepted = acceptOne(server, sockets, timeout, options);
  // the caller may look at it later
  accepted.catch(() => {});
  return {
    path,
    accepted,
    close: async () => {
      timeout.cancel(
        new ExtractError(
          "CHANNEL_BROKEN",
          `channel ${options.channel}: no longer listening`,
          { channel: options.channel },
        ),
      );
      await closeServer(server);
    },
  };
}

async function acceptOne(
  server: Server,
  sockets: Promise<Socket>,
  timeout: Timeout,
  options: ListenOptions,
): Promise<SourceChannel> {
  const socket = await Promise.race([sockets, timeout.expired]);
  timeout.stop();
  void closeServer(server);
  const parser = new FrameParser();
  try {
    const hello = await readHello(socket, parser, options);
    checkHello(hello, options);
    const versions = new Map<number, number>();
    const streams = options.streams().map((schema): VersionedSchema => {
      versions.set(schema.number, 1);
      return { version: 1, schema };
    });
    for (const bytes of encodeReply(streams, options)) socket.write(bytes);
    return new SocketSourceChannel(socket, parser, versions, {
      progressDeadlineMs: PROGRESS_DEADLINE_MS,
      ...options,
    });
  } catch (error) {
    const wire = toWireError(error);
    socket.end(encodeFrame({ kind: "fault", error: wire }), () =>
      socket.destroy(),
    );
    throw error;
  }
}

interface Timeout {
  /** Never resolves. */
  readonly expired: Promise<never>;
  cancel(error: ExtractError): void;
  stop(): void;
}

function startTimeout(
  server: Server,
  path: string,
  { channel, acceptDeadlineMs = ACCEPT_DEADLINE_MS }: ListenOptions,
): Timeout {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  expired.catch(() => {});
  const timer = setTimeout(() => {
    void closeServer(server);
    reject(
      new ExtractError(
        "CHANNEL_START_TIMEOUT",
        `channel ${channel}: no destination connected within ${acceptDeadlineMs} ms`,
        { channel, path, acceptDeadlineMs },
      ),
    );
  }, acceptDeadlineMs);
  const stop = (): void => clearTimeout(timer);
  return {
    expired,
    stop,
    cancel: (error) => {
      stop();
      reject(error);
    },
  };
}

function nextConnection(server: Server): Promise<Socket> {
  return new Promise((resolve) => {
    let taken = false;
    server.on("connection", (socket: Socket) => {
      // one that was in the backlog when the first came
      socket.on("error", () => {}); // until the channel listens itself; a close tells as much
      if (taken) socket.destroy();
      else resolve(socket);
      taken = true;
    });
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Closing removes the socket file. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) resolve();
    // the callback would wait for the accepted socket; the file is gone when close returns
    server.close();
    setImmediate(resolve);
  });
}
