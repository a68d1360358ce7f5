/** Rows from the socket of one channel to the files or tables of their partitions: frames are taken and written here. */
import type { CheckpointStamp, SealedFile } from "../../proto/checkpoint.ts";
import type { DestinationStream } from "../../proto/control.ts";
import type { DestinationChannel } from "../../transport/channel.ts";
import type {
  StreamWriter,
  WriterFactory,
} from "../destinations/destination.ts";

/** How long rows wait for the order that makes their stream known: with thousands of streams it may be far behind. */
const STREAM_KNOWN_MS_MAX = 120_000;

/** The rows of a partition between two checkpoints are a segment, which has a name of its own. */
interface OpenWriter {
  readonly key: string;
  readonly stream: number;
  readonly partition: number;
  attempt: number;
  readonly rows: StreamWriter;
  /** Null when there are no rows since the last checkpoint. */
  segment: string | null;
  segments: number;
}

/** What ends a stretch of frames: something that is not only more rows of the same segments. */
export type StretchEnd =
  | {
      /** The first rows of a segment are written. */
      readonly kind: "written";
      readonly writer: string;
      readonly stream: number;
      readonly partition: number;
    }
  | {
      readonly kind: "checkpoint";
      readonly writer: string;
      readonly stamp: CheckpointStamp;
    }
  | {
      readonly kind: "discard";
      readonly writer: string;
      readonly wasOpen: boolean;
    }
  | { readonly kind: "nothing" }
  | { readonly kind: "end" };

export class DestinationRows {
  readonly #channel: DestinationChannel;
  readonly #factory: WriterFactory;
  readonly #onCheckpoint: (stamp: CheckpointStamp) => void;
  readonly #streams: KnownStreams;
  readonly #writers = new Map<string, OpenWriter>();
  readonly #bySegment = new Map<string, OpenWriter>();

  constructor({
    channel,
    factory,
    streams,
    onCheckpoint,
  }: {
    readonly channel: DestinationChannel;
    readonly factory: WriterFactory;
    readonly streams: KnownStreams;
    /** A checkpoint's frame is here; its rows are not durable yet. */
    readonly onCheckpoint: (stamp: CheckpointStamp) => void;
  }) {
    this.#channel = channel;
    this.#factory = factory;
    this.#streams = streams;
    this.#onCheckpoint = onCheckpoint;
  }

  /**
   * Takes frames off the socket and writes their rows, until something is to be decided. Once `signal` is aborted, no
   * more frame is written. One call at a time.
   */
  async take(signal: AbortSignal): Promise<StretchEnd> {
    for (;;) {
      const end = await this.#takeFrame(signal);
      if (end) return end;
    }
  }

  async seal(
    segment: string,
    stamp: CheckpointStamp,
  ): Promise<readonly SealedFile[]> {
    const files = await this.#opened(segment).rows.seal(stamp);
    this.#bySegment.delete(segment);
    return files;
  }

  async discard(segment: string): Promise<void> {
    await this.#bySegment.get(segment)?.rows.discard();
  }

  /** Tells the source that rows are durable. */
  acknowledge(stamp: CheckpointStamp, rows: number): void {
    const { stream, partition, attempt, sequence, bytes, last } = stamp;
    this.#channel.write({
      kind: "ack",
      ack: { stream, partition, attempt, sequence, rows, bytes },
    });
    if (last) this.#writers.delete(`${stream}/${partition}`);
  }

  answerDiscard(segment: string): void {
    const { stream, partition, attempt } = this.#opened(segment);
    this.#bySegment.delete(segment);
    this.#channel.write({
      kind: "discarded",
      discarded: { stream, partition, attempt },
    });
  }

  /** Lets go of everything as it is. */
  abandon(): void {
    for (const writer of this.#writers.values()) writer.rows.abandon();
    this.#writers.clear();
  }

  async close(): Promise<void> {
    await Promise.all([this.#channel.close(), this.#factory.close()]);
  }

  /** Null: rows of a segment that is open already. */
  async #takeFrame(signal: AbortSignal): Promise<StretchEnd | null> {
    const frame = await this.#channel.next();
    if (frame === null) return { kind: "end" };
    if (signal.aborted) {
      if (frame.kind === "batch") frame.release();
      return { kind: "nothing" };
    }
    switch (frame.kind) {
      case "batch": {
        const { stream, partition } = frame;
        const writer = await this.#writerOf(frame);
        const isFirst = writer.segment === null;
        writer.segment ??= this.#openSegment(writer);
        try {
          const written = writer.rows.write(frame.batch);
          if (written) await written;
        } finally {
          frame.release();
        }
        if (!isFirst) return null;
        return { kind: "written", writer: writer.segment, stream, partition };
      }
      case "checkpoint": {
        const stamp = frame.checkpoint;
        const writer = await this.#writerOf(stamp);
        this.#onCheckpoint(stamp);
        const segment = writer.segment ?? nameOfNone(writer);
        writer.segment = null;
        return { kind: "checkpoint", writer: segment, stamp };
      }
      case "discard": {
        const writer = await this.#writerOf(frame.discard);
        const segment = writer.segment ?? nameOfNone(writer);
        const wasOpen = writer.segment !== null;
        writer.segment = null;
        this.#bySegment.set(segment, writer);
        return { kind: "discard", writer: segment, wasOpen };
      }
      case "schema":
      case "stalled":
        return null;
    }
  }

  #openSegment(writer: OpenWriter): string {
    writer.segments += 1;
    const segment = `writer:${writer.key}#${writer.segments}`;
    this.#bySegment.set(segment, writer);
    return segment;
  }

  async #writerOf(ids: {
    readonly stream: number;
    readonly partition: number;
    readonly attempt: number;
  }): Promise<OpenWriter> {
    const { partition, attempt } = ids;
    const key = `${ids.stream}/${partition}`;
    const known = this.#writers.get(key);
    if (known) {
      known.attempt = attempt;
      return known;
    }
    const stream = await this.#streams.find(ids.stream);
    const writer: OpenWriter = {
      key,
      stream: ids.stream,
      partition,
      attempt,
      rows: this.#factory.createWriter({ stream, partition }),
      segment: null,
      segments: 0,
    };
    this.#writers.set(key, writer);
    return writer;
  }

  #opened(segment: string): OpenWriter {
    const writer = this.#bySegment.get(segment);
    if (!writer) throw new Error(`${segment} is not open`);
    return writer;
  }
}

function nameOfNone({ key }: OpenWriter): string {
  return `writer:${key}#none`;
}

/** Streams by number. Rows may be here before the order that names their stream: it takes another way. */
export class KnownStreams {
  readonly #streams = new Map<number, DestinationStream>();
  readonly #waiting = new Map<number, () => void>();

  add(stream: DestinationStream): void {
    const { number } = stream.schema;
    this.#streams.set(number, stream);
    this.#waiting.get(number)?.();
  }

  async find(number: number): Promise<DestinationStream> {
    if (!this.#streams.has(number)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, STREAM_KNOWN_MS_MAX);
      this.#waiting.set(number, resolve);
      await promise;
      this.#waiting.delete(number);
      clearTimeout(timer);
    }
    const stream = this.#streams.get(number);
    if (!stream) throw new Error(`stream ${number} is not known here`);
    return stream;
  }
}
