/**
 * The engine's frames, as `proto/log.proto` has them: cut out of its stdout, and taken apart into messages. Their items
 * are found whole here; what is in an event is looked at by whoever makes rows of it.
 */
import { ExtractError } from "../../../../proto/error.ts";
import type { EventRun } from "../events/batch-event.ts";
import { addShape, type Shapes } from "../events/batch-shapes.ts";
import { tagOf, wire, WireFault, WireReader } from "../events/wire.ts";
import { parseLine, refuseChange, type EngineMessage } from "./protocol.ts";

/** Items of a frame, before the last of them. */
export const FRAME_BYTES = 65_536;
/** Of a length of up to 2^35. */
const LENGTH_BYTES_MAX = 5;

const tags = {
  eventsBefore: tagOf(1, wire.varint),
  item: tagOf(2, wire.length),
  line: tagOf(1, wire.length),
  shape: tagOf(2, wire.length),
  event: tagOf(3, wire.length),
};

/** A frame that lies in one chunk is a view of it; one that does not is put together. */
export class FrameCutter {
  readonly #bytesMax: number;
  /** Of the length that is being read. */
  #length = 0;
  #lengthBytes = 0;
  /** The frame that is being put together, and how much of it is there; null: a length is read. */
  #frame: Buffer | null = null;
  #filled = 0;

  constructor(frameBytesMax: number) {
    this.#bytesMax = frameBytesMax;
  }

  /** Bytes of a frame whose end has not come. */
  get pendingBytes(): number {
    return this.#lengthBytes + this.#filled;
  }

  /**
   * The frames that end in this chunk.
   * @throws ExtractError SOURCE_ROW_TOO_LARGE before anything is kept of a frame that is longer than it may be
   */
  *cut(chunk: Buffer): Generator<Buffer> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#frame === null) {
        const byte = chunk[at++] ?? 0;
        this.#length += (byte & 127) * 128 ** this.#lengthBytes++;
        if (byte > 127) {
          if (this.#lengthBytes === LENGTH_BYTES_MAX)
            throw violation("a length does not end");
          continue;
        }
        if (this.#length > this.#bytesMax) throw refuseChange(this.#bytesMax);
        const length = this.#length;
        this.#length = 0;
        this.#lengthBytes = 0;
        if (chunk.length - at >= length) {
          yield chunk.subarray(at, at + length);
          at += length;
          continue;
        }
        this.#frame = Buffer.allocUnsafeSlow(length);
      }
      const frame: Buffer = this.#frame;
      const copied = chunk.copy(frame, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < frame.length) return;
      this.#frame = null;
      this.#filled = 0;
      yield frame;
    }
  }
}

/** Takes frames apart. Shapes are kept from frame to frame. */
export class FrameReader {
  readonly #reader = new WireReader();
  #shapes: Shapes = [];

  /** @throws ExtractError SOURCE_PROTOCOL_VIOLATION */
  read(frame: Buffer): EngineMessage[] {
    try {
      return this.#read(frame);
    } catch (error) {
      if (error instanceof WireFault) throw violation(error.message, error);
      throw error;
    }
  }

  #read(frame: Buffer): EngineMessage[] {
    const reader = this.#reader.read(frame, 0, frame.length);
    const messages: EngineMessage[] = [];
    let number = 0;
    let run: { start: number; firstNumber: number } | null = null;
    const endRun = (end: number): void => {
      if (run !== null) messages.push(this.#makeRun(frame, run, end));
      run = null;
    };
    while (reader.isMore) {
      const itemStart = reader.at;
      const tag = reader.readVarint();
      if (tag === tags.eventsBefore && itemStart === 0) {
        number = reader.readVarint();
        continue;
      }
      if (tag !== tags.item) throw new WireFault(`a frame has the tag ${tag}`);
      const itemEnd = reader.readLength();
      const kind = reader.readVarint();
      const end = reader.readLength();
      if (end !== itemEnd) throw new WireFault("an item holds more than one");
      if (kind === tags.event) {
        number++;
        run ??= { start: itemStart, firstNumber: number };
      } else {
        endRun(itemStart);
        if (kind === tags.line) {
          const message = parseLine(frame.subarray(reader.at, end));
          if (message.type === "event") number = message.number;
          messages.push(message);
        } else if (kind === tags.shape) {
          this.#shapes = addShape(this.#shapes, frame, reader.at, end);
        } else throw new WireFault(`an item has the tag ${kind}`);
      }
      reader.at = end;
    }
    endRun(frame.length);
    return messages;
  }

  #makeRun(
    bytes: Buffer,
    { start, firstNumber }: { start: number; firstNumber: number },
    end: number,
  ): EngineMessage {
    const run: EventRun = {
      ...{ bytes, start, end, firstNumber },
      shapes: this.#shapes,
    };
    return { type: "events", run };
  }
}

function violation(reason: string, cause?: unknown): ExtractError {
  return new ExtractError(
    "SOURCE_PROTOCOL_VIOLATION",
    `the change data engine wrote a frame that is none of its own: ${reason}`,
    { reason },
    cause === undefined ? undefined : { cause },
  );
}
