/**
 * A connection's bytes, which belong to the driver (`pg`, `mysql2`) for login and ordinary queries and to a consumer of ours
 * for a bulk read. Taking them over costs nothing but a flag, so that many small tables share one connection.
 *
 * Reads are coalesced: a server sends pieces of 8 or 16 KiB, and waking for each costs more than decoding it. After a short
 * read in a long answer the socket is left alone for `COALESCE_PAUSE_MS`; the next read then takes what has gathered.
 */
import { Socket } from "node:net";
import { ReadWindow, WINDOW_BYTES } from "./window.ts";

export interface WireConsumer {
  /**
   * Consumes whole messages from the window. `more`: it waits for bytes; `stalled`: reading stops until `wake`;
   * `finished`: the rest of the bytes belong to the driver again. Must not throw.
   */
  consume(window: ReadWindow): "more" | "stalled" | "finished";
  /** The connection is gone, with the socket's error where there was one. Called at most once. */
  lost(error: Error | null): void;
}

type DataListener = (chunk: Buffer) => void;

export interface Wire {
  /** Gives the bytes from now on to `consumer`. */
  take(consumer: WireConsumer): void;
  /** Ends a stall: consumes what is there, then reads on. */
  wake(): void;
  write(bytes: Uint8Array): void;
  /** The socket is closed, or about to be. */
  readonly closed: boolean;
  /** Closes the socket without a word to the server; the consumer learns of it by `lost`. */
  destroy(): void;
}

/** How long a socket is left alone after a short read, in ms; measured from 2 to 16 on loopback (README.md of both sources). */
const COALESCE_PAUSE_MS = 4;
/** Bytes of one answer before its reads are coalesced: short answers come at once. */
const COALESCE_AFTER_BYTES = 512 * 1024;
/** The buffer for reads outside a bulk read and for the first one after a stall, in bytes. */
const BOUNCE_BYTES = 32 * 1024;

/** What both kinds of sockets share: who owns the bytes, and the window that they gather in. */
abstract class BaseWire implements Wire {
  protected consumer: WireConsumer | null = null;
  protected stalled = false;
  protected readonly window = new ReadWindow();
  /** Bytes of the current answer. */
  protected answerBytes = 0;
  /** Received behind a stall and not yet in the window. */
  #rest: Uint8Array | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastError: Error | null = null;

  abstract readonly closed: boolean;
  abstract write(bytes: Uint8Array): void;
  abstract destroy(): void;
  protected abstract readOn(): void;
  /** The consumer has finished: the driver listens again. */
  protected abstract released(): void;
  protected abstract giveBack(bytes: Uint8Array): void;

  take(consumer: WireConsumer): void {
    this.consumer = consumer;
    this.stalled = false;
    this.answerBytes = 0;
  }

  wake(): void {
    if (!this.stalled || this.consumer === null) return;
    this.stalled = false;
    this.consume();
    while (this.#rest !== null && !this.stalled && this.consumer !== null) {
      const rest: Uint8Array = this.#rest;
      this.#rest = null;
      this.feed(rest);
    }
    if (!this.stalled) this.readOn();
  }

  /** Copies a chunk into the window and consumes it, as far as no stall comes between. */
  protected feed(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.consumer === null) {
        this.giveBack(rest);
        return;
      }
      if (this.stalled) {
        this.#rest = rest;
        return;
      }
      const space = this.window.space();
      const byteCount = Math.min(space.length, rest.length);
      space.set(rest.subarray(0, byteCount));
      this.window.filled(byteCount);
      rest = rest.subarray(byteCount);
      this.consume();
    }
  }

  protected consume(): void {
    if (this.consumer === null) return;
    const outcome = this.consumer.consume(this.window);
    if (outcome === "stalled") this.stalled = true;
    if (outcome !== "finished") return;
    this.consumer = null;
    this.released();
    const { buffer, start, end } = this.window;
    const rest = start < end ? Buffer.from(buffer.subarray(start, end)) : null;
    this.window.reset();
    if (rest !== null) this.giveBack(rest);
  }

  /** Reads on after the pause, unless a stall has come about. */
  protected readLater(): void {
    if (this.#timer === null) {
      this.#timer = setTimeout(() => {
        if (!this.stalled) this.readOn();
      }, COALESCE_PAUSE_MS);
    } else {
      this.#timer.refresh();
    }
  }

  protected watch(socket: Socket): void {
    socket.on("error", (error) => {
      this.#lastError = error;
    });
    socket.on("close", () => {
      if (this.#timer !== null) clearTimeout(this.#timer);
      const consumer = this.consumer;
      this.consumer = null;
      this.window.reset();
      this.#rest = null;
      consumer?.lost(this.#lastError);
    });
  }
}

/** A plain socket, which reads into buffers of ours without an allocation or an event per read. */
export class PlainWire extends BaseWire {
  readonly socket: Socket;
  readonly #bounce = Buffer.allocUnsafeSlow(BOUNCE_BYTES);
  /** What the socket reads into next, where that is part of the window. */
  #space: Buffer | null = null;

  constructor() {
    super();
    // onread must be given to the constructor: connect() on a socket that exists ignores it
    this.socket = new Socket({
      onread: {
        buffer: () => this.#nextBuffer(),
        callback: (byteCount, buffer) => this.#read(byteCount, buffer),
      },
    });
    this.watch(this.socket);
  }

  get closed(): boolean {
    return this.socket.destroyed;
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  destroy(): void {
    this.socket.destroy();
  }

  protected readOn(): void {
    this.socket.resume();
  }

  protected released(): void {}

  protected giveBack(bytes: Uint8Array): void {
    this.socket.emit("data", bytes);
  }

  #nextBuffer(): Buffer {
    // Behind a stall the window changes before the next read does, so that read must not go into it.
    this.#space =
      this.consumer === null || this.stalled ? null : this.window.space();
    return this.#space ?? this.#bounce;
  }

  /** Returns whether the socket reads on. */
  #read(byteCount: number, buffer: Uint8Array): boolean {
    if (this.consumer === null) {
      // the driver keeps what it is given
      this.giveBack(Buffer.from(buffer.subarray(0, byteCount)));
      return true;
    }
    this.answerBytes += byteCount;
    if (this.#space === null) {
      this.feed(buffer.subarray(0, byteCount));
    } else {
      this.window.filled(byteCount);
      this.consume();
    }
    if (this.stalled) return false;
    if (
      this.consumer === null ||
      byteCount === WINDOW_BYTES ||
      this.answerBytes < COALESCE_AFTER_BYTES
    ) {
      return true;
    }
    this.readLater();
    return false;
  }
}

/**
 * A TLS socket, or any other that offers only 'data' events. One record is 8 to 16 KiB; those that come in one turn of the
 * event loop are taken, then the socket pauses.
 */
export class StreamWire extends BaseWire {
  readonly #socket: Socket;
  #driverListeners: DataListener[] = [];
  #pauseIsDue = false;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    this.watch(socket);
  }

  override take(consumer: WireConsumer): void {
    super.take(consumer);
    this.#driverListeners = this.#socket.listeners("data") as DataListener[];
    this.#socket.removeAllListeners("data");
    this.#socket.on("data", this.#onData);
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  protected readOn(): void {
    this.#socket.resume();
  }

  protected released(): void {
    this.#socket.off("data", this.#onData);
    for (const listener of this.#driverListeners) {
      this.#socket.on("data", listener);
    }
    this.#driverListeners = [];
  }

  protected giveBack(bytes: Uint8Array): void {
    this.#socket.emit("data", bytes);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.answerBytes += chunk.length;
    this.feed(chunk);
    if (this.stalled) {
      this.#socket.pause();
      return;
    }
    if (
      this.consumer === null ||
      this.#pauseIsDue ||
      this.answerBytes < COALESCE_AFTER_BYTES
    ) {
      return;
    }
    this.#pauseIsDue = true;
    setImmediate(() => {
      this.#pauseIsDue = false;
      if (this.consumer === null || this.stalled) return;
      this.#socket.pause();
      this.readLater();
    });
  };
}
