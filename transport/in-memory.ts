/**
 * A data channel inside one process, lossless and in order: the same frames, checks and backpressure as over a socket,
 * for simulations of the whole actor system. There is no clock in it, so no probes, deadlines or Stalled of its own.
 */
import assert from "node:assert/strict";
import type { CheckpointStamp } from "../proto/checkpoint.ts";
import type { ColumnBatch } from "../proto/columns.ts";
import { ExtractError, fromWireError, toWireError } from "../proto/error.ts";
import type { StreamSchema } from "../proto/schema.ts";
import { encodeBatch } from "./batch-codec.ts";
import type {
  DestinationChannel,
  ReceivedFrame,
  ReplyFrame,
  SourceChannel,
  SourceChannelHandlers,
} from "./channel.ts";
import { encodeFrame } from "./frame-codec.ts";
import { FrameParser } from "./frame-parser.ts";
import type { ChannelTotals, Discard, Frame, FrameIds } from "./frames.ts";
import { Inbound } from "./inbound.ts";

/** Replies that came before the source started to listen. */
const REPLIES_WAITING_MAX = 4096;

export interface MemoryPair {
  readonly source: SourceChannel;
  readonly destination: DestinationChannel;
}

export function createMemoryPair(options: {
  readonly channel: number;
  readonly streams: readonly StreamSchema[];
}): MemoryPair {
  const pipe = new MemoryPipe();
  const destination = new MemoryDestination(options.channel, pipe);
  const source = new MemorySource(options.channel, pipe);
  for (const schema of options.streams) {
    source.versions.set(schema.number, 1);
    destination.inbound.admitSchema({ version: 1, schema });
  }
  return { source, destination };
}

interface Sent {
  readonly frame: Frame;
  /** The body of a batch, in memory of its own. */
  readonly body: Uint8Array | null;
  /** Called when the destination has taken it. */
  taken(): void;
  failed(error: ExtractError): void;
}

/** What both ends share. */
class MemoryPipe {
  readonly toDestination: Sent[] = [];
  readonly toSource: ReplyFrame[] = [];
  onSent: (() => void) | null = null;
  onReply: (() => void) | null = null;
  onClosed: (() => void)[] = [];
  ended = false;
  closed = false;
  error: ExtractError | null = null;

  /** `error` is why; null after End. */
  close(error: ExtractError | null): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    for (const sent of this.toDestination.splice(0)) {
      sent.failed(error ?? broken("closed"));
    }
    for (const tell of this.onClosed) tell();
  }
}

class MemorySource implements SourceChannel {
  readonly versions = new Map<number, number>();
  readonly channel: number;
  readonly #pipe: MemoryPipe;
  #handlers: SourceChannelHandlers | null = null;

  constructor(channel: number, pipe: MemoryPipe) {
    this.channel = channel;
    this.#pipe = pipe;
    pipe.onReply = () => this.#drain();
    pipe.onClosed.push(() => {
      queueMicrotask(() => this.#handlers?.onClosed(pipe.error));
    });
  }

  start(handlers: SourceChannelHandlers): void {
    assert.ok(!this.#handlers, "a channel is started once");
    this.#handlers = handlers;
    this.#drain();
    if (this.#pipe.closed) {
      queueMicrotask(() => handlers.onClosed(this.#pipe.error));
    }
  }

  async writeSchema(schema: StreamSchema): Promise<void> {
    const version = (this.versions.get(schema.number) ?? 0) + 1;
    this.versions.set(schema.number, version);
    this.#send({ kind: "schema", version, schema });
  }

  async writeBatch(ids: FrameIds, batch: ColumnBatch): Promise<void> {
    const version = this.versions.get(ids.stream);
    assert.ok(version !== undefined, `stream ${ids.stream} is not announced`);
    const { pieces } = encodeBatch(batch, ids, version);
    const [header, ...buffers] = pieces;
    assert.ok(header);
    const body = Buffer.concat(buffers);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#push({
      frame: recode(header),
      // a buffer from Node's pool need not be aligned
      body: new Uint8Array(body),
      taken: resolve,
      failed: reject,
    });
    return promise;
  }

  async writeCheckpoint(checkpoint: CheckpointStamp): Promise<void> {
    this.#send({ kind: "checkpoint", checkpoint });
  }

  async writeDiscard(discard: Discard): Promise<void> {
    this.#send({ kind: "discard", discard });
  }

  async writeStalled(reason: string): Promise<void> {
    this.#send({ kind: "stalled", reason });
  }

  async writeEnd(totals: ChannelTotals): Promise<void> {
    this.#send({ kind: "end", totals });
    this.#pipe.ended = true;
  }

  fail(error: Error): void {
    this.#pipe.close(asExtractError(error));
  }

  async close(): Promise<void> {
    this.#pipe.close(this.#pipe.ended ? null : broken("closed by the source"));
  }

  #send(frame: Frame): void {
    this.#push({
      frame: recode(encodeFrame(frame)),
      body: null,
      taken: () => {},
      failed: () => {},
    });
  }

  #push(sent: Sent): void {
    const pipe = this.#pipe;
    assert.ok(!pipe.ended, "nothing follows End");
    if (pipe.closed) throw pipe.error ?? broken("closed");
    pipe.toDestination.push(sent);
    pipe.onSent?.();
  }

  #drain(): void {
    const handlers = this.#handlers;
    if (!handlers) return;
    for (const frame of this.#pipe.toSource.splice(0)) handlers.onFrame(frame);
  }
}

class MemoryDestination implements DestinationChannel {
  readonly inbound = new Inbound();
  readonly #whenClosed = Promise.withResolvers<ExtractError | null>();
  readonly channel: number;
  readonly #pipe: MemoryPipe;
  #waiting: PromiseWithResolvers<ReceivedFrame | null> | null = null;
  #ended = false;

  constructor(channel: number, pipe: MemoryPipe) {
    this.channel = channel;
    this.#pipe = pipe;
    pipe.onSent = () => this.#advance();
    pipe.onClosed.push(() => {
      this.#whenClosed.resolve(this.#ended ? null : pipe.error);
      this.#advance();
    });
  }

  get closed(): Promise<ExtractError | null> {
    return this.#whenClosed.promise;
  }

  get streams(): Inbound["streams"] {
    return this.inbound.streams;
  }

  next(): Promise<ReceivedFrame | null> {
    assert.ok(!this.#waiting, "one call of next at a time");
    const waiting = Promise.withResolvers<ReceivedFrame | null>();
    this.#waiting = waiting;
    this.#advance();
    return waiting.promise;
  }

  write(frame: ReplyFrame): void {
    const pipe = this.#pipe;
    if (pipe.closed) return;
    assert.ok(pipe.toSource.length < REPLIES_WAITING_MAX);
    pipe.toSource.push(recode(encodeFrame(frame)) as ReplyFrame);
    queueMicrotask(() => pipe.onReply?.());
  }

  fail(error: Error): void {
    this.#pipe.close(asExtractError(error));
  }

  async close(): Promise<void> {
    this.#pipe.close(this.#ended ? null : broken("closed by the destination"));
  }

  #advance(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    if (this.#ended) return this.#settle(null);
    const pipe = this.#pipe;
    if (pipe.closed) {
      this.#waiting = null;
      waiting.reject(pipe.error ?? broken("closed before its End"));
      return;
    }
    const sent = pipe.toDestination.shift();
    if (!sent) return;
    try {
      this.#settle(this.#admit(sent));
      sent.taken();
    } catch (error) {
      assert.ok(error instanceof ExtractError);
      sent.failed(error);
      pipe.close(error);
    }
  }

  #admit({ frame, body }: Sent): ReceivedFrame | null {
    switch (frame.kind) {
      case "batch":
        assert.ok(body);
        return this.inbound.admitBatch(frame.batch, body, () => {});
      case "checkpoint":
      case "discard":
      case "schema":
      case "stalled":
        this.inbound.admit(frame);
        return frame;
      case "end":
        this.inbound.admitEnd(frame);
        this.#ended = true;
        return null;
      default:
        assert.fail(`a source does not send ${frame.kind}`);
    }
  }

  #settle(frame: ReceivedFrame | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(frame);
  }
}

/** Through the bytes and back, so that a simulation meets the codec too. */
function recode(bytes: Uint8Array): Frame {
  const parser = new FrameParser();
  parser.push(bytes);
  const frame = parser.takeFrame();
  assert.ok(frame);
  return frame;
}

function asExtractError(error: Error): ExtractError {
  return error instanceof ExtractError
    ? error
    : fromWireError(toWireError(error));
}

function broken(what: string): ExtractError {
  return new ExtractError("CHANNEL_BROKEN", `a channel in memory: ${what}`);
}
