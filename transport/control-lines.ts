/**
 * JSON lines between the bookkeeper and its children, over any stream (fd 3). One message a line, read with a bound.
 */
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import type { Readable, Writable } from "node:stream";
import { ExtractError } from "../proto/error.ts";

/** The plan of a catalog with many partitions is one message. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
/** Lines a peer may leave unread: a few of the longest. */
const LINES_QUEUED_BYTES_MAX = 4 * LINE_BYTES_MAX;

const NEWLINE = 10;

export interface LineReaderOptions {
  readonly lineBytesMax?: number;
  readonly onMessage: (message: unknown) => void;
  /**
   * Called once, as the last call. Null: the peer closed between two lines.
   * CONTROL_MALFORMED: a line too long, cut off, or no JSON; PROCESS_DIED: the stream broke.
   */
  readonly onEnd: (error: ExtractError | null) => void;
}

export interface LineReader {
  /** Reads no further and calls nothing more. */
  close(): void;
}

export function createLineReader(
  stream: Readable,
  { lineBytesMax = LINE_BYTES_MAX, onMessage, onEnd }: LineReaderOptions,
): LineReader {
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  let done = false;

  const close = (): void => {
    done = true;
    pieces = [];
    stream.off("data", onData).off("end", onClose).off("close", onClose);
    stream.pause();
  };
  const end = (error: ExtractError | null): void => {
    if (done) return;
    close();
    onEnd(error);
  };
  const onClose = (): void => {
    end(
      pendingBytes > 0 ? malformed("ends inside a line", pendingBytes) : null,
    );
  };
  const onError = (cause: Error): void => {
    end(
      new ExtractError(
        "PROCESS_DIED",
        "the control stream to the peer broke",
        {},
        { cause },
      ),
    );
  };
  const onData = (chunk: Buffer): void => {
    let start = 0;
    while (!done) {
      const newline = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, newline < 0 ? undefined : newline);
      pendingBytes += piece.byteLength;
      if (pendingBytes > lineBytesMax) {
        return end(malformed("is longer than allowed", pendingBytes));
      }
      if (newline < 0) {
        if (piece.byteLength > 0) pieces.push(piece);
        return;
      }
      const line =
        pieces.length === 0 ? piece : Buffer.concat([...pieces, piece]);
      pieces = [];
      pendingBytes = 0;
      start = newline + 1;
      let message: unknown;
      try {
        message = parseLine(line);
      } catch (cause) {
        return end(malformed("is no JSON", line.byteLength, cause));
      }
      onMessage(message);
    }
  };
  // stays after the end: a stream that breaks later must not end the process
  stream.on("error", onError);
  stream.on("data", onData).on("end", onClose).on("close", onClose);
  return { close };
}

/**
 * Queues one message. Returns false while the peer is slow, so that the caller may leave out what can be left out.
 * @throws ExtractError PEER_STALLED when the peer has left `queuedBytesMax` unread
 */
export function writeLine(
  stream: Writable,
  message: unknown,
  queuedBytesMax: number = LINES_QUEUED_BYTES_MAX,
): boolean {
  const text = JSON.stringify(message);
  assert.ok(text !== undefined, "a message is a JSON value");
  const line = Buffer.from(`${text}\n`);
  assert.ok(line.byteLength <= LINE_BYTES_MAX, `${line.byteLength} bytes`);
  if (stream.writableLength + line.byteLength > queuedBytesMax) {
    throw new ExtractError(
      "PEER_STALLED",
      "the peer does not read its control messages",
      { bytesQueued: stream.writableLength },
    );
  }
  return stream.write(line);
}

function parseLine(line: Buffer): unknown {
  if (!isUtf8(line)) throw new SyntaxError("not UTF-8");
  return JSON.parse(line.toString("utf8"));
}

function malformed(what: string, bytes: number, cause?: unknown): ExtractError {
  return new ExtractError(
    "CONTROL_MALFORMED",
    `a control message of ${bytes} bytes ${what}`,
    { bytes },
    { cause },
  );
}
