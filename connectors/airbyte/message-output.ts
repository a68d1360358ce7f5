/**
 * Bytes of messages on their way out of this thread: to our own stdout, to a connector's stdin, or to a socket on which
 * we listen. Everything leaves in the order in which it was written; a write is done when the system has the bytes.
 */
import { createWriteStream, fstatSync, lstatSync, rmSync } from "node:fs";
import { Socket, createServer, type Server } from "node:net";
import type { Writable } from "node:stream";
import { ExtractError } from "../../proto/error.ts";

/** An idle socket is probed after so long, so that a peer that has gone is noticed. */
const PROBE_MS = 5_000;
/** The stall is looked for so often in its time. */
const LOOKS_PER_STALL = 10;

export interface OutputOptions {
  /** What it is called in errors. */
  readonly label: string;
  /** The peer may take nothing for so long while bytes wait. */
  readonly stallMs: number;
  /** Written when nothing else was for a while; null: the peer wants none. */
  readonly probe: Uint8Array | null;
  /** Why the peer has gone, where somebody will know; null: nobody does. */
  readonly explain?: () => Promise<Error | null>;
  /** Somebody else of this process writes behind us: the stream is not closed. */
  readonly staysOpen?: boolean;
}

/** Where the records of a channel go. */
export interface RecordOutput {
  /** Resolves when all pieces have left; they must not change until then. */
  write(pieces: readonly Uint8Array[]): Promise<void>;
  /** Nothing follows. */
  end(): Promise<void>;
  destroy(): void;
}

export class MessageOutput implements RecordOutput {
  readonly #options: OutputOptions;
  readonly #stream: Writable;
  readonly #watch: NodeJS.Timeout;
  #writesWaiting = 0;
  #stillMs = 0;
  #idleMs = 0;
  #error: ExtractError | null = null;
  readonly #broken = Promise.withResolvers<never>();

  constructor(stream: Writable, options: OutputOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#broken.promise.catch(() => {
      // told to whoever writes
    });
    stream.on("error", (cause) => this.#fail(cause));
    stream.on("close", () => {
      if (!stream.writableFinished) this.#fail(undefined);
    });
    const tickMs = Math.min(options.stallMs / LOOKS_PER_STALL, PROBE_MS);
    this.#watch = setInterval(() => this.#look(tickMs), tickMs);
    this.#watch.unref();
  }

  /**
   * Resolves when all pieces have left; they must not change until then.
   * @throws ExtractError CHANNEL_BROKEN when the peer has gone, PEER_STALLED when it takes nothing
   */
  async write(pieces: readonly Uint8Array[]): Promise<void> {
    if (this.#error) throw this.#error;
    this.#idleMs = 0;
    if (pieces.length === 0) return;
    this.#writesWaiting++;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stream.cork();
    for (const [index, piece] of pieces.entries())
      this.#stream.write(
        piece,
        index === pieces.length - 1 ? () => resolve() : undefined,
      );
    this.#stream.uncork();
    try {
      await this.#whileOpen(promise);
    } finally {
      this.#writesWaiting--;
      this.#stillMs = 0;
    }
  }

  /** Nothing follows. @throws as `write` */
  async end(): Promise<void> {
    if (this.#error) throw this.#error;
    this.#writesWaiting++;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#options.staysOpen) this.#stream.write("", () => resolve());
    else this.#stream.end(() => resolve());
    try {
      await this.#whileOpen(promise);
    } finally {
      this.#writesWaiting--;
      clearInterval(this.#watch);
    }
  }

  /** @throws what the peer's end was about, once that is known */
  async #whileOpen(work: Promise<void>): Promise<void> {
    try {
      await Promise.race([work, this.#broken.promise]);
      if (this.#error) throw this.#error;
    } catch (error) {
      const isGone = this.#error?.code === "CHANNEL_BROKEN";
      throw (isGone ? await this.#options.explain?.() : null) ?? error;
    }
  }

  /** Lets go of it as it is. */
  destroy(): void {
    clearInterval(this.#watch);
    this.#stream.destroy();
  }

  #look(tickMs: number): void {
    const { stallMs, probe, label } = this.#options;
    this.#stillMs = this.#writesWaiting === 0 ? 0 : this.#stillMs + tickMs;
    if (this.#stillMs > stallMs) {
      this.#error ??= new ExtractError(
        "PEER_STALLED",
        `${label} took nothing for ${stallMs} ms`,
        { peer: label, stallMs },
      );
      this.#stop();
      return;
    }
    this.#idleMs += tickMs;
    if (probe === null || this.#writesWaiting > 0 || this.#idleMs < PROBE_MS)
      return;
    this.write([probe]).catch(() => {
      // told to whoever writes next
    });
  }

  #fail(cause: unknown): void {
    this.#error ??= new ExtractError(
      "CHANNEL_BROKEN",
      `${this.#options.label} does not read any more`,
      { peer: this.#options.label },
      { cause },
    );
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#watch);
    this.#stream.destroy();
    if (this.#error) this.#broken.reject(this.#error);
  }
}

/** Of a process that has been killed. What is no socket is not ours, and left for the error that follows. */
function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path);
}

const STDOUT_FD = 1;

/** Of this process; nobody else may write to it. Never blocks this thread. */
export function openStdout(): Writable {
  const kind = fstatSync(STDOUT_FD);
  return kind.isFIFO() || kind.isSocket()
    ? new Socket({ fd: STDOUT_FD, readable: false, writable: true })
    : createWriteStream("", { fd: STDOUT_FD, autoClose: false });
}

export interface Listening {
  /** The one peer that may connect. */
  readonly connected: Promise<Socket>;
  close(): void;
}

/**
 * Listens on a path, for one peer.
 * @throws ExtractError DESTINATION_UNWRITABLE when there can be no socket
 */
export async function listen(
  path: string,
  connectMs: number,
  label: string,
): Promise<Listening> {
  const {
    promise: connected,
    resolve,
    reject,
  } = Promise.withResolvers<Socket>();
  connected.catch(() => {
    // told to whoever waits for it
  });
  const server: Server = createServer({ pauseOnConnect: false }, (socket) => {
    clearTimeout(timer);
    server.close();
    // a peer that sends is not listened to, and one that half closes is not gone
    socket.resume();
    resolve(socket);
  });
  const timer = setTimeout(() => {
    server.close();
    reject(
      new ExtractError(
        "CHANNEL_START_TIMEOUT",
        `${label} did not connect to ${path} within ${connectMs} ms`,
        { path, connectMs },
      ),
    );
  }, connectMs);
  removeStale(path);
  await new Promise<void>((done, fail) => {
    server.once("error", (cause) => {
      clearTimeout(timer);
      fail(
        new ExtractError(
          "DESTINATION_UNWRITABLE",
          `there can be no socket at ${path}: ${cause.message}`,
          { path },
          { cause },
        ),
      );
    });
    server.listen(path, done);
  });
  return {
    connected,
    close: () => {
      clearTimeout(timer);
      server.close();
    },
  };
}
