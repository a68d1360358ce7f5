/**
 * Messages cut into packets, and put together again.
 * @see [MS-TDS] 2.2.1 "Syntax", 2.2.3.1 "Packet Header"
 */
import type { Duplex } from "node:stream";
import { once } from "node:events";

/** @see [MS-TDS] 2.2.3.1.1 "Type" */
export const packetTypes = {
  sqlBatch: 0x01,
  rpc: 0x03,
  response: 0x04,
  attention: 0x06,
  bulkLoad: 0x07,
  transactionManager: 0x0e,
  login7: 0x10,
  preLogin: 0x12,
} as const;

/** @see [MS-TDS] 2.2.3.1.2 "Status" */
const status = { endOfMessage: 0x01, resetConnection: 0x18 } as const;

export const HEADER_BYTES = 8;
export const PACKET_BYTES_MIN = 512;
export const PACKET_BYTES_MAX = 32_767;
/** A client that sends more than this in one message is cut off. */
const MESSAGE_BYTES_MAX = 1 << 30;
/** Packets are handed to the socket in pieces of about this size. */
const FLUSH_BYTES = 64 * 1024;

export interface Message {
  readonly type: number;
  /** RESETCONNECTION or RESETCONNECTIONSKIPTRAN was set. */
  readonly reset: boolean;
  readonly body: Buffer;
}

/** Puts messages together from whatever pieces the stream gives. */
export class MessageReader {
  #rest: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #bodyBytes = 0;
  #reset = false;

  /** @throws Error when the bytes are no packets, or a message is too long */
  *read(piece: Buffer): Generator<Message> {
    let bytes =
      this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    while (bytes.length >= HEADER_BYTES) {
      const length = bytes.readUInt16BE(2);
      if (length < HEADER_BYTES) throw new Error(`a packet of ${length} bytes`);
      if (bytes.length < length) break;
      const flags = bytes[1]!;
      if ((flags & status.resetConnection) !== 0) this.#reset = true;
      this.#parts.push(bytes.subarray(HEADER_BYTES, length));
      this.#bodyBytes += length - HEADER_BYTES;
      if (this.#bodyBytes > MESSAGE_BYTES_MAX)
        throw new Error(`a message above ${MESSAGE_BYTES_MAX} bytes`);
      const type = bytes[0]!;
      bytes = bytes.subarray(length);
      if ((flags & status.endOfMessage) !== 0) {
        const message = {
          type,
          reset: this.#reset,
          body: Buffer.concat(this.#parts),
        };
        this.#parts = [];
        this.#bodyBytes = 0;
        this.#reset = false;
        // kept before the yield: who reads may hand the stream over (TLS) and ask for what is left
        this.#rest = bytes;
        yield message;
      }
    }
    this.#rest = bytes;
  }

  /** No message is half read. */
  get isBetween(): boolean {
    return this.#rest.length === 0 && this.#parts.length === 0;
  }

  /** Bytes behind the last message. */
  takeRest(): Buffer {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }
}

/** Writes one message as packets of a given size; rows go over the border of a packet. */
export class MessageWriter {
  readonly #stream: Duplex;
  readonly #packetBytes: number;
  #packet: Buffer;
  #used = HEADER_BYTES;
  #packetId = 1;
  #queue: Buffer[] = [];
  #queuedBytes = 0;

  constructor(stream: Duplex, packetBytes: number) {
    this.#stream = stream;
    this.#packetBytes = packetBytes;
    this.#packet = Buffer.allocUnsafe(packetBytes);
  }

  /** Bytes that wait for `flush`. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    let at = start;
    while (at < end) {
      // a full packet is closed only when more comes, since the last of a message is marked
      if (this.#used === this.#packetBytes) this.#close(false);
      const count = Math.min(end - at, this.#packetBytes - this.#used);
      this.#packet.set(bytes.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
    }
  }

  #close(last: boolean): void {
    const packet = this.#packet.subarray(0, this.#used);
    packet[0] = packetTypes.response;
    packet[1] = last ? status.endOfMessage : 0;
    packet.writeUInt16BE(this.#used, 2);
    packet.writeUInt16BE(0, 4);
    packet[6] = this.#packetId & 0xff;
    packet[7] = 0;
    this.#packetId += 1;
    this.#queue.push(packet);
    this.#queuedBytes += packet.length;
    if (!last) this.#packet = Buffer.allocUnsafe(this.#packetBytes);
    this.#used = HEADER_BYTES;
  }

  /** True when so much waits that `flush` should be called. */
  get isFull(): boolean {
    return this.#queuedBytes >= FLUSH_BYTES;
  }

  /** Sends the full packets, also a last one that is not full when asked for; waits while the socket is full. */
  async flush({ unfinished = false } = {}): Promise<void> {
    if (unfinished && this.#used > HEADER_BYTES) this.#close(false);
    if (this.#queuedBytes === 0) return;
    const piece =
      this.#queue.length === 1 ? this.#queue[0]! : Buffer.concat(this.#queue);
    this.#queue = [];
    this.#queuedBytes = 0;
    await sendBytes(this.#stream, piece);
  }

  async end(): Promise<void> {
    this.#close(true);
    await this.flush();
  }
}

/** Waits while the stream is full. A stream that is gone takes everything. */
async function sendBytes(stream: Duplex, bytes: Buffer): Promise<void> {
  if (stream.destroyed || stream.write(bytes)) return;
  const ended = new AbortController();
  const { signal } = ended;
  await Promise.race([
    once(stream, "drain", { signal }),
    once(stream, "close", { signal }),
  ]).catch(() => {});
  ended.abort();
}
